//! A stack over the real driver on a fake device: packet by packet, and whole streams.

mod exchange;
mod packets;
mod world;
