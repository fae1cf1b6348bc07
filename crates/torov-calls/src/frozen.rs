//! [`Frozen`]: a program that stands still, as plain values; its memory goes beside it.
//!
//! A program is frozen before a call of its only thread, and makes that call when it runs again. What cannot be written
//! down, such as a connection, is refused. What comes back may have been written by anyone: a frozen program gets nothing
//! that the policy of its new monitor would not give it.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use torov_abi::{Errno, Signal, USER_END, number_of};
use torov_host as host;
use torov_policy::{Mode, Subject};
use torov_vcpu::Registers;

use crate::descriptors::{Class, Descriptor};
use crate::families::sockets;
use crate::process::Process;
use crate::signals::Stack;

/// A program without its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Its general registers.
    pub registers: Registers,
    /// The image of the others, as XSAVE has it.
    pub extended: Vec<u8>,
    /// The parts that the image has, as in XCR0.
    pub states: u64,
    /// The base of `fs`.
    pub fs_base: u64,
    /// The number of its thread, and the number that the next one gets.
    pub tids: [i32; 2],
    /// Where to write 0 when the thread ends, and the list of the locks that it holds.
    pub at_end: [u64; 2],
    /// The signals that it blocks.
    pub mask: u64,
    /// Its stack for handlers: where it begins, its length, and whether it is taken away while it is used.
    pub stack: (u64, u64, bool),
    /// What it wants done with the signals from 1 on, as the kernel's `struct sigaction` has it.
    pub actions: Vec<[u64; 4]>,
    /// The rights that its new files do not get.
    pub umask: u32,
    /// Its current folder.
    pub cwd: String,
    /// Its own path.
    pub executable: String,
    /// What it has open.
    pub open: Vec<Open>,
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The number.
    pub number: u64,
    /// The flag `FD_CLOEXEC`.
    pub on_exec: bool,
    /// What it is.
    pub what: What,
}

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The same as an earlier number.
    Same(u64),
    /// Standard input, output or error, by its number.
    Stream(u64),
    /// A file or a folder: its path, the flags of `open`, and where it stands.
    File(String, c_int, u64),
    /// A socket that waits for connections: its address as `struct sockaddr`, and the flags of `fcntl`.
    Listener(Vec<u8>, c_int),
}

/// The flags of an open file that are opened again: access, appending, not waiting, folders, paths alone.
const KEPT: c_int = 0o10_206_003;
const NONBLOCK: c_int = 0o4000;
const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const SOL_SOCKET: c_int = 1;
const SO_REUSEADDR: c_int = 2;
const SO_ACCEPTCONN: c_int = 30;
const STREAM: c_int = 1;
/// How many connections wait for a listener that comes back: as many as the host allows.
const BACKLOG: c_int = 4096;

/// How the names of standard streams are told from paths.
const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];

impl Descriptor {
    /// Standard input, output or error of the monitor, which is `fd`.
    #[must_use]
    pub fn stream(fd: std::os::fd::OwnedFd, number: u64) -> Self {
        let name = STREAMS.get(torov_abi::word::size(number));
        Self::new(fd, Class::Stdio, (*name.unwrap_or(&"")).to_owned())
    }
}

/// Writes down what is open.
///
/// # Errors
/// A sentence that names the descriptor and why it cannot be frozen.
pub(crate) fn write_down(process: &Process) -> Result<Vec<Open>, String> {
    let mut seen: Vec<(u64, Arc<Descriptor>)> = Vec::new();
    let mut list = Vec::new();
    for (number, descriptor, on_exec) in process.descriptors.all() {
        let earlier = seen
            .iter()
            .find(|(_, other)| Arc::ptr_eq(other, &descriptor));
        let what = match earlier {
            Some((first, _)) => What::Same(*first),
            None => describe(&descriptor).map_err(|why| format!("descriptor {number} is {why}"))?,
        };
        seen.push((number, descriptor));
        list.push(Open {
            number,
            on_exec,
            what,
        });
    }
    Ok(list)
}

fn describe(descriptor: &Descriptor) -> Result<What, String> {
    let failed = |error: Errno| format!("not to be described: {error}");
    let flags = || host::control(descriptor.fd(), F_GETFL, 0).map(torov_abi::word::int);
    match descriptor.class() {
        Class::Stdio => (0..)
            .zip(STREAMS)
            .find(|(_, name)| *name == descriptor.path())
            .map(|(number, _)| What::Stream(number))
            .ok_or_else(|| "a stream without a name".to_owned()),
        Class::File | Class::Directory => {
            let flags = flags().map_err(failed)?;
            // What cannot be sought stands nowhere.
            let offset = host::seek(descriptor.fd(), 0, 1).unwrap_or(0);
            Ok(What::File(
                descriptor.path().to_owned(),
                flags & KEPT,
                offset,
            ))
        }
        Class::Socket => {
            let listens = host::get_option(descriptor.fd(), SOL_SOCKET, SO_ACCEPTCONN, 4);
            if listens.is_ok_and(|value| value.first() == Some(&1)) {
                let address = host::local_name(descriptor.fd()).map_err(failed)?;
                sockets::parse(&address).map_err(failed)?;
                Ok(What::Listener(address, flags().map_err(failed)? & NONBLOCK))
            } else {
                Err("a socket that does not listen: only listeners can be opened again".to_owned())
            }
        }
        Class::Pipe => Err("an end of a pipe, which nobody could write down".to_owned()),
        Class::Event => Err("a counter, a timer or a set of epoll, which are not kept".to_owned()),
    }
}

impl Process {
    /// Gives the program what `frozen` says it had, as far as its policy lets it. It has no thread yet, and its standard
    /// streams are open.
    ///
    /// # Errors
    /// A sentence that says what it may not have, or what the host has no longer.
    pub fn thaw(&self, frozen: &Frozen) -> Result<(), String> {
        let sane = frozen.registers.rip < USER_END
            && frozen.fs_base < USER_END
            && frozen.tids[0] >= crate::process::PID
            && frozen.tids[1] > frozen.tids[0]
            && frozen.cwd.starts_with('/');
        if !sane {
            return Err("it holds registers or numbers that no program has".to_owned());
        }
        for (number, action) in (1..=64).zip(&frozen.actions) {
            // SIGKILL and SIGSTOP cannot be changed, and need not be.
            if let Some(signal) = Signal::new(number) {
                let _ = self.signals.set_action(signal, *action);
            }
        }
        self.set_mask(frozen.umask);
        self.next_tid.store(frozen.tids[1], Ordering::Relaxed);
        let streams: Vec<_> = (0..3)
            .map(|number| self.descriptors.get(number).ok())
            .collect();
        for number in 0..3 {
            // What the program had closed stays closed.
            let _ = self.descriptors.close(number);
        }
        for open in &frozen.open {
            let number = open.number;
            let descriptor = self
                .open_again(&open.what, &streams)
                .map_err(|why| format!("descriptor {number}: {why}"))?;
            let put = self.descriptors.put(number, descriptor, open.on_exec);
            put.map_err(|_| format!("descriptor {number} is beyond the limit `fds`"))?;
        }
        Ok(())
    }

    /// Puts `stream` in the place of the standard stream of its name, wherever the program has that.
    pub fn set_stream(&self, stream: Descriptor) {
        let stream = Arc::new(stream);
        for (number, old, on_exec) in self.descriptors.all() {
            if old.class() == Class::Stdio && old.path() == stream.path() {
                let put = self.descriptors.put(number, Arc::clone(&stream), on_exec);
                debug_assert!(put.is_ok(), "the number is in the table");
            }
        }
    }

    fn open_again(
        &self,
        what: &What,
        streams: &[Option<Arc<Descriptor>>],
    ) -> Result<Arc<Descriptor>, String> {
        match what {
            What::Same(first) => {
                let known = self.descriptors.get(*first);
                known.map_err(|_| format!("the same as {first}, which is not open"))
            }
            What::Stream(number) => {
                let stream = streams.get(torov_abi::word::size(*number));
                let stream = stream.and_then(Clone::clone);
                stream.ok_or_else(|| format!("standard stream {number} is closed here"))
            }
            What::File(path, flags, offset) => self.open_file(path, flags & KEPT, *offset),
            What::Listener(address, flags) => self.listen_again(address, flags & NONBLOCK),
        }
    }

    /// Whether the policy allows one of `calls` on `subject`.
    fn may(&self, calls: &[&str], subject: Subject<'_>) -> Result<(), String> {
        let allowed =
            |name: &&str| number_of(name).is_some_and(|number| self.policy.allows(number, subject));
        match calls.iter().any(allowed) {
            true => Ok(()),
            false => Err(format!(
                "the profile allows no `{}` with {subject}",
                calls.first().unwrap_or(&"")
            )),
        }
    }

    fn open_file(&self, path: &str, flags: c_int, offset: u64) -> Result<Arc<Descriptor>, String> {
        const O_ACCMODE: c_int = 3;
        const O_PATH: c_int = 0o10_000_000;
        let named = |error: Errno| {
            format!("{path}: {error}; what was open has to be there, below the mounts of this run")
        };
        let path = crate::mounts::normalise("/", path);
        let changes = flags & O_PATH == 0 && flags & O_ACCMODE != 0;
        let mode = if changes { Mode::Rw } else { Mode::Ro };
        let calls = ["openat", "open", "openat2", "creat"];
        self.may(&calls, Subject::Path(&path, mode))?;
        let found = self.mounts.find(&path).map_err(named)?;
        if changes && found.mode == Mode::Ro {
            return Err(named(Errno::EROFS));
        }
        let fd = host::open_beneath(found.root, &found.path, flags, 0).map_err(named)?;
        let fd_ref = std::os::fd::AsFd::as_fd(&fd);
        let is_directory = host::status(fd_ref).map_err(named)?.mode() & 0o170_000 == 0o040_000;
        if offset != 0 {
            let offset = i64::try_from(offset).map_err(|_| named(Errno::EOVERFLOW))?;
            host::seek(fd_ref, offset, 0).map_err(named)?;
        }
        let class = if is_directory {
            Class::Directory
        } else {
            Class::File
        };
        Ok(Arc::new(Descriptor::new(fd, class, path)))
    }

    fn listen_again(&self, bytes: &[u8], flags: c_int) -> Result<Arc<Descriptor>, String> {
        let address = sockets::parse(bytes).map_err(|error| format!("its address: {error}"))?;
        let named = |error: Errno| format!("{address}: {error}");
        self.may(&["bind"], Subject::Address(address))?;
        self.may(&["listen"], Subject::Nothing)?;
        let domain = c_int::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let fd = host::socket(domain, STREAM, 0).map_err(named)?;
        let fd_ref = std::os::fd::AsFd::as_fd(&fd);
        host::set_option(fd_ref, SOL_SOCKET, SO_REUSEADDR, &1_u32.to_le_bytes()).map_err(named)?;
        host::bind(fd_ref, bytes).map_err(named)?;
        host::listen(fd_ref, BACKLOG).map_err(named)?;
        host::control(fd_ref, F_SETFL, flags).map_err(named)?;
        let descriptor = Descriptor::new(fd, Class::Socket, String::new());
        Ok(Arc::new(descriptor))
    }
}

/// The stack for handlers as plain values.
pub(crate) fn plain_stack(stack: Stack) -> (u64, u64, bool) {
    (stack.start, stack.len, stack.disarms)
}
