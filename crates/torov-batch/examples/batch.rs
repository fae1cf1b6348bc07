//! Writes lines in batches of 16; runs on Linux as well.

// What `torov_batch` is; by its path, so that the compiler alone builds this file.
#[path = "../src/submit.rs"]
#[expect(unreachable_pub, reason = "the crate is what shows it to others")]
mod submit;

use submit::{Call, submit};

const WRITE: u64 = 1;

fn main() {
    let lines: Vec<String> = (0..160).map(|line| format!("line {line}\n")).collect();
    for lines in lines.chunks(16) {
        let mut calls: Vec<Call> = lines
            .iter()
            .map(|line| {
                let (at, len) = (line.as_ptr().addr() as u64, line.len() as u64);
                Call::new(WRITE, [1, at, len, 0, 0, 0])
            })
            .collect();
        // SAFETY: the calls read the lines, which live.
        let made = unsafe { submit(&mut calls) };
        assert_eq!(made, lines.len());
        for (call, line) in calls.iter().zip(lines) {
            assert_eq!(call.result, line.len() as i64);
        }
    }
}
