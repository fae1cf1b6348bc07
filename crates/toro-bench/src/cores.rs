//! Threads of two cores: births and wake-ups on the other one. For images only: they halt and interrupt each other.

use toro_sched::{Builder, JoinHandle, cores, current, park};

use crate::{Meter, name};

/// Measures between the running core and core 1, if there is one that is not this.
pub fn run(meter: &Meter) {
    if cores() < 2 {
        return;
    }
    meter.measure(name::REMOTE_SPAWN, 20_000, |count| {
        for _ in 0..count {
            join(spawn(|| ()));
        }
    });
    meter.measure(name::REMOTE_WAKE, 20_000, round_trips);
}

/// A thread here and one there wake each other in turns; an operation is there and back.
fn round_trips(count: u64) {
    let main = current();
    let partner = spawn(move || {
        for _ in 0..count {
            park();
            main.unpark();
        }
    });
    for _ in 0..count {
        partner.thread().unpark();
        park();
    }
    join(partner);
}

fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().spawn_on(1, body).expect("core 1 is up")
}

fn join<T>(handle: JoinHandle<T>) -> T {
    handle.join().expect("the thread gave a result")
}
