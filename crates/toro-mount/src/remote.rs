//! [`Remote`]: a file system that another core owns.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use toro_sched::channel::channel;
use toro_vfs::{DirEntry, FileError, FileSystem, IoError, Metadata, NodeId, Sync};

use crate::server::Port;

/// Most bytes that travel in one message.
const PIECE: usize = 256 << 10;

/// A file system that another core owns. Each call parks the thread until the owner has answered.
#[derive(Debug)]
pub struct Remote(Port);

impl Remote {
    /// The file system behind `port`.
    pub fn new(port: Port) -> Self {
        Self(port)
    }

    /// Has the owner run `call`.
    fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn FileSystem) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let (sender, mut receiver) = channel(1);
        let sent = self.0.post(Box::new(move |file_system| {
            // There is room for the one answer, and nobody waits for it if the receiver is gone.
            let _ = sender.try_send(call(file_system));
        }));
        let gone = Err(FileError::Io(IoError::Gone));
        if sent {
            receiver.recv().unwrap_or(gone)
        } else {
            gone
        }
    }

    /// Reads into `bytes`, which travel there and back.
    fn read_piece(
        &self,
        node: NodeId,
        offset: u64,
        mut bytes: Vec<u8>,
    ) -> Result<(Vec<u8>, usize), FileError> {
        self.ask(move |file_system| {
            let len = file_system.read_at(node, offset, &mut bytes)?;
            Ok((bytes, len))
        })
    }
}

impl FileSystem for Remote {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        let path = String::from(path);
        self.ask(move |file_system| file_system.open(&path))
    }

    fn close(&self, node: NodeId) {
        // Nobody has to wait for that.
        self.0
            .post(Box::new(move |file_system| file_system.close(node)));
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, FileError> {
        self.ask(move |file_system| file_system.metadata(node))
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let mut done = 0;
        for part in buf.chunks_mut(PIECE) {
            let Some(at) = offset.checked_add(done as u64) else {
                break;
            };
            let (bytes, len) = match self.read_piece(node, at, zeroed(part.len())?) {
                Err(_) if done > 0 => break,
                other => other?,
            };
            let len = len.min(part.len());
            part[..len].copy_from_slice(&bytes[..len]);
            done += len;
            if len < part.len() {
                break;
            }
        }
        Ok(done)
    }

    fn read_dir(&self, node: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        let mut next = *cursor;
        let (entry, next) = self.ask(move |file_system| {
            let entry = file_system.read_dir(node, &mut next)?;
            Ok((entry, next))
        })?;
        *cursor = next;
        Ok(entry)
    }

    fn static_bytes(&self, node: NodeId) -> Option<&'static [u8]> {
        self.ask(move |file_system| Ok(file_system.static_bytes(node)))
            .ok()?
    }

    fn create(&self, path: &str) -> Result<NodeId, FileError> {
        let path = String::from(path);
        self.ask(move |file_system| file_system.create(&path))
    }

    fn write_at(&self, node: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, FileError> {
        let mut done = 0;
        // Nothing to write is a call as well.
        let count = bytes.len().div_ceil(PIECE).max(1);
        for part in (0..count).map(|nth| &bytes[nth * PIECE..bytes.len().min((nth + 1) * PIECE)]) {
            let at = offset.checked_add(done as u64).ok_or(FileError::TooLarge);
            let written = at.and_then(|at| {
                let owned = copied(part)?;
                self.ask(move |file_system| file_system.write_at(node, at, &owned))
            });
            match written {
                Err(_) if done > 0 => break,
                other => done += other?,
            }
            if done % PIECE != 0 {
                break;
            }
        }
        Ok(done)
    }

    fn append(&self, node: NodeId, bytes: &[u8]) -> Result<(u64, usize), FileError> {
        // What comes in one call lies together, whoever else appends.
        let owned = copied(&bytes[..bytes.len().min(PIECE)])?;
        self.ask(move |file_system| file_system.append(node, &owned))
    }

    fn set_len(&self, node: NodeId, len: u64) -> Result<(), FileError> {
        self.ask(move |file_system| file_system.set_len(node, len))
    }

    fn sync(&self, node: NodeId, what: Sync) -> Result<(), FileError> {
        self.ask(move |file_system| file_system.sync(node, what))
    }

    fn sync_all(&self) -> Result<(), FileError> {
        self.ask(|file_system| file_system.sync_all())
    }

    fn create_dir(&self, path: &str) -> Result<(), FileError> {
        let path = String::from(path);
        self.ask(move |file_system| file_system.create_dir(&path))
    }

    fn remove_file(&self, path: &str) -> Result<(), FileError> {
        let path = String::from(path);
        self.ask(move |file_system| file_system.remove_file(&path))
    }

    fn remove_dir(&self, path: &str) -> Result<(), FileError> {
        let path = String::from(path);
        self.ask(move |file_system| file_system.remove_dir(&path))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        let (from, to) = (String::from(from), String::from(to));
        self.ask(move |file_system| file_system.rename(&from, &to))
    }

    fn canonicalize(&self, path: &str) -> Result<String, FileError> {
        let path = String::from(path);
        self.ask(move |file_system| file_system.canonicalize(&path))
    }
}

fn zeroed(len: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = with_room(len)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

fn copied(bytes: &[u8]) -> Result<Vec<u8>, FileError> {
    let mut owned = with_room(bytes.len())?;
    owned.extend_from_slice(bytes);
    Ok(owned)
}

fn with_room(len: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(len);
    reserved.map_err(|_| FileError::OutOfMemory)?;
    Ok(bytes)
}
