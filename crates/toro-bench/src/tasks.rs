//! Tasks of one core: births and turns.

use toro_sched::task::{self, JoinHandle};

use crate::{Meter, name};

/// Measures the tasks of the running core, from within one of them.
pub fn run(meter: &Meter) {
    meter.measure(name::TASK_SPAWN, 500_000, |count| {
        join(task::spawn(async move {
            for _ in 0..count {
                let ended = task::spawn(async {}).await;
                ended.expect("the task gave a result");
            }
        }));
    });
    meter.measure(name::TASK_SWITCH, 1_000_000, |count| {
        let partner = task::spawn(turns(count / 2));
        join(task::spawn(turns(count / 2)));
        join(partner);
    });
}

async fn turns(count: u64) {
    for _ in 0..count {
        task::yield_now().await;
    }
}

fn join<T>(handle: JoinHandle<T>) -> T {
    handle.join().expect("the task gave a result")
}
