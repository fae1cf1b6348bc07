//! Looks at the trace of what it does itself: events of both cores, and samples of where they are.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;

use toro::metrics::Requests;
use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};
use toro_trace::{Client, EVENTS, Event, Kind, Reader, Source};

toro::main!(main);

/// A machine that has much else to do takes no longer.
const PATIENCE: Duration = Duration::from_secs(120);

static REQUESTS: Requests = Requests::new("traced");

fn main() {
    if toro::env::args().next() == Some("busy") {
        return work_for_the_host();
    }
    toro_test::run(toro_test::cases![
        what_threads_do_is_noted,
        each_core_notes_for_itself,
        pages_that_the_heap_takes_are_noted,
        requests_are_noted_with_their_time,
        what_is_overwritten_is_counted,
        nothing_is_noted_that_nobody_wants,
        the_function_that_keeps_the_core_is_sampled,
    ]);
}

/// Has events noted while `body` runs, and returns those of the threads of `core`, with how many were lost.
fn traced(core: usize, body: impl FnOnce()) -> (Vec<Event>, u64) {
    traced_by(core, Source::Threads, body)
}

fn traced_by(core: usize, source: Source, body: impl FnOnce()) -> (Vec<Event>, u64) {
    let prepared = toro_sched::on_each_core("prepare", toro_trace::prepare).expect("they began");
    assert!(prepared.iter().all(|core| *core == Ok(true)), "no memory");
    let mut reader = Reader::from_now();
    toro_trace::want(Client::Operator, true);
    each_core_hears_of_it();
    body();
    let mut words = Vec::new();
    let lost = reader.read(core, source, EVENTS, &mut words);
    toro_trace::want(Client::Operator, false);
    each_core_hears_of_it();
    let events = words
        .into_iter()
        .map(|words| Event::unpack(words).expect("a known kind"));
    (events.collect(), lost)
}

fn each_core_hears_of_it() {
    let heard = toro_sched::on_each_core("trace", toro_sched::trace_here).expect("they began");
    assert!(heard.iter().all(Result::is_ok));
}

fn position(events: &[Event], kind: Kind, value: u64) -> Option<usize> {
    let is_it = |event: &Event| event.kind == kind && event.value == value;
    events.iter().position(is_it)
}

fn what_threads_do_is_noted() {
    // On a machine that has much else to do a short time may be over before the thread waits for it.
    let times = [5, 50, 500, 5000].map(Duration::from_millis);
    assert!(times.into_iter().any(is_seen_to_sleep), "it never waits");
}

/// Looks for a thread that sleeps for `time`; `false` if that was over before the core was idle.
fn is_seen_to_sleep(time: Duration) -> bool {
    let mut id = 0;
    let (events, lost) = traced(0, || {
        let sleeper = Builder::new().name("a sleeper").spawn(move || {
            thread::sleep(time);
            thread::current().id()
        });
        id = sleeper.expect("it began").join().expect("it ends");
    });
    assert_eq!(lost, 0);
    assert!(events.is_sorted_by_key(|event| event.ticks), "time goes on");
    let born = position(&events, Kind::Thread, id).expect("it begins");
    let name = events[born + 1..].iter();
    let name = name.take_while(|event| event.kind == Kind::Text);
    let name: Vec<u8> = name.flat_map(|event| event.value.to_le_bytes()).collect();
    let name = String::from_utf8(name).expect("text");
    assert_eq!(name.trim_end_matches('\0'), "a sleeper");
    let begins = position(&events, Kind::Switch, id).expect("it runs");
    assert!(born < begins, "it is named before it runs");
    let Some(idles) = position(&events[begins..], Kind::Idle, 0) else {
        return false;
    };
    let rest = &events[begins + idles..];
    let timer = u64::from(toro_arch::watch::TIMER);
    let wakes = position(rest, Kind::Wake, id).expect("its time comes");
    assert!(position(&rest[..wakes], Kind::Busy, 0).is_some());
    assert!(position(&rest[..wakes], Kind::Irq, timer).is_some());
    assert!(position(&rest[wakes..], Kind::Switch, id).is_some());
    true
}

fn each_core_notes_for_itself() {
    let last = thread::cores() - 1;
    let mut id = 0;
    let (events, _) = traced(last, || {
        let there = Builder::new().spawn_on(last, || thread::current().id());
        id = there.expect("it began").join().expect("it ends");
    });
    assert!(position(&events, Kind::Switch, id).is_some());
    let (events, _) = traced(0, || {
        let there = Builder::new().spawn_on(last, || thread::current().id());
        id = there.expect("it began").join().expect("it ends");
    });
    assert_eq!(position(&events, Kind::Switch, id).is_some(), last == 0);
}

fn pages_that_the_heap_takes_are_noted() {
    const LARGE: usize = 1 << 20;
    let (events, _) = traced(0, || drop(black_box(Vec::<u8>::with_capacity(LARGE))));
    let held: Vec<u64> = events
        .iter()
        .filter(|event| event.kind == Kind::Heap)
        .map(|event| event.value)
        .collect();
    let grows = held
        .windows(2)
        .any(|pair| pair[0] >= pair[1] + LARGE as u64);
    assert!(grows, "no megabyte was given back: {held:?}");
}

fn requests_are_noted_with_their_time() {
    REQUESTS.announce();
    let (events, _) = traced(0, || {
        let begun = Requests::begin();
        thread::sleep(Duration::from_millis(2));
        REQUESTS.end(begun);
    });
    let request = events.iter().find(|event| event.kind == Kind::Request);
    let nanos = request.expect("a request").value << 8 >> 8;
    assert!(nanos >= 2_000_000, "{nanos} ns");
}

fn what_is_overwritten_is_counted() {
    const MORE: usize = 100;
    let (events, lost) = traced(0, || {
        for number in 0..EVENTS + MORE {
            toro_trace::emit(Kind::PacketIn, number as u64);
        }
    });
    assert_eq!(events.len(), EVENTS - 1);
    assert!(lost > MORE as u64, "{lost} were lost");
    let last = events.last().map(|event| event.value);
    assert_eq!(last, Some((EVENTS + MORE - 1) as u64));
}

fn nothing_is_noted_that_nobody_wants() {
    let before = toro_trace::count(0);
    assert!(before > 0 && !toro_trace::is_on());
    thread::spawn("asleep", || thread::sleep(Duration::from_millis(1)))
        .join()
        .expect("it ends");
    assert_eq!(toro_trace::count(0), before);
}

/// What shall be found in the samples.
#[inline(never)]
fn keep_the_core(until: Instant) {
    while Instant::now() < until {
        for step in 0..1000 {
            black_box(step);
        }
    }
}

fn the_function_that_keeps_the_core_is_sampled() {
    /// Far less than what the function's own code takes, and far more than what was sampled elsewhere may be.
    const LEAST: usize = 20;
    /// No function of this file is as long.
    const LENGTH: u64 = 512;
    let (start, mut events) = (Instant::now(), Vec::new());
    let samples = |events: &[Event]| {
        events
            .iter()
            .filter(|event| event.kind == Kind::Sample)
            .count()
    };
    while samples(&events) < LEAST {
        assert!(start.elapsed() < PATIENCE, "nothing is sampled");
        let (more, _) = traced_by(0, Source::Sampler, || {
            keep_the_core(Instant::now() + Duration::from_millis(10));
        });
        events.extend(more);
    }
    let function = keep_the_core as *const () as u64;
    let (mut all, mut inside) = (0, 0);
    for pair in events
        .windows(2)
        .filter(|pair| pair[0].kind == Kind::Sample)
    {
        assert_eq!(pair[0].value, thread::current().id());
        all += 1;
        // It calls the clock, which may be the innermost.
        let frames = events.iter().skip_while(|event| *event != &pair[1]);
        let mut frames = frames.take_while(|event| event.kind == Kind::Frame);
        inside += usize::from(frames.any(|frame| frame.value.wrapping_sub(function) < LENGTH));
    }
    assert!(inside * 2 > all, "{inside} of {all} samples");
}

/// Keeps a core for the tests of `cargo xtask trace`, but for short breaks, until it has been sampled often enough.
fn work_for_the_host() {
    const SAMPLES: usize = 200;
    let start = Instant::now();
    let mut reader = Reader::from_now();
    let (mut words, mut samples) = (Vec::new(), 0);
    while samples < SAMPLES {
        assert!(start.elapsed() < PATIENCE, "nothing is sampled");
        keep_the_core(Instant::now() + Duration::from_millis(5));
        words.clear();
        reader.read(0, Source::Sampler, EVENTS, &mut words);
        let events = words.iter().filter_map(|&words| Event::unpack(words));
        samples += events.filter(|event| event.kind == Kind::Sample).count();
        thread::yield_now();
    }
}
