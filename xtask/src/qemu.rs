//! Every argument that QEMU gets: [`Vm`] describes a machine, [`Vm::command`] says it in QEMU's words.
//!
//! `run`, the tests and the benchmarks all boot through here, so that they boot the same machine.

mod console;
mod disk;
mod monitor;
mod port;
mod recipe;
mod running;
mod share;
mod size;
mod verdict;

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use toro_abi::exit::DEBUG_EXIT_PORT;

use crate::vsock::Sockets;

pub(crate) use self::console::{CONSOLE, ConsolePort};
pub(crate) use self::disk::Disk;
pub(crate) use self::monitor::Monitor;
pub(crate) use self::port::Forward;
pub(crate) use self::recipe::{Failing, Format};
pub(crate) use self::running::Running;
pub(crate) use self::share::{FileServer, Share};
pub(crate) use self::size::Memory;
pub(crate) use self::verdict::Verdict;

/// The program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

/// The kinds of machine that an image boots on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Machine {
    /// A PC of the nineties with PCI behind I/O ports; the image enters by PVH.
    Pc,
    /// A PC with PCI Express; the image enters by PVH.
    Q35,
    /// No PCI, virtio over MMIO, the fastest to boot; the image enters by PVH.
    Microvm,
    /// A `pc` that boots a GRUB ISO; the image enters by multiboot2.
    Iso,
}

/// How the network card is joined to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    /// There is no card.
    None,
    /// QEMU plays the network; ports of the host lead to ports of the guest.
    User(Vec<Forward>),
    /// A tap device of the host, by name, with so many queues. QEMU must run where the tap is.
    Tap(String, u32),
    /// A connected datagram socket that QEMU inherits, each datagram a frame, and the address of the card.
    Wire {
        /// The descriptor; it must survive `exec`.
        end: RawFd,
        /// As in `52:54:00:12:34:01`.
        mac: String,
    },
}

impl Net {
    /// The address of the card.
    fn mac(&self) -> &str {
        match self {
            Self::Wire { mac, .. } => mac,
            _ => MAC,
        }
    }
}

/// What is booted.
#[derive(Clone, Debug)]
pub(crate) enum Boot {
    /// An ELF by its PVH note, with an archive.
    Kernel {
        /// The finished image.
        elf: PathBuf,
        /// The archive that it mounts.
        initrd: Option<PathBuf>,
        /// The kernel command line.
        append: String,
    },
    /// A disc; the command line and the archive are on it.
    Disc(PathBuf),
}

/// A virtual machine before it runs.
#[derive(Clone, Debug)]
pub(crate) struct Vm {
    pub(crate) machine: Machine,
    pub(crate) cores: u32,
    pub(crate) memory: Memory,
    pub(crate) net: Net,
    /// QEMU's network has IPv6 too, with a router.
    pub(crate) ipv6: bool,
    /// A virtio source of random bytes.
    pub(crate) rng: bool,
    /// A virtio balloon that takes reports of free memory.
    pub(crate) balloon: bool,
    /// The disks, in the order in which the appliance numbers them.
    pub(crate) disks: Vec<Disk>,
    /// The folders of the host that it sees, in the order in which the appliance numbers them.
    pub(crate) shares: Vec<Share>,
    /// The ports of its virtio console, with their sockets.
    pub(crate) console_ports: Vec<ConsolePort>,
    /// The back end of its virtio sockets, which has to run before.
    pub(crate) vsock: Option<Sockets>,
    pub(crate) boot: Boot,
    /// With the processor's help instead of translation.
    pub(crate) kvm: bool,
    /// The processor; `None` for the richest that the accelerator has.
    pub(crate) cpu: Option<String>,
    /// Properties that every device of a kind has: `virtio-blk-device.queue-size=4`.
    pub(crate) globals: Vec<String>,
    /// More arguments for QEMU, as the benchmarks need for plugins.
    pub(crate) extra: Vec<String>,
}

impl Machine {
    /// All of them, in the order of the documentation.
    pub(crate) const ALL: [Self; 4] = [Self::Pc, Self::Q35, Self::Microvm, Self::Iso];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Q35 => "q35",
            Self::Microvm => "microvm",
            Self::Iso => "iso",
        }
    }

    /// The name that QEMU knows.
    fn qemu_name(self) -> &'static str {
        match self {
            Self::Pc | Self::Iso => "pc",
            Self::Q35 => "q35",
            Self::Microvm => "microvm",
        }
    }
}

impl Vm {
    /// A machine with one core and 128 MiB, without a network card.
    pub(crate) fn new(machine: Machine, boot: Boot) -> Self {
        Self {
            machine,
            cores: 1,
            memory: Memory::MIB * 128,
            net: Net::None,
            ipv6: false,
            rng: false,
            balloon: false,
            disks: Vec::new(),
            shares: Vec::new(),
            console_ports: Vec::new(),
            vsock: None,
            boot,
            kvm: false,
            cpu: None,
            globals: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// The command that runs it: the console is standard input and output.
    pub(crate) fn command(&self) -> Command {
        let mut qemu = Command::new(PROGRAM);
        qemu.args(["-M", self.machine.qemu_name()]);
        qemu.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ]);
        qemu.args(["-accel", if self.kvm { "kvm" } else { "tcg" }]);
        qemu.args([
            "-cpu",
            self.cpu
                .as_deref()
                .unwrap_or(if self.kvm { "host" } else { "max" }),
        ]);
        qemu.args(["-smp", &self.cores.to_string(), "-m", &self.memory.qemu()]);
        qemu.args(["-serial", "stdio"]);
        qemu.args([
            "-device",
            &format!("isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=0x04"),
        ]);
        if self.machine == Machine::Microvm {
            qemu.args(["-global", "virtio-mmio.force-legacy=false"]);
        }
        for global in &self.globals {
            qemu.args(["-global", global]);
        }
        self.share_memory(&mut qemu);
        self.add_net(&mut qemu);
        if self.rng {
            qemu.args(["-device", &self.virtio("rng", "")]);
        }
        if self.balloon {
            let balloon = self.virtio("balloon", ",free-page-reporting=on");
            qemu.args(["-device", &balloon]);
        }
        self.add_disks(&mut qemu);
        self.add_shares(&mut qemu);
        self.add_console(&mut qemu);
        self.add_vsock(&mut qemu);
        self.add_boot(&mut qemu);
        qemu.args(&self.extra);
        qemu
    }

    fn add_net(&self, qemu: &mut Command) {
        let backend = match &self.net {
            Net::None => return,
            Net::User(forwards) => {
                let forwards: String = forwards.iter().map(Forward::qemu).collect();
                let ipv6 = if self.ipv6 { "on" } else { "off" };
                format!("user,id=net0,ipv4=on,ipv6={ipv6}{forwards}")
            }
            Net::Tap(name, queues) => {
                let tap = format!("tap,id=net0,ifname={name},script=no,downscript=no,vhost=off");
                match queues {
                    1 => tap,
                    _ => format!("{tap},queues={queues}"),
                }
            }
            Net::Wire { end, .. } => format!("dgram,id=net0,local.type=fd,local.str={end}"),
        };
        qemu.args(["-netdev", &backend]);
        let rom = if self.machine == Machine::Microvm {
            ""
        } else {
            ",romfile="
        };
        let pairs = self.pairs();
        let mac = self.net.mac();
        let card = self.virtio("net", &format!(",netdev=net0,mac={mac}{rom}{pairs}"));
        qemu.args(["-device", &card]);
    }

    /// What the card has to know of several queue pairs: a message for each queue, the control queue and the configuration.
    fn pairs(&self) -> String {
        match self.net {
            Net::Tap(_, queues) if queues > 1 && self.machine == Machine::Microvm => {
                ",mq=on".to_owned()
            }
            Net::Tap(_, queues) if queues > 1 => {
                format!(",mq=on,vectors={}", 2 * queues + 2)
            }
            _ => String::new(),
        }
    }

    fn add_disks(&self, qemu: &mut Command) {
        for (number, disk) in self.disks.iter().enumerate() {
            let id = format!("blk{number}");
            qemu.args(["-blockdev", &disk.backend(&id)]);
            let options = format!(",drive={id}{}", disk.options);
            qemu.args(["-device", &self.virtio("blk", &options)]);
        }
    }

    /// The servers of folders and of sockets read and write the memory of the machine.
    fn share_memory(&self, qemu: &mut Command) {
        if self.shares.is_empty() && self.vsock.is_none() {
            return;
        }
        let size = self.memory.qemu();
        let memory = format!("memory-backend-memfd,id=ram,size={size},share=on");
        qemu.args(["-object", &memory, "-machine", "memory-backend=ram"]);
    }

    fn add_shares(&self, qemu: &mut Command) {
        for (number, share) in self.shares.iter().enumerate() {
            let id = format!("fs{number}");
            qemu.args(["-chardev", &share.backend(&id)]);
            let device = match self.machine {
                Machine::Microvm => "vhost-user-fs-device".to_owned(),
                _ => "vhost-user-fs-pci".to_owned(),
            };
            qemu.args(["-device", &format!("{device},chardev={id},tag={id}")]);
        }
    }

    /// Starts what must run beside QEMU, before it; keep it as long.
    pub(crate) fn serve(&self) -> Result<Vec<FileServer>> {
        self.shares.iter().map(Share::serve).collect()
    }

    fn add_console(&self, qemu: &mut Command) {
        if self.console_ports.is_empty() {
            return;
        }
        // Number 0 is the console's, whether it is there or not.
        let options = format!(",max_ports={}", self.console_ports.len() + 1);
        qemu.args(["-device", &self.virtio("serial", &options)]);
        for (number, port) in (1..).zip(&self.console_ports) {
            let id = format!("port{number}");
            qemu.args(["-chardev", &port.backend(&id)]);
            qemu.args(["-device", &port.device(&id, number)]);
        }
    }

    fn add_vsock(&self, qemu: &mut Command) {
        let Some(sockets) = &self.vsock else {
            return;
        };
        // A comma ends an option unless it is doubled.
        let path = sockets.device.display().to_string().replace(',', ",,");
        qemu.args(["-chardev", &format!("socket,id=vsock,path={path}")]);
        let device = match self.machine {
            Machine::Microvm => "vhost-user-vsock-device",
            Machine::Pc | Machine::Q35 | Machine::Iso => "vhost-user-vsock-pci,disable-legacy=on",
        };
        qemu.args(["-device", &format!("{device},chardev=vsock")]);
    }

    /// A virtio device on the bus of this machine, modern in any case.
    fn virtio(&self, kind: &str, options: &str) -> String {
        if self.machine == Machine::Microvm {
            format!("virtio-{kind}-device{options}")
        } else {
            format!("virtio-{kind}-pci,disable-legacy=on{options}")
        }
    }

    fn add_boot(&self, qemu: &mut Command) {
        match &self.boot {
            Boot::Kernel {
                elf,
                initrd,
                append,
            } => {
                qemu.arg("-kernel").arg(elf);
                if let Some(initrd) = initrd {
                    qemu.arg("-initrd").arg(initrd);
                }
                if !append.is_empty() {
                    qemu.args(["-append", append]);
                }
            }
            Boot::Disc(path) => {
                // Disks with a boot sector, even one of a file system, would come first.
                qemu.arg("-cdrom").arg(path).args(["-boot", "d"]);
            }
        }
    }
}

/// The address of the card, unless two machines meet on a wire; in the range that is nobody's.
pub(crate) const MAC: &str = "52:54:00:12:34:56";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Boot, Forward, MAC, Machine, Memory, Net, Sockets, Vm};
    use crate::process;

    fn check(machine: Machine, net: Net, has: &[&str], lacks: &[&str]) {
        let boot = Boot::Kernel {
            elf: "hello.elf".into(),
            initrd: Some("www.tar".into()),
            append: "log=info".to_owned(),
        };
        let shown = process::shown(
            &Vm {
                net,
                ..Vm::new(machine, boot)
            }
            .command(),
        );
        for text in has {
            assert!(shown.contains(text), "{text} is not in {shown}");
        }
        for text in lacks {
            assert!(!shown.contains(text), "{text} is in {shown}");
        }
    }

    #[test]
    fn a_machine_without_network_has_no_card() {
        let has = [
            "-M pc ",
            "-kernel hello.elf",
            "-initrd www.tar",
            "-append log=info",
            "-accel tcg",
        ];
        check(Machine::Pc, Net::None, &has, &["netdev", "virtio"]);
    }

    #[test]
    fn cards_sit_on_pci_or_mmio() {
        let user = Net::User(vec!["8080:80".parse::<Forward>().unwrap()]);
        let forward = "hostfwd=tcp:127.0.0.1:8080-:80";
        check(
            Machine::Q35,
            user.clone(),
            &["-M q35", "virtio-net-pci,disable-legacy=on", forward],
            &["force-legacy"],
        );
        check(
            Machine::Microvm,
            user,
            &[
                "-M microvm",
                "virtio-net-device",
                "virtio-mmio.force-legacy=false",
            ],
            &["virtio-net-pci"],
        );
        check(
            Machine::Pc,
            Net::Tap("tap7".to_owned(), 1),
            &["ifname=tap7"],
            &["hostfwd", "queues=", "mq=on"],
        );
        check(
            Machine::Pc,
            Net::Tap("tap7".to_owned(), 4),
            &["vhost=off,queues=4", "mq=on,vectors=10"],
            &[],
        );
        let wire = Net::Wire {
            end: 5,
            mac: "52:54:00:12:34:01".to_owned(),
        };
        check(
            Machine::Pc,
            wire,
            &["local.type=fd,local.str=5", "mac=52:54:00:12:34:01"],
            &[MAC],
        );
    }

    #[test]
    fn a_source_of_random_bytes_is_there_if_wanted() {
        for (machine, device) in [
            (Machine::Pc, "virtio-rng-pci"),
            (Machine::Microvm, "virtio-rng-device"),
        ] {
            let vm = Vm {
                rng: true,
                ..Vm::new(machine, Boot::Disc("a.iso".into()))
            };
            assert!(process::shown(&vm.command()).contains(device));
        }
    }

    #[test]
    fn sockets_take_memory_that_their_back_end_shares() {
        for (machine, device) in [
            (
                Machine::Q35,
                "vhost-user-vsock-pci,disable-legacy=on,chardev=vsock",
            ),
            (Machine::Microvm, "vhost-user-vsock-device,chardev=vsock"),
        ] {
            let sockets = Sockets::new(3, Path::new("/a,b"), "vm").unwrap();
            let vm = Vm {
                vsock: Some(sockets),
                ..Vm::new(machine, Boot::Disc("a.iso".into()))
            };
            let shown = process::shown(&vm.command());
            for words in [
                device,
                "memory-backend-memfd,id=ram,size=128M,share=on",
                "memory-backend=ram",
                "path=/a,,b/vm.vhost",
            ] {
                assert!(shown.contains(words), "{words} in {shown}");
            }
        }
    }

    #[test]
    fn a_disc_boots_on_a_pc() {
        let vm = Vm {
            memory: Memory::MIB * 64,
            ..Vm::new(Machine::Iso, Boot::Disc("hello.iso".into()))
        };
        let shown = process::shown(&vm.command());
        assert!(
            shown.contains("-M pc ") && shown.contains("-cdrom hello.iso"),
            "{shown}"
        );
        assert!(
            shown.contains("-m 64M") && !shown.contains("-kernel"),
            "{shown}"
        );
    }
}
