//! Several calls made by one: a call of ToroV's own, which Linux does not have.
//!
//! Its arguments are the address of records and how many they are:
//! ```text
//!  0  number    8..56  six arguments    56  the result, written when the call returns
//! ```
//! The calls are made in their order, each judged as if it were alone. The result is how many of them were made; it is less than was
//! asked where a signal came, or where the poller has made those that cannot block: who asks again goes on with the rest.

use torov_abi::word::{size, wide};
use torov_abi::{Call, Errno};
use torov_memory::{Access, Memory};

use crate::Answer;
use crate::context::word_at;
use crate::dispatch::{self, Table};
use crate::process::Process;

/// The number of the call.
pub(crate) const NUMBER: u64 = 0x54_6f72;

/// How many calls are made at most.
const MOST: u64 = 64;

/// The length of a record, and where its result is.
const RECORD: usize = 64;
const RESULT: usize = 56;

/// Makes the calls that `call` names, as long as `is_next`, which is asked before each, says so. `None` if it does not of the
/// first.
pub(crate) fn make(
    process: &Process,
    tid: i32,
    table: &mut Table,
    call: &Call,
    is_next: impl Fn(&Call) -> bool,
) -> Option<Answer> {
    let [at, count, ..] = call.args;
    let mut records = match read(&process.memory, at, count) {
        Ok(records) => records,
        Err(error) => return Some(Err(error)),
    };
    let mut made = 0;
    for record in records.chunks_exact_mut(RECORD) {
        let call = Call {
            number: word_at(record, 0),
            args: [8, 16, 24, 32, 40, 48].map(|at| word_at(record, at)),
        };
        if process.is_over() || !is_next(&call) {
            break;
        }
        let answer = dispatch::make(process, tid, table, &call);
        let result = answer.unwrap_or_else(Errno::to_register);
        record[RESULT..].copy_from_slice(&result.to_le_bytes());
        made += 1;
        if answer == Err(Errno::EINTR) {
            break;
        }
    }
    if made == 0 && !records.is_empty() {
        return None;
    }
    let written = process.memory.write(at, &records[..made * RECORD]);
    Some(written.map(|()| wide(made)))
}

/// The records, copied once; that there is room for the results is known before a call is made.
fn read(memory: &Memory, at: u64, count: u64) -> Result<Vec<u8>, Errno> {
    let len = count.min(MOST) * wide(RECORD);
    memory.spans(at, len, Access::Write)?;
    let mut records = vec![0; size(len)];
    memory.read(at, &mut records)?;
    Ok(records)
}
