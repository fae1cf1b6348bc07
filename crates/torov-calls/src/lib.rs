//! The system calls of a ToroV guest.
//!
//! A [`Process`] is a program with its memory, descriptors and mounts. [`thread::run`] drives one processor: the
//! program runs until it asks for something, `dispatch` answers. Each file of handlers is one family of calls; a
//! handler copies what the guest's pointers name once, has that copy judged by the policy, and uses that copy.
//!
//! The guest is hostile: no argument makes a handler panic, and none reaches the host unchecked.

#![forbid(unsafe_code)]

mod batch;
mod clock;
mod context;
pub mod debug;
mod descriptors;
mod dispatch;
mod ending;
mod families;
mod frozen;
mod mounts;
mod pace;
mod process;
mod ring;
mod signals;
mod standstill;
pub mod thread;

pub use self::clock::Clock;
pub use self::descriptors::{Class, Descriptor, Descriptors};
pub use self::dispatch::is_supported;
pub use self::ending::{Ending, FaultReport, Remains};
pub use self::frozen::{Frozen, Open, Still, What};
pub use self::mounts::Mounts;
pub use self::process::{Limits, Observer, Process, Settings};
pub use self::ring::RingSettings;
pub use self::signals::alarms::KeptTimer;

/// What a handler answers: the value for the guest's register.
pub(crate) type Answer = Result<u64, torov_abi::Errno>;
