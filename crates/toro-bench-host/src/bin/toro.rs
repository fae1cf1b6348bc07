//! Toro's scheduler, heap and timers on the host.

use toro_bench::{channels, heap, tasks, threads, timers};
use toro_bench_host::machine::{self, Heap};
use toro_bench_host::{meter, pin};
use toro_mem::KernelHeap;

#[global_allocator]
static HEAP: Heap = Heap::new();

fn main() {
    pin(1);
    let meter = meter("toro");
    machine::start(&HEAP);
    threads::run(&meter);
    tasks::run(&meter);
    channels::run(&meter);
    timers::run(&meter);
    heap::run(&meter, &KernelHeap);
}
