//! Several calls made by one: a call of ToroV's own, which Linux does not have.
//!
//! Its arguments are the address of records and how many they are:
//! ```text
//!  0  number    8..56  six arguments    56  the result, written when the call returns
//! ```
//! The calls are made in their order, each judged as if it were alone. The result is how many of them were made; it is less than was
//! asked where a signal came, or where the poller has made those that cannot block: who asks again goes on with the rest. Writes to one
//! file that follow each other are joined ([`writes`]), which nobody can tell but by the clock.

mod writes;

use torov_abi::word::{size, wide};
use torov_abi::{Call, Errno};
use torov_memory::{Access, Memory};

use crate::Answer;
use crate::context::{Held, word_at};
use crate::dispatch::{self, Table};
use crate::process::Process;

/// The number of the call.
pub(crate) const NUMBER: u64 = 0x54_6f72;

/// How many calls are made at most.
const MOST: u64 = 64;

/// The length of a record, and where its result is.
const RECORD: usize = 64;
const RESULT: usize = 56;

/// Makes the calls that `call` names, as long as `next`, which is asked before each, says what to make it with. `None` if it
/// does not of the first.
pub(crate) fn make(
    process: &Process,
    tid: i32,
    table: &mut Table,
    call: &Call,
    next: impl Fn(&Call) -> Option<Held>,
) -> Option<Answer> {
    let [at, count, ..] = call.args;
    let mut records = match read(&process.memory, at, count) {
        Ok(records) => records,
        Err(error) => return Some(Err(error)),
    };
    let (records, _) = records.as_chunks_mut::<RECORD>();
    let mut made = 0;
    // How many of the next calls are made alone, whatever they are.
    let mut alone = 0;
    while let Some(record) = records.get(made) {
        let call = call_of(record);
        if process.is_over() {
            break;
        }
        let Some(held) = next(&call) else {
            break;
        };
        if alone == 0 {
            let joined = writes::make(process, records[made..].iter().map(call_of));
            for (record, result) in records[made..].iter_mut().zip(&joined.results) {
                set_result(record, *result);
            }
            made += joined.results.len();
            alone = joined.alone;
            if !joined.results.is_empty() {
                continue;
            }
        }
        alone = alone.saturating_sub(1);
        let answer = dispatch::make(process, tid, table, &call, held);
        if answer == Err(Errno::ERESTARTSYS) {
            // Those that were made are told of before the signal; the rest is made when it is asked for again.
            if made == 0 {
                return Some(answer);
            }
            break;
        }
        set_result(
            &mut records[made],
            answer.unwrap_or_else(Errno::to_register),
        );
        made += 1;
        if answer == Err(Errno::EINTR) {
            break;
        }
    }
    if made == 0 && !records.is_empty() {
        return None;
    }
    let written = process.memory.write(at, records[..made].as_flattened());
    Some(written.map(|()| wide(made)))
}

fn call_of(record: &[u8; RECORD]) -> Call {
    Call {
        number: word_at(record, 0),
        args: [8, 16, 24, 32, 40, 48].map(|at| word_at(record, at)),
    }
}

fn set_result(record: &mut [u8; RECORD], result: u64) {
    record[RESULT..].copy_from_slice(&result.to_le_bytes());
}

/// The records, copied once; that there is room for the results is known before a call is made.
fn read(memory: &Memory, at: u64, count: u64) -> Result<Vec<u8>, Errno> {
    let len = count.min(MOST) * wide(RECORD);
    memory.spans(at, len, Access::Write)?;
    let mut records = vec![0; size(len)];
    memory.read(at, &mut records)?;
    Ok(records)
}
