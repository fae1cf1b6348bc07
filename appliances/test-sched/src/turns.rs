//! Who runs when: turns of ready threads, and wake-ups that cross.

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use toro::thread::{self, Builder, JoinHandle};

pub(crate) fn a_ready_thread_waits_for_one_turn_of_the_others() {
    const THREADS: usize = 20;
    const TURNS: usize = 500;
    let turns = Rc::new([const { Cell::new(0_usize) }; THREADS]);
    let threads: Vec<JoinHandle<()>> = (0..THREADS)
        .map(|this| {
            let turns = Rc::clone(&turns);
            thread::spawn("turn", move || {
                for turn in 1..=TURNS {
                    turns[this].set(turn);
                    let ahead = turns.iter().map(Cell::get).max().unwrap_or(0);
                    assert!(ahead - turn <= 1, "{ahead} turns of others, {turn} here");
                    thread::yield_now();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no thread was left behind");
    }
}

/// A pair on two cores (or one) that only ever parks and unparks the other: a lost wake-up would stop both.
pub(crate) fn no_unpark_is_lost_between_cores() {
    const ROUNDS: u32 = 50_000;
    let other = thread::cores() - 1;
    let ball = Arc::new(AtomicU32::new(0));
    let here = thread::current();
    let far_ball = Arc::clone(&ball);
    let far = Builder::new().name("far").spawn_on(other, move || {
        for round in 0..ROUNDS {
            while far_ball.load(Ordering::Acquire) != 2 * round + 1 {
                thread::park();
            }
            far_ball.store(2 * round + 2, Ordering::Release);
            here.unpark();
        }
    });
    let far = far.expect("it began");
    for round in 0..ROUNDS {
        ball.store(2 * round + 1, Ordering::Release);
        far.thread().unpark();
        while ball.load(Ordering::Acquire) != 2 * round + 2 {
            thread::park();
        }
    }
    far.join().expect("the thread returned");
}
