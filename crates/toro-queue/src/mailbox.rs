//! [`Mailbox`]: many cores post, one takes everything.
//!
//! The nodes make a stack whose head is one word. A post exchanges the head; the owner takes the whole stack with one
//! swap and turns it round, so that posts of one core arrive in their order. Nodes are never taken one by one, so there is
//! no ABA problem: an exchange that succeeds on an address that has come back links to a list that is there.
//!
//! Sleep lies in the same word, which is what closes the hole between the owner's last look and its halt:
//!
//! ```text
//! head      owner                                 poster
//! EMPTY     announce_sleep: EMPTY -> ASLEEP       post: EMPTY  -> node   Posted::First   the owner runs and will look
//! ASLEEP    halts until an interrupt              post: ASLEEP -> node   Posted::Wake    the poster sends an interrupt
//! node      announce_sleep fails: do not halt     post: node   -> node   Posted::Behind
//! ```
//!
//! A post finds the announcement or the announcement finds the post; both are exchanges of one word, so there is no third
//! way and no fence. One poster alone replaces `ASLEEP`, so there is one interrupt per sleep. The owner must announce
//! with interrupts off and halt by `sti; hlt`: an interrupt that comes in between is then held back until the halt.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use crate::atomic::{AtomicPtr, Ordering};
use crate::{Handle, Link, Linked};

/// A queue from all cores to its owner.
pub struct Mailbox<H: Handle> {
    head: AtomicPtr<H::Node>,
    owns: PhantomData<H>,
}

/// What a post found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Other posts that wait too.
    Behind,
    /// An empty mailbox, whose owner runs.
    First,
    /// An empty mailbox, whose owner has announced that it sleeps: the poster has to interrupt it.
    Wake,
}

// SAFETY: handles go in on one core and come out on another, which `H: Send` allows; the links are touched only through
// atomics. The mailbox gives out no reference to a node.
unsafe impl<H: Handle + Send> Send for Mailbox<H> {}
// SAFETY: as above; `post` and `take_all` through a shared mailbox do no more than move handles.
unsafe impl<H: Handle + Send> Sync for Mailbox<H> {}

impl<H: Handle> Mailbox<H> {
    /// An empty mailbox, whose owner is awake.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    /// An empty mailbox, whose owner is awake.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    /// The head while the owner sleeps and nothing is there; a list begins with a node, so this is never one.
    const fn asleep() -> *mut H::Node {
        Link::end()
    }

    /// Posts a node.
    ///
    /// # Errors
    /// Hands `handle` back if its node is in a mailbox already, this one or another. Such a post publishes nothing: what
    /// was written before it may not be seen by the core that takes the node.
    pub fn post(&self, handle: H) -> Result<Posted, H> {
        let node = handle.into_raw();
        // SAFETY: a raw handle keeps its node good for shared access.
        let link = unsafe { node.as_ref() }.link();
        if !link.claim() {
            // SAFETY: 1. it was turned raw above, and nothing has kept it.
            return Err(unsafe { H::from_raw(node) });
        }
        Ok(self.push(node, link))
    }

    /// Puts a claimed node on the stack. From here on it may be gone at any time.
    fn push(&self, node: NonNull<H::Node>, link: &Link<H::Node>) -> Posted {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let is_empty = head.is_null() || head == Self::asleep();
            link.set(if is_empty { Link::end() } else { head });
            // Release: pairs with the Acquire in `take_all`; publishes the node and its link. The exchanges of later
            // posters carry that on, since they are exchanges.
            let exchange = self.head.compare_exchange_weak(
                head,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match exchange {
                Ok(_) if head.is_null() => return Posted::First,
                Ok(_) if is_empty => return Posted::Wake,
                Ok(_) => return Posted::Behind,
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything that was posted, oldest first; ends an announced sleep.
    ///
    /// Looks before it takes, so it costs the owner one load when there is nothing.
    pub fn take_all(&self) -> Taken<H> {
        if self.head.load(Ordering::Relaxed).is_null() {
            return Taken {
                next: Link::end(),
                owns: PhantomData,
            };
        }
        // Acquire: pairs with the Release of each post in `push`.
        let newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        Taken {
            next: reverse::<H>(newest),
            owns: PhantomData,
        }
    }

    /// Whether nothing waits. A post may come at any time.
    pub fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        head.is_null() || head == Self::asleep()
    }

    /// Announces that the owner is about to halt; `false` if there is something to take instead.
    ///
    /// # Context
    /// The owner, with interrupts off until it halts.
    pub fn announce_sleep(&self) -> bool {
        // Relaxed: nothing is published or read but this word. A post that comes later replaces it and rings; a post
        // that came before makes this fail.
        self.head
            .compare_exchange(
                ptr::null_mut(),
                Self::asleep(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }
}

/// Turns a list round and returns its other end. The list belongs to the caller alone.
fn reverse<H: Handle>(newest: *mut H::Node) -> *mut H::Node {
    let mut done = Link::end();
    let mut rest = newest;
    // An empty mailbox is null, or `asleep`, which is the same word as the end of a list.
    while rest != Link::end() && !rest.is_null() {
        // SAFETY: a node of the list: the mailbox held a raw handle of it, and now the caller does.
        let link = unsafe { &*rest }.link();
        let next = link.get();
        link.set(done);
        done = rest;
        rest = next;
    }
    done
}

impl<H: Handle> Default for Mailbox<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Handle> Drop for Mailbox<H> {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

impl<H: Handle> fmt::Debug for Mailbox<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("is_empty", &self.is_empty())
            .finish()
    }
}

/// What was taken out of a mailbox, oldest first. What is not asked for is dropped.
pub struct Taken<H: Handle> {
    /// A list that belongs to this iterator alone.
    next: *mut H::Node,
    owns: PhantomData<H>,
}

// SAFETY: it owns the handles in its list, which may be sent.
unsafe impl<H: Handle + Send> Send for Taken<H> {}

impl<H: Handle> Iterator for Taken<H> {
    type Item = H;

    fn next(&mut self) -> Option<H> {
        if self.next == Link::end() {
            return None;
        }
        let node = NonNull::new(self.next)?;
        // SAFETY: a node of the list, whose raw handle this iterator holds.
        let link = unsafe { node.as_ref() }.link();
        self.next = link.get();
        link.release();
        // SAFETY: 1. `post` turned it raw, and it has just left the only list that it was in.
        Some(unsafe { H::from_raw(node) })
    }
}

impl<H: Handle> FusedIterator for Taken<H> {}

impl<H: Handle> Drop for Taken<H> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<H: Handle> fmt::Debug for Taken<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken")
            .field("is_empty", &(self.next == Link::end()))
            .finish()
    }
}
