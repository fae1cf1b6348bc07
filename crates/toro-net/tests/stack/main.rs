//! The whole stack against a plain smoltcp client, over a wire in memory and a clock that only the test moves.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "test data wraps on purpose, and a test may panic"
)]

mod bytes;
mod bytes6;
mod circle;
mod closing;
mod connecting;
mod cost;
mod datagrams;
mod dhcp;
mod flight;
mod growth;
mod hostile;
mod ipv6;
mod loss;
mod pair;
mod path;
mod service;
mod slumber;
mod station;
mod timestamps;
mod unusual;
mod windows;
mod wire;
mod world;
