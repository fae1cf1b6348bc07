//! The trace event format of Chromium, which Perfetto reads too.
//!
//! Each core is a process and each of its threads a track, with a slice for each time that it ran. Track 0 of a core shows when nothing
//! was ready, its interrupts and its packets. Requests overlap, so they are asynchronous slices; the heap is a counter.

use std::fmt;
use std::io::Write;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};
use toro_abi::trace::{self, Event, Kind, Source};

use super::Recording;
use super::names::Names;

/// The track of what belongs to no thread.
const CORE: u64 = 0;

/// A line of the file.
#[derive(Debug, Serialize)]
struct Entry {
    ph: &'static str,
    name: String,
    cat: &'static str,
    /// Microseconds since the boot.
    ts: f64,
    pid: usize,
    tid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// How far an instant reaches: `t`, its track.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
    /// The time by which entries are sorted.
    #[serde(skip)]
    nanos: u64,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Summary {
    events: usize,
    lost: u64,
    requests: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {} of them requests",
            self.events, self.requests
        )?;
        match self.lost {
            0 => Ok(()),
            lost => write!(f, ", {lost} more were lost"),
        }
    }
}

/// Writes the events of `recording` as one object of JSON.
pub(super) fn write(recording: &Recording, out: &mut dyn Write) -> Result<Summary> {
    let names = Names::of(recording);
    let mut entries = Vec::new();
    let mut summary = Summary {
        events: 0,
        lost: 0,
        requests: 0,
    };
    let cores = recording.cores();
    for core in 0..cores {
        let mut track = Track {
            core,
            recording,
            names: &names,
            now: 0,
            running: None,
            idle: None,
            entries: &mut entries,
            requests: &mut summary.requests,
        };
        let chunks = recording.chunks.iter();
        for chunk in chunks.filter(|chunk| chunk.core == core && chunk.source == Source::Threads) {
            if chunk.lost > 0 {
                track.lose(chunk.lost);
                summary.lost += chunk.lost;
            }
            summary.events += chunk.events.len();
            chunk.events.iter().for_each(|event| track.add(event));
        }
        track.close();
    }
    // Whatever begins at one moment, the longer comes first, so that slices lie inside each other.
    entries.sort_by(|a, b| {
        (a.nanos, b.dur.unwrap_or(0.0))
            .partial_cmp(&(b.nanos, a.dur.unwrap_or(0.0)))
            .expect("times are numbers")
    });
    let context = "cannot write the trace";
    writeln!(
        out,
        "{{\"displayTimeUnit\":\"ns\",\"otherData\":{},\"traceEvents\":[",
        json!({ "lost": summary.lost })
    )
    .context(context)?;
    for (number, entry) in titles(&names, cores).chain(entries).enumerate() {
        if number > 0 {
            out.write_all(b",\n").context(context)?;
        }
        serde_json::to_writer(&mut *out, &entry).context(context)?;
    }
    out.write_all(b"\n]}\n").context(context)?;
    Ok(summary)
}

/// What names the tracks.
fn titles(names: &Names, cores: usize) -> impl Iterator<Item = Entry> + '_ {
    let title = |what: &str, core, tid, name: &str| Entry {
        ph: "M",
        name: what.to_owned(),
        cat: "__metadata",
        ts: 0.0,
        pid: core,
        tid,
        dur: None,
        id: None,
        s: None,
        args: Some(json!({ "name": name })),
        nanos: 0,
    };
    let cores = (0..cores).flat_map(move |core| {
        [
            title("process_name", core, CORE, &format!("core {core}")),
            title("thread_name", core, CORE, "interrupts and packets"),
        ]
    });
    let threads = names.threads().into_iter();
    let threads = threads.map(move |(id, core)| title("thread_name", core, id, &names.thread(id)));
    cores.chain(threads)
}

/// What is known of a core on the way through its events.
struct Track<'a> {
    core: usize,
    recording: &'a Recording,
    names: &'a Names,
    /// The last event's time, in nanoseconds.
    now: u64,
    /// The thread that runs, and since when.
    running: Option<(u64, u64)>,
    idle: Option<u64>,
    entries: &'a mut Vec<Entry>,
    requests: &'a mut u64,
}

impl Track<'_> {
    fn add(&mut self, event: &Event) {
        // The counter of a core does not run backwards; what it reads when a core starts may.
        let now = self.recording.greeting.nanos_at(event.ticks).max(self.now);
        self.now = now;
        let value = event.value;
        match event.kind {
            Kind::Switch if self.running.is_some_and(|(thread, _)| thread == value) => {}
            Kind::Switch => {
                self.close();
                self.running = Some((value, now));
            }
            Kind::Idle => {
                self.close();
                self.idle = Some(now);
            }
            Kind::Busy => self.close(),
            Kind::Wake => {
                let name = format!("wake {}", self.names.thread(value));
                self.instant(name, "wake", self.thread(), json!({ "thread": value }));
            }
            Kind::Irq => self.instant("irq".to_owned(), "irq", CORE, json!({ "vector": value })),
            Kind::PacketIn | Kind::PacketOut => {
                self.instant(
                    event.kind.name().to_owned(),
                    "packet",
                    CORE,
                    json!({ "bytes": value }),
                );
            }
            Kind::Request => self.request(value),
            Kind::Heap => {
                let entry = self.entry("C", "heap".to_owned(), "heap", CORE, now);
                self.entries.push(Entry {
                    args: Some(json!({ "bytes": value })),
                    ..entry
                });
            }
            Kind::Thread
            | Kind::Service
            | Kind::Text
            | Kind::Sample
            | Kind::Frame
            | Kind::IdleSample => {}
        }
    }

    /// The track of the thread that runs.
    fn thread(&self) -> u64 {
        self.running.map_or(CORE, |(thread, _)| thread)
    }

    /// Ends the slice that is open.
    fn close(&mut self) {
        let (name, cat, tid, since) = match (self.running.take(), self.idle.take()) {
            (Some((thread, since)), _) => (self.names.thread(thread), "thread", thread, since),
            (None, Some(since)) => ("idle".to_owned(), "idle", CORE, since),
            (None, None) => return,
        };
        let dur = Some(micros(self.now - since));
        let entry = self.entry("X", name, cat, tid, since);
        self.entries.push(Entry { dur, ..entry });
    }

    /// Some events were overwritten: what ran meanwhile is not known.
    fn lose(&mut self, events: u64) {
        self.close();
        self.instant(
            "events lost".to_owned(),
            "lost",
            CORE,
            json!({ "events": events }),
        );
    }

    fn request(&mut self, value: u64) {
        let (service, took) = trace::request_parts(value);
        *self.requests += 1;
        // Numbers that no other core gives.
        let id = Some((self.core as u64) << 40 | *self.requests);
        let name = self.names.service(service);
        for (ph, nanos) in [("b", self.now.saturating_sub(took)), ("e", self.now)] {
            let entry = self.entry(ph, name.clone(), "request", CORE, nanos);
            self.entries.push(Entry { id, ..entry });
        }
    }

    fn instant(&mut self, name: String, cat: &'static str, tid: u64, args: Value) {
        let entry = self.entry("i", name, cat, tid, self.now);
        self.entries.push(Entry {
            s: Some("t"),
            args: Some(args),
            ..entry
        });
    }

    fn entry(
        &self,
        ph: &'static str,
        name: String,
        cat: &'static str,
        tid: u64,
        nanos: u64,
    ) -> Entry {
        Entry {
            ph,
            name,
            cat,
            ts: micros(nanos),
            pid: self.core,
            tid,
            dur: None,
            id: None,
            s: None,
            args: None,
            nanos,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "104 days of nanoseconds fit")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use toro_abi::trace::{Greeting, spell};

    use super::*;
    use crate::trace::Chunk;

    fn write_all(chunks: Vec<Chunk>) -> (Vec<Value>, Summary) {
        // A tick is a nanosecond.
        let greeting = Greeting {
            ticks: 0,
            nanos: 0,
            scale: 1 << 32,
            cores: 2,
        };
        let mut out = Vec::new();
        let summary = write(&Recording { greeting, chunks }, &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        (value["traceEvents"].as_array().unwrap().clone(), summary)
    }

    fn chunk(core: usize, lost: u64, events: &[(u64, Kind, u64)]) -> Chunk {
        let events = events.iter();
        Chunk {
            core,
            source: Source::Threads,
            lost,
            events: events
                .map(|&(ticks, kind, value)| Event { ticks, kind, value })
                .collect(),
        }
    }

    /// The entries of a phase as text: name, track, start and length.
    fn of(entries: &[Value], ph: &str) -> Vec<String> {
        let entries = entries.iter().filter(|entry| entry["ph"] == ph);
        let text = |entry: &Value| {
            let length = match &entry["dur"] {
                Value::Null => String::new(),
                dur => format!(" +{dur}"),
            };
            format!(
                "{} {}/{} @{}{length}",
                entry["name"].as_str().unwrap(),
                entry["pid"],
                entry["tid"],
                entry["ts"]
            )
        };
        entries.map(text).collect()
    }

    #[test]
    fn threads_run_one_after_the_other_and_idle_between() {
        let name = spell("net").next().unwrap();
        let (entries, summary) = write_all(vec![
            chunk(
                0,
                0,
                &[
                    (1000, Kind::Switch, 3),
                    (2000, Kind::Wake, 4),
                    (3000, Kind::Switch, 4),
                ],
            ),
            chunk(1, 0, &[(1500, Kind::Switch, 9)]),
            chunk(
                0,
                0,
                &[
                    (3500, Kind::Switch, 4),
                    (4000, Kind::Idle, 0),
                    (5000, Kind::Busy, 0),
                    (5100, Kind::Irq, 34),
                    (5250, Kind::Switch, 4),
                    (6000, Kind::Thread, 4),
                    (6000, Kind::Text, name),
                ],
            ),
        ]);
        assert_eq!(
            of(&entries, "X"),
            [
                "thread 3 0/3 @1.0 +2.0",
                "thread 9 1/9 @1.5 +0.0",
                "net 0/4 @3.0 +1.0",
                "idle 0/0 @4.0 +1.0",
                "net 0/4 @5.25 +0.75"
            ]
        );
        assert_eq!(of(&entries, "i"), ["wake net 0/3 @2.0", "irq 0/0 @5.1"]);
        assert_eq!(of(&entries, "M").len(), 5);
        assert_eq!((summary.events, summary.lost, summary.requests), (11, 0, 0));
    }

    #[test]
    fn requests_have_a_beginning_and_an_end() {
        let (entries, summary) = write_all(vec![chunk(
            1,
            0,
            &[
                (1000, Kind::Service, 0),
                (1000, Kind::Text, spell("http").next().unwrap()),
                (5000, Kind::Request, trace::request(0, 3000)),
                (6000, Kind::Request, trace::request(1, 500)),
                (6500, Kind::Heap, 4096),
            ],
        )]);
        assert_eq!(of(&entries, "b"), ["http 1/0 @2.0", "service 1 1/0 @5.5"]);
        assert_eq!(of(&entries, "e"), ["http 1/0 @5.0", "service 1 1/0 @6.0"]);
        assert_eq!(of(&entries, "C"), ["heap 1/0 @6.5"]);
        assert_eq!(summary.requests, 2);
    }

    #[test]
    fn a_gap_ends_what_was_known() {
        let (entries, summary) = write_all(vec![
            chunk(0, 0, &[(1000, Kind::Switch, 3), (2000, Kind::Irq, 32)]),
            chunk(0, 7, &[(9000, Kind::Irq, 32)]),
        ]);
        assert_eq!(of(&entries, "X"), ["thread 3 0/3 @1.0 +1.0"]);
        assert_eq!(of(&entries, "i")[1], "events lost 0/0 @2.0");
        assert_eq!(summary.lost, 7);
        assert_eq!(
            summary.to_string(),
            "3 events, 0 of them requests, 7 more were lost"
        );
    }
}
