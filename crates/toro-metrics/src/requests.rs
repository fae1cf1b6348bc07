//! [`Requests`]: what a service has answered, and how long that took.

use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use toro_abi::trace::request;
use toro_arch::core_local::{self, MAX_CORES};
use toro_arch::tsc;
use toro_sync::SpinLock;

use crate::histogram::{BOUNDS_US, Histogram};
use crate::text::{Kind, Text};

/// All that were announced.
static SERVICES: SpinLock<Vec<&'static Requests>> = SpinLock::new(Vec::new());

/// Whether anybody is going to ask how many there were.
static IS_COUNTED: AtomicBool = AtomicBool::new(false);

/// The requests of a service, counted by each core for itself.
///
/// ```ignore
/// static REQUESTS: Requests = Requests::new("http");
/// REQUESTS.announce();                       // once
/// let begun = Requests::begin();
/// // ... answer ...
/// REQUESTS.end(begun);
/// ```
#[derive(Debug)]
pub struct Requests {
    service: &'static str,
    /// The number by which a trace names the service: how many were announced before.
    number: AtomicU8,
    cores: [Histogram; MAX_CORES],
}

/// When a request has arrived: a count of the time stamp counter.
#[derive(Clone, Copy, Debug)]
pub struct Begun(u64);

impl Requests {
    /// For a service that the metrics call `service`.
    pub const fn new(service: &'static str) -> Self {
        Self {
            service,
            number: AtomicU8::new(0),
            cores: [const { Histogram::new() }; MAX_CORES],
        }
    }

    /// Has the metrics show these requests from now on. Once is enough.
    pub fn announce(&'static self) {
        let mut services = SERVICES.lock();
        if !services.iter().any(|known| core::ptr::eq(*known, self)) {
            let number = u8::try_from(services.len()).unwrap_or(u8::MAX);
            self.number.store(number, Ordering::Relaxed);
            services.push(self);
        }
    }

    /// The moment at which a request has arrived.
    #[inline]
    pub fn begin() -> Begun {
        Begun(tsc::read())
    }

    /// Has requests counted from now on: before, nothing but a trace takes notice of one.
    pub fn count_all() {
        IS_COUNTED.store(true, Ordering::Relaxed);
    }

    /// Counts a request that arrived at `begun` and is answered now.
    #[inline]
    pub fn end(&self, begun: Begun) {
        let is_counted = IS_COUNTED.load(Ordering::Relaxed);
        if is_counted || toro_trace::is_on() {
            self.note(begun, is_counted);
        }
    }

    #[inline(never)]
    fn note(&self, begun: Begun, is_counted: bool) {
        let nanos = toro_time::nanos_in(tsc::read().wrapping_sub(begun.0));
        if is_counted {
            self.count(core_local::id(), nanos);
        }
        toro_trace::emit_with(toro_trace::Kind::Request, || {
            request(self.number.load(Ordering::Relaxed), nanos)
        });
    }

    #[inline]
    fn count(&self, core: usize, nanos: u64) {
        self.cores[core].add(nanos);
    }

    /// Has a trace name all announced services.
    pub fn trace_names() {
        let services = SERVICES.lock();
        for service in services.iter() {
            let number = service.number.load(Ordering::Relaxed);
            toro_trace::emit_name(
                toro_trace::Kind::Service,
                u64::from(number),
                service.service,
            );
        }
    }

    /// Writes what all announced services have answered on the first `cores` cores.
    pub fn write_all(text: &mut Text, cores: usize) {
        let services = SERVICES.lock().clone();
        if services.is_empty() {
            return;
        }
        text.family(
            "toro_request_duration_seconds",
            Kind::Histogram,
            "Time from the arrival of a request to its answer.",
        );
        for service in services {
            for core in 0..cores.min(MAX_CORES) {
                service.write(text, core);
            }
        }
    }

    fn write(&self, text: &mut Text, core: usize) {
        let histogram = &self.cores[core];
        let counts = histogram.cumulative();
        let (core, service) = (format!("{core}"), ("service", self.service));
        for (bound, count) in BOUNDS_US.iter().zip(counts) {
            let bound = format!("{}.{:06}", bound / 1_000_000, bound % 1_000_000);
            text.part(
                "_bucket",
                &[service, ("core", &core), ("le", &bound)],
                count,
            );
        }
        let all = counts[BOUNDS_US.len()];
        text.part("_bucket", &[service, ("core", &core), ("le", "+Inf")], all);
        let sum = histogram.sum_ns();
        let sum = format!("{}.{:09}", sum / 1_000_000_000, sum % 1_000_000_000);
        text.part("_sum", &[service, ("core", &core)], sum);
        text.part("_count", &[service, ("core", &core)], all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_written_once_for_each_core() {
        static REQUESTS: Requests = Requests::new("test");
        REQUESTS.announce();
        REQUESTS.announce();
        REQUESTS.count(1, 3000);
        REQUESTS.count(1, 1_500_000_000);
        let mut text = Text::default();
        Requests::write_all(&mut text, 2);
        let text = text.finish();
        let lines = |part: &str| text.lines().filter(|line| line.contains(part)).count();
        assert_eq!(lines("_bucket{service=\"test\",core=\"1\""), 13);
        assert_eq!(lines("_count"), 2);
        for line in [
            "toro_request_duration_seconds_bucket{service=\"test\",core=\"1\",le=\"0.000004\"} 1",
            "toro_request_duration_seconds_bucket{service=\"test\",core=\"1\",le=\"4.194304\"} 2",
            "toro_request_duration_seconds_sum{service=\"test\",core=\"1\"} 1.500003000",
            "toro_request_duration_seconds_count{service=\"test\",core=\"0\"} 0",
        ] {
            assert_eq!(lines(line), 1, "{line} in\n{text}");
        }
    }
}
