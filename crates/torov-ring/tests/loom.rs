//! Every order of guest, poller and the thread outside: a call is answered exactly once, and the guest gets that answer.

#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;
use torov_ring::layout::{DONE, FREE, POSTED, REFUSED};
use torov_ring::{Reclaimed, Ticket};

struct Slot {
    state: AtomicU32,
    argument: AtomicU64,
    ticket: Ticket,
    /// How often a call was answered.
    answers: AtomicU32,
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU32::new(FREE),
            argument: AtomicU64::new(0),
            ticket: Ticket::new(),
            answers: AtomicU32::new(0),
        })
    }

    /// The poller looks once.
    fn poll(&self, willing: bool) {
        if !self.ticket.claim(&self.state) {
            return;
        }
        if willing {
            let argument = self.argument.load(Ordering::Relaxed);
            self.answers.fetch_add(1, Ordering::Relaxed);
            self.argument.store(argument + 100, Ordering::Relaxed);
            self.ticket.answer(&self.state, argument + 100);
        } else {
            self.ticket.refuse(&self.state);
        }
    }

    /// The guest's side: posts, looks so many times, goes outside.
    fn call(&self, argument: u64, looks: usize) -> u64 {
        self.argument.store(argument, Ordering::Relaxed);
        self.state.store(POSTED, Ordering::Release);
        for _ in 0..looks {
            match self.state.load(Ordering::Acquire) {
                DONE => {
                    let result = self.argument.load(Ordering::Relaxed);
                    self.state.store(FREE, Ordering::Relaxed);
                    return result;
                }
                REFUSED => break,
                _ => {}
            }
        }
        match self.ticket.reclaim(&self.state, thread::yield_now) {
            Reclaimed::Answered(result) => result,
            Reclaimed::Mine => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                argument + 100
            }
        }
    }
}

fn model(willing: bool, looks: usize) {
    loom::model(move || {
        let slot = Slot::new();
        let poller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                slot.poll(willing);
                slot.poll(willing);
            })
        };
        assert_eq!(slot.call(1, looks), 101);
        assert_eq!(slot.call(2, looks), 102);
        poller.join().unwrap();
        assert_eq!(slot.answers.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_call_is_answered_once_whoever_is_faster() {
    model(true, 0);
    model(true, 1);
}

#[test]
fn a_call_that_is_refused_is_answered_outside() {
    model(false, 1);
}

/// A batch: whoever has it makes calls of it in their order, the poller perhaps not all, and says how many.
struct Batch {
    state: AtomicU32,
    ticket: Ticket,
    /// How often each was made.
    made: [AtomicU32; 3],
}

impl Batch {
    /// Makes up to `most` of the calls from `first` on.
    fn make(&self, first: usize, most: usize) -> usize {
        let calls = self.made.iter().skip(first).take(most);
        calls
            .map(|call| call.fetch_add(1, Ordering::Relaxed))
            .count()
    }
}

#[test]
fn calls_of_a_batch_are_made_once_each_whoever_makes_how_many() {
    loom::model(|| {
        let batch = Arc::new(Batch {
            state: AtomicU32::new(FREE),
            ticket: Ticket::new(),
            made: [AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)],
        });
        let first = Arc::new(AtomicU32::new(0));
        let poller = {
            let (batch, first) = (Arc::clone(&batch), Arc::clone(&first));
            thread::spawn(move || {
                if batch.ticket.claim(&batch.state) {
                    // The second call could block.
                    let first = usize::try_from(first.load(Ordering::Relaxed)).unwrap();
                    match batch.make(first, 1_usize.saturating_sub(first)) {
                        0 => batch.ticket.refuse(&batch.state),
                        made => batch.ticket.answer(&batch.state, made as u64),
                    }
                }
            })
        };
        let mut done = 0;
        while done < 3 {
            first.store(u32::try_from(done).unwrap(), Ordering::Relaxed);
            batch.state.store(POSTED, Ordering::Release);
            done += match batch.ticket.reclaim(&batch.state, thread::yield_now) {
                Reclaimed::Answered(made) => usize::try_from(made).unwrap(),
                Reclaimed::Mine => batch.make(done, 3 - done),
            };
        }
        poller.join().unwrap();
        assert!(
            batch
                .made
                .iter()
                .all(|call| call.load(Ordering::Relaxed) == 1)
        );
    });
}

#[test]
fn a_guest_that_scribbles_harms_nobody_else() {
    loom::model(|| {
        let slot = Slot::new();
        let scribbler = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                slot.state.store(POSTED, Ordering::Relaxed);
                slot.state.store(DONE, Ordering::Relaxed);
            })
        };
        let poller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.poll(true))
        };
        // Whatever it finds, the thread outside comes back.
        let _ = slot.ticket.reclaim(&slot.state, thread::yield_now);
        scribbler.join().unwrap();
        poller.join().unwrap();
        let _ = slot.ticket.reclaim(&slot.state, thread::yield_now);
    });
}
