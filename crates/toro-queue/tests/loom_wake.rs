//! Every interleaving of small models of a thread that waits and of those that wake it.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p toro-queue --release --test loom_wake`

#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use toro_queue::WakeWord;

/// A thread, what it waits for, and its core's run queue.
struct Model {
    word: WakeWord,
    /// Written before the wake-ups, without any order of its own.
    news: [AtomicBool; 2],
    /// How often the thread is in the run queue: at most once.
    queued: Mutex<usize>,
    changed: Condvar,
    /// How many wakers won.
    won: AtomicUsize,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: WakeWord::new(),
            news: [AtomicBool::new(false), AtomicBool::new(false)],
            queued: Mutex::new(0),
            changed: Condvar::new(),
            won: AtomicUsize::new(0),
        })
    }

    /// What `toro-sched` does in `park`: a wake-up that is lost leaves this here for ever, which loom reports.
    fn park(&self) {
        if !self.word.begin_wait() {
            return;
        }
        let mut queued = self.queued.lock().expect("nobody panics");
        while *queued == 0 {
            queued = self.changed.wait(queued).expect("nobody panics");
        }
        *queued -= 1;
    }

    fn wake(&self) {
        if self.word.wake() {
            let mut queued = self.queued.lock().expect("nobody panics");
            *queued += 1;
            assert_eq!(*queued, 1, "the thread is in the queue twice");
            self.changed.notify_one();
            self.won.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Runs a model; three preemptions find nearly all there is to find, `LOOM_MAX_PREEMPTIONS` asks for more.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(body);
}

/// Wakers that each have news; the thread waits until it has seen all.
fn news_arrive(wakers: usize) {
    model(move || {
        let model = Model::new();
        let threads: Vec<_> = (0..wakers)
            .map(|number| {
                let model = Arc::clone(&model);
                thread::spawn(move || {
                    model.news[number].store(true, Ordering::Relaxed);
                    model.wake();
                })
            })
            .collect();
        let has = |number: usize| model.news[number].load(Ordering::Relaxed);
        while !(0..wakers).all(has) {
            model.park();
        }
        threads
            .into_iter()
            .for_each(|waker| waker.join().expect("no waker panics"));
    });
}

#[test]
fn a_wake_up_is_never_lost() {
    news_arrive(1);
}

#[test]
fn the_news_behind_a_second_wake_up_are_seen() {
    news_arrive(2);
}

#[test]
fn one_of_two_wakers_wins() {
    model(|| {
        let model = Model::new();
        let threads = [(); 2].map(|()| {
            let model = Arc::clone(&model);
            thread::spawn(move || model.wake())
        });
        model.park();
        threads
            .into_iter()
            .for_each(|waker| waker.join().expect("no waker panics"));
        assert!(model.won.load(Ordering::Relaxed) <= 1);
    });
}

#[test]
fn nobody_wins_a_thread_that_has_ended() {
    model(|| {
        let model = Model::new();
        let waker = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.wake())
        };
        model.word.end();
        waker.join().expect("no waker panics");
        assert_eq!(model.won.load(Ordering::Relaxed), 0);
    });
}
