//! Makes the machine, puts the program into it, and runs it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use torov_abi::{Errno, PAGE, USER_END};
use torov_calls::{Clock, Descriptor, Limits, Mounts, Process, RingSettings, Settings, thread};
use torov_host as host;
use torov_memory::{Layout, Memory};
use torov_policy::{Mode, Mount, Policy, Profile, RingMode, bytes, time};
use torov_vcpu::kvm::KvmMachine;
use torov_vcpu::{Machine as _, Registers, cpuid, vdso};

use crate::debugger::Debugger;
use crate::elf::Image;
use crate::failure::Failure;
use crate::options::{Command, Verb};
use crate::symbols::Symbols;
use crate::watch::{Program, Watch};
use crate::{guard, load, stack};

/// The presets of a program without a profile.
const PLAIN: [&str; 6] = [
    "@start",
    "@stdio",
    "@time",
    "@threads",
    "@signals",
    "@identity",
];

/// How much memory a program may use if nobody says.
const MEMORY: u64 = 64 << 20;

/// Where the area of `mmap` ends, at most: below the stack and its guard.
const MMAP_TOP: u64 = 0x7fef_0000_0000;

/// Signals that the monitor hands on: SIGHUP, INT, QUIT, USR1, USR2, TERM, CONT, WINCH.
const FROM_OUTSIDE: [i32; 8] = [1, 2, 3, 10, 12, 15, 18, 28];

/// Runs the program of `command`. Comes back only if it could not be started.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let (mut profile, folder) = profile(command)?;
    let words = words(command, &profile, &folder)?;
    let file = open(&words[0])?;
    profile.app.binary = Some(PathBuf::from(&words[0]));
    let policy = match command.verb {
        Verb::Learn => Policy::everything(),
        _ => Policy::new(&profile).map_err(|error| Failure::own(error.to_string()))?,
    };
    let point = point(command)?;
    let mounts = mounts(&profile, &folder)?;
    let limits = limits(&profile)?;
    let mut watch = Watch::new(command, &profile)?;
    listen()?;

    let debugger = Debugger::admit(&profile)?;
    let machine = KvmMachine::try_new().map_err(|error| Failure::own(error.to_string()))?;
    let mut random = [0; 40];
    host::random(&mut random).map_err(|error| Failure::own(error.to_string()))?;
    let memory = memory_for(&machine, &profile, chance(&random, 0))?;
    let top = stack_top(&random);
    // What is to be learnt has to be seen: without a clock of its own the program makes calls.
    let clock = match command.verb {
        Verb::Learn => None,
        _ => Clock::try_new(&memory, top + PAGE, &policy),
    };
    let vdso = clock.as_ref().map(Clock::image);
    let (registers, below, bias) = program(&memory, &file, &profile, &words, &random, vdso)?;
    let vcpu = machine
        .add_vcpu(&registers, 0)
        .map_err(|error| Failure::own(error.to_string()))?;
    let auxiliary = (words.len(), profile.app.env.len());
    let auxiliary = stack::auxiliary_of(&memory, registers.rsp, auxiliary)
        .map_err(|error| Failure::own(error.to_string()))?;
    watch.loaded(Program {
        symbols: Some(Symbols { file, bias }),
        auxiliary: auxiliary.clone(),
        name: seen(&words[0]).trim_start_matches('/').to_owned(),
    });
    // A snapshot is of the program alone, without a ring that it shares with this monitor.
    let is_snapshot = command.verb == Verb::Snapshot;
    let ring = ring(&profile, below).filter(|_| debugger.is_none() && !is_snapshot);
    let mut more = Vec::new();
    if debugger.is_some() {
        more.extend(torov_jail::debugger_calls());
    }
    if is_snapshot {
        more.extend(torov_jail::snapshot_calls());
    }
    let filter = guard::filter(&policy, ring.is_some(), &more);
    guard::leave_namespaces(&profile, &policy)?;
    guard::restrict_files(&profile, &mounts)?;
    let process = Process::new(Settings {
        memory,
        machine: Arc::new(machine),
        policy,
        mounts,
        limits,
        cwd: profile.app.cwd.clone().unwrap_or_else(|| "/".to_owned()),
        executable: seen(&words[0]),
        observer: Box::new(watch),
        debug: debugger.as_ref().map(Debugger::debug),
        ring,
        clock,
        learn: command.verb == Verb::Learn,
        freeze_at: point,
    });
    let process = Arc::new(process);
    standard_streams(&process)?;
    crate::watch::limit_time(&process, &profile)?;
    if let Some(debugger) = debugger {
        debugger.attend(&process, auxiliary)?;
    }
    guard::install(&profile, filter)?;
    host::give_back_pages();
    thread::run(&process, vcpu);
    // The first thread is over, and others go on: the last one ends this process.
    loop {
        std::thread::park();
    }
}

/// Before which call the program is to be frozen.
fn point(command: &Command) -> Result<Option<(u16, u32)>, Failure> {
    if command.verb != Verb::Snapshot {
        return Ok(None);
    }
    if command.output.is_none() {
        return Err(Failure::own(
            "a snapshot goes to a file: name it by --output",
        ));
    }
    let text = command.at.as_deref().unwrap_or_default();
    let (name, count) = match text.split_once(':') {
        None => (text, Some(1)),
        Some((name, count)) => (name, count.parse().ok().filter(|count| *count > 0)),
    };
    let number = torov_abi::number_of(name);
    number.zip(count).map(Some).ok_or_else(|| {
        Failure::own(format!(
            "`--at {text}` is no point to stop at: write --at CALL, or --at CALL:N for the Nth time, as in --at accept"
        ))
    })
}

/// The profile of `command` with what the command line adds, and the folder that its paths begin at.
pub(crate) fn profile(command: &Command) -> Result<(Profile, PathBuf), Failure> {
    let (mut profile, folder) = match &command.profile {
        None => {
            let mut profile = Profile::default();
            profile.syscalls.allow = PLAIN.map(str::to_owned).to_vec();
            (profile, PathBuf::from("."))
        }
        Some(path) => {
            let named = |error: &dyn std::fmt::Display| {
                Failure::own(format!("{}: {error}", path.display()))
            };
            let text = fs::read_to_string(path).map_err(|error| named(&error))?;
            let profile = Profile::parse(&text).map_err(|error| named(&error))?;
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            (profile, folder.unwrap_or(Path::new(".")).to_owned())
        }
    };
    profile.syscalls.allow.extend(command.allow.iter().cloned());
    for text in &command.mounts {
        profile.mounts.push(mount(text)?);
    }
    for text in &command.env {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::own(format!("`{text}` is no NAME=VALUE")))?;
        profile.app.env.insert(name.to_owned(), value.to_owned());
    }
    let limits = &mut profile.limits;
    for (said, place) in [
        (&command.memory, &mut limits.memory),
        (&command.wall, &mut limits.wall),
        (&command.cpu, &mut limits.cpu),
    ] {
        if said.is_some() {
            place.clone_from(said);
        }
    }
    if let Some(mode) = command.ring {
        profile.ring.mode = mode;
    }
    if command.gdb.is_some() {
        profile.debug.gdb.clone_from(&command.gdb);
    }
    if command.no_jail {
        profile.jail.seccomp = false;
        profile.jail.landlock = false;
        profile.jail.namespaces = torov_policy::Namespaces::Off;
    }
    Ok((profile, folder))
}

/// The program of `command` and its arguments.
pub(crate) fn program_of(command: &Command) -> Result<Vec<String>, Failure> {
    let (profile, folder) = profile(command)?;
    words(command, &profile, &folder)
}

/// A mount of the command line, whose host folder is taken from where the command is given.
fn mount(text: &str) -> Result<Mount, Failure> {
    let (text, mode) = match text.strip_suffix(":rw") {
        Some(text) => (text, Mode::Rw),
        None => (text, Mode::Ro),
    };
    let parts = text
        .split_once(':')
        .filter(|(_, guest)| guest.starts_with('/'));
    let (folder, guest) = parts
        .ok_or_else(|| Failure::own(format!("`{text}` is no mount; write FOLDER:/PATH[:rw]")))?;
    let folder =
        fs::canonicalize(folder).map_err(|error| Failure::own(format!("{folder}: {error}")))?;
    let guest = guest.to_owned();
    Ok(Mount {
        host: folder,
        guest,
        mode,
    })
}

/// The program and its arguments: the command line's, or the profile's.
fn words(command: &Command, profile: &Profile, folder: &Path) -> Result<Vec<String>, Failure> {
    if !command.program.is_empty() {
        return Ok(command.program.clone());
    }
    let binary = profile.app.binary.as_ref();
    let binary = binary
        .ok_or_else(|| Failure::own("no program: name one, or write `binary` below [app]"))?;
    let mut words = vec![folder.join(binary).display().to_string()];
    words.extend(profile.app.args.iter().cloned());
    Ok(words)
}

pub(crate) fn open(path: &str) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let message = format!("{path}: {error}");
        match error.kind() {
            io::ErrorKind::NotFound => Failure::missing(message),
            _ => Failure::program(message),
        }
    })
}

pub(crate) fn mounts(profile: &Profile, folder: &Path) -> Result<Mounts, Failure> {
    let root = |path: &Path| {
        let text =
            std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL);
        let opened = text.and_then(|text| host::open_root(&text));
        opened.map_err(|error| {
            Failure::own(format!(
                "the mount {} cannot be opened: {error}",
                path.display()
            ))
        })
    };
    let mut mounts = Mounts::new(root(Path::new("/dev")).ok());
    for mount in &profile.mounts {
        mounts.add(&mount.guest, root(&folder.join(&mount.host))?, mount.mode);
    }
    Ok(mounts)
}

pub(crate) fn limits(profile: &Profile) -> Result<Limits, Failure> {
    let limits = &profile.limits;
    let plain = Limits::default();
    let output = match limits.output.as_deref() {
        None => u64::MAX,
        Some(text) => {
            bytes(text).ok_or_else(|| Failure::own(format!("`{text}` is no amount of output")))?
        }
    };
    for text in [&limits.wall, &limits.cpu].into_iter().flatten() {
        time(text)
            .ok_or_else(|| Failure::own(format!("`{text}` is no time; write 500ms, 30s or 5m")))?;
    }
    Ok(Limits {
        descriptors: limits.fds.unwrap_or(plain.descriptors).min(1024),
        threads: limits.threads.unwrap_or(plain.threads).clamp(1, 512),
        output,
        calls_per_second: limits.calls_per_second,
    })
}

/// How calls may go without leaving the virtual machine. A poller needs a processor of its own to gain anything.
pub(crate) fn ring(profile: &Profile, below: u64) -> Option<RingSettings> {
    let wanted = match profile.ring.mode {
        RingMode::Off => false,
        RingMode::On => true,
        RingMode::Auto => host::processors() > 1,
    };
    let park = Duration::from_micros(profile.ring.park_us.unwrap_or(50).into());
    (wanted && profile.limits.calls_per_second.is_none()).then_some(RingSettings {
        below,
        park,
        rests: profile.ring.mode == RingMode::Auto,
    })
}

/// The program's path as it sees itself: nothing of the host's folders.
fn seen(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    format!("/{}", name.display())
}

/// A number of chance.
fn chance(random: &[u8; 40], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&random[8 * at..8 * at + 8]);
    u64::from_le_bytes(word)
}

/// Takes the signals from outside for the program's.
pub(crate) fn listen() -> Result<(), Failure> {
    let listening = torov_interrupt::listen(&FROM_OUTSIDE);
    listening.map_err(|error| Failure::own(format!("signals cannot be handled: {error}")))
}

/// Memory as large as the profile says, with nothing in it.
pub(crate) fn memory_for(
    machine: &KvmMachine,
    profile: &Profile,
    chance: u64,
) -> Result<Arc<Memory>, Failure> {
    let limit = match profile.limits.memory.as_deref() {
        None => MEMORY,
        Some(text) => {
            bytes(text).ok_or_else(|| Failure::own(format!("`{text}` is no amount of memory")))?
        }
    };
    let layout = Layout {
        limit: limit.clamp(1 << 20, 1 << 40).next_multiple_of(1 << 20),
        mmap_top: MMAP_TOP - chance % (1 << 22) * 4096,
    };
    let refused = |error: Errno| Failure::own(format!("the machine gets no memory: {error}"));
    let memory = Memory::try_new(layout, machine.slots()).map_err(refused)?;
    let memory = Arc::new(memory);
    machine.attach(&memory).map_err(refused)?;
    Ok(memory)
}

/// Puts the program into memory and returns the registers that it starts with, where its first page lies, and how far
/// it was moved.
fn program(
    memory: &Memory,
    file: &File,
    profile: &Profile,
    words: &[String],
    random: &[u8; 40],
    vdso: Option<u64>,
) -> Result<(Registers, u64, u64), Failure> {
    let path = &words[0];
    let status = file
        .metadata()
        .map_err(|error| Failure::program(format!("{path}: {error}")))?;
    if !status.is_file() {
        return Err(Failure::program(format!("{path}: it is no ordinary file")));
    }
    let image = Image::read(file, status.len());
    let image = image.map_err(|error| Failure::program(format!("{path}: {error}")))?;
    let refused = |error: Errno| Failure::program(format!("{path} cannot be loaded: {error}"));
    let bias = load::load(memory, file, &image, chance(random, 1)).map_err(refused)?;
    let env: Vec<String> = profile
        .app
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let (at, count, len) = image.headers;
    let mut seed = [0; 16];
    seed.copy_from_slice(&random[24..]);
    let told = stack::Told {
        args: words,
        env: &env,
        executable: &seen(path),
        entry: bias + image.entry,
        headers: (bias + at, count, len),
        features: cpuid::features(),
        random: seed,
        vdso,
    };
    let pointer = stack::make(memory, stack_top(random), &told).map_err(refused)?;
    let first = image
        .segments
        .first()
        .map_or(0, |segment| bias + segment.address);
    let registers = Registers::at_start(bias + image.entry, pointer);
    Ok((registers, first & !4095, bias))
}

/// Where the stack ends. Behind it come a page that is never there, the vDSO, and one more such page.
fn stack_top(random: &[u8; 40]) -> u64 {
    USER_END - (vdso::PAGES + 2) * PAGE - chance(random, 2) % (1 << 22) * PAGE
}

/// Gives the program standard input, output and error, as far as they are open here.
pub(crate) fn standard_streams(process: &Process) -> Result<(), Failure> {
    use std::os::fd::AsFd as _;
    let streams = [
        host::duplicate(io::stdin().as_fd()),
        host::duplicate(io::stdout().as_fd()),
        host::duplicate(io::stderr().as_fd()),
    ];
    for (number, stream) in (0..).zip(streams) {
        let Ok(fd) = stream else {
            continue;
        };
        let descriptor = Arc::new(Descriptor::stream(fd, number));
        let put = process.descriptors().put(number, descriptor, false);
        put.map_err(|_| Failure::own("the limit `fds` is below 3"))?;
    }
    Ok(())
}
