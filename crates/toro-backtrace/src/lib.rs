//! Walks frame pointers and names what it finds.
//!
//! Two halves that know nothing of each other: [`walk`] turns a stack into return addresses, and [`Symbols`]
//! turns an address into a name and an offset, and into a [`Line`] where the image carries lines. The trap and panic handlers of `toro-rt` join them.

#![cfg_attr(not(test), no_std)]

mod image;
mod lines;
mod symbols;
mod walk;

pub use image::{build_id, image_symbols, image_table};
pub use lines::Line;
pub use symbols::{Name, Symbol, Symbols};
pub use walk::walk;
