//! Virtio devices of the host that lie: back ends for QEMU's `vhost-user-*` devices, which attack whole images.
//!
//! QEMU connects to the socket of a [`Liar`], shares the memory of its machine with it and leaves the rings to it. A [`Back`] is the
//! device: [`disk::Disk`], [`card::Card`], [`folder::Folder`] or [`sockets::Sockets`], each of which works, until it tells
//! its lie. The lies about rings are the same for all of them: [`RingLie`].
//!
//! ```text
//! QEMU ── messages ──> wire ──> session ──> Back (disk, card, folder, sockets)
//!   guest memory (a file that both have open) <── memory ── ring <──┘
//! ```
//! Guest memory is read and written as a file, not mapped: a system call for each access is slow, and needs no unsafe code.
//!
//! What a liar never does is to write where its driver gave it nothing to write: a host owns the memory of its guests, and no image can
//! defend itself against that.

#![forbid(unsafe_code)]

mod back;
mod bytes;
pub mod card;
pub mod disk;
pub mod folder;
mod liar;
mod memory;
mod ring;
mod session;
pub mod sockets;
mod wire;

pub use back::{Back, Device, Next};
pub use liar::Liar;
pub use ring::{Chain, Queue, RingLie};
