//! Every interleaving of small models of the mailbox, sleep included.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p toro-queue --release --test loom`

#![cfg(loom)]

use std::sync::Arc as Shared;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use toro_queue::{Link, Linked, Mailbox, Posted};

/// A letter whose contents loom watches: to read them without having acquired them is an error.
struct Letter {
    contents: UnsafeCell<usize>,
    link: Link<Letter>,
}

// SAFETY: 1. the link is a field of the letter.
unsafe impl Linked for Letter {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

// SAFETY: the contents are written before a post and read after the take; loom checks that this is so.
unsafe impl Send for Letter {}
// SAFETY: as above.
unsafe impl Sync for Letter {}

type Post = Shared<Letter>;

/// Runs a model; three preemptions find nearly all there is to find, `LOOM_MAX_PREEMPTIONS` asks for more.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(body);
}

fn letter(number: usize) -> Post {
    let contents = UnsafeCell::new(0);
    // SAFETY: nobody else has the letter yet.
    contents.with_mut(|place| unsafe { place.write(number) });
    Shared::new(Letter {
        contents,
        link: Link::new(),
    })
}

fn read(letter: &Letter) -> usize {
    // SAFETY: nobody writes any more.
    letter.contents.with(|place| unsafe { place.read() })
}

/// The line to the owner's interrupt controller: an interrupt that was sent stays until the owner takes it.
#[derive(Default)]
struct Interrupts {
    pending: Mutex<bool>,
    line: Condvar,
}

impl Interrupts {
    fn send(&self) {
        *self.pending.lock().unwrap() = true;
        self.line.notify_one();
    }

    /// `sti; hlt`: goes on at once if an interrupt is held back. A wake-up that is lost halts for ever, which loom reports.
    fn halt(&self) {
        let mut pending = self.pending.lock().unwrap();
        while !*pending {
            pending = self.line.wait(pending).unwrap();
        }
        *pending = false;
    }
}

#[test]
fn two_posters_lose_nothing() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Post>::new());
        let posters = [1, 2].map(|number| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert!(mailbox.post(letter(number)).is_ok());
            })
        });
        let mut sum = mailbox
            .take_all()
            .map(|letter| read(&letter))
            .sum::<usize>();
        for poster in posters {
            poster.join().unwrap();
        }
        sum += mailbox
            .take_all()
            .map(|letter| read(&letter))
            .sum::<usize>();
        assert_eq!(sum, 3);
    });
}

#[test]
fn the_posts_of_one_poster_keep_their_order() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Post>::new());
        let poster = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || (1..=3).for_each(|n| assert!(mailbox.post(letter(n)).is_ok())))
        };
        let mut seen: Vec<usize> = mailbox.take_all().map(|letter| read(&letter)).collect();
        poster.join().unwrap();
        seen.extend(mailbox.take_all().map(|letter| read(&letter)));
        assert_eq!(seen, [1, 2, 3]);
    });
}

#[test]
fn one_of_two_posters_gets_a_shared_node_in() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Post>::new());
        let letter = letter(7);
        let poster = {
            let (mailbox, letter) = (Arc::clone(&mailbox), Shared::clone(&letter));
            thread::spawn(move || usize::from(mailbox.post(letter).is_ok()))
        };
        let mine = usize::from(mailbox.post(Shared::clone(&letter)).is_ok());
        let early = mailbox.take_all().count();
        let other = poster.join().unwrap();
        assert_eq!(early + mailbox.take_all().count(), mine + other);
        assert_eq!(Shared::strong_count(&letter), 1);
    });
}

#[test]
fn no_wake_up_is_lost() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Post>::new());
        let interrupts = Arc::new(Interrupts::default());
        let posters = [1, 2].map(|number| {
            let (mailbox, interrupts) = (Arc::clone(&mailbox), Arc::clone(&interrupts));
            thread::spawn(move || {
                if matches!(mailbox.post(letter(number)), Ok(Posted::Wake)) {
                    interrupts.send();
                }
            })
        });
        let mut seen = 0;
        while seen < 3 {
            seen += mailbox
                .take_all()
                .map(|letter| read(&letter))
                .sum::<usize>();
            if seen < 3 && mailbox.announce_sleep() {
                interrupts.halt();
            }
        }
        for poster in posters {
            poster.join().unwrap();
        }
    });
}

#[test]
fn a_sleep_costs_one_interrupt() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Post>::new());
        let rung = Arc::new(AtomicBool::new(false));
        assert!(mailbox.announce_sleep());
        let posters = [1, 2].map(|number| {
            let (mailbox, rung) = (Arc::clone(&mailbox), Arc::clone(&rung));
            thread::spawn(move || {
                if matches!(mailbox.post(letter(number)), Ok(Posted::Wake)) {
                    assert!(!rung.swap(true, Ordering::Relaxed), "rung twice");
                }
            })
        });
        for poster in posters {
            poster.join().unwrap();
        }
        assert!(rung.load(Ordering::Relaxed), "not rung");
        assert_eq!(mailbox.take_all().count(), 2);
    });
}
