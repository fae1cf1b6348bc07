//! The end: power off with the right status, so that no virtual machine hangs.

use log::debug;
pub(crate) use toro_abi::exit::ExitCode;
use toro_acpi::fadt::Register;
use toro_arch::{port, power};
use toro_sync::Once;

use crate::machine::Machine;

/// How ACPI switches this machine off.
#[derive(Clone, Copy, Debug)]
struct PowerSwitch {
    control: Register,
    /// The second half of the register, where there is one.
    second: Option<(u16, u8)>,
    sleep_type: u8,
    hardware_reduced: bool,
}

static SWITCH: Once<PowerSwitch> = Once::new();

/// Notes how to power off.
pub(crate) fn init(machine: &Machine) {
    let found = machine.fadt.and_then(|fadt| {
        let (a, b) = machine.power_off?;
        let reduced = fadt
            .sleep_control
            .filter(|_| fadt.hardware_reduced || fadt.pm1a_control.is_none());
        let second = match fadt.pm1b_control {
            Some(Register::Port(port)) => Some((port, b)),
            _ => None,
        };
        Some(PowerSwitch {
            control: reduced.or(fadt.pm1a_control)?,
            second,
            sleep_type: a,
            hardware_reduced: reduced.is_some(),
        })
    });
    match found {
        Some(switch) => {
            SWITCH.call_once(|| switch);
        }
        None => debug!("ACPI names no way to power off"),
    }
}

impl PowerSwitch {
    fn press(self) {
        // ACPI 6.5, 4.8.3.7: sleep control has SLP_EN in bit 5 and the type in bits 2 to 4.
        let sleep_control = self.sleep_type << 2 | 1 << 5;
        match (self.control, self.hardware_reduced) {
            (Register::Port(control), false) => {
                power::acpi_off(control, self.sleep_type, self.second)
            }
            (Register::Port(control), true) => port::outb(control, sleep_control),
            // SAFETY: ACPI names this address as the sleep control register, and below 4 GiB all is mapped one to one.
            (Register::Memory(at), _) if at < 4 << 30 => unsafe {
                (at as *mut u8).write_volatile(sleep_control);
            },
            (Register::Memory(_), _) => {}
        }
    }
}

/// Ends the machine in order: first all that was written in mounts reaches its devices.
///
/// What cannot be written is told, and makes a success a failure. Blocks; a core that does not answer is waited for
/// a minute and no longer.
pub fn exit(code: ExitCode) -> ! {
    #[cfg(feature = "mount")]
    let code = crate::mounts::sync_or_fail(code);
    end(code)
}

/// Ends the machine at once: a success by powering off, a failure through the test device, so that the host sees which.
///
/// If one way is missing the next is taken: ACPI, `isa-debug-exit`, reset.
pub(crate) fn end(code: ExitCode) -> ! {
    if code == ExitCode::Success {
        press();
    }
    power::debug_exit(code.value());
    press();
    power::reset()
}

/// Presses the switch, and gives it a moment: some machines go off only after the processor has gone on.
fn press() {
    if let Some(switch) = SWITCH.get() {
        switch.press();
        for _ in 0..100_000 {
            toro_arch::cpu::relax();
        }
    }
}

/// Ends the machine as a failure before ACPI was read.
pub(crate) fn fail_early() -> ! {
    power::debug_exit(ExitCode::Failure.value());
    power::reset()
}
