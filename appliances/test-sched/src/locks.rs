//! Locks that park, under contention from all cores.

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use toro::sync::{Condvar, Mutex, OnceLock, RwLock, Semaphore};
use toro::thread::{self, Builder, JoinHandle};
use toro::time::{Duration, Instant};
use toro::{println, task};

/// Threads on each core that want the same.
const THREADS: usize = 4;

/// Runs `body` on `THREADS` threads of each core at the same time, with their numbers.
fn everywhere(body: impl Fn(usize) + Send + Sync + 'static) {
    let body = Arc::new(body);
    let threads: Vec<JoinHandle<()>> = (0..THREADS * thread::cores())
        .map(|number| {
            let body = Arc::clone(&body);
            Builder::new()
                .name("contends")
                .spawn_on(number % thread::cores(), move || body(number))
                .expect("it began")
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join(), Ok(()));
    }
}

pub(crate) fn a_mutex_counts_for_all_cores() {
    const EACH: usize = 5_000;
    let count = Arc::new(Mutex::new(0_usize));
    let shared = Arc::clone(&count);
    let begun = Instant::now();
    everywhere(move |_| {
        for turn in 0..EACH {
            *shared.lock() += 1;
            if turn % 16 == 0 {
                thread::yield_now();
            }
        }
    });
    let total = EACH * THREADS * thread::cores();
    assert_eq!(*count.lock(), total);
    let nanos = begun.elapsed().as_nanos() / total as u128;
    println!("contended lock: {nanos} ns");
}

pub(crate) fn a_mutex_serves_threads_in_their_order() {
    let mutex = Rc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock();
    let threads: Vec<_> = (0..20)
        .map(|number| {
            let mutex = Rc::clone(&mutex);
            thread::spawn("waits", move || mutex.lock().push(number))
        })
        .collect();
    thread::yield_now();
    drop(guard);
    for thread in threads {
        assert_eq!(thread.join(), Ok(()));
    }
    assert!(mutex.lock().iter().copied().eq(0..20));
}

pub(crate) fn a_guard_may_be_held_across_a_yield() {
    let pair = Arc::new(Mutex::new((0_u32, 0_u32)));
    let shared = Arc::clone(&pair);
    everywhere(move |_| {
        for _ in 0..200 {
            let mut pair = shared.lock();
            pair.0 += 1;
            thread::yield_now();
            pair.1 += 1;
            assert_eq!(pair.0, pair.1, "nobody came in between");
        }
    });
}

pub(crate) fn a_condvar_plays_ping_pong() {
    const ROUNDS: u32 = 10_000;
    let game = Arc::new((Mutex::new(0_u32), Condvar::new()));
    let far_game = Arc::clone(&game);
    let last = thread::cores() - 1;
    let far = Builder::new().name("far").spawn_on(last, move || {
        let (ball, moved) = &*far_game;
        for round in 0..ROUNDS {
            let mut ball = moved.wait_while(ball.lock(), |ball| *ball != 2 * round + 1);
            *ball += 1;
            moved.notify_one();
        }
    });
    let (ball, moved) = &*game;
    let begun = Instant::now();
    for round in 0..ROUNDS {
        let mut ball = moved.wait_while(ball.lock(), |ball| *ball != 2 * round);
        *ball += 1;
        moved.notify_one();
    }
    assert_eq!(far.expect("it began").join(), Ok(()));
    assert_eq!(*ball.lock(), 2 * ROUNDS);
    let nanos = begun.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("condvar round trip to core {last}: {nanos} ns");
}

pub(crate) fn a_deadline_ends_the_wait_for_a_notification() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let deadline = Instant::now() + Duration::from_millis(2);
    let (guard, notified) = condvar.wait_until(mutex.lock(), deadline);
    assert!(!notified && Instant::now() >= deadline);
    let deadline = Instant::now() + Duration::from_millis(2);
    assert!(mutex.lock_until(deadline).is_none(), "it is held here");
    drop(guard);
    assert!(mutex.try_lock().is_some());
}

pub(crate) fn a_semaphore_lets_so_many_in() {
    const PERMITS: usize = 3;
    let inside = Arc::new((Semaphore::new(PERMITS), AtomicUsize::new(0)));
    let most = Arc::new(AtomicUsize::new(0));
    let (shared, seen) = (Arc::clone(&inside), Arc::clone(&most));
    everywhere(move |number| {
        let (semaphore, inside) = &*shared;
        let count = 1 + number % 2;
        for _ in 0..300 {
            let permit = semaphore.acquire_many(count);
            let now = inside.fetch_add(count, Ordering::SeqCst) + count;
            assert!(now <= PERMITS, "{now} are inside");
            seen.fetch_max(now, Ordering::SeqCst);
            thread::yield_now();
            inside.fetch_sub(count, Ordering::SeqCst);
            drop(permit);
        }
    });
    assert_eq!(inside.0.available(), PERMITS);
    assert_eq!(most.load(Ordering::SeqCst), PERMITS);
}

pub(crate) fn readers_never_see_half_a_write() {
    let value = Arc::new(RwLock::new((0_u64, 0_u64)));
    let shared = Arc::clone(&value);
    everywhere(move |number| {
        for turn in 0..400 {
            if (turn + number) % 8 == 0 {
                let mut value = shared.write();
                value.0 += 1;
                thread::yield_now();
                value.1 += 1;
            } else {
                let value = shared.read();
                assert_eq!(value.0, value.1);
                thread::yield_now();
                assert_eq!(value.0, value.1, "a writer waits for its readers");
            }
        }
    });
    let writes = value.read().0;
    assert_eq!(writes, (THREADS * thread::cores() * 400 / 8) as u64);
}

pub(crate) fn a_value_is_made_once_for_all_cores() {
    let value = Arc::new(OnceLock::new());
    let made = Arc::new(AtomicUsize::new(0));
    let (shared, count) = (Arc::clone(&value), Arc::clone(&made));
    everywhere(move |number| {
        let value = shared.get_or_init(|| {
            count.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
            number
        });
        assert_eq!(shared.get(), Some(value));
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
    assert!(value.get().is_some());
}

pub(crate) fn tasks_and_threads_share_a_mutex() {
    const TURNS: usize = 200;
    let log = Rc::new(Mutex::new(0));
    let in_task = Rc::clone(&log);
    let task = task::spawn(async move {
        for _ in 0..TURNS {
            let mut count = in_task.lock_async().await;
            task::yield_now().await;
            *count += 1;
        }
    });
    for _ in 0..TURNS {
        *log.lock() += 1;
        thread::yield_now();
    }
    assert_eq!(task.join(), Ok(()));
    assert_eq!(*log.lock(), 2 * TURNS);
}
