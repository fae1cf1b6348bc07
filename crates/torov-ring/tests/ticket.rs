//! A slot on threads of the host.

#![cfg(not(loom))]

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use torov_ring::layout::{DONE, FREE, POSTED, REFUSED};
use torov_ring::{Reclaimed, Ticket};

#[test]
fn a_call_goes_through_its_states() {
    let (state, ticket) = (AtomicU32::new(FREE), Ticket::new());
    assert!(!ticket.claim(&state), "nothing is posted");
    state.store(POSTED, Ordering::Relaxed);
    assert!(ticket.claim(&state));
    assert!(!ticket.claim(&state), "it is taken");
    ticket.answer(&state, 7);
    assert_eq!(state.load(Ordering::Relaxed), DONE);
    assert_eq!(ticket.reclaim(&state, || ()), Reclaimed::Answered(7));
    assert_eq!(ticket.reclaim(&state, || ()), Reclaimed::Mine);
    state.store(POSTED, Ordering::Relaxed);
    assert!(ticket.claim(&state));
    ticket.refuse(&state);
    assert_eq!(state.load(Ordering::Relaxed), REFUSED);
    assert_eq!(ticket.reclaim(&state, || ()), Reclaimed::Mine);
    assert_eq!(state.load(Ordering::Relaxed), FREE);
}

#[test]
fn an_old_answer_is_not_taken_for_a_new_one() {
    let (state, ticket) = (AtomicU32::new(POSTED), Ticket::new());
    assert!(ticket.claim(&state));
    ticket.answer(&state, 7);
    // The guest saw it, and posts the next call.
    state.store(FREE, Ordering::Relaxed);
    state.store(POSTED, Ordering::Relaxed);
    assert_eq!(ticket.reclaim(&state, || ()), Reclaimed::Mine);
}

#[test]
fn every_call_is_answered_exactly_once() {
    const CALLS: u32 = 100_000;
    let (state, ticket) = (AtomicU32::new(FREE), Ticket::new());
    let (answered, done) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::Acquire) == 0 {
                if ticket.claim(&state) {
                    answered.fetch_add(1, Ordering::Relaxed);
                    ticket.answer(&state, 1);
                }
                thread::yield_now();
            }
        });
        for call in 0..CALLS {
            state.store(POSTED, Ordering::Release);
            let mut looks = call % 5;
            while state.load(Ordering::Acquire) != DONE && looks > 0 {
                looks -= 1;
            }
            if state.load(Ordering::Acquire) == DONE && call % 2 == 0 {
                state.store(FREE, Ordering::Relaxed);
            } else if ticket.reclaim(&state, thread::yield_now) == Reclaimed::Mine {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        done.store(1, Ordering::Release);
    });
    assert_eq!(answered.load(Ordering::Relaxed), CALLS);
}
