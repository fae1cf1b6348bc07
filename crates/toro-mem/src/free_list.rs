//! [`FreeLists`]: the free blocks of each order, linked through their own first bytes.

use core::cell::Cell;
use core::ops::Deref;
use core::ptr::{self, NonNull};

/// The largest block has `2^(ORDERS - 1)` pages, which is 1 GiB.
pub(crate) const ORDERS: usize = 19;

/// What stands at the start of a free block.
pub(crate) struct Node {
    previous: Cell<Option<Link>>,
    next: Cell<Option<Link>>,
}

/// A free block, by its address.
#[derive(Clone, Copy)]
pub(crate) struct Link(NonNull<Node>);

impl Link {
    /// The free block at `address`.
    ///
    /// # Safety
    /// 1. The page at `address` belongs to the caller's allocator, and nobody else reads or writes it until the link has
    ///    left the lists and been dropped.
    /// 2. `address` is not 0 and was exposed.
    pub(crate) unsafe fn to(address: usize) -> Self {
        let node = ptr::with_exposed_provenance_mut::<Node>(address);
        // SAFETY: not null by duty 2.
        Self(unsafe { NonNull::new_unchecked(node) })
    }

    /// Makes the free block one whose next is `next`, which nothing else leads to.
    pub(crate) fn link_to(self, next: Option<Self>) {
        let node = Node {
            previous: Cell::new(None),
            next: Cell::new(next),
        };
        // SAFETY: duty 1 of `to`: the block is the allocator's, and a page is larger than a node.
        unsafe { self.0.write(node) };
    }

    /// The next block of the list.
    pub(crate) fn next(self) -> Option<Self> {
        self.next.get()
    }

    /// The block's address.
    pub(crate) fn address(self) -> usize {
        self.0.addr().get()
    }
}

impl Deref for Link {
    type Target = Node;

    fn deref(&self) -> &Node {
        // SAFETY: duty 1 of `to`: the memory is the allocator's for as long as there is a link. `push` wrote a node to it
        // before anything was read.
        unsafe { self.0.as_ref() }
    }
}

/// One doubly linked list for each order, and a word that says which are not empty.
pub(crate) struct FreeLists {
    heads: [Option<Link>; ORDERS],
    nonempty: u32,
}

impl FreeLists {
    pub(crate) const fn new() -> Self {
        Self {
            heads: [None; ORDERS],
            nonempty: 0,
        }
    }

    /// The smallest order from `order` up that has a block.
    pub(crate) fn smallest_from(&self, order: usize) -> Option<usize> {
        let fitting = self.nonempty & u32::MAX.checked_shl(order.try_into().ok()?)?;
        (fitting != 0).then(|| fitting.trailing_zeros() as usize)
    }

    /// Takes any block of `order`.
    pub(crate) fn pop(&mut self, order: usize) -> Option<Link> {
        let link = self.heads[order]?;
        self.remove(order, link);
        Some(link)
    }

    /// Adds a block.
    pub(crate) fn push(&mut self, order: usize, link: Link) {
        let head = self.heads[order];
        link.link_to(head);
        if let Some(head) = head {
            head.previous.set(Some(link));
        }
        self.heads[order] = Some(link);
        self.nonempty |= 1 << order;
    }

    /// Takes a block out of the list of `order`, in which it is.
    pub(crate) fn remove(&mut self, order: usize, link: Link) {
        let (previous, next) = (link.previous.get(), link.next.get());
        if let Some(next) = next {
            next.previous.set(previous);
        }
        match previous {
            Some(previous) => previous.next.set(next),
            None => self.heads[order] = next,
        }
        if self.heads[order].is_none() {
            self.nonempty &= !(1 << order);
        }
    }
}
