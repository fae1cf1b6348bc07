//! What an image tells about itself: counters and latency histograms of services, and the text that Prometheus reads.
//!
//! A service says what it has done in a static [`Requests`]; each core counts for itself, without a lock or an atomic
//! read-modify-write. Whoever is asked for the metrics collects them with [`Requests::write_all`] into a [`Text`], beside
//! what the kernel's units count. [`PAGE`] draws that text in a browser.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod histogram;
mod requests;
mod text;

pub use histogram::{BOUNDS_US, Histogram};
pub use requests::{Begun, Requests};
pub use text::{Kind, Text};

/// The live status page: one file without anything from elsewhere, which reads `/metrics` once a second.
pub const PAGE: &str = include_str!("page.html");
