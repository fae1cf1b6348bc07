//! Toro: a library kernel for microservices.
//!
//! An appliance is an ordinary binary that picks the units it needs as features of this crate, and names its main function:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! #![deny(unsafe_code)]
//!
//! toro::main!(main);
//!
//! fn main() {
//!     toro::println!("hello");
//! }
//! ```
//!
//! The names are those of `std` wherever `std` has the thing. When `main` returns, the machine powers off.

#![no_std]
#![deny(unsafe_code)]

pub use toro_rt::{ExitCode, exit};

/// Disks of this core: those that it owns, and those of which it has a queue.
#[cfg(feature = "blk")]
pub mod block {
    pub use toro_block::{
        BlockError, BlockInfo, Disk, DmaBuf, Op, Outcome, Pending, Request, SECTOR, TIMEOUT, disks,
        open,
    };
}

/// Named byte streams between this core and the host.
#[cfg(feature = "console")]
pub mod console {
    pub use toro_console::{ConsoleError, OpenError, PATIENCE, Port};
}

/// The devices of the machine, and which core owns each (`dedicate=net0:1,blk0:0` on the command line).
#[cfg(feature = "devices")]
pub mod devices {
    pub use toro_dev::owner::{Class, DeviceName, Owned};
    pub use toro_rt::{devices as all, owner_of};
}

/// How the image was started.
pub mod env {
    pub use toro_rt::args;
}

/// Files: the archive that came with the image at `/`, and what was mounted beside it.
#[cfg(feature = "files")]
pub mod fs {
    #[cfg(feature = "initrd")]
    pub use toro_rt::{MountArchiveError, mount_archive};
    /// Whether the image can mount more than its archive: disks and folders of the host, which are waited for.
    pub const HAS_MOUNTS: bool = cfg!(feature = "mount");

    #[cfg(feature = "mount")]
    pub use toro_rt::{MountError, abandon, mount, unmount};
    pub use toro_vfs::{
        DirEntry, File, FileError, FileSystem, FileType, IoError, Metadata, MountSpec,
        MountSpecError, NodeId, OpenOptions, ReadDir, SeekFrom, Sync, canonicalize, create_dir,
        create_dir_all, exists, metadata, mount as attach, path, read, read_dir, read_to_string,
        remove_dir, remove_dir_all, remove_file, rename, sync, task, write,
    };
}

/// Memory of this core.
pub mod mem {
    pub use toro_mem::{Stats, collect, stats};
}

/// What a service has answered, for `metrics=` and `trace=` on the command line.
///
/// Without the features `metrics` and `trace` the same calls exist and do nothing, so that a service is written once.
pub mod metrics {
    #[cfg(not(any(feature = "metrics", feature = "trace")))]
    pub use crate::unmeasured::Requests;
    #[cfg(any(feature = "metrics", feature = "trace"))]
    pub use toro_metrics::Requests;
}

#[cfg(not(any(feature = "metrics", feature = "trace")))]
mod unmeasured;

/// Ranks that compute together, one on each core.
#[cfg(feature = "mpi")]
pub mod mpi {
    pub use toro_mpi::{Comm, CommError, Element, Op, group, run};
}

/// TCP/IP.
#[cfg(feature = "net")]
pub mod net {
    pub use toro_net::*;

    /// Parks the calling thread while it serves: until the machine is asked to end and the peers have everything.
    ///
    /// Without the feature `shutdown` nobody asks.
    pub fn keep_serving(serving: Serving) {
        #[cfg(feature = "shutdown")]
        serving.until(toro_rt::requested());
        #[cfg(not(feature = "shutdown"))]
        serving.for_ever();
    }

    /// Parks the calling thread until the machine is asked to end: for services of blocking sockets.
    ///
    /// Without the feature `shutdown` nobody asks.
    pub fn until_end() {
        #[cfg(feature = "shutdown")]
        toro_sched::block_on(toro_rt::requested());
        #[cfg(not(feature = "shutdown"))]
        loop {
            toro_sched::park();
        }
    }

    /// [`serve`] with what `make` makes: without the unit `multiqueue` a service has one core.
    ///
    /// # Errors
    /// As [`serve`].
    #[cfg(not(feature = "multiqueue"))]
    pub fn serve_on_each_core<S: Service>(
        address: impl Into<core::net::SocketAddrV4>,
        make: impl Fn() -> S + Clone + Send + 'static,
    ) -> Result<Serving, BindError> {
        serve(address, make())
    }
}

/// Random numbers that nobody can foresee.
#[cfg(feature = "random")]
pub mod random {
    pub use toro_entropy::{fill, u64};
}

/// The wish that the service ends in order, by the machine's power button.
///
/// Nobody waits for it: the image ends at the press, with all that was written synced. Somebody does: the service has as long as
/// `grace=SECONDS` on the command line says, 30 without it, to return from its main function.
#[cfg(feature = "shutdown")]
pub mod shutdown {
    pub use toro_rt::{is_requested, requested};
}

/// What threads and tasks share.
pub mod sync {
    pub use toro_sched::channel::{Closed, Receiver, Sender, TryRecvError, TrySendError, channel};
    pub use toro_wait::{
        Condvar, Mutex, MutexGuard, Once, OnceLock, Permit, RwLock, RwLockReadGuard,
        RwLockWriteGuard, Semaphore,
    };
}

/// Cooperative threads of this core.
pub mod thread {
    #[cfg(feature = "dump")]
    pub use toro_rt::dump;
    pub use toro_sched::{
        Builder, DEFAULT_STACK, JoinHandle, NoResult, SpawnError, Thread, block_on, block_on_until,
        cores, current, on_each_core, park, park_until, sleep, spawn, yield_now,
    };
}

/// Futures that run on this core without a stack for each.
pub mod task {
    pub use toro_sched::block_on;
    pub use toro_sched::task::*;
}

/// Moments and durations.
pub mod time {
    pub use core::time::Duration;

    pub use toro_time::{Instant, SystemTime, UNIX_EPOCH};
}

/// Threads that do not yield, and the watchdog of the machine (`watchdog=SECONDS` on the command line, 10 without it, 0 for neither).
#[cfg(feature = "watchdog")]
pub mod watchdog {
    pub use toro_rt::{feeds, stalls};
}

/// Streams between this core and the host.
#[cfg(feature = "vsock")]
pub mod vsock {
    pub use toro_vsock::*;
}

/// The log.
pub use log;

/// Names the appliance's main function: `toro::main!(main);`.
///
/// The runtime calls it on the boot core's first thread once everything is up.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        #[expect(
            unsafe_code,
            reason = "the runtime finds the service by this symbol; defined once, by this macro"
        )]
        #[unsafe(no_mangle)]
        fn toro_main() {
            $main();
        }
    };
}

/// Writes a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($format:literal $($rest:tt)*) => { $crate::print!("{}\n", ::core::format_args!($format $($rest)*)) };
}

/// Writes text to the console.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::write_console(::core::format_args!($($arg)*)) };
}

/// What [`print!`] calls.
#[doc(hidden)]
pub fn write_console(text: core::fmt::Arguments<'_>) {
    toro_log::write(text);
}
