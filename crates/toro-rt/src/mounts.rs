//! `mount=PATH:KIND:SOURCE[:ro,optional]` on the command line, and the same by a call.
//!
//! ```text
//! mount=/data:fat:blk0        the first disk               mount=/tmp:ram:16M    memory
//! mount=/data:ext4:blk0p1:ro  a partition of it
//! ```
//!
//! [`kinds`] is the table of what was linked in. A file system is opened on the core that owns its device, and
//! mounted on every core.

mod error;
mod kinds;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use log::{error, info, warn};
use toro_abi::exit::ExitCode;
use toro_boot::BootInfo;
use toro_mount::{Guarded, Port, Remote};
use toro_sched::Builder;
use toro_sched::channel::channel;
use toro_time::Instant;
use toro_vfs::{FileError, FileSystem, MountSpec};

pub use self::error::MountError;
use self::kinds::Kind;

/// The stack of a thread that opens a file system, in bytes: repairs walk through it.
const STACK: usize = 64 << 10;

/// How long the end of the machine waits for what was written: longer than a disk may take for a request.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a sync that fails means.
const LOST: &str = "the last sync failed, and what was written since the one before may be lost";

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

/// Mounts what `spec` says on every core: `/data:fat:blk0`, as behind `mount=` on the command line. Blocks.
///
/// The core that owns the disk uses the file system directly, the others by message.
///
/// # Errors
/// Says what is wrong, and what could be done about it. Nothing is mounted then.
pub fn mount(spec: &str) -> Result<(), MountError> {
    let parsed = MountSpec::parse(spec).map_err(MountError::Spec)?;
    let kind = Kind::find(parsed.kind)?;
    let owner = (kind.owner)(&parsed)?;
    let word = String::from(spec);
    let port = on_core(owner, move || open(kind, &word))?;
    let Some(port) = port else { return Ok(()) };
    let mut done = Vec::from([owner]);
    for core in (0..toro_sched::cores()).filter(|core| *core != owner) {
        let (path, port) = (String::from(parsed.path), port.clone());
        let attach = move || attach(&path, Rc::new(Remote::new(port)));
        if let Err(error) = on_core(core, attach) {
            detach(parsed.path, &done);
            return Err(error);
        }
        done.push(core);
    }
    Ok(())
}

/// Takes the mount at `path` away from every core, after all that was written there has reached its device. Blocks.
///
/// Files that are open can be used until they are closed.
///
/// # Errors
/// [`FileError::NotFound`] if nothing is mounted exactly there on this core, and what the file system fails with: it stays mounted then, and
/// [`abandon`] is what is left.
pub fn unmount(path: &str) -> Result<(), FileError> {
    toro_vfs::unmount(path)?;
    abandon(path);
    Ok(())
}

/// Takes the mount at `path` away from every core, whatever becomes of what was written there: for a disk that has failed. Blocks.
pub fn abandon(path: &str) {
    let cores: Vec<usize> = (0..toro_sched::cores()).collect();
    detach(path, &cores);
}

/// Opens the file system on this core, which owns its device; the way to it for the others, if there are any.
fn open(kind: &Kind, word: &str) -> Result<Option<Port>, MountError> {
    let spec = MountSpec::parse(word).map_err(MountError::Spec)?;
    let file_system = (kind.open)(&spec)?;
    attach(spec.path, Rc::clone(&file_system))?;
    let mode = if spec.read_only { ", read-only" } else { "" };
    info!(
        "files: {} {} at {}{mode}",
        spec.kind, spec.source, spec.path
    );
    if toro_sched::cores() == 1 {
        return Ok(None);
    }
    let port = toro_mount::serve(&file_system, kind.workers);
    port.map(Some).map_err(|error| {
        toro_vfs::abandon(spec.path);
        MountError::Thread(error)
    })
}

fn attach(path: &str, file_system: Rc<dyn FileSystem>) -> Result<(), MountError> {
    let file_system = Rc::new(Guarded::new(file_system));
    #[cfg(feature = "metrics")]
    let file_system = crate::metrics::counted(path, file_system);
    toro_vfs::mount(path, file_system).map_err(MountError::Files)
}

/// Takes the mount away from some cores.
fn detach(path: &str, cores: &[usize]) {
    for &core in cores {
        let path = String::from(path);
        let detached = on_core(core, move || {
            toro_vfs::abandon(&path);
            Ok(())
        });
        if let Err(reason) = detached {
            warn!("files: {reason}");
        }
    }
}

/// Runs `body` on a thread of that core and waits for it.
fn on_core<T: Send + 'static>(
    core: usize,
    body: impl FnOnce() -> Result<T, MountError> + Send + 'static,
) -> Result<T, MountError> {
    let builder = Builder::new().name("mount").stack_size(STACK);
    let thread = builder.spawn_on(core, body).map_err(MountError::Thread)?;
    thread.join().unwrap_or(Err(MountError::Ended(core)))
}

/// Brings all that was written to the devices, for the end of the machine; returns with what status that is.
pub(crate) fn sync_or_fail(code: ExitCode) -> ExitCode {
    let (sender, mut receiver) = channel(1);
    let spawned = Builder::new()
        .name("sync")
        .stack_size(STACK)
        .spawn(move || {
            // There is room for the one answer.
            let _ = sender.try_send(toro_vfs::sync());
        });
    if let Err(reason) = spawned {
        error!("files: {LOST}: {reason}");
        return ExitCode::Failure;
    }
    let deadline = Instant::now() + PATIENCE;
    match toro_sched::block_on_until(deadline, receiver.recv_async()).flatten() {
        Some(Ok(())) => return code,
        Some(Err(reason)) => error!("files: {LOST}: {reason}"),
        None => error!("files: {LOST}: a core or a device did not answer for {PATIENCE:?}"),
    }
    ExitCode::Failure
}
