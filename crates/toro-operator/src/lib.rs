//! The operator's console: what someone may ask who wants to look into an image that runs.
//!
//! [`Lines`] cuts what arrives into lines, [`Command`] is what a line says, [`History`] keeps the last lines of the log for those who
//! come later. Who answers, and on what port, is the business of `toro-rt`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod command;
mod history;
mod lines;

pub use command::{Command, CommandError, HELP};
pub use history::History;
pub use lines::Lines;
