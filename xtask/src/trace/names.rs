//! [`Names`]: what threads and services are called, which may come after the events that have their numbers.

use std::collections::HashMap;

use toro_abi::trace::{self, Kind, Source};

use super::Recording;

/// The names of threads and services.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By number, with the core that told it: a thread's own.
    threads: HashMap<u64, (usize, String)>,
    services: HashMap<u64, String>,
}

impl Names {
    /// Those that `recording` tells.
    pub(super) fn of(recording: &Recording) -> Self {
        let mut names = Self::default();
        for core in 0..recording.cores() {
            let mut events = recording.events(core, Source::Threads).peekable();
            while let Some(event) = events.next() {
                if !matches!(event.kind, Kind::Thread | Kind::Service) {
                    continue;
                }
                let mut text = Vec::new();
                while let Some(part) = events.next_if(|event| event.kind == Kind::Text) {
                    text.push(part.value);
                }
                let name = trace::read_name(text);
                match event.kind {
                    Kind::Thread => drop(names.threads.insert(event.value, (core, name))),
                    _ => drop(names.services.insert(event.value, name)),
                }
            }
        }
        names
    }

    /// The name of the thread `id`.
    pub(super) fn thread(&self, id: u64) -> String {
        match self.threads.get(&id) {
            Some((_, name)) if !name.is_empty() => name.clone(),
            _ => format!("thread {id}"),
        }
    }

    /// The name of the service `number`.
    pub(super) fn service(&self, number: u64) -> String {
        let name = self.services.get(&number);
        name.cloned().unwrap_or_else(|| format!("service {number}"))
    }

    /// All threads, with their cores, by their numbers.
    pub(super) fn threads(&self) -> Vec<(u64, usize)> {
        let threads = self.threads.iter();
        let mut threads: Vec<_> = threads.map(|(&id, &(core, _))| (id, core)).collect();
        threads.sort_unstable();
        threads
    }
}
