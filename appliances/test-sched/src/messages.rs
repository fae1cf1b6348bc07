//! Channels between cores: nothing is lost, nothing overtakes.

use alloc::vec::Vec;

use toro::sync::{TryRecvError, TrySendError, channel};
use toro::thread::{self, Builder};
use toro::time::Instant;
use toro::{println, task};
use toro_test::memory::{assert_back_at, in_use};

/// How many messages cross.
const MESSAGES: u64 = 1_000_000;

pub(crate) fn a_million_messages_cross_in_order() {
    let last = thread::cores() - 1;
    let (sender, mut receiver) = channel(256);
    let begun = Instant::now();
    let thread = Builder::new().name("sends").spawn_on(last, move || {
        (0..MESSAGES).all(|number| sender.send(number).is_ok())
    });
    let thread = thread.expect("it began");
    for number in 0..MESSAGES {
        assert_eq!(receiver.recv(), Some(number));
    }
    assert_eq!(receiver.recv(), None);
    assert_eq!(thread.join(), Ok(true));
    let nanos = begun.elapsed().as_nanos() / u128::from(MESSAGES);
    println!("message from core {last}: {nanos} ns");
}

pub(crate) fn messages_of_many_senders_keep_their_order() {
    const EACH: usize = 20_000;
    const SENDERS: usize = 8;
    let (sender, mut receiver) = channel(16);
    let threads: Vec<_> = (0..SENDERS)
        .map(|this| {
            let sender = sender.clone();
            let body = move || (0..EACH).all(|number| sender.send((this, number)).is_ok());
            Builder::new()
                .spawn_on(this % thread::cores(), body)
                .expect("it began")
        })
        .collect();
    drop(sender);
    let mut next = [0; SENDERS];
    while let Some((this, number)) = receiver.recv() {
        assert_eq!(number, next[this]);
        next[this] += 1;
    }
    assert_eq!(next, [EACH; SENDERS]);
    for thread in threads {
        assert_eq!(thread.join(), Ok(true));
    }
}

pub(crate) fn a_full_channel_makes_its_sender_wait() {
    let (sender, mut receiver) = channel(2);
    let full = sender.clone();
    let thread = thread::spawn("waits", move || (0..5).all(|n| sender.send(n).is_ok()));
    thread::yield_now();
    assert_eq!(full.try_send(9), Err(TrySendError::Full(9)));
    drop(full);
    for number in 0..5 {
        assert_eq!(receiver.recv(), Some(number));
    }
    assert_eq!(receiver.recv(), None);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(thread.join(), Ok(true));
}

pub(crate) fn tasks_of_two_cores_play_ping_pong() {
    const ROUNDS: u32 = 20_000;
    let last = thread::cores() - 1;
    let (ping, mut pings) = channel(2);
    let (pong, mut pongs) = channel(2);
    let far = task::spawn_on(last, async move {
        while let Some(ball) = pings.recv_async().await {
            if pong.send_async(ball).await.is_err() {
                return;
            }
        }
    });
    let begun = Instant::now();
    let near = task::spawn(async move {
        for round in 0..ROUNDS {
            ping.send_async(round).await.expect("the other side plays");
            assert_eq!(pongs.recv_async().await, Some(round));
        }
    });
    assert_eq!(near.join(), Ok(()));
    assert_eq!(far.expect("the core is there").join(), Ok(()));
    let nanos = begun.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("round trip to core {last}: {nanos} ns");
}

pub(crate) fn a_buffer_is_handed_over_and_freed_at_home() {
    const BUFFERS: usize = 2000;
    let before = in_use();
    let (sender, mut receiver) = channel(64);
    let last = thread::cores() - 1;
    let thread = Builder::new().spawn_on(last, move || {
        let mut sum = 0;
        while let Some(buffer) = receiver.recv() {
            let buffer: Vec<u8> = buffer;
            sum += buffer.len();
        }
        sum
    });
    for number in 0..BUFFERS {
        sender.send(alloc::vec![7; number]).expect("it receives");
    }
    drop(sender);
    let sum = thread.expect("it began").join();
    assert_eq!(sum, Ok(BUFFERS * (BUFFERS - 1) / 2));
    assert_back_at(before);
}
