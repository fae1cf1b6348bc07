//! Says hello, with threads and a panic on request: what Rust's standard library needs of a machine.

use std::sync::{Mutex, mpsc};
use std::{env, thread};

fn main() {
    let word = env::args().nth(1).unwrap_or_default();
    match word.as_str() {
        "panic" => panic!("on purpose"),
        "threads" => println!("{}", count()),
        _ => println!("Hello from Rust"),
    }
}

/// Four threads count under a lock and report over a channel.
fn count() -> u64 {
    let counted = Mutex::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..4 {
            let (counted, sender) = (&counted, sender.clone());
            scope.spawn(move || {
                for _ in 0..1000 {
                    *counted.lock().expect("nobody panics") += 1;
                }
                sender.send(1000).expect("the receiver waits");
            });
        }
    });
    drop(sender);
    let reported: u64 = receiver.iter().sum();
    reported + *counted.lock().expect("nobody panics")
}
