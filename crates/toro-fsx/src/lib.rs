//! Random operations on a file system, held against a model in plain maps.
//!
//! Used by the tests of every file system that can be written, on the host and in an image: [`run`] draws operations from a seed and
//! compares each answer, also the errors, with what [`model::Model`] says. The same seed does the same everywhere.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod model;
mod random;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use model::{Bytes, Model};
pub use random::Random;
use toro_vfs::{File, FileError, FileType, OpenOptions, Place};

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The empty directory in which all happens, without a slash at the end; the root is the empty text.
    pub root: &'a str,
    /// Decides everything.
    pub seed: u64,
    /// How many operations.
    pub operations: u64,
    /// Files stay below this length, in bytes.
    pub max_len: u64,
    /// Most bytes of one read or write.
    pub max_io: u64,
    /// So many more names are drawn from half of the time, for directories with many entries.
    pub crowd: u64,
}

/// Names that a run draws from; in one directory they differ in more than case.
const NAMES: [&str; 10] = [
    "a",
    "b.txt",
    "A long name with spaces.html",
    "\u{e4}\u{f6}\u{fc}",
    "\u{65e5}\u{672c}\u{8a9e}.md",
    "\u{1f980} crab",
    "dir",
    "deep.d",
    "Mixed.Case",
    "x.tar.gz",
];

/// Runs the plan over the mounts in which `resolve` finds a path. The directory is empty again afterwards.
///
/// # Panics
/// Panics with the seed and step where an answer differs from the model's.
pub fn run<R>(resolve: R, plan: Plan<'_>)
where
    R: for<'p> Fn(&'p str) -> Result<Place<'p>, FileError>,
{
    let mut run = Run {
        resolve,
        model: Model::new(),
        random: Random::new(plan.seed),
        plan,
        step: 0,
        handles: Vec::new(),
        buffer: Vec::new(),
    };
    for step in 0..plan.operations {
        run.step = step;
        run.operate();
        if step % 2048 == 2047 {
            run.compare_all();
        }
    }
    run.handles.clear();
    run.compare_all();
    for (name, file_type) in run.entries("/") {
        let removed = run.at(&format!("/{name}"), |place| match file_type {
            FileType::Directory => place.remove_dir_all(),
            FileType::File => place.remove_file(),
        });
        removed.expect("what is there can be removed");
    }
    assert!(run.entries("/").is_empty());
}

/// Whether `path` lies in the directory `other`, or further down.
fn is_below(path: &str, other: &str) -> bool {
    let rest = path.strip_prefix(other);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Long names, short ones, and some that differ only behind what a short name keeps.
fn crowd_name(number: u64) -> String {
    match number % 3 {
        0 => format!("N{number}"),
        1 => format!("One of many {number}"),
        _ => format!("{number} of many, whose name takes several slots.text"),
    }
}

struct Run<'a, R> {
    resolve: R,
    model: Model,
    random: Random,
    plan: Plan<'a>,
    step: u64,
    handles: Vec<Handle>,
    buffer: Vec<u8>,
}

struct Handle {
    file: File,
    bytes: Bytes,
    append: bool,
}

impl<R> Run<'_, R>
where
    R: for<'p> Fn(&'p str) -> Result<Place<'p>, FileError>,
{
    fn operate(&mut self) {
        match self.random.below(100) {
            0..10 => self.open(),
            10..14 => self.close(),
            14..17 => self.create_dir(),
            17..19 => self.remove_dir(),
            19..22 => self.remove_file(),
            22..26 => self.rename(),
            26..29 => self.metadata(),
            29..31 => self.list(),
            31..33 => self.sync(),
            33..41 => self.set_len(),
            41..70 => self.write(),
            _ => self.read(),
        }
    }

    /// Calls `call` with the place of `path`.
    fn at<T>(&self, path: &str, call: impl FnOnce(Place<'_>) -> T) -> T {
        let path = [self.plan.root, path].concat();
        call((self.resolve)(&path).expect("something is mounted there"))
    }

    /// A path of one to three names, often one that is there.
    fn path(&mut self) -> String {
        if self.random.below(2) == 0
            && let Some(path) = self.model.any_path(&mut self.random)
        {
            return path;
        }
        if self.plan.crowd > 0 && self.random.below(2) == 0 {
            let number = self.random.below(self.plan.crowd);
            return format!("/{}", crowd_name(number));
        }
        let depth = 1 + self.random.below(3);
        let names = (0..depth).map(|_| NAMES[self.random.index(NAMES.len())]);
        let names: Vec<_> = names.collect();
        format!("/{}", names.join("/"))
    }

    #[track_caller]
    fn same<T: PartialEq + fmt::Debug>(&self, found: T, expected: T, what: &str) {
        let (seed, step) = (self.plan.seed, self.step);
        assert_eq!(found, expected, "{what}; seed {seed}, step {step}");
    }

    fn open(&mut self) {
        if self.handles.len() >= 8 {
            self.close();
        }
        let path = self.path();
        let (create, create_new) = (self.random.below(4) > 0, self.random.below(4) == 0);
        let (append, truncate) = (self.random.below(5) == 0, self.random.below(8) == 0);
        let truncate = truncate && !append;
        let mut options = OpenOptions::new();
        options.read(true).write(true).append(append);
        options
            .create(create)
            .create_new(create_new)
            .truncate(truncate);
        let found = self.at(&path, |place| place.open_with(&options));
        let expected = self.model.open(&path, create, create_new, truncate);
        let found_kind = found.as_ref().map(|_| ()).map_err(|error| *error);
        let expected_kind = expected.as_ref().map(|_| ()).map_err(|error| *error);
        self.same(found_kind, expected_kind, &format!("open {path}"));
        if let (Ok(file), Ok(bytes)) = (found, expected) {
            self.handles.push(Handle {
                file,
                bytes,
                append,
            });
        }
    }

    fn close(&mut self) {
        if !self.handles.is_empty() {
            let at = self.random.index(self.handles.len());
            self.handles.swap_remove(at);
        }
    }

    fn create_dir(&mut self) {
        let path = self.path();
        let found = self.at(&path, |place| place.create_dir());
        let expected = self.model.create_dir(&path);
        self.same(found, expected, &format!("create_dir {path}"));
    }

    fn remove_dir(&mut self) {
        let path = self.path();
        let found = self.at(&path, |place| place.remove_dir());
        let expected = self.model.remove_dir(&path);
        self.same(found, expected, &format!("remove_dir {path}"));
    }

    fn remove_file(&mut self) {
        let path = self.path();
        let found = self.at(&path, |place| place.remove_file());
        let expected = self.model.remove_file(&path);
        self.same(found, expected, &format!("remove_file {path}"));
    }

    fn rename(&mut self) {
        let (from, to) = (self.path(), self.path());
        let found = self.at(&from, |from| self.at(&to, |to| from.rename(to)));
        // Where both paths are wrong, which one is told is the file system's affair.
        let target = self.model.check_parent(&to);
        let not_empty = Err(FileError::DirectoryNotEmpty);
        let expected = match self.model.rename(&from, &to) {
            Err(_) if target.is_err() && found == target => target,
            // A file in place of its own directory, which is no file and is not empty either.
            Err(FileError::IsADirectory) if is_below(&from, &to) && found == not_empty => not_empty,
            expected => expected,
        };
        self.same(found, expected, &format!("rename {from} to {to}"));
    }

    fn metadata(&mut self) {
        let path = self.path();
        let found = self.at(&path, |place| place.metadata());
        let found = found.map(|metadata| (metadata.is_dir(), metadata.is_file(), metadata.len()));
        // What a directory's length is, is the file system's affair.
        let found = found.map(|(dir, file, len)| (dir, file, if dir { 0 } else { len }));
        let expected = self.model.metadata(&path);
        self.same(found, expected, &format!("metadata {path}"));
    }

    fn list(&mut self) {
        let path = self.path();
        match self.model.entries(&path) {
            Ok(expected) => self.same(self.entries(&path), expected, &format!("list {path}")),
            Err(error) => {
                let found = self.at(&path, |place| place.read_dir()).err();
                self.same(found, Some(error), &format!("list {path}"));
            }
        }
    }

    fn entries(&self, path: &str) -> Vec<(String, FileType)> {
        let listed = self
            .at(path, |place| place.read_dir())
            .expect("it is a directory");
        let mut entries: Vec<_> = listed
            .map(|entry| entry.expect("it can be read"))
            .map(|entry| (entry.name().to_owned(), entry.file_type()))
            .collect();
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        entries
    }

    fn handle(&mut self) -> Option<usize> {
        (!self.handles.is_empty()).then(|| self.random.index(self.handles.len()))
    }

    fn sync(&mut self) {
        if let Some(at) = self.handle() {
            let found = self.handles[at].file.sync_all();
            self.same(found, Ok(()), "sync");
        }
    }

    fn set_len(&mut self) {
        let Some(at) = self.handle() else { return };
        let len = self.random.below(self.plan.max_len);
        let found = self.handles[at].file.set_len(len);
        self.same(found, Ok(()), "set_len");
        self.handles[at]
            .bytes
            .borrow_mut()
            .resize(usize::try_from(len).expect("it is small"), 0);
    }

    fn write(&mut self) {
        let Some(at) = self.handle() else { return };
        let len = self.random.below(self.plan.max_io + 1);
        let offset = self.random.below(self.plan.max_len - len);
        let fill = self.random.next_u64();
        self.buffer.clear();
        self.buffer
            .extend((0..len).map(|at| (fill.wrapping_add(at * at)).to_le_bytes()[0]));
        let handle = &mut self.handles[at];
        let end = handle.bytes.borrow().len() as u64;
        let (offset, found) = if handle.append && end + len < self.plan.max_len {
            (end, handle.file.write(&self.buffer))
        } else {
            (offset, handle.file.write_at(&self.buffer, offset))
        };
        if len > 0 {
            model::write(&mut handle.bytes.borrow_mut(), offset, &self.buffer);
        }
        self.same(found, Ok(self.buffer.len()), "write");
    }

    fn read(&mut self) {
        let Some(at) = self.handle() else { return };
        let len = usize::try_from(self.random.below(self.plan.max_io + 1)).expect("it is small");
        let offset = self.random.below(self.plan.max_len);
        let handle = &self.handles[at];
        let expected = model::read(&handle.bytes.borrow(), offset, len);
        let found = read(&handle.file, offset, len);
        self.same(found, Ok(expected), "read");
        let found = handle.file.metadata().map(|metadata| metadata.len());
        self.same(found, Ok(handle.bytes.borrow().len() as u64), "length");
    }

    /// Holds the whole tree and every open file against the model.
    fn compare_all(&self) {
        for (path, bytes) in self.model.nodes() {
            let Some(bytes) = bytes else {
                let expected = self.model.entries(path).expect("it is a directory");
                self.same(self.entries(path), expected, &format!("all of {path}"));
                continue;
            };
            let found = self.at(path, |place| place.open()).expect("it is there");
            let found = read(&found, 0, bytes.borrow().len() + 1);
            let same = found.as_deref() == Ok(&bytes.borrow()[..]);
            self.same(same, true, &format!("content of {path}"));
        }
    }
}

/// Reads until `len` bytes are there or the file ends.
fn read(file: &File, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = vec![0xee; len];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], offset + done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}
