//! Listing a directory: many entries an answer, given out one by one.

use alloc::collections::VecDeque;
use alloc::string::String;

use toro_vfs::{DirEntry, FileError, NodeId};

use crate::file_system::FuseFs;
use crate::open_nodes::{Entry, Listed, Listing};
use crate::reply::{Dirent, Kind, handle};
use crate::session::Request;
use crate::walk::walk;
use crate::wire::{Args, Opcode, Reader};

/// Bytes of an answer: more than a hundred entries.
const ROOM: u32 = 64 << 10;
/// Most entries of a directory: a server could go on for ever.
const MOST: usize = 1 << 20;
/// The longest name.
const NAME: usize = 255;

impl FuseFs {
    /// The entry at `cursor` that callers can use, and moves the cursor behind it.
    pub(crate) fn next_entry(
        &self,
        number: NodeId,
        cursor: &mut u64,
    ) -> Result<Option<DirEntry>, FileError> {
        loop {
            let Some(listed) = self.listed(number, *cursor)? else {
                return Ok(None);
            };
            *cursor = listed.next;
            match listed.entry {
                Entry::Known(entry) => return Ok(Some(entry)),
                Entry::Link(name) => {
                    if let Some(entry) = self.followed(number, name)? {
                        return Ok(Some(entry));
                    }
                }
                Entry::Skipped => {}
            }
        }
    }

    /// The entry at `cursor`, whatever it is.
    fn listed(&self, number: NodeId, cursor: u64) -> Result<Option<Listed>, FileError> {
        let directory = self.open.borrow_mut().get(number)?.node;
        let pin = self.tree.pin(directory);
        if pin.kind != Kind::Directory {
            return Err(FileError::NotADirectory);
        }
        let handle = self.listing_handle(number, directory)?;
        if let Some(listed) = self.take_listed(number, cursor)? {
            return Ok(Some(listed));
        }
        let plus = self.tree.session.limits.has_readdirplus;
        let opcode = [Opcode::Readdir, Opcode::Readdirplus][usize::from(plus)];
        let args = Args::new().u64(handle).u64(cursor).u32(ROOM).zeros(20);
        let answer = self
            .tree
            .session
            .call(Request::new(opcode, directory, args), ROOM as usize)?;
        let coming = self.parse(directory, cursor, answer.body(), plus)?;
        drop(answer);
        if coming.is_empty() {
            return Ok(None);
        }
        if let Some(listing) = &mut self.open.borrow_mut().get(number)?.listing {
            listing.count = if cursor == 0 { 0 } else { listing.count };
            listing.count += coming.len();
            if listing.count > MOST {
                return Err(FileError::TooLarge);
            }
            listing.coming = coming;
        }
        self.take_listed(number, cursor)
    }

    /// Takes the entry at `cursor` out of what has come, if it is there.
    fn take_listed(&self, number: NodeId, cursor: u64) -> Result<Option<Listed>, FileError> {
        let mut open = self.open.borrow_mut();
        let Some(listing) = &mut open.get(number)?.listing else {
            return Ok(None);
        };
        let is_next = listing
            .coming
            .front()
            .is_some_and(|front| front.at == cursor);
        Ok(listing.coming.pop_front().filter(|_| is_next))
    }

    /// The server's handle of a directory; opens it if need be.
    fn listing_handle(&self, number: NodeId, directory: u64) -> Result<u64, FileError> {
        if let Some(listing) = &self.open.borrow_mut().get(number)?.listing {
            return Ok(listing.handle);
        }
        let request = Request::new(Opcode::Opendir, directory, Args::new().zeros(8));
        let answer = self.tree.session.call(request, 16)?;
        let handle = handle(&mut Reader(answer.body())).ok_or(FileError::Corrupt)?;
        let listing = Listing {
            handle,
            coming: VecDeque::new(),
            count: 0,
        };
        let mut open = self.open.borrow_mut();
        if let Some(other) = open.get(number)?.listing.replace(listing) {
            // Another thread was faster while this one was parked.
            drop(open);
            self.release(Opcode::Releasedir, directory, other.handle);
        }
        Ok(handle)
    }

    /// Takes a listing apart, and takes note of the nodes that it names.
    fn parse(
        &self,
        directory: u64,
        mut at: u64,
        body: &[u8],
        plus: bool,
    ) -> Result<VecDeque<Listed>, FileError> {
        let mut coming = VecDeque::new();
        let mut reader = Reader(body);
        let mut outcome = Ok(());
        // To the end even after an error: each entry counts for the server.
        while let Some(dirent) = Dirent::parse(&mut reader, plus) {
            let entry = self.entry(directory, &dirent);
            let moves = dirent.next != at && dirent.next != 0;
            match entry {
                Ok(entry) if moves => coming.push_back(Listed {
                    at,
                    next: dirent.next,
                    entry,
                }),
                Ok(_) => outcome = Err(FileError::Corrupt),
                Err(error) => outcome = Err(error),
            }
            at = dirent.next;
        }
        // What is left would be an entry that does not end.
        let is_whole = reader.0.is_empty();
        outcome?;
        is_whole.then_some(coming).ok_or(FileError::Corrupt)
    }

    fn entry(&self, directory: u64, dirent: &Dirent<'_>) -> Result<Entry, FileError> {
        if matches!(dirent.name, b"." | b"..") {
            return Ok(Entry::Skipped);
        }
        let name = str::from_utf8(dirent.name)
            .ok()
            .filter(|name| is_name(name));
        let mut kind = dirent.kind;
        if let Some(mut entry) = dirent.entry.filter(|entry| entry.node != 0) {
            kind = entry.attr.kind;
            if name.is_none() {
                entry.valid = core::time::Duration::ZERO;
            }
            drop(self.tree.learn(directory, name.unwrap_or(""), &entry)?);
        }
        let Some(name) = name.map(String::from) else {
            // A name that is no text cannot be asked for.
            return Ok(Entry::Skipped);
        };
        Ok(match (kind, kind.file_type()) {
            (_, Some(file_type)) => Entry::Known(DirEntry::new(name, file_type)),
            (Kind::Link, _) => Entry::Link(name),
            // A listing without attributes may not know.
            (Kind::Other, _) if dirent.entry.is_none() => Entry::Link(name),
            _ => Entry::Skipped,
        })
    }

    /// The entry of a link, if it leads to a file or a directory.
    fn followed(&self, number: NodeId, name: String) -> Result<Option<DirEntry>, FileError> {
        let mut path = self.open.borrow_mut().get(number)?.path.clone();
        path.push('/');
        path.push_str(&name);
        let found = match walk(&self.tree, &path) {
            Ok(found) => found.node.kind.file_type(),
            Err(error @ (FileError::Io(_) | FileError::OutOfMemory)) => return Err(error),
            Err(_) => None,
        };
        Ok(found.map(|file_type| DirEntry::new(name, file_type)))
    }
}

/// Whether a server's name can be part of a path.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME && !name.contains(['/', '\0'])
}
