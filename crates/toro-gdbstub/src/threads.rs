//! [`Window`]: a piece of a text that is too long for a packet, such as the list of threads, made anew for each piece.

use core::fmt::{self, Write as _};

use crate::machine::{Machine, Thread};
use crate::packet::Reply;

/// Takes a text and keeps what lies in one piece of it, as the answer to `qXfer`: `m` and the piece, or `l` if the text ends with it.
pub(crate) struct Window<'a> {
    reply: &'a mut Reply,
    skip: u64,
    left: u64,
    is_cut: bool,
}

impl<'a> Window<'a> {
    /// The piece of `len` bytes from `offset` on, written into `reply`.
    pub(crate) fn new(reply: &'a mut Reply, offset: u64, len: u64) -> Self {
        reply.set("l");
        // An escaped byte takes two.
        let room = (reply.room() / 2) as u64;
        Self {
            reply,
            skip: offset,
            left: len.min(room),
            is_cut: false,
        }
    }

    /// Says whether more follows.
    pub(crate) fn finish(self) {
        if self.is_cut {
            self.reply.set_first(b'm');
        }
    }
}

impl fmt::Write for Window<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.skip > 0 {
                self.skip -= 1;
            } else if self.left > 0 {
                self.left -= 1;
                self.reply.escaped(byte);
            } else {
                self.is_cut = true;
            }
        }
        Ok(())
    }
}

/// Writes the list of threads (GDB manual, E.14).
pub(crate) fn list(machine: &mut dyn Machine, window: &mut Window<'_>) {
    // A window takes everything.
    let _ = window.write_str("<?xml version=\"1.0\"?>\n<threads>\n");
    machine.threads(&mut |thread| {
        let Thread {
            id, core, state, ..
        } = thread;
        let name = Escaped(thread.name);
        let _ = writeln!(
            window,
            "<thread id=\"{id:x}\" core=\"{core}\" name=\"{name}\">{state}</thread>"
        );
    });
    let _ = window.write_str("</threads>\n");
}

/// Text inside of XML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' | '>' | '&' | '"' | '\'' => write!(f, "&#{};", u32::from(c)),
            c if c.is_control() => f.write_char('?'),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::{Escaped, Window};
    use crate::packet::Reply;

    fn check(offset: u64, len: u64, expected: &str) {
        let mut reply = Reply::new();
        let mut window = Window::new(&mut reply, offset, len);
        for piece in ["hello, ", "world"] {
            window.write_str(piece).expect("takes everything");
        }
        window.finish();
        assert_eq!(reply.text(), expected.as_bytes());
    }

    #[test]
    fn pieces_of_a_text_are_told() {
        check(0, 5, "mhello");
        check(5, 100, "l, world");
        check(7, 5, "lworld");
        check(7, 4, "mworl");
        check(100, 5, "l");
    }

    #[test]
    fn names_cannot_break_the_list() {
        let text = Escaped("a<b>&\"\n").to_string();
        assert_eq!(text, "a&#60;b&#62;&#38;&#34;?");
    }
}
