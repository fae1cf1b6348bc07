//! Writes of a batch that follow each other and go to one file: one `writev` of the host makes them all.
//!
//! Each must be what it would be alone, so only what can be told from single writes by nobody is joined: writes to regular files of
//! the usual file systems and to the null device ([`joins_writes`]). Elsewhere a border between two writes can be seen: a datagram, a
//! packet of a pipe or of a connection, a command to a file below `/proc` or `/sys`. Pipes and sockets may wait besides, so such a batch
//! leaves the virtual machine, which costs far more than joining would save.
//!
//! Nothing is joined where somebody looks on, who wants to see how long each call takes, and where calls have a limit of their number
//! in a second: both are about single calls.
//!
//! [`joins_writes`]: crate::descriptors::Descriptor::joins_writes

use torov_abi::Call;
use torov_host as host;
use torov_memory::{Access, Span};
use torov_policy::Subject;

use crate::descriptors::Descriptor;
use crate::process::Process;

/// `write(2)`.
const WRITE: u16 = 1;

/// How many bytes are written at once: behind that a call of the host for each is nothing beside its copying.
const MOST_BYTES: u64 = 64 << 10;

/// What became of the calls that a batch goes on with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Joined {
    /// The results of those that were made.
    pub(super) results: Vec<u64>,
    /// How many behind them must be made alone, for joined they would not have been what they are alone.
    pub(super) alone: usize,
}

/// Makes those of `calls` that can be joined with the first, if there are two at least.
pub(super) fn make(process: &Process, calls: impl Iterator<Item = Call>) -> Joined {
    if !process.may_join_calls() {
        return Joined::default();
    }
    let mut bytes = 0;
    let mut first = None;
    let run = calls.map_while(|call| {
        let [fd, at, len, ..] = call.args;
        let is_next = call.number == u64::from(WRITE) && *first.get_or_insert(fd) == fd;
        bytes += len.min(MOST_BYTES + 1);
        (is_next && len != 0 && bytes <= MOST_BYTES).then_some((at, len))
    });
    let run: Vec<(u64, u64)> = run.collect();
    match first {
        Some(fd) if run.len() > 1 => together(process, fd, &run).unwrap_or_default(),
        _ => Joined::default(),
    }
}

/// Makes as many of the writes of `run` as have memory, up to the first that has none. `None` if not even two.
fn together(process: &Process, fd: u64, run: &[(u64, u64)]) -> Option<Joined> {
    let descriptor = process.descriptors.get(fd).ok()?;
    // What is denied is told of where the call is made alone. All of them ask the same.
    let subject = Subject::Class(descriptor.class().name());
    if !descriptor.joins_writes() || !process.allows(WRITE, subject) {
        return None;
    }
    let (spans, count) = process.memory.spans_of(run, Access::Read);
    let run = &run[..count];
    let all = run.iter().map(|(_, len)| len).sum();
    // The program ends with the first that is too much, and not before.
    if count < 2 || !process.has_room_for_output(all) {
        return None;
    }
    let joined = settle(run, written(&descriptor, &spans));
    let asked = run[..joined.results.len()].iter().map(|(_, len)| len);
    process.take_back_output(all - asked.sum::<u64>());
    Some(joined)
}

/// How many bytes the host takes. An error is that of the first write, which shall meet it itself.
fn written(descriptor: &Descriptor, spans: &[Span<'_>]) -> u64 {
    host::write(descriptor.fd(), spans).unwrap_or(0)
}

/// Tells each write of `run` what it has of the `written` bytes: the one in which they end is short, and those behind it were not made.
fn settle(run: &[(u64, u64)], written: u64) -> Joined {
    let mut left = written;
    let results = run.iter().map_while(|(_, len)| {
        let here = left.min(*len);
        left -= here;
        (here != 0).then_some(here)
    });
    let results: Vec<u64> = results.collect();
    let alone = run.len() - results.len();
    Joined { results, alone }
}

#[cfg(test)]
mod tests {
    use super::{Joined, settle};

    #[track_caller]
    fn check(written: u64, results: &[u64], alone: usize) {
        let results = results.to_vec();
        let run = [(0x1000, 4), (0x2000, 1), (0x1000, 3)];
        assert_eq!(settle(&run, written), Joined { results, alone });
    }

    #[test]
    fn what_was_written_belongs_to_the_writes_in_their_order() {
        check(8, &[4, 1, 3], 0);
        check(7, &[4, 1, 2], 0);
        check(5, &[4, 1], 1);
        check(4, &[4], 2);
        check(3, &[3], 2);
        check(0, &[], 3);
    }
}
