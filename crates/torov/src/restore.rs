//! Starts a program from its snapshot, under the profile of the command line: what it has open is judged by that again.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::Arc;

use torov_abi::Errno;
use torov_abi::word::size;
use torov_calls::{Clock, Descriptor, Process, Settings, thread};
use torov_host::{self as host, Polled};
use torov_memory::Memory;
use torov_policy::Policy;
use torov_vcpu::kvm::KvmMachine;
use torov_vcpu::{Machine as _, cpuid};

use crate::debugger::Debugger;
use crate::failure::Failure;
use crate::options::Command;
use crate::pool::READABLE;
use crate::snapshot::Snapshot;
use crate::watch::{Program, Watch};
use crate::{guard, pool, start, watch};

/// Runs the program of the snapshot that `command` names. Comes back only if it could not be started.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let (profile, folder) = start::profile(command)?;
    let [path] = command.program.as_slice() else {
        return Err(Failure::own(
            "restore takes a snapshot and nothing else: the program has its arguments already",
        ));
    };
    let is_pool = command.listen.is_some() || command.accept;
    if is_pool && (profile.debug.gdb.is_some() || command.core.is_some()) {
        return Err(Failure::own(
            "many programs cannot share a debugger or a core file: leave --gdb and --core away, or --listen",
        ));
    }
    if let (Some(address), false) = (&command.listen, command.accept) {
        return pool::serve(address, command.spare);
    }
    let file = start::open(path)?;
    let named = |error: &dyn std::fmt::Display| Failure::program(format!("{path}: {error}"));
    let snapshot = Snapshot::read(&file).map_err(|error| named(&error))?;
    let policy = Policy::new(&profile).map_err(|error| Failure::own(error.to_string()))?;
    let mounts = start::mounts(&profile, &folder)?;
    let limits = start::limits(&profile)?;
    let mut watch = Watch::new(command, &profile)?;
    watch.loaded(Program {
        symbols: None,
        auxiliary: snapshot.auxiliary.clone(),
        name: snapshot
            .frozen
            .executable
            .trim_start_matches('/')
            .to_owned(),
    });

    let debugger = Debugger::admit(&profile)?;
    let machine = KvmMachine::try_new().map_err(|error| Failure::own(error.to_string()))?;
    let memory = start::memory_for(&machine, &profile, 0)?;
    place(&memory, &file, &snapshot).map_err(|error| {
        let hint = if error == Errno::ENOMEM {
            ": give it more with --memory"
        } else {
            ""
        };
        named(&format!("its memory cannot be had: {error}{hint}"))
    })?;
    let frozen = &snapshot.frozen;
    let clock = match frozen.vdso {
        None => None,
        Some(at) => Clock::again(&memory, at, &policy)
            .map_err(|error| named(&format!("its clock has no place: {error}")))?,
    };
    let refused = |error: torov_vcpu::VcpuError| Failure::own(error.to_string());
    let mut vcpus = Vec::new();
    for still in frozen.threads.iter().take(size(limits.threads.into())) {
        let vcpu = machine.add_vcpu(&still.registers, still.fs_base);
        vcpus.push(vcpu.map_err(refused)?);
    }
    let states = vcpus.first().map_or(0, |vcpu| vcpu.states());
    let features = cpuid::fingerprint(states);
    let misses = |(then, now): (&u32, &u32)| then & !now != 0;
    if states != frozen.states || snapshot.features.iter().zip(&features).any(misses) {
        return Err(named(
            &"it was made on another kind of processor, whose instructions this one has not: make it here",
        ));
    }
    for (vcpu, still) in vcpus.iter_mut().zip(&frozen.threads) {
        vcpu.set_extended(&still.extended).map_err(refused)?;
    }
    let below = snapshot.areas.first().map_or(0, |(start, ..)| *start);
    let ring = start::ring(&profile, below).filter(|_| debugger.is_none());
    let mut more = Vec::new();
    if command.accept {
        more.extend(torov_jail::waiting_calls());
    }
    if debugger.is_some() {
        more.extend(torov_jail::debugger_calls());
    }
    // Who waits for a connection is bound already, and has the threads of the limits still to start, as has the program its own.
    let has_threads = frozen.threads.len() > 1 || !frozen.timers.is_empty();
    let starts_threads = ring.is_some() || command.accept || has_threads;
    let filter = guard::filter(&policy, starts_threads, &more);
    guard::leave_namespaces(&profile, &policy)?;
    guard::restrict_files(&profile, &mounts)?;
    let process = Arc::new(Process::new(Settings {
        memory,
        machine: Arc::new(machine),
        policy,
        mounts,
        limits,
        cwd: frozen.cwd.clone(),
        executable: frozen.executable.clone(),
        observer: Box::new(watch),
        debug: debugger.as_ref().map(Debugger::debug),
        ring,
        clock,
        learn: false,
        freeze_at: None,
    }));
    start::standard_streams(&process)?;
    process.thaw(frozen).map_err(|why| named(&why))?;
    if !command.accept {
        start::listen()?;
        watch::limit_time(&process, &profile)?;
    }
    if let Some(debugger) = debugger {
        debugger.attend(&process, snapshot.auxiliary.clone())?;
    }
    guard::install(&profile, filter)?;
    // Until the program makes the call before which it was kept: all that the machine does for the first time is done then.
    let first = vcpus
        .first_mut()
        .ok_or_else(|| named(&"it has no thread"))?;
    let exit = first.run().map_err(refused)?;
    host::give_back_pages();
    if command.accept {
        if !accept(&process)? {
            return Ok(ExitCode::SUCCESS);
        }
        start::listen()?;
        watch::limit_time(&process, &profile)?;
    }
    thread::resume(&process, vcpus, frozen, exit).map_err(|why| named(&why))?;
    loop {
        std::thread::park();
    }
}

/// Waits for a connection to the socket that is the standard input, and makes it the program's input and output. The
/// standard output is told. False if nobody is there any more to be told.
fn accept(process: &Process) -> Result<bool, Failure> {
    let failed = |error: Errno| Failure::own(format!("--accept: standard input: {error}"));
    let (input, mut output) = (io::stdin(), io::stdout());
    let connection = loop {
        let mut entries = [input.as_fd(), output.as_fd()].map(|fd| Polled {
            fd: Some(fd),
            events: 0,
            found: 0,
        });
        entries[0].events = READABLE;
        host::poll(&mut entries, None).map_err(failed)?;
        if entries[1].found != 0 {
            return Ok(false);
        }
        match host::accept(input.as_fd(), 0) {
            Ok((connection, _)) => break connection,
            // Another was faster, or who wanted it has gone.
            Err(Errno::EAGAIN | Errno::ECONNABORTED) => {}
            Err(error) => return Err(failed(error)),
        }
    };
    if output
        .write_all(b"+")
        .and_then(|()| output.flush())
        .is_err()
    {
        return Ok(false);
    }
    let error_output = io::stderr();
    let streams = [connection.as_fd(), connection.as_fd(), error_output.as_fd()];
    for (number, stream) in (0..).zip(streams) {
        let fd = host::duplicate(stream).map_err(failed)?;
        process.set_stream(Descriptor::stream(fd, number));
    }
    Ok(true)
}

/// Puts the memory of the snapshot where it was. The pages stay those of the file until they are written to.
fn place(memory: &Memory, file: &File, snapshot: &Snapshot) -> Result<(), Errno> {
    for (start, end, rights, name) in &snapshot.areas {
        memory.map_empty((*start, *end), *rights, name)?;
    }
    memory.restore_heap(snapshot.heap)?;
    memory.adopt(file.as_fd(), snapshot.offset, &snapshot.pages)
}
