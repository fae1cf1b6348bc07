//! The order of service, and waits that are given up: futures polled by hand.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};

use crate::{Condvar, Mutex, OnceLock, RwLock, Semaphore};

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future under way, and how often it was woken.
struct Wait<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    woken: Arc<Count>,
}

impl<'a, T> Wait<'a, T> {
    fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::default(),
        }
    }

    /// A wait that has joined the line.
    fn pending(future: impl Future<Output = T> + 'a) -> Self {
        let mut wait = Self::new(future);
        assert!(wait.poll().is_none(), "it has to wait");
        wait
    }

    fn poll(&mut self) -> Option<T> {
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed) > 0
    }
}

#[test]
fn a_mutex_serves_in_the_order_of_arrival() {
    let mutex = Mutex::new(1);
    let guard = mutex.try_lock().expect("it is free");
    let mut first = Wait::pending(mutex.lock_async());
    let mut second = Wait::pending(mutex.lock_async());
    drop(guard);
    assert!(first.is_woken() && !second.is_woken());
    assert!(mutex.try_lock().is_none(), "nobody overtakes");
    let mut guard = first.poll().expect("it was served");
    *guard += 1;
    assert!(second.poll().is_none());
    drop(guard);
    assert_eq!(second.poll().as_deref(), Some(&2));
    assert!(mutex.try_lock().is_some(), "both are done");
}

#[test]
fn a_wait_that_is_given_up_leaves_the_line() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock();
    let first = Wait::pending(mutex.lock_async());
    let mut second = Wait::pending(mutex.lock_async());
    drop(first);
    drop(guard);
    assert!(second.poll().is_some());
}

#[test]
fn a_lock_that_comes_too_late_is_passed_on() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock();
    let first = Wait::pending(mutex.lock_async());
    let mut second = Wait::pending(mutex.lock_async());
    drop(guard);
    assert!(first.is_woken());
    drop(first);
    assert!(second.is_woken() && second.poll().is_some());
}

#[test]
fn readers_share_and_a_writer_is_not_starved() {
    let lock = RwLock::new(5);
    let reader = lock.try_read().expect("nobody writes");
    let other = lock.try_read().expect("readers share");
    let mut writer = Wait::pending(lock.write_async());
    let mut late = Wait::pending(lock.read_async());
    let mut later = Wait::pending(lock.read_async());
    assert!(lock.try_read().is_none(), "a writer waits");
    drop((reader, other));
    let mut value = writer.poll().expect("all readers are done");
    *value = 6;
    assert!(late.poll().is_none());
    drop(value);
    let late = late.poll().expect("the writer is done");
    assert_eq!((*late, later.poll().as_deref()), (6, Some(&6)));
}

#[test]
fn a_large_request_that_is_given_up_lets_the_small_ones_pass() {
    let semaphore = Semaphore::new(2);
    let one = semaphore.try_acquire(1);
    let large = Wait::pending(semaphore.acquire_async(2));
    let mut small = Wait::pending(semaphore.acquire_async(1));
    drop(large);
    assert!(small.is_woken());
    let small = small.poll();
    assert_eq!(semaphore.available(), 0);
    drop((one, small));
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn a_forgotten_permit_is_used_up() {
    let semaphore = Semaphore::new(0);
    assert!(semaphore.try_acquire(1).is_none());
    semaphore.add(2);
    semaphore.try_acquire(1).expect("two were added").forget();
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_notification_wakes_the_first_and_locks_again() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let guard = || mutex.try_lock().expect("waiting unlocks it");
    let mut first = Wait::pending(condvar.wait_async(guard()));
    let mut second = Wait::pending(condvar.wait_async(guard()));
    condvar.notify_one();
    assert!(first.is_woken() && !second.is_woken());
    let held = first.poll().expect("it was notified");
    condvar.notify_all();
    assert!(second.poll().is_none(), "the mutex is held");
    drop(held);
    assert!(second.poll().is_some());
}

#[test]
fn a_notification_that_comes_too_late_is_passed_on() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let guard = || mutex.try_lock().expect("waiting unlocks it");
    let first = Wait::pending(condvar.wait_async(guard()));
    let second = Wait::pending(condvar.wait_async(guard()));
    condvar.notify_one();
    drop(first);
    assert!(second.is_woken());
}

#[test]
fn a_notification_without_a_waiter_is_lost() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    condvar.notify_one();
    let wait = Wait::pending(condvar.wait_async(mutex.try_lock().expect("it is free")));
    assert!(!wait.is_woken());
}

#[test]
fn the_first_value_stays() {
    let value = OnceLock::new();
    assert_eq!(value.set(1), Ok(()));
    assert_eq!(value.set(2), Err(2));
    assert_eq!(value.get_or_init(|| 3), &1);
}
