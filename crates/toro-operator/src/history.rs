//! [`History`]: the last lines of the log.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;

/// A ring of bytes, the oldest of which give way.
#[derive(Debug)]
pub struct History {
    ring: Box<[u8]>,
    /// Bytes written since the start, also those that have given way.
    written: usize,
}

impl History {
    /// A history of at most `len` bytes.
    pub fn new(len: usize) -> Self {
        Self {
            ring: vec![0; len].into_boxed_slice(),
            written: 0,
        }
    }

    /// Adds what the log has written. Never allocates.
    pub fn push(&mut self, bytes: &[u8]) {
        let len = self.ring.len();
        // Of more than fits only the end stays.
        let skipped = bytes.len().saturating_sub(len);
        self.written += skipped;
        let (at, bytes) = (self.written % len, &bytes[skipped..]);
        let (head, tail) = bytes.split_at(bytes.len().min(len - at));
        self.ring[at..][..head.len()].copy_from_slice(head);
        self.ring[..tail.len()].copy_from_slice(tail);
        self.written += bytes.len();
    }

    /// The whole lines that are left, the oldest first.
    pub fn lines(&self) -> String {
        let len = self.ring.len();
        if self.written <= len {
            return String::from_utf8_lossy(&self.ring[..self.written]).into_owned();
        }
        let at = self.written % len;
        let kept = [&self.ring[at..], &self.ring[..at]].concat();
        // What lay before the oldest byte is unknown, so its line is not whole.
        let start = kept
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(len, |end| end + 1);
        String::from_utf8_lossy(&kept[start..]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(len: usize, written: &[&str], expected: &str) {
        let mut history = History::new(len);
        written
            .iter()
            .for_each(|text| history.push(text.as_bytes()));
        assert_eq!(history.lines(), expected);
    }

    #[test]
    fn the_oldest_lines_give_way() {
        check(16, &[], "");
        check(16, &["one\n", "two\n"], "one\ntwo\n");
        check(16, &["one\ntwo\nthree\n"], "one\ntwo\nthree\n");
        check(16, &["one\ntwo\nth", "ree\nfour\n"], "two\nthree\nfour\n");
        check(16, &["0123456789abcdef\nend\n"], "end\n");
        check(4, &["0123456789"], "");
    }

    #[test]
    fn it_keeps_the_end_of_whatever_was_written() {
        extern crate std;
        for len in 1..40 {
            let mut history = History::new(len);
            let mut all = std::string::String::new();
            for number in 0..30 {
                let line = std::format!("line {number}\n");
                history.push(line.as_bytes());
                all.push_str(&line);
                let lines = history.lines();
                assert!(all.ends_with(&lines) && lines.len() <= len, "{lines:?}");
                assert!(
                    lines.is_empty()
                        || all.len() == lines.len()
                        || all[..all.len() - lines.len()].ends_with('\n')
                );
            }
        }
    }
}
