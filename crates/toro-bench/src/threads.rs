//! Threads of one core: yields, switches, wake-ups, births.

use toro_sched::{Builder, JoinHandle, current, park, yield_now};

use crate::{Meter, name};

/// Measures the scheduler of the running core. Nothing else may be ready on it.
pub fn run(meter: &Meter) {
    meter.measure(name::YIELD, 1_000_000, |count| {
        for _ in 0..count {
            yield_now();
        }
    });
    meter.measure(name::SWITCH, 1_000_000, switches);
    meter.measure(name::PARK, 1_000_000, hand_overs);
    meter.measure(name::SPAWN, 200_000, |count| {
        for _ in 0..count {
            join(spawn(|| ()));
        }
    });
}

/// Two threads yield to each other.
fn switches(count: u64) {
    let turns = count / 2;
    let partner = spawn(move || {
        for _ in 0..turns {
            yield_now();
        }
    });
    for _ in 0..turns {
        yield_now();
    }
    join(partner);
}

/// Two threads take turns: each wakes the other, then waits.
fn hand_overs(count: u64) {
    let turns = count / 2;
    let main = current();
    let partner = spawn(move || {
        for _ in 0..turns {
            park();
            main.unpark();
        }
    });
    for _ in 0..turns {
        partner.thread().unpark();
        park();
    }
    join(partner);
}

fn spawn<T: 'static>(body: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    Builder::new()
        .spawn(body)
        .expect("there is memory for a stack")
}

fn join<T>(handle: JoinHandle<T>) -> T {
    handle.join().expect("the thread gave a result")
}
