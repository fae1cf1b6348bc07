//! Starts a program from its snapshot, under the profile of the command line: what it has open is judged by that again.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::Arc;

use torov_abi::Errno;
use torov_calls::{Process, Settings, thread};
use torov_host as host;
use torov_memory::Memory;
use torov_policy::Policy;
use torov_vcpu::kvm::KvmMachine;
use torov_vcpu::{Machine as _, cpuid};

use crate::failure::Failure;
use crate::options::Command;
use crate::snapshot::Snapshot;
use crate::watch::Watch;
use crate::{guard, start, watch};

/// Runs the program of the snapshot that `command` names. Comes back only if it could not be started.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let (profile, folder) = start::profile(command)?;
    let [path] = command.program.as_slice() else {
        return Err(Failure::own(
            "restore takes a snapshot and nothing else: the program has its arguments already",
        ));
    };
    if profile.debug.gdb.is_some() || command.core.is_some() {
        return Err(Failure::own(
            "a restored program has no debugger and leaves no core file: leave --gdb and --core away",
        ));
    }
    let file = start::open(path)?;
    let named = |error: &dyn std::fmt::Display| Failure::program(format!("{path}: {error}"));
    let snapshot = Snapshot::read(&file).map_err(|error| named(&error))?;
    let policy = Policy::new(&profile).map_err(|error| Failure::own(error.to_string()))?;
    let mounts = start::mounts(&profile, &folder)?;
    let limits = start::limits(&profile)?;
    let watch = Watch::new(command, &profile)?;
    start::listen()?;

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
    let refused = |error: torov_vcpu::VcpuError| Failure::own(error.to_string());
    let mut vcpu = machine
        .add_vcpu(&frozen.registers, frozen.fs_base)
        .map_err(refused)?;
    let (states, features) = (vcpu.states(), cpuid::fingerprint(vcpu.states()));
    let misses = |(then, now): (&u32, &u32)| then & !now != 0;
    if states != frozen.states || snapshot.features.iter().zip(&features).any(misses) {
        return Err(named(
            &"it was made on another kind of processor, whose instructions this one has not: make it here",
        ));
    }
    vcpu.set_extended(&frozen.extended).map_err(refused)?;
    let below = snapshot.areas.first().map_or(0, |(start, ..)| *start);
    let ring = start::ring(&profile, below);
    let filter = guard::filter(&policy, ring.is_some(), &[]);
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
        debug: None,
        ring,
        clock: None,
        learn: false,
        freeze_at: None,
    }));
    start::standard_streams(&process)?;
    process.thaw(frozen).map_err(|why| named(&why))?;
    watch::limit_time(&process, &profile)?;
    guard::install(&profile, filter)?;
    host::give_back_pages();
    thread::resume(&process, vcpu, frozen);
    loop {
        std::thread::park();
    }
}

/// Puts the memory of the snapshot where it was. The pages stay those of the file until they are written to.
fn place(memory: &Memory, file: &File, snapshot: &Snapshot) -> Result<(), Errno> {
    for (start, end, rights, name) in &snapshot.areas {
        memory.restore_area((*start, *end), *rights, name)?;
    }
    memory.restore_heap(snapshot.heap)?;
    memory.adopt(file.as_fd(), snapshot.offset, &snapshot.pages)
}
