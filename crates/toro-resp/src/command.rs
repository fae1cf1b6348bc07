//! [`Command`]: a command that has arrived whole, and its words.

/// A command. Its words lie where they arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    pub(crate) form: Form<'a>,
    /// Words, the name of the command included; 0 for an empty line.
    pub(crate) len: usize,
}

/// How the words are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// As `$len` lines, each followed by that many bytes: [`parse`](crate::parse) has checked them.
    Bulk(&'a [u8]),
    /// In one line, with spaces between them.
    Inline(&'a [u8]),
}

impl<'a> Command<'a> {
    /// Words, the name of the command included; 0 for an empty line, which is to be passed over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The words in order.
    #[must_use]
    pub fn args(&self) -> Args<'a> {
        Args {
            form: self.form,
            left: self.len,
        }
    }
}

/// The words of a [`Command`], in order.
#[derive(Clone, Debug)]
pub struct Args<'a> {
    form: Form<'a>,
    left: usize,
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        match &mut self.form {
            Form::Bulk(rest) => {
                let mut len = 0;
                let mut at = 1;
                while let Some(digit @ b'0'..=b'9') = rest.get(at) {
                    len = len * 10 + usize::from(digit - b'0');
                    at += 1;
                }
                let start = at + 2;
                let word = rest.get(start..start + len)?;
                *rest = rest.get(start + len + 2..)?;
                Some(word)
            }
            Form::Inline(rest) => {
                *rest = rest.trim_ascii_start();
                let end = rest.iter().position(u8::is_ascii_whitespace);
                let (word, tail) = rest.split_at(end.unwrap_or(rest.len()));
                *rest = tail;
                Some(word)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Args<'_> {}
