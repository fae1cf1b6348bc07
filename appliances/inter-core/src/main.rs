//! Measures how long a message takes between every two cores.
//!
//! A thread of one core plays ping-pong with a thread of another over two channels; each ball has a number, and the image fails
//! if a wrong one comes back. Times are in cycles of the time stamp counter for the way there and back: once between cores
//! that look for messages, as the original's do, and once between cores that sleep until one comes.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

use toro::sync::{Receiver, TryRecvError, channel};
use toro::thread::{self, Builder, NoResult};
use toro::{ExitCode, print, println};
use toro_arch::tsc;

toro::main!(main);

/// Samples of a game, of which the median counts: a host with more to do stops a core in the middle of some.
const SAMPLES: usize = 101;

/// Balls in a sample.
const BALLS: u64 = 20;

/// The round trip of the Toro that was written in Pascal, on an emulated machine with two cores.
const ORIGINAL: u64 = 5_700;

/// How a player waits for the ball.
type Wait = fn(&mut Receiver<u64>) -> Option<u64>;

fn main() {
    let awake = table("awake", look);
    let asleep = table("asleep", Receiver::recv);
    if !(awake && asleep) {
        toro::exit(ExitCode::Failure);
    }
    println!("messages: verified");
}

/// Takes a ball without sleep, while other threads of the core may run.
fn look(balls: &mut Receiver<u64>) -> Option<u64> {
    loop {
        match balls.try_recv() {
            Ok(ball) => return Some(ball),
            Err(TryRecvError::Closed) => return None,
            Err(TryRecvError::Empty) => thread::yield_now(),
        }
    }
}

/// Plays and prints all games; `false` if one went wrong.
fn table(name: &str, wait: Wait) -> bool {
    let cores = thread::cores();
    println!("cycles there and back, {name}, from core (down) to core (across)");
    print!("{:>6}", "");
    for to in 0..cores {
        print!("{to:>10}");
    }
    println!();
    let mut all_right = true;
    let mut between = Vec::new();
    for from in 0..cores {
        print!("{from:>6}");
        for to in 0..cores {
            match game(from, to, wait) {
                Ok(cycles) if from == to => print!("{cycles:>10}"),
                Ok(cycles) => {
                    print!("{cycles:>10}");
                    between.push(cycles);
                }
                Err(NoResult) => {
                    print!("{:>10}", "WRONG");
                    all_right = false;
                }
            }
        }
        println!();
    }
    if let Some(fastest) = between.iter().min() {
        println!("fastest between two cores: {fastest}, original: {ORIGINAL}");
    }
    all_right
}

/// A game between two threads: cycles for a ball there and back.
fn game(from: usize, to: usize, wait: Wait) -> Result<u64, NoResult> {
    let (ping, mut pings) = channel(2);
    let (pong, mut pongs) = channel(2);
    let far = Builder::new().name("far").spawn_on(to, move || {
        while let Some(ball) = wait(&mut pings) {
            if pong.send(ball).is_err() {
                return;
            }
        }
    });
    let near = Builder::new().name("near").spawn_on(from, move || {
        let mut samples = [0; SAMPLES];
        for sample in &mut samples {
            let begun = tsc::read();
            for ball in 0..BALLS {
                if ping.send(ball).is_err() || wait(&mut pongs) != Some(ball) {
                    return None;
                }
            }
            *sample = (tsc::read() - begun) / BALLS;
        }
        samples.sort_unstable();
        Some(samples[SAMPLES / 2])
    });
    let cycles = near.map_err(|_| NoResult)?.join()?;
    far.map_err(|_| NoResult)?.join()?;
    cycles.ok_or(NoResult)
}
