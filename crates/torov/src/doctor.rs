//! `torov doctor`: what this machine can do, found by trying.

mod jail;

use std::process::ExitCode;
use std::sync::Arc;

use torov_abi::{Errno, PAGE};
use torov_host as host;
use torov_memory::{Layout, Memory, Place, Rights};
use torov_vcpu::kvm::KvmMachine;
use torov_vcpu::{Exit, Machine as _, Registers, Vcpu, VcpuError, tsc};

/// Prints what works; the status is success if programs can be run.
pub(crate) fn examine() -> ExitCode {
    let processors = host::processors();
    let ring = match processors {
        1 => "1: the ring is a loss, and `auto` leaves it off".to_owned(),
        some => format!("{some}: the ring can have one of its own"),
    };
    line("processors", &ring);
    let machine = machine();
    jail::examine();
    match machine {
        Ok(()) => {
            println!("ready         programs can be run");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("not ready     {error}");
            ExitCode::FAILURE
        }
    }
}

fn line(what: &str, result: &str) {
    println!("{what:<13} {result}");
}

/// Code at this address makes a call, writes to its own page, divides by zero, and says what the counter shows.
const CODE: u64 = 0x40_0000;

fn machine() -> Result<(), VcpuError> {
    let machine = KvmMachine::try_new()?;
    line("/dev/kvm", "a virtual machine can be made");
    let layout = Layout {
        limit: 4 << 20,
        mmap_top: 0x7000_0000_0000,
    };
    let failed = |error: Errno| VcpuError(error.to_string());
    let memory = Arc::new(Memory::try_new(layout, machine.slots()).map_err(failed)?);
    machine.attach(&memory).map_err(failed)?;
    memory
        .map(Place::Exactly(CODE), PAGE, Rights::READ_EXECUTE, "test")
        .map_err(failed)?;
    // mov eax, 39; syscall; mov [rip], al (the page may not be written); xor ecx, ecx; div ecx; rdtsc; syscall
    let code = b"\xb8\x27\0\0\0\x0f\x05\x88\x05\0\0\0\0\x31\xc9\xf7\xf1\x0f\x31\x0f\x05";
    memory.load(CODE, code).map_err(failed)?;
    let mut vcpu = machine.add_vcpu(&Registers::at_start(CODE, 0), 0)?;
    expect(vcpu.as_mut(), "a system call", |exit, registers| {
        *exit == Exit::Call && registers.rax == 39 && registers.rip == CODE + 7
    })?;
    let how = if vcpu.took_the_long_way() {
        "arrive as page faults (no hardware virtualisation behind this KVM)"
    } else {
        "arrive at privilege level 0"
    };
    line("calls", how);
    expect(
        vcpu.as_mut(),
        "a write to its code",
        |exit, _| matches!(exit, Exit::Fault(fault) if fault.vector == 14 && fault.error & 7 == 7),
    )?;
    line("W^X", "a program cannot write to its code");
    memory
        .protect(CODE, PAGE, Rights::READ_WRITE)
        .map_err(failed)?;
    expect(
        vcpu.as_mut(),
        "code that may not be executed any more",
        |exit, _| matches!(exit, Exit::Fault(fault) if fault.vector == 14 && fault.address == CODE + 7),
    )?;
    line("mprotect", "revoked rights are gone at once");
    memory
        .protect(CODE, PAGE, Rights::READ_EXECUTE)
        .map_err(failed)?;
    vcpu.registers_mut().rip = CODE + 13;
    expect(
        vcpu.as_mut(),
        "a division by zero",
        |exit, _| matches!(exit, Exit::Fault(fault) if fault.vector == 0),
    )?;
    line("exceptions", "arrive with their registers");
    vcpu.registers_mut().rip = CODE + 17;
    let before = tsc::read();
    expect(vcpu.as_mut(), "a look at the counter", |exit, _| {
        *exit == Exit::Call
    })?;
    let registers = vcpu.registers();
    let seen = registers.rdx << 32 | registers.rax;
    let is_shared = (before..=tsc::read()).contains(&seen);
    line("clock", clock(tsc::is_invariant(), is_shared));
    Ok(())
}

/// How programs read the time.
fn clock(is_invariant: bool, is_shared: bool) -> &'static str {
    match (is_invariant, is_shared) {
        (true, true) => "is read without calls, by the time stamp counter",
        (true, false) => "takes calls: the program's time stamp counter is not the host's",
        (false, _) => "takes calls: the time stamp counter does not count at one rate",
    }
}

fn expect(
    vcpu: &mut dyn Vcpu,
    what: &str,
    is_it: impl Fn(&Exit, &Registers) -> bool,
) -> Result<(), VcpuError> {
    let exit = vcpu.run()?;
    if is_it(&exit, vcpu.registers()) {
        return Ok(());
    }
    let registers = vcpu.registers();
    Err(VcpuError(format!(
        "instead of {what} came {exit:?} at {:#x}",
        registers.rip
    )))
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn a_clock_that_takes_calls_says_why() {
        assert!(clock(true, true).contains("without calls"));
        assert!(clock(true, false).contains("not the host's"));
        assert!(clock(false, true).contains("one rate"));
    }
}
