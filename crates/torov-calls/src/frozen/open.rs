//! What a program has open, written down and opened again.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use torov_abi::Errno;
use torov_abi::word::{int, size, wide};
use torov_host as host;
use torov_policy::{Mode, Subject};

use super::{Frozen, Open, STREAMS, What};
use crate::descriptors::{Bell, Class, Descriptor, Event, Interest};
use crate::families::sockets;
use crate::families::timers::CLOCKS;
use crate::process::Process;
use crate::signals::NEVER_BLOCKED;

/// The flags of an open file that are opened again: access, appending, not waiting, folders, paths alone.
const KEPT: c_int = 0o10_206_003;
const NONBLOCK: c_int = 0o4000;
const O_DIRECT: c_int = 0o40_000;
const O_ACCMODE: c_int = 3;
const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const SOL_SOCKET: c_int = 1;
const SO_REUSEADDR: c_int = 2;
const SO_ACCEPTCONN: c_int = 30;
const STREAM: c_int = 1;
/// How many connections wait for a listener that comes back: as many as the host allows.
const BACKLOG: c_int = 4096;

/// How much a pipe holds at most, as long as nobody changes that.
const PIPE: usize = 1 << 16;

/// `EPOLLONESHOT`.
const ONE_SHOT: u32 = 1 << 30;

/// Writes down what is open, and what is in the pipes. What is in there, and in the counters, is gone then: the program has ended.
///
/// # Errors
/// A sentence that names the descriptor and why it cannot be frozen.
pub(crate) fn write_down(process: &Process) -> Result<(Vec<Open>, Vec<Vec<u8>>), String> {
    let all = process.descriptors.all();
    let number_of = |wanted: &Arc<Descriptor>| {
        let mut all = all.iter();
        let found = all.find(|(_, descriptor, _)| Arc::ptr_eq(descriptor, wanted));
        found.map(|(number, ..)| *number)
    };
    let mut pipes = Pipes::default();
    let mut list = Vec::new();
    for (number, descriptor, on_exec) in &all {
        let what = match number_of(descriptor) {
            Some(first) if first != *number => What::Same(first),
            _ => describe(descriptor, &mut pipes, number_of)
                .map_err(|why| format!("descriptor {number} is {why}"))?,
        };
        list.push(Open {
            number: *number,
            on_exec: *on_exec,
            what,
        });
    }
    Ok((list, pipes.contents))
}

/// The pipes that were found, by their numbers on the host.
#[derive(Default)]
struct Pipes {
    known: BTreeMap<(u64, u64), usize>,
    contents: Vec<Vec<u8>>,
}

impl Pipes {
    /// Which pipe `fd` is an end of, whether it is that to write to, and its flags. What can be read from it is read.
    fn describe(&mut self, fd: BorrowedFd<'_>) -> Result<What, String> {
        let failed = |error: Errno| format!("not to be described: {error}");
        let status = host::status(fd).map_err(failed)?;
        let flags = int(host::control(fd, F_GETFL, 0).map_err(failed)?);
        if flags & O_DIRECT != 0 {
            return Err("an end of a pipe of packets, whose borders nobody can see".to_owned());
        }
        let name = (status.raw().st_dev, status.raw().st_ino);
        let index = *self.known.entry(name).or_insert(self.contents.len());
        if index == self.contents.len() {
            self.contents.push(Vec::new());
        }
        let writes = flags & O_ACCMODE != 0;
        if !writes {
            host::control(fd, F_SETFL, flags | NONBLOCK).map_err(failed)?;
            self.contents[index].extend(drain(fd).map_err(failed)?);
        }
        Ok(What::Pipe(wide(index), writes, flags & NONBLOCK))
    }
}

/// What can be read without waiting.
fn drain(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; PIPE];
    let mut len = 0;
    while len < bytes.len() {
        match host::read_bytes(fd, &mut bytes[len..]) {
            Ok(0) | Err(Errno::EAGAIN) => break,
            Ok(got) => len += size(got),
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn describe(
    descriptor: &Descriptor,
    pipes: &mut Pipes,
    number_of: impl Fn(&Arc<Descriptor>) -> Option<u64>,
) -> Result<What, String> {
    let failed = |error: Errno| format!("not to be described: {error}");
    let flags = || host::control(descriptor.fd(), F_GETFL, 0).map(int);
    match descriptor.class() {
        Class::Stdio => (0..)
            .zip(STREAMS)
            .find(|(_, name)| *name == descriptor.path())
            .map(|(number, _)| What::Stream(number))
            .ok_or_else(|| "a stream without a name".to_owned()),
        Class::File if descriptor.is_named_pipe() => {
            Err("a pipe with a name, which waits for its other end when it is opened".to_owned())
        }
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
        Class::Pipe => pipes.describe(descriptor.fd()),
        Class::Event => match descriptor.event() {
            Some(Event::Counter { takes_one }) => {
                let flags = flags().map_err(failed)? & NONBLOCK;
                let value = count(descriptor.fd(), *takes_one).map_err(failed)?;
                Ok(What::Counter(value, *takes_one, flags))
            }
            Some(Event::Timer { clock }) => {
                let flags = flags().map_err(failed)? & NONBLOCK;
                let setting = left(descriptor.fd()).map_err(failed)?;
                Ok(What::Timer(*clock, setting, flags))
            }
            Some(Event::Signals(bell)) => {
                let flags = flags().map_err(failed)? & NONBLOCK;
                Ok(What::Signals(bell.mask(), flags))
            }
            Some(Event::Set(interest)) => members(interest, number_of),
            None => Err("of a kind that is not kept".to_owned()),
        },
    }
}

/// The value of a counter, which is 0 then.
fn count(fd: BorrowedFd<'_>, takes_one: bool) -> Result<u64, Errno> {
    // What takes one at a time is waited for as often as there are some.
    const MOST: u64 = 1 << 20;
    let flags = int(host::control(fd, F_GETFL, 0)?);
    host::control(fd, F_SETFL, flags | NONBLOCK)?;
    let mut value: u64 = 0;
    loop {
        let mut word = [0; 8];
        match host::read_bytes(fd, &mut word) {
            Ok(_) => value = value.saturating_add(u64::from_le_bytes(word)),
            Err(Errno::EAGAIN) => return Ok(value),
            Err(error) => return Err(error),
        }
        if !takes_one {
            return Ok(value);
        }
        if value > MOST {
            return Err(Errno::EOVERFLOW);
        }
    }
}

/// The setting of a timer. One that has gone off and was not read goes off again at once.
fn left(fd: BorrowedFd<'_>) -> Result<[u64; 4], Errno> {
    let flags = int(host::control(fd, F_GETFL, 0)?);
    host::control(fd, F_SETFL, flags | NONBLOCK)?;
    let setting = host::timer_setting(fd)?;
    let (words, _) = setting.as_chunks::<8>();
    let mut left = [0; 4];
    for (place, word) in left.iter_mut().zip(words) {
        *place = u64::from_le_bytes(*word);
    }
    if host::read_bytes(fd, &mut [0; 8]).is_ok() {
        left[2..].copy_from_slice(&[0, 1]);
    }
    Ok(left)
}

/// What a set waits for, by the numbers that it has now. What has no number any more cannot be told of again.
fn members(
    interest: &Interest,
    number_of: impl Fn(&Arc<Descriptor>) -> Option<u64>,
) -> Result<What, String> {
    let mut members = Vec::new();
    for wanted in interest.all() {
        let open = wanted.descriptor.upgrade();
        let Some(number) = open.as_ref().and_then(&number_of) else {
            continue;
        };
        if wanted.events & ONE_SHOT != 0 {
            return Err(format!(
                "a set that waits once for descriptor {number} (EPOLLONESHOT), and does not know whether it still does"
            ));
        }
        members.push((number, wanted.events, wanted.own));
    }
    Ok(What::Set(members))
}

/// The ends of a pipe, until each was given to its number.
type Ends = [Option<OwnedFd>; 2];

impl Process {
    /// Opens all that `frozen` says was open.
    ///
    /// # Errors
    /// A sentence that names the descriptor and what is wrong with it.
    pub(super) fn open_again(&self, frozen: &Frozen) -> Result<(), String> {
        let streams: Vec<_> = (0..3)
            .map(|number| self.descriptors.get(number).ok())
            .collect();
        for number in 0..3 {
            // What the program had closed stays closed.
            let _ = self.descriptors.close(number);
        }
        let pipes = frozen.pipes.iter().map(|bytes| self.pipe(bytes));
        let mut pipes = pipes.collect::<Result<Vec<Ends>, String>>()?;
        for open in &frozen.open {
            let number = open.number;
            let descriptor = self
                .one_again(&open.what, &streams, &mut pipes)
                .map_err(|why| format!("descriptor {number}: {why}"))?;
            let put = self.descriptors.put(number, descriptor, open.on_exec);
            put.map_err(|_| format!("descriptor {number} is beyond the limit `fds`"))?;
        }
        // What is waited for may have a higher number than the set.
        for open in &frozen.open {
            if let What::Set(members) = &open.what {
                self.wait_again(open.number, members)
                    .map_err(|error| format!("descriptor {}: {error}", open.number))?;
            }
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

    /// Makes a pipe that holds `bytes`.
    fn pipe(&self, bytes: &[u8]) -> Result<Ends, String> {
        self.may(&["pipe2", "pipe"], Subject::Nothing)?;
        let named = |error: Errno| format!("a pipe: {error}");
        let [read, write] = host::pipe(NONBLOCK).map_err(named)?;
        let put = match bytes {
            [] => Ok(0),
            bytes => host::write_bytes(write.as_fd(), bytes),
        };
        match put.map_err(named)? {
            put if put == wide(bytes.len()) => Ok([Some(read), Some(write)]),
            _ => Err("it holds a pipe that is fuller than pipes get".to_owned()),
        }
    }

    fn one_again(
        &self,
        what: &What,
        streams: &[Option<Arc<Descriptor>>],
        pipes: &mut [Ends],
    ) -> Result<Arc<Descriptor>, String> {
        let named = |error: Errno| error.to_string();
        let flagged = |fd: OwnedFd, flags: c_int| {
            host::control(fd.as_fd(), F_SETFL, flags & NONBLOCK).map_err(named)?;
            Ok::<_, String>(fd)
        };
        let event = |fd, event| Ok(Arc::new(Descriptor::event_of(fd, event)));
        match what {
            What::Same(first) => {
                let known = self.descriptors.get(*first);
                known.map_err(|_| format!("the same as {first}, which is not open"))
            }
            What::Stream(number) => {
                let stream = streams.get(size(*number)).and_then(Clone::clone);
                stream.ok_or_else(|| format!("standard stream {number} is closed here"))
            }
            What::File(path, flags, offset) => self.open_file(path, flags & KEPT, *offset),
            What::Listener(address, flags) => self.listen_again(address, flags & NONBLOCK),
            What::Pipe(index, writes, flags) => {
                let end = pipes
                    .get_mut(size(*index))
                    .and_then(|ends| ends[usize::from(*writes)].take());
                let end = end.ok_or("an end of a pipe that it has not")?;
                let end = flagged(end, *flags)?;
                Ok(Arc::new(Descriptor::new(end, Class::Pipe, String::new())))
            }
            What::Counter(value, takes_one, flags) => {
                const SEMAPHORE: c_int = 1;
                self.may(&["eventfd2", "eventfd"], Subject::Nothing)?;
                let kind = if *takes_one { SEMAPHORE } else { 0 };
                let fd = host::event_counter(0, kind | NONBLOCK).map_err(named)?;
                if *value != 0 {
                    host::write_bytes(fd.as_fd(), &value.to_le_bytes()).map_err(named)?;
                }
                let takes_one = *takes_one;
                event(flagged(fd, *flags)?, Event::Counter { takes_one })
            }
            What::Timer(clock, setting, flags) => {
                self.may(&["timerfd_create"], Subject::Nothing)?;
                let clock = *clock;
                if !CLOCKS.contains(&clock) {
                    return Err("a timer without a clock".to_owned());
                }
                let fd = host::timer(clock, 0).map_err(named)?;
                let mut bytes = [0; 32];
                bytes.copy_from_slice(setting.map(u64::to_le_bytes).as_flattened());
                host::set_timer(fd.as_fd(), 0, bytes).map_err(named)?;
                event(flagged(fd, *flags)?, Event::Timer { clock })
            }
            What::Signals(mask, flags) => {
                self.may(&["signalfd4", "signalfd"], Subject::Nothing)?;
                let fd = host::event_counter(0, flags & NONBLOCK).map_err(named)?;
                let event = Event::Signals(Bell::new(mask & !NEVER_BLOCKED));
                let descriptor = Arc::new(Descriptor::event_of(fd, event));
                self.signals.show_by(&descriptor);
                Ok(descriptor)
            }
            What::Set(_) => {
                self.may(&["epoll_create1", "epoll_create"], Subject::Nothing)?;
                let fd = host::epoll_create().map_err(named)?;
                event(fd, Event::Set(Interest::default()))
            }
        }
    }

    /// Has the set `number` wait for what it waited for.
    fn wait_again(&self, number: u64, members: &[(u64, u32, u64)]) -> Result<(), Errno> {
        const ADD: c_int = 1;
        let set = self.descriptors.get(number)?;
        let Some(Event::Set(interest)) = set.event() else {
            return Err(Errno::EINVAL);
        };
        for (member, events, own) in members {
            let descriptor = self.descriptors.get(*member)?;
            let event = Some((*events, *own));
            interest.set(&descriptor, event, || {
                host::epoll_control(set.fd(), ADD, descriptor.fd(), event)
            })?;
        }
        Ok(())
    }

    fn open_file(&self, path: &str, flags: c_int, offset: u64) -> Result<Arc<Descriptor>, String> {
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
        let fd_ref = fd.as_fd();
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
        let fd_ref = fd.as_fd();
        host::set_option(fd_ref, SOL_SOCKET, SO_REUSEADDR, &1_u32.to_le_bytes()).map_err(named)?;
        host::bind(fd_ref, bytes).map_err(named)?;
        host::listen(fd_ref, BACKLOG).map_err(named)?;
        host::control(fd_ref, F_SETFL, flags).map_err(named)?;
        let descriptor = Descriptor::new(fd, Class::Socket, String::new());
        Ok(Arc::new(descriptor))
    }
}
