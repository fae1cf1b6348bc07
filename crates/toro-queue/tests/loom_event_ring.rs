//! Every interleaving of a core that writes events and one that reads them.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p toro-queue --release --test loom_event_ring`

#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use toro_queue::EventRing;

/// Runs a model; three preemptions find nearly all there is to find, `LOOM_MAX_PREEMPTIONS` asks for more.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(body);
}

/// The writer overtakes the reader, in a ring of so few events that each is overwritten while it may be read.
#[test]
fn an_event_is_read_whole_or_counted_as_lost() {
    const EVENTS: u64 = 4;
    model(|| {
        let ring = Arc::new(EventRing::<2>::try_new().unwrap());
        // Loom remembers one access of each place to try another order with, and the writer's own look at its count would hide the
        // reader's. So each step begins with a change of something else, which orders nothing.
        let steps = Arc::new(AtomicUsize::new(0));
        let writer = {
            let (ring, steps) = (Arc::clone(&ring), Arc::clone(&steps));
            thread::spawn(move || {
                for number in 0..EVENTS {
                    steps.fetch_add(1, Ordering::Relaxed);
                    ring.push([number, number + 100]);
                }
                steps.fetch_add(1, Ordering::Relaxed);
            })
        };
        let (mut next, mut lost, mut seen) = (0, 0, Vec::new());
        steps.fetch_add(1, Ordering::Relaxed);
        lost += ring.read(&mut next, 2, &mut seen);
        assert_eq!(seen.len() as u64 + lost, next);
        writer.join().unwrap();
        lost += ring.read(&mut next, 2, &mut seen);
        assert_eq!((next, seen.len() as u64 + lost), (EVENTS, EVENTS));
        for [first, second] in &seen {
            assert_eq!(first + 100, *second, "two halves of different events");
        }
        assert!(seen.is_sorted(), "{seen:?}");
        assert_eq!(seen.last(), Some(&[EVENTS - 1, EVENTS + 99]));
    });
}
