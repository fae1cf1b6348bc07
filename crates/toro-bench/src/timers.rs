//! Timers that are set and cancelled, as timeouts are.

use core::hint::black_box;
use core::task::Waker;

use toro_time::{Instant, TimerQueue};

use crate::{Meter, name};

/// So many timers wait meanwhile.
const WAITING: u64 = 1000;

/// Measures the queue of timers without the hardware below it.
pub fn run(meter: &Meter) {
    let mut queue = TimerQueue::new();
    let mut moments = Moments(1);
    for _ in 0..WAITING {
        queue.insert(moments.next(), Waker::noop().clone());
    }
    meter.measure(name::TIMER, 1_000_000, |count| {
        for _ in 0..count {
            let key = queue.insert(moments.next(), Waker::noop().clone());
            black_box(queue.cancel(key));
        }
    });
}

/// Moments within four seconds, in no order.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Instant {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Instant::from_nanos(self.0 >> 32)
    }
}
