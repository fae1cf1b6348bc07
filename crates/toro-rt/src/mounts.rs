//! `mount=PATH:KIND:SOURCE[:ro,optional]` on the command line, and the same by a call.
//!
//! ```text
//! mount=/data:fat:blk0        the first disk               mount=/tmp:ram:16M    memory
//! mount=/data:ext4:blk0p1:ro  a partition of it
//! ```
//!
//! [`kinds`] is the table of what was linked in. A file system is opened on the core that owns its device.

mod error;
mod kinds;

use alloc::rc::Rc;
use alloc::string::String;

use log::{error, info, warn};
use toro_abi::exit::ExitCode;
use toro_boot::BootInfo;
use toro_sched::Builder;
use toro_vfs::MountSpec;

pub use self::error::MountError;
use self::kinds::Kind;

/// The stack of a thread that opens a file system, in bytes: repairs walk through it.
const STACK: usize = 64 << 10;

/// Mounts what the command line asks for. What fails ends the image, unless it is `optional`.
pub(crate) fn start(info: &BootInfo) {
    for word in info.command_line().values("mount") {
        let Err(reason) = mount(word) else { continue };
        if MountSpec::parse(word).is_ok_and(|spec| spec.is_optional) {
            warn!("mount={word}: {reason}; going on without it");
        } else {
            error!("mount={word}: {reason}");
            crate::exit::exit(ExitCode::Failure);
        }
    }
}

/// Mounts what `spec` says: `/data:fat:blk0`, as behind `mount=` on the command line. Blocks.
///
/// # Errors
/// Says what is wrong, and what could be done about it. Nothing is mounted then.
pub fn mount(spec: &str) -> Result<(), MountError> {
    let parsed = MountSpec::parse(spec).map_err(MountError::Spec)?;
    let kind = Kind::find(parsed.kind)?;
    let core = (kind.owner)(&parsed)?;
    let word = String::from(spec);
    let opened = Builder::new()
        .name("mount")
        .stack_size(STACK)
        .spawn_on(core, move || open(kind, &word));
    opened
        .map_err(MountError::Thread)?
        .join()
        .unwrap_or(Err(MountError::Ended(core)))
}

/// Opens the file system on this core, which owns its device.
fn open(kind: &Kind, word: &str) -> Result<(), MountError> {
    let spec = MountSpec::parse(word).map_err(MountError::Spec)?;
    let file_system = (kind.open)(&spec)?;
    toro_vfs::mount(spec.path, Rc::clone(&file_system)).map_err(MountError::Files)?;
    let mode = if spec.read_only { ", read-only" } else { "" };
    info!(
        "files: {} {} at {}{mode}",
        spec.kind, spec.source, spec.path
    );
    Ok(())
}

/// Brings all that was written to the devices, for the end of the machine; returns with what status that is.
pub(crate) fn sync_or_fail(code: ExitCode) -> ExitCode {
    match toro_vfs::sync() {
        Ok(()) => code,
        Err(reason) => {
            error!(
                "files: the last sync failed, and what was written since the one before may be lost: {reason}"
            );
            ExitCode::Failure
        }
    }
}
