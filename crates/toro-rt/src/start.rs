//! The boot list: what happens between the loader and the service, in order.
//!
//! No room is visited twice and nothing runs before the list. The boot thread becomes the main thread.

use log::info;
use toro_arch::{apic, core_local, cpu, gdt, pic, trap};
use toro_boot::BootInfo;

use crate::machine::Machine;
use crate::{clock, console, cores, environment, exit, fault, heap, placement, protection};

unsafe extern "Rust" {
    /// The service's main function: the one upcall from here, made by `toro::main!`.
    safe fn toro_main();
}

/// The core that boots.
const BOOT_CORE: usize = 0;

/// Called by `toro-boot` with what the loader said.
#[unsafe(no_mangle)]
fn toro_start(info: &'static BootInfo) -> ! {
    core_local::init(BOOT_CORE); //           per-core base                              toro-arch
    cpu::init(); //                           write protection, no-execute
    console::init(info.command_line()); //    serial port behind the log                 toro-log
    let cores = cores::count(info); //        as ACPI lists them
    let rest = heap::init(info, cores); //    this core's share of memory                toro-mem
    protection::init(); //                    text, constants, data, page 0
    gdt::init(fault::STACK_BYTES); //                           segments, interrupt stacks                 toro-arch
    fault::init(); //                         exceptions are reported from here on
    trap::fill();
    trap::init();
    let machine = Machine::discover(info); // what ACPI says                             toro-acpi
    environment::init(info.command_line());
    exit::init(&machine); //                  how to power off
    pic::disable();
    apic::init(); //                          this core's interrupts                     toro-arch
    machine.start_interrupts(); //            lines and vectors                          toro-irq
    clock::init(info, &machine); //           frequencies, timer                         toro-time
    let seed = placement::seed(info.command_line());
    toro_sched::init(protection::boot_stack(), seed); // this code is now the boot thread    toro-sched
    cpu::enable_interrupts();
    cores::start(info, rest, cores); //       the others, with the rest of memory
    #[cfg(feature = "files")]
    toro_vfs::init(); //                      nothing is mounted yet                     toro-vfs
    #[cfg(feature = "gdb")]
    crate::debugger::start(); //              if `gdb=` asks for it                      toro-gdbstub
    #[cfg(feature = "initrd")]
    crate::files::mount(info); //             the archive at /
    #[cfg(feature = "virtio")]
    crate::drivers::start(info); //           devices, each on its core                  toro-virtio
    #[cfg(feature = "mount")]
    crate::mounts::start(info); //            what `mount=` asks for
    #[cfg(not(feature = "mount"))]
    environment::warn_of_mount();
    #[cfg(feature = "watchdog")]
    crate::watchdog::start(info); //          the machine's, if it has one               toro-i6300esb
    #[cfg(feature = "shutdown")]
    crate::shutdown::start(info, &machine); // the power button
    #[cfg(feature = "pcap")]
    crate::capture::start(); //               if `pcap=` asks for it
    #[cfg(feature = "trace")]
    crate::trace::start(); //                 if `trace=` asks for it
    #[cfg(feature = "operator")]
    crate::operator::start(); //              if `operator=` asks for it
    #[cfg(feature = "net")]
    crate::statistics::start(info); //        if `stats=` asks for it
    #[cfg(feature = "metrics")]
    crate::metrics::start(); //               if `metrics=` asks for it
    info!(
        "boot: main after {} us",
        toro_time::Instant::now().as_nanos() / 1000
    );
    #[cfg(feature = "gdb")]
    crate::debugger::wait(); //               if it shall wait for gdb
    toro_main();
    exit::exit(exit::ExitCode::Success)
}
