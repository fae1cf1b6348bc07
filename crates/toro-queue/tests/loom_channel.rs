//! Every interleaving of small models of the channel: values, room, and the end of either side.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p toro-queue --release --test loom_channel`

#![cfg(loom)]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc as Shared;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};
use loom::thread;
use toro_queue::channel::{Receiver, Sender, channel};

/// Runs a model; two preemptions keep it short, `LOOM_MAX_PREEMPTIONS` asks for more.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(body);
}

/// A thread that parks: a wake-up that is lost parks it for ever, which loom reports.
#[derive(Default)]
struct Parked {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Parked {
    fn wake(self: Shared<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    park_on(future.as_mut())
}

/// Parks until `future` is done. No poll before this call has a thread behind it.
fn park_on<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let parked = Shared::new(Parked::default());
    let waker = Waker::from(Shared::clone(&parked));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut is_woken = parked.is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = parked.changed.wait(is_woken).unwrap();
        }
        *is_woken = false;
        drop(is_woken);
        // Who registers while a wake-up is under way wakes itself: the other thread has to go on first.
        thread::yield_now();
    }
}

/// Boxed, so that loom also sees a value that is lost or dropped twice.
fn send(sender: &Sender<Box<u8>>, number: u8) {
    block_on(sender.send(Box::new(number))).expect("the receiver is there");
}

fn receive(receiver: &mut Receiver<Box<u8>>) -> Option<u8> {
    block_on(receiver.recv()).map(|number| *number)
}

#[test]
fn a_receiver_that_waits_is_woken_and_sees_the_end() {
    model(|| {
        let (sender, mut receiver) = channel(2);
        let thread = thread::spawn(move || send(&sender, 1));
        assert_eq!(receive(&mut receiver), Some(1));
        assert_eq!(receive(&mut receiver), None);
        thread.join().unwrap();
    });
}

#[test]
fn values_of_two_senders_arrive_once_each() {
    model(|| {
        let (sender, mut receiver) = channel(2);
        let other = sender.clone();
        let threads = [
            thread::spawn(move || send(&sender, 1)),
            thread::spawn(move || send(&other, 2)),
        ];
        let got = [receive(&mut receiver), receive(&mut receiver)];
        assert!(got == [Some(1), Some(2)] || got == [Some(2), Some(1)]);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_sender_without_room_is_woken_in_its_turn() {
    model(|| {
        let (sender, mut receiver) = channel(2);
        let thread = thread::spawn(move || (1..=3).for_each(|number| send(&sender, number)));
        for number in 1..=3 {
            assert_eq!(receive(&mut receiver), Some(number));
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_sender_that_waits_learns_that_the_receiver_is_gone() {
    model(|| {
        let (sender, receiver) = channel(2);
        send(&sender, 1);
        send(&sender, 2);
        let thread = thread::spawn(move || drop(receiver));
        let sent = block_on(sender.send(Box::new(3)));
        assert_eq!(*sent.expect_err("there is no room").0, 3);
        thread.join().unwrap();
    });
}

/// Polls `sending` for somebody who does not come back; whether it waits.
fn is_pending<F: Future>(sending: Pin<&mut F>) -> bool {
    let nobody = Waker::from(Shared::new(Parked::default()));
    sending.poll(&mut Context::from_waker(&nobody)).is_pending()
}

#[test]
fn a_sender_that_is_polled_again_is_woken_by_the_last_waker() {
    model(|| {
        let (sender, mut receiver) = channel(2);
        send(&sender, 1);
        send(&sender, 2);
        let thread = thread::spawn(move || {
            let mut sending = pin!(sender.send(Box::new(3)));
            if is_pending(sending.as_mut()) {
                park_on(sending).expect("the receiver is there");
            }
        });
        for number in 1..=3 {
            assert_eq!(receive(&mut receiver), Some(number));
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_sender_that_gives_up_takes_nobody_elses_wake_up() {
    model(|| {
        let (sender, mut receiver) = channel(2);
        send(&sender, 1);
        send(&sender, 2);
        let other = sender.clone();
        let thread = thread::spawn(move || {
            // It takes all who wait out of the mailbox, and there is no room for them yet.
            assert!(is_pending(pin!(other.send(Box::new(4)))));
            for number in 1..=3 {
                assert_eq!(receive(&mut receiver), Some(number));
            }
        });
        let mut sending = pin!(sender.send(Box::new(3)));
        if is_pending(sending.as_mut()) {
            park_on(sending).expect("the receiver is there");
        }
        thread.join().unwrap();
    });
}
