//! [`PowerButton`]: the button of the machine, as ACPI describes it.

use core::task::Waker;

use log::warn;
use toro_acpi::aml::{self, PowerEvents};
use toro_acpi::fadt::{Fadt, Register};
use toro_arch::{cpu, port};
use toro_boot::BootInfo;
use toro_irq::LineShare;
use toro_time::Instant;

use crate::machine::{self, Machine};

/// PM1 status and enable: the power button (ACPI 6.5, 4.8.3.1).
const PM1_BUTTON: u16 = 1 << 8;
/// PM1 control: the events of ACPI arrive as interrupts (4.8.3.2).
const SCI_ENABLED: u16 = 1;
/// How often it is looked whether the firmware has handed the hardware over.
const LOOKS: usize = 100_000;

/// The button, with the interrupt that tells of it.
#[derive(Debug)]
pub(crate) struct PowerButton {
    line: LineShare,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// A bit of the PM1 status register, which is cleared by writing it.
    Fixed { status: u16 },
    /// A bit of a register that is cleared by reading it.
    Generic(PowerEvents),
}

impl PowerButton {
    /// Finds the button and has its presses arrive on this core.
    pub(crate) fn find(info: &BootInfo, machine: &Machine) -> Option<Self> {
        let fadt = machine.fadt?;
        let (place, gsi) = match fadt.pm1a_event {
            Some(Register::Port(status)) if fadt.has_power_button => {
                (Place::Fixed { status }, u32::from(fadt.sci))
            }
            _ => {
                let events =
                    |tables: &toro_acpi::Tables<'_>| aml::power_events(tables.dsdt(&fadt).ok()?);
                let events = machine::with_tables(info, events)??;
                (Place::Generic(events), events.gsi)
            }
        };
        let line = toro_irq::share_line(gsi)
            .inspect_err(|error| warn!("the power button does nothing: {error}"))
            .ok()?;
        let button = Self { line, place };
        if let Place::Fixed { status } = place {
            take_over(&fadt);
            button.is_pressed();
            // The enable register follows the two bytes of status.
            port::outw(status + 2, port::inw(status + 2) | PM1_BUTTON);
        }
        Some(button)
    }

    /// Parks the calling thread until the button is pressed, or until `deadline`; tells which.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        let waker: Waker = toro_sched::current().waker();
        self.line.bind(&waker);
        loop {
            if self.is_pressed() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            toro_sched::park_until(deadline);
        }
    }

    /// Whether it was pressed since the last look; lets go of the line.
    fn is_pressed(&self) -> bool {
        let is_pressed = match self.place {
            Place::Fixed { status } => {
                let is_set = port::inw(status) & PM1_BUTTON != 0;
                port::outw(status, PM1_BUTTON);
                is_set
            }
            Place::Generic(events) => {
                // SAFETY: the firmware names this address as a register of 32 bits; it lies below 4 GiB, which is mapped one to one.
                let happened = unsafe { (events.register as usize as *const u32).read_volatile() };
                happened & events.button != 0
            }
        };
        if is_pressed {
            self.line.wake_others();
        }
        is_pressed
    }
}

/// Has the firmware hand its events to us (ACPI 6.5, 4.8.3.2 and 16.3.1).
fn take_over(fadt: &Fadt) {
    let Some(Register::Port(control)) = fadt.pm1a_control else {
        return;
    };
    let is_ours = || port::inw(control) & SCI_ENABLED != 0;
    if fadt.smi_command == 0 || fadt.acpi_enable == 0 || is_ours() {
        return;
    }
    port::outb(fadt.smi_command, fadt.acpi_enable);
    for _ in 0..LOOKS {
        if is_ours() {
            return;
        }
        cpu::relax();
    }
    warn!("the firmware does not hand over ACPI events: the power button may do nothing");
}
