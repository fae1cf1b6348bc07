//! Several system calls at once, for programs that ToroV runs.
//!
//! ```no_run
//! use torov_batch::{Call, submit};
//!
//! let texts = ["one\n", "two\n"];
//! let mut calls = texts.map(|text| {
//!     let (at, len) = (text.as_ptr().addr() as u64, text.len() as u64);
//!     Call::new(1, [1, at, len, 0, 0, 0]) // write(1, text)
//! });
//! // SAFETY: the calls read the two texts and nothing else.
//! let made = unsafe { submit(&mut calls) };
//! assert_eq!(made, 2);
//! ```
//! A batch is one call of ToroV's own, which Linux does not have; there the calls are made one by one. `crates/torov/include/torov.h` is
//! the same in C.

#![no_std]

mod submit;

pub use self::submit::{Call, submit};
