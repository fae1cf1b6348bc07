//! The channel on threads of the host.

#![cfg(not(loom))]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use toro_queue::channel::{Closed, TryRecvError, TrySendError, channel};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A task that counts its wake-ups.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Counter {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn values_come_out_in_their_order() {
    let (sender, mut receiver) = channel(4);
    for round in 0..10 {
        for number in 0..4 {
            sender.try_send(round * 4 + number).unwrap();
        }
        assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
        for number in 0..4 {
            assert_eq!(receiver.try_recv(), Ok(round * 4 + number));
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    }
}

#[test]
fn what_was_sent_is_received_after_the_senders_are_gone() {
    let (sender, mut receiver) = channel(4);
    sender.clone().try_send("a").unwrap();
    drop(sender);
    assert_eq!(block_on(receiver.recv()), Some("a"));
    assert_eq!(block_on(receiver.recv()), None);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_value_comes_back_when_the_receiver_is_gone() {
    let (sender, receiver) = channel(4);
    sender.try_send(1).unwrap();
    drop(receiver);
    assert_eq!(sender.try_send(2), Err(TrySendError::Closed(2)));
    assert_eq!(block_on(sender.send(3)), Err(Closed(3)));
}

#[test]
fn values_left_inside_are_dropped() {
    let value = Arc::new(());
    let (sender, receiver) = channel(4);
    sender.try_send(Arc::clone(&value)).unwrap();
    sender.try_send(Arc::clone(&value)).unwrap();
    drop((sender, receiver));
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_sender_that_gives_up_leaves_nothing_behind() {
    let (sender, mut receiver) = channel(2);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    let unpark = Arc::new(Unpark(thread::current()));
    let waker = Waker::from(Arc::clone(&unpark));
    for _ in 0..3 {
        let mut sending = pin!(sender.send(3));
        let polled = sending.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
        // A poll in vain does not join twice.
        assert!(
            sending
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert_eq!(Arc::strong_count(&unpark), 3);
    }
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn a_send_waits_once_however_often_it_is_polled() {
    let (sender, mut receiver) = channel(2);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    let mut sending = pin!(sender.send(3));
    let tasks: Vec<_> = (0..100).map(|_| Arc::new(Counter::default())).collect();
    for task in &tasks {
        let waker = Waker::from(Arc::clone(task));
        let polled = sending.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
    }
    let (last, others) = tasks.split_last().unwrap();
    let is_forgotten = |task: &Arc<Counter>| Arc::strong_count(task) == 1;
    assert!(others.iter().all(is_forgotten));
    assert_eq!(Arc::strong_count(last), 2);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert!(others.iter().all(|task| task.wakes() == 0));
    assert_eq!(last.wakes(), 1);
    let waker = Waker::noop();
    let polled = sending.as_mut().poll(&mut Context::from_waker(waker));
    assert_eq!(polled, Poll::Ready(Ok(())));
}

#[test]
fn threads_send_more_than_there_is_room_for() {
    const EACH: u64 = 20_000;
    let (sender, mut receiver) = channel(8);
    let threads: Vec<_> = (0..3_u64)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    block_on(sender.send((thread, number))).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut next = [0; 3];
    while let Some((thread, number)) = block_on(receiver.recv()) {
        let next = &mut next[usize::try_from(thread).unwrap()];
        assert_eq!(number, *next, "values of one thread keep their order");
        *next += 1;
    }
    assert_eq!(next, [EACH; 3]);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}
