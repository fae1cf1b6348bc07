//! The handlers, by family. Each file says by `handler` which calls are its own.

pub(crate) mod change;
pub(crate) mod epoll;
pub(crate) mod files;
pub(crate) mod identity;
pub(crate) mod io;
pub(crate) mod memory;
pub(crate) mod poll;
pub(crate) mod signalfd;
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod sync;
pub(crate) mod time;
pub(crate) mod timers;
