//! [`FuseFs`]: a share as a file system of `toro_vfs`.

use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt;

use toro_time::Instant;
use toro_vfs::{DirEntry, FileError, FileSystem, Metadata, NodeId, Sync};
use toro_wait::Mutex;

use crate::channel::Channel;
use crate::open_nodes::{Open, OpenNodes};
use crate::reply::{Entry, Kind, Space, handle};
use crate::session::{NUL, Request, Session};
use crate::tree::{ENTRY, Tree};
use crate::walk::{Found, MOST_LINKS, split, walk};
use crate::wire::{Args, OUT_HEADER, Opcode, ROOT, Reader};

/// Flags of opening, in Linux' numbers.
const READ_ONLY: u32 = 0;
const READ_WRITE: u32 = 2;
const CREATE_NEW: u32 = 0o100 | 0o200;
/// Modes of what is created.
const FILE_MODE: u32 = 0o100_644;
const DIR_MODE: u32 = 0o755;
/// Bytes of a `fuse_open_out` and of a `fuse_write_out`.
const OPENED: usize = 16;
const WRITTEN: usize = 8;

/// How a share is mounted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nothing is changed.
    pub read_only: bool,
    /// Tells the time, for what may be believed for a while.
    pub clock: fn() -> Instant,
}

/// A folder of the host.
///
/// Names and attributes are believed for as long as the server says, a second with virtiofsd's defaults; contents are always asked for.
/// Calls park until the server has answered. What is written has reached the host when the call returns; it is on its disk after a sync.
pub struct FuseFs {
    pub(crate) tree: Tree,
    pub(crate) open: RefCell<OpenNodes>,
    /// One thread at a time writes behind the end of files.
    appending: Mutex<()>,
    read_only: bool,
}

impl FuseFs {
    /// Opens the share behind `channel`.
    ///
    /// # Errors
    /// Fails if the server does not answer or speaks another protocol ([`FileError::Unsupported`]).
    pub fn mount(channel: Rc<dyn Channel>, options: Options) -> Result<Self, FileError> {
        let session = Session::open(channel)?;
        Ok(Self {
            tree: Tree::new(session, options.clock),
            open: RefCell::default(),
            appending: Mutex::new(()),
            read_only: options.read_only,
        })
    }

    /// How much the share holds, and how much it can take.
    ///
    /// # Errors
    /// What the server fails with.
    pub fn space(&self) -> Result<Space, FileError> {
        let request = Request::new(Opcode::Statfs, ROOT, Args::new());
        let answer = self.tree.session.call(request, 80)?;
        Space::parse(answer.body()).ok_or(FileError::Corrupt)
    }

    /// The most bytes that one request reads, and that one writes.
    pub fn request_bytes(&self) -> (usize, usize) {
        let limits = &self.tree.session.limits;
        (limits.read, limits.write)
    }

    fn check_writable(&self) -> Result<(), FileError> {
        match self.read_only {
            true => Err(FileError::ReadOnly),
            false => Ok(()),
        }
    }

    /// The node of an open file and the server's handle for reading it or, if `to_write`, for writing; opens it if need be.
    fn handle(&self, number: NodeId, to_write: bool) -> Result<(u64, u64), FileError> {
        let mut open = self.open.borrow_mut();
        let place = open.get(number)?;
        let node = place.node;
        let known = match to_write {
            true => place.writing,
            false => place.writing.or(place.reading),
        };
        if let Some(known) = known {
            return Ok((node, known));
        }
        drop(open);
        if self.tree.pin(node).kind == Kind::Directory {
            return Err(FileError::IsADirectory);
        }
        let flags = if to_write { READ_WRITE } else { READ_ONLY };
        let request = Request::new(Opcode::Open, node, Args::new().u32(flags).u32(0));
        let answer = self.tree.session.call(request, OPENED)?;
        let opened = handle(&mut Reader(answer.body())).ok_or(FileError::Corrupt)?;
        let mut open = self.open.borrow_mut();
        let place = open.get(number)?;
        let place = match to_write {
            true => &mut place.writing,
            false => &mut place.reading,
        };
        // Another thread may have been faster while this one was parked.
        if let Some(other) = *place {
            drop(open);
            self.release(Opcode::Release, node, opened);
            return Ok((node, other));
        }
        *place = Some(opened);
        Ok((node, opened))
    }

    /// Gives a handle back to the server; nobody waits for that.
    pub(crate) fn release(&self, opcode: Opcode, node: u64, handle: u64) {
        let args = Args::new().u64(handle).zeros(16);
        self.tree.session.cast(Request::new(opcode, node, args));
    }

    fn insert(&self, node: u64, writing: Option<u64>, path: String) -> NodeId {
        self.open.borrow_mut().insert(Open {
            node,
            reading: None,
            writing,
            path,
            listing: None,
        })
    }

    /// The directory in which `path` ends, for a change, and the name there.
    fn place<'p>(&self, path: &'p str) -> Result<(Found<'_>, &'p str), FileError> {
        self.check_writable()?;
        let (directory, name) = split(path);
        let found = walk(&self.tree, directory)?;
        match found.node.kind {
            Kind::Directory => Ok((found, name)),
            _ => Err(FileError::NotADirectory),
        }
    }

    /// Has the name at the end of `path` removed.
    fn remove(&self, opcode: Opcode, path: &str) -> Result<(), FileError> {
        let (directory, name) = self.place(path)?;
        let parent = directory.node.node;
        let parts = [name.as_bytes(), NUL];
        let request = Request::new(opcode, parent, Args::new()).with(&parts);
        let outcome = self.tree.session.call(request, 0).map(drop);
        self.tree.unlearn(parent, name);
        outcome
    }

    /// Where the link at the end of `path` leads, from the root; the error if there is no link.
    fn past_link(&self, directory: &Found<'_>, name: &str) -> Result<String, FileError> {
        let node = self.tree.lookup(&directory.node, name)?;
        if node.kind != Kind::Link {
            return Err(FileError::AlreadyExists);
        }
        let target = self.tree.read_link(node.node)?;
        Ok(match target.starts_with('/') {
            true => target,
            false => alloc::format!("{}/{target}", directory.path),
        })
    }

    /// Creates the file, unless something is there.
    fn try_create(&self, directory: &Found<'_>, name: &str) -> Result<NodeId, FileError> {
        let parent = directory.node.node;
        let flags = CREATE_NEW | READ_WRITE;
        let args = Args::new().u32(flags).u32(FILE_MODE).u32(0).u32(0);
        let parts = [name.as_bytes(), NUL];
        let request = Request::new(Opcode::Create, parent, args).with(&parts);
        let answer = self.tree.session.call(request, ENTRY + OPENED)?;
        let mut reader = Reader(answer.body());
        let entry = Entry::parse(&mut reader).filter(|entry| entry.attr.kind == Kind::File);
        let (entry, opened) = entry.zip(handle(&mut reader)).ok_or(FileError::Corrupt)?;
        self.tree.outdate(parent);
        let node = self.tree.learn(parent, name, &entry)?.keep();
        Ok(self.insert(node, Some(opened), String::new()))
    }

    /// Has what was written through `handle` brought to the host's disk.
    fn fsync(&self, node: u64, handle: u64, what: Sync) -> Result<(), FileError> {
        let data_only = u32::from(what == Sync::Data);
        let args = Args::new().u64(handle).u32(data_only).u32(0);
        let request = Request::new(Opcode::Fsync, node, args);
        self.tree.session.call(request, 0).map(drop)
    }
}

impl FileSystem for FuseFs {
    fn open(&self, path: &str) -> Result<NodeId, FileError> {
        let Found { node, path } = walk(&self.tree, path)?;
        let path = match node.kind {
            Kind::Directory => path,
            Kind::File => String::new(),
            Kind::Link | Kind::Other => return Err(FileError::Unsupported),
        };
        Ok(self.insert(node.keep(), None, path))
    }

    fn close(&self, number: NodeId) {
        let Some(open) = self.open.borrow_mut().remove(number) else {
            return;
        };
        for handle in [open.reading, open.writing].into_iter().flatten() {
            self.release(Opcode::Release, open.node, handle);
        }
        if let Some(listing) = open.listing {
            self.release(Opcode::Releasedir, open.node, listing.handle);
        }
        self.tree.unpin(open.node);
    }

    fn metadata(&self, number: NodeId) -> Result<Metadata, FileError> {
        let node = self.open.borrow_mut().get(number)?.node;
        let attr = self.tree.attr(node)?;
        let file_type = attr.kind.file_type().ok_or(FileError::Corrupt)?;
        let len = if attr.kind == Kind::File { attr.len } else { 0 };
        Ok(Metadata::new(file_type, len, attr.modified))
    }

    fn read_at(&self, number: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let (node, handle) = self.handle(number, false)?;
        let most = self.tree.session.limits.read;
        let len = buf.len().min(most);
        if len == 0 || offset > i64::MAX as u64 {
            return Ok(0);
        }
        let size = u32::try_from(len).expect("requests are at most 1 MiB");
        let args = Args::new().u64(handle).u64(offset).u32(size).zeros(20);
        let request = Request::new(Opcode::Read, node, args);
        let answer = self.tree.session.call(request, len)?;
        let bytes = answer.body();
        // The device had no room for more than `len`.
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn read_dir(&self, number: NodeId, cursor: &mut u64) -> Result<Option<DirEntry>, FileError> {
        self.next_entry(number, cursor)
    }

    fn create(&self, path: &str) -> Result<NodeId, FileError> {
        self.check_writable()?;
        let mut path = String::from(path);
        for _ in 0..=MOST_LINKS {
            let (directory, name) = self.place(&path)?;
            if matches!(name, "" | "." | "..") {
                return Err(FileError::AlreadyExists);
            }
            match self.try_create(&directory, name) {
                // What a link leads to may be missing: then that is created.
                Err(FileError::AlreadyExists) => {
                    let next = self.past_link(&directory, name)?;
                    if walk(&self.tree, &next).is_ok() {
                        return Err(FileError::AlreadyExists);
                    }
                    drop(directory);
                    path = next;
                }
                other => return other,
            }
        }
        Err(FileError::InvalidPath)
    }

    fn write_at(&self, number: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, FileError> {
        self.check_writable()?;
        let most = self.tree.session.limits.write;
        let bytes = &bytes[..bytes.len().min(most)];
        let (node, handle) = self.handle(number, true)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > i64::MAX as u64) {
            return Err(FileError::TooLarge);
        }
        let size = u32::try_from(bytes.len()).expect("requests are at most 1 MiB");
        let args = Args::new().u64(handle).u64(offset).u32(size).zeros(20);
        let parts = [bytes];
        let request = Request::new(Opcode::Write, node, args).with(&parts);
        let outcome = self.tree.session.call(request, WRITTEN);
        self.tree.outdate(node);
        let answer = outcome?;
        let written = Reader(answer.body()).u32().ok_or(FileError::Corrupt)? as usize;
        (written <= bytes.len())
            .then_some(written)
            .ok_or(FileError::Corrupt)
    }

    fn append(&self, number: NodeId, bytes: &[u8]) -> Result<(u64, usize), FileError> {
        let _turn = self.appending.lock();
        let node = self.open.borrow_mut().get(number)?.node;
        let end = self.tree.fresh_attr(node)?.len;
        Ok((end, self.write_at(number, end, bytes)?))
    }

    fn set_len(&self, number: NodeId, len: u64) -> Result<(), FileError> {
        self.check_writable()?;
        let open = {
            let mut open = self.open.borrow_mut();
            let open = open.get(number)?;
            (open.node, open.writing)
        };
        let (node, handle) = open;
        if self.tree.pin(node).kind == Kind::Directory {
            return Err(FileError::IsADirectory);
        }
        if len > i64::MAX as u64 {
            return Err(FileError::TooLarge);
        }
        self.tree.set_len(node, handle, len)
    }

    fn sync(&self, number: NodeId, what: Sync) -> Result<(), FileError> {
        let (node, handle) = self.handle(number, false)?;
        self.fsync(node, handle, what)
    }

    fn sync_all(&self) -> Result<(), FileError> {
        self.tree.tell_forgets(1);
        if self.read_only || self.tree.session.sync()? {
            return Ok(());
        }
        // A server that cannot is asked for each file that may have been written.
        let numbers = self.open.borrow().numbers();
        let mut outcome = Ok(());
        for number in numbers {
            let written = self
                .open
                .borrow_mut()
                .get(number)
                .map(|open| (open.node, open.writing));
            if let Ok((node, Some(handle))) = written {
                outcome = outcome.and(self.fsync(node, handle, Sync::All));
            }
        }
        outcome
    }

    fn create_dir(&self, path: &str) -> Result<(), FileError> {
        let (directory, name) = self.place(path)?;
        let parent = directory.node.node;
        let parts = [name.as_bytes(), NUL];
        let args = Args::new().u32(DIR_MODE).u32(0);
        let request = Request::new(Opcode::Mkdir, parent, args).with(&parts);
        let answer = self.tree.session.call(request, ENTRY)?;
        let entry = Entry::parse(&mut Reader(answer.body())).ok_or(FileError::Corrupt)?;
        self.tree.outdate(parent);
        self.tree.learn(parent, name, &entry).map(drop)
    }

    fn remove_file(&self, path: &str) -> Result<(), FileError> {
        match self.remove(Opcode::Unlink, path) {
            // Not every host tells a directory apart (POSIX lets it be EPERM).
            Err(FileError::PermissionDenied) if self.is_dir(path) => Err(FileError::IsADirectory),
            other => other,
        }
    }

    fn remove_dir(&self, path: &str) -> Result<(), FileError> {
        self.remove(Opcode::Rmdir, path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        let (old, old_name) = self.place(from)?;
        let (new, new_name) = self.place(to)?;
        let (old, new) = (old.node, new.node);
        let args = Args::new().u64(new.node).u32(0).u32(0);
        let parts = [old_name.as_bytes(), NUL, new_name.as_bytes(), NUL];
        let request = Request::new(Opcode::Rename2, old.node, args).with(&parts);
        let outcome = self.tree.session.call(request, 0).map(drop);
        self.tree.unlearn(old.node, old_name);
        self.tree.unlearn(new.node, new_name);
        outcome
    }

    fn canonicalize(&self, path: &str) -> Result<String, FileError> {
        walk(&self.tree, path).map(|found| found.path)
    }
}

impl FuseFs {
    fn is_dir(&self, path: &str) -> bool {
        walk(&self.tree, path).is_ok_and(|found| found.node.kind == Kind::Directory)
    }
}

impl fmt::Debug for FuseFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FuseFs")
            .field("limits", &self.tree.session.limits)
            .finish_non_exhaustive()
    }
}

const _: () = assert!(OUT_HEADER == 16, "the answers above are counted without it");
