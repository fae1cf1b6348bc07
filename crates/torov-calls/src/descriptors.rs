//! [`Descriptors`]: the guest's numbers for what is open. No number of the host is ever seen by the guest, or taken from it.

mod event;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use torov_abi::Errno;
use torov_abi::word::{low, size, wide};

pub(crate) use self::event::{Bell, Event, Interest};

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Standard input, output or error of the monitor.
    Stdio,
    /// A file or a device.
    File,
    /// A directory.
    Directory,
    /// A socket.
    Socket,
    /// An end of a pipe.
    Pipe,
    /// A counter to wait for, or a set of descriptors to wait for.
    Event,
}

impl Class {
    /// The name in rules.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::File => "file",
            Self::Directory => "directory",
            Self::Socket => "socket",
            Self::Pipe => "pipe",
            Self::Event => "event",
        }
    }
}

/// Something open.
#[derive(Debug)]
pub struct Descriptor {
    fd: OwnedFd,
    class: Class,
    path: String,
    kind: Kind,
    event: Option<Event>,
    joins_writes: OnceLock<bool>,
}

/// What is behind a descriptor, as far as it matters how it is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A file.
    File,
    /// The null device.
    Null,
    /// Anything that may make others wait.
    Other,
}

impl Descriptor {
    /// Takes `fd` over. `path` is where the guest found it, or empty.
    #[must_use]
    pub fn new(fd: OwnedFd, class: Class, path: String) -> Self {
        let kind = match class {
            Class::File | Class::Stdio => Kind::of(fd.as_fd()),
            _ => Kind::Other,
        };
        Self {
            fd,
            class,
            path,
            kind,
            event: None,
            joins_writes: OnceLock::new(),
        }
    }

    /// The same for what is waited for.
    pub(crate) fn event_of(fd: OwnedFd, event: Event) -> Self {
        Self {
            event: Some(event),
            ..Self::new(fd, Class::Event, String::new())
        }
    }

    /// What it is to be waited for, if it is.
    pub(crate) fn event(&self) -> Option<&Event> {
        self.event.as_ref()
    }

    /// Whether it is a pipe that was found by a path.
    pub(crate) fn is_named_pipe(&self) -> bool {
        const FIFO: u32 = 0o010_000;
        let status = torov_host::status(self.fd());
        self.class == Class::File && status.is_ok_and(|status| status.mode() & 0o170_000 == FIFO)
    }

    /// Whether reading and writing never wait for anyone: it is a file, or the null device.
    #[must_use]
    pub fn never_waits(&self) -> bool {
        self.kind != Kind::Other
    }

    /// Whether several writes are the same as one of all their bytes: where files are nothing but bytes.
    #[must_use]
    pub fn joins_writes(&self) -> bool {
        // Asked when it is first wanted, for it takes a call of the host.
        *self.joins_writes.get_or_init(|| match self.kind {
            Kind::File => torov_host::holds_plain_files(self.fd()),
            Kind::Null => true,
            Kind::Other => false,
        })
    }

    /// The host's descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What it is.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The guest's path to it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Kind {
    fn of(fd: BorrowedFd<'_>) -> Self {
        const REGULAR: u32 = 0o100_000;
        const CHARACTER: u32 = 0o020_000;
        const NULL: u64 = 0x103;
        let status = torov_host::status(fd);
        status.map_or(Self::Other, |status| match status.mode() & 0o170_000 {
            REGULAR => Self::File,
            CHARACTER if status.raw().st_rdev == NULL => Self::Null,
            _ => Self::Other,
        })
    }
}

/// The table: the guest's number is the index.
#[derive(Debug)]
pub struct Descriptors {
    slots: Mutex<Vec<Slot>>,
    most: usize,
}

type Slot = Option<(Arc<Descriptor>, bool)>;

impl Descriptors {
    /// An empty table with room for `most`.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            slots: Mutex::default(),
            most: size(most.into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there can be.
    #[must_use]
    pub fn most(&self) -> u64 {
        wide(self.most)
    }

    /// What `number` stands for.
    ///
    /// # Errors
    /// `EBADF` if nothing.
    pub fn get(&self, number: u64) -> Result<Arc<Descriptor>, Errno> {
        let slots = self.lock();
        let slot = slots.get(index(number)?).and_then(Option::as_ref);
        slot.map(|(descriptor, _)| Arc::clone(descriptor))
            .ok_or(Errno::EBADF)
    }

    /// Gives `descriptor` the lowest free number that is at least `least`.
    ///
    /// # Errors
    /// `EMFILE` if there is none.
    pub fn add(
        &self,
        descriptor: Arc<Descriptor>,
        least: usize,
        on_exec: bool,
    ) -> Result<u64, Errno> {
        let mut slots = self.lock();
        let free = slots.iter().skip(least).position(Option::is_none);
        let at = free.map_or(slots.len().max(least), |at| at + least);
        if at >= self.most {
            return Err(Errno::EMFILE);
        }
        if at >= slots.len() {
            slots.resize(at + 1, None);
        }
        slots[at] = Some((descriptor, on_exec));
        Ok(wide(at))
    }

    /// Gives `descriptor` the number `number`, whatever it stood for.
    ///
    /// # Errors
    /// `EBADF` if the number is too large.
    pub fn put(
        &self,
        number: u64,
        descriptor: Arc<Descriptor>,
        on_exec: bool,
    ) -> Result<u64, Errno> {
        let at = index(number)?;
        if at >= self.most {
            return Err(Errno::EBADF);
        }
        let mut slots = self.lock();
        if at >= slots.len() {
            slots.resize(at + 1, None);
        }
        slots[at] = Some((descriptor, on_exec));
        Ok(number)
    }

    /// All that is open, by rising number, each with its flag `FD_CLOEXEC`.
    pub(crate) fn all(&self) -> Vec<(u64, Arc<Descriptor>, bool)> {
        let slots = self.lock();
        let open = slots.iter().enumerate().filter_map(|(at, slot)| {
            let (descriptor, on_exec) = slot.as_ref()?;
            Some((wide(at), Arc::clone(descriptor), *on_exec))
        });
        open.collect()
    }

    /// Closes `number`.
    ///
    /// # Errors
    /// `EBADF` if it stands for nothing.
    pub fn close(&self, number: u64) -> Result<(), Errno> {
        let mut slots = self.lock();
        let slot = slots.get_mut(index(number)?).ok_or(Errno::EBADF)?;
        slot.take().map(drop).ok_or(Errno::EBADF)
    }

    /// The flag `FD_CLOEXEC`, which no call here acts on; `set` changes it first.
    ///
    /// # Errors
    /// `EBADF` if the number stands for nothing.
    pub fn on_exec(&self, number: u64, set: Option<bool>) -> Result<bool, Errno> {
        let mut slots = self.lock();
        let slot = slots.get_mut(index(number)?).and_then(Option::as_mut);
        let (_, flag) = slot.ok_or(Errno::EBADF)?;
        if let Some(set) = set {
            *flag = set;
        }
        Ok(*flag)
    }
}

/// The argument as an index: the kernel looks at the lower half of the register.
fn index(number: u64) -> Result<usize, Errno> {
    let number = low(number);
    if number > 0xffff {
        return Err(Errno::EBADF);
    }
    Ok(size(number.into()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use torov_abi::Errno;

    use super::{Class, Descriptor, Descriptors};

    fn descriptor() -> Arc<Descriptor> {
        let file = File::open("/dev/null").unwrap();
        Arc::new(Descriptor::new(file.into(), Class::File, String::new()))
    }

    #[test]
    fn numbers_are_the_lowest_that_are_free() {
        let table = Descriptors::new(4);
        for number in 0..4 {
            assert_eq!(table.add(descriptor(), 0, false), Ok(number));
        }
        assert_eq!(table.add(descriptor(), 0, false), Err(Errno::EMFILE));
        table.close(1).unwrap();
        table.close(2).unwrap();
        assert_eq!(table.add(descriptor(), 2, false), Ok(2));
        assert_eq!(table.add(descriptor(), 0, false), Ok(1));
    }

    #[test]
    fn numbers_of_the_host_mean_nothing() {
        let table = Descriptors::new(64);
        let _open_on_the_host = File::open("/dev/null").unwrap();
        for number in (0..1024).chain([u64::MAX, 1 << 31, 0xffff, 0x1_0000]) {
            assert_eq!(table.get(number).unwrap_err(), Errno::EBADF, "{number}");
            assert_eq!(table.close(number), Err(Errno::EBADF));
        }
        assert_eq!(table.put(64, descriptor(), false), Err(Errno::EBADF));
    }

    #[test]
    fn what_is_in_use_outlives_its_number() {
        let table = Descriptors::new(4);
        table.add(descriptor(), 0, true).unwrap();
        assert_eq!(table.on_exec(0, Some(false)), Ok(true).map(|_: bool| false));
        let held = table.get(0).unwrap();
        table.close(0).unwrap();
        assert_eq!(held.class(), Class::File);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
