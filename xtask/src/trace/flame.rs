//! [`Stacks`]: where the cores were when they were asked, with the names of functions, inlined ones too.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use inferno::flamegraph::{self, Options};
use object::read::elf::ElfFile64;
use toro_abi::trace::{Kind, Source};

use super::Recording;
use super::names::Names;
use crate::source::Sources;

/// How often each stack was seen.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    /// The thread first, then the outermost function, with `;` between them.
    counts: BTreeMap<String, u64>,
    /// How often a core was idle, which is in no stack.
    idle: u64,
    lost: u64,
}

impl Stacks {
    /// Those of `recording`, named by the debug information in `debug`.
    pub(super) fn of(recording: &Recording, debug: &[u8]) -> Result<Self> {
        let elf = ElfFile64::parse(debug).context("the unstripped image")?;
        let sources = Sources::of(&elf, Path::new(""))?;
        let mut names = HashMap::new();
        let mut name = |address: u64| -> String {
            let named = names.entry(address).or_insert_with(|| {
                let frames = sources.frames(address);
                let functions = frames
                    .iter()
                    .rev()
                    .map(|frame| frame.function.replace(';', ":"));
                functions.collect::<Vec<_>>().join(";")
            });
            match named.is_empty() {
                true => format!("{address:#x}"),
                false => named.clone(),
            }
        };
        let threads = Names::of(recording);
        let mut stacks = Self::default();
        let samplers = recording.chunks.iter();
        for chunk in samplers.filter(|chunk| chunk.source == Source::Sampler) {
            stacks.lost += chunk.lost;
        }
        for core in 0..recording.cores() {
            let mut events = recording.events(core, Source::Sampler).peekable();
            while let Some(event) = events.next() {
                match event.kind {
                    Kind::IdleSample => stacks.idle += 1,
                    Kind::Sample => {
                        let thread = threads.thread(event.value).replace(';', ":");
                        let mut stack = Vec::new();
                        while let Some(frame) = events.next_if(|event| event.kind == Kind::Frame) {
                            // A return address may be the first of what follows the call.
                            let is_innermost = stack.is_empty();
                            stack.push(name(frame.value.wrapping_sub(u64::from(!is_innermost))));
                        }
                        stack.push(thread);
                        stack.reverse();
                        *stacks.counts.entry(stack.join(";")).or_default() += 1;
                    }
                    // The first frames of a stack may have been overwritten.
                    _ => {}
                }
            }
        }
        Ok(stacks)
    }

    /// A line for each stack, with how often it was seen.
    pub(super) fn folded(&self) -> String {
        let mut text = String::new();
        for (stack, count) in &self.counts {
            // A string takes everything.
            let _ = writeln!(text, "{stack} {count}");
        }
        text
    }

    /// Draws the flame graph.
    pub(super) fn draw(&self, out: impl Write) -> Result<()> {
        if self.counts.is_empty() {
            bail!("no core was busy when it was asked: a flame graph needs load");
        }
        let mut options = Options::default();
        options.title = "Time of all cores but when idle".to_owned();
        options.count_name = "samples".to_owned();
        let folded = self.folded();
        flamegraph::from_lines(&mut options, folded.lines(), out)
            .context("cannot draw the flame graph")
    }

    /// What was seen.
    pub(super) fn summary(&self) -> String {
        let busy: u64 = self.counts.values().sum();
        let lost = match self.lost {
            0 => String::new(),
            lost => format!(", {lost} frames lost"),
        };
        format!(
            "{busy} samples of busy cores, {} of idle ones{lost}",
            self.idle
        )
    }
}
