//! Files: paths, mounts, handles, over the [`FileSystem`] trait.
//!
//! The calls read like `std::fs`:
//!
//! ```no_run
//! # fn main() -> Result<(), toro_vfs::FileError> {
//! for entry in toro_vfs::read_dir("/www")? {
//!     let entry = entry?;
//!     log(entry.name());
//! }
//! let mut file = toro_vfs::File::open("/www/index.html")?;
//! let mut start = [0; 64];
//! let len = file.read(&mut start)?;
//! # let _ = len;
//!
//! toro_vfs::create_dir_all("/data/log")?;
//! let mut log = toro_vfs::OpenOptions::new().append(true).create(true).open("/data/log/today")?;
//! log.write_all(b"started\n")?;
//! log.sync_data()?;
//! # Ok(())
//! # }
//! # fn log(_: &str) {}
//! ```
//!
//! A path is normalised once ([`path`]), the longest mount above it is found ([`Mounts`]), and its file system
//! opens a node for the rest of the path. From there on a [`File`] talks to the file system directly. Mounts
//! belong to a core ([`mount`]); a file system may park the calling thread while its device works, and no
//! borrow of the mounts is held meanwhile.
//!
//! What may not park has two other faces: [`File::try_read_at`], which reads what is in memory and else says
//! so at once, and the futures of [`task`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod core_mounts;
mod directory;
mod error;
mod file;
mod file_system;
mod mount_spec;
mod mounts;
mod open_options;
pub mod path;
mod place;
pub mod task;
#[cfg(test)]
mod tests;
mod tree;

pub use core_mounts::{
    abandon, canonicalize, create_dir, create_dir_all, exists, init, metadata, mount, mount_points,
    mount_points_on, read, read_dir, read_to_string, remove_dir, remove_dir_all, remove_file,
    rename, resolve, sync, unmount, write,
};
pub use directory::ReadDir;
pub use embedded_io::SeekFrom;
pub use error::{FileError, IoError};
pub use file::File;
pub use file_system::{DirEntry, FileSystem, FileType, Metadata, NodeId, Sync};
pub use mount_spec::{MountSpec, MountSpecError};
pub use mounts::Mounts;
pub use open_options::OpenOptions;
pub use place::Place;
