//! What is measured: the images of this project, the Linux guest beside them, and the do-nothing image below both.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::linux_guest::{LinuxGuest, Server};
use super::linux_kernel::Kernel;
use super::probe::Question;
use super::rounds::Peer;
use super::vm::{Guest, Vm};
use super::{floor, pages, probe, progress};
use crate::build::{self, Extras, Profile};
use crate::netns::Tap;
use crate::qemu::{ConsolePort, Disk, Machine, Memory, Share};
use crate::vsock::Sockets;
use crate::workspace::Workspace;

/// Memory of a guest unless its memory is what is measured.
const MEMORY: u64 = 256;
/// Under TCG, Linux now and then resets in its first moments on microvm. That must not end a comparison; an image
/// of ours gets no second chance.
const FORGIVEN: u32 = 3;
/// What a guest has besides memory, a processor and a card.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hardware {
    pub(crate) disks: Vec<Disk>,
    pub(crate) console_ports: Vec<ConsolePort>,
    pub(crate) shares: Vec<Share>,
    pub(crate) vsock: Option<Sockets>,
}

/// Files from which guests of one kind are made for any machine.
#[derive(Debug, Clone)]
pub(crate) struct Kit {
    name: String,
    kernel: PathBuf,
    initrd: Option<PathBuf>,
    append: String,
    is_linux: bool,
    serves: bool,
    pub(super) question: Question,
    /// Its name in every result; none for ours.
    reference: &'static str,
    pub(super) hardware: Hardware,
    /// The image before it was stripped.
    pub(super) debug: Option<PathBuf>,
}

impl Kit {
    /// The image that does nothing.
    pub(crate) fn floor(folder: &Path) -> Result<Self> {
        let kernel = folder.join("floor.elf");
        fs::write(&kernel, floor::image())?;
        Ok(Self::new("do-nothing image", kernel, false))
    }

    /// `hello`, built.
    pub(crate) fn hello(workspace: &Workspace) -> Result<Self> {
        let image = build::build(workspace, "hello", Profile::Release)?;
        Ok(Self::new("hello", image.path, false))
    }

    /// A web server with these units, built, and the pages of the benchmark as its archive.
    pub(crate) fn server(
        workspace: &Workspace,
        folder: &Path,
        name: &str,
        extras: Extras,
    ) -> Result<Self> {
        let image = build::build_with(workspace, name, Profile::Release, extras)?;
        let package = workspace.appliance(name)?;
        let www = folder.join("www");
        fs::create_dir_all(&www)?;
        for page in pages::all() {
            fs::write(www.join(&page.name), page.content)?;
        }
        let archive = toro_archive::write(&www, &folder.join("www.tar"))?;
        let words = package.toro().machine.append.split_whitespace();
        let append = words
            .filter(|word| !word.starts_with("ip="))
            .collect::<Vec<_>>()
            .join(" ");
        let kit = Self::new(name, image.path, true);
        Ok(Self {
            debug: Some(image.debug),
            initrd: Some(archive.path),
            append,
            ..kit
        })
    }

    /// Adds words to its command line.
    pub(super) fn also(&mut self, words: &str) {
        self.append = format!("{words} {}", self.append).trim().to_owned();
    }

    /// `resp`, built.
    pub(crate) fn resp(workspace: &Workspace) -> Result<Self> {
        let image = build::build(workspace, "resp", Profile::Release)?;
        let kit = Self::new("resp", image.path, true);
        Ok(Self {
            debug: Some(image.debug),
            question: probe::RESP,
            ..kit
        })
    }

    /// A reference: `server` alone on Linux, made in a folder of its own below `folder`.
    pub(crate) fn linux(folder: &Path, server: Server, kernel: Kernel) -> Result<Self> {
        let (place, reference) = match (server, kernel) {
            (Server::Nginx, Kernel::Debian) => ("linux", "nginx on Linux (Debian cloud kernel)"),
            (Server::Nginx, Kernel::Stripped) => {
                ("linux-nginx-stripped", "nginx on Linux (stripped kernel)")
            }
            (Server::Epoll, Kernel::Debian) => {
                ("linux-epoll", "epoll server on Linux (Debian cloud kernel)")
            }
            (Server::Epoll, Kernel::Stripped) => (
                "linux-epoll-stripped",
                "epoll server on Linux (stripped kernel)",
            ),
            (Server::Redis, Kernel::Debian) => {
                ("linux-redis", "redis-server on Linux (Debian cloud kernel)")
            }
            (Server::Redis, Kernel::Stripped) => (
                "linux-redis-stripped",
                "redis-server on Linux (stripped kernel)",
            ),
            (Server::Io, _) => ("linux-io", "Linux (Debian cloud kernel)"),
        };
        let linux = LinuxGuest::prepare(&folder.join(place), server, kernel)?;
        let kit = Self::new("Linux", linux.kernel, true);
        Ok(Self {
            initrd: Some(linux.initrd),
            is_linux: true,
            reference,
            question: match server {
                Server::Nginx | Server::Epoll => probe::HTTP,
                Server::Redis => probe::RESP,
                Server::Io => probe::IO,
            },
            ..kit
        })
    }

    fn new(name: &str, kernel: PathBuf, serves: bool) -> Self {
        let append = String::new();
        Self {
            name: name.to_owned(),
            kernel,
            debug: None,
            initrd: None,
            append,
            is_linux: false,
            serves,
            question: probe::HTTP,
            reference: "",
            hardware: Hardware::default(),
        }
    }

    /// `bench-io`, built, with that hardware; `append` mounts it.
    pub(crate) fn io(
        workspace: &Workspace,
        hardware: Hardware,
        archive: Option<PathBuf>,
        append: &str,
    ) -> Result<Self> {
        let image = build::build(workspace, "bench-io", Profile::Release)?;
        let kit = Self::new("bench-io", image.path, true);
        Ok(Self {
            debug: Some(image.debug),
            initrd: archive,
            append: append.to_owned(),
            question: probe::IO,
            hardware,
            ..kit
        })
    }

    /// The reference for `bench-io`: the same commands on Linux.
    pub(crate) fn linux_io(folder: &Path, hardware: Hardware, append: &str) -> Result<Self> {
        let kit = Self::linux(folder, Server::Io, Kernel::Debian)?;
        Ok(Self {
            append: append.to_owned(),
            hardware,
            ..kit
        })
    }

    /// What results call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name of the reference, if this is it.
    pub(crate) fn reference(&self) -> Option<&'static str> {
        self.is_linux.then_some(self.reference)
    }

    /// Bytes of what has to be loaded: kernel and boot archive, but for Toro without the pages.
    pub(crate) fn image_bytes(&self) -> Result<u64> {
        let kernel = fs::metadata(&self.kernel)?.len();
        let initrd = self.initrd.as_ref().filter(|_| self.is_linux);
        Ok(kernel + initrd.map_or(Ok(0), |path| fs::metadata(path).map(|m| m.len()))?)
    }

    /// A guest on `machine`, with a network card on `tap` if it serves.
    pub(crate) fn guest(&self, machine: Machine, tap: Tap) -> Guest {
        let (address, gateway) = (tap.guest(), tap.host());
        let append = if self.is_linux {
            let words = LinuxGuest::command_line(&address.to_string(), machine != Machine::Microvm);
            format!("{words} {}", self.append).trim_end().to_owned()
        } else if self.serves {
            format!("ip={address}/24,gw={gateway} {}", self.append)
                .trim_end()
                .to_owned()
        } else {
            String::new()
        };
        Guest {
            name: format!("{} on {}", self.name, machine.name()),
            machine,
            kernel: self.kernel.clone(),
            initrd: self.initrd.clone(),
            append,
            memory: Memory::MIB * MEMORY,
            cores: tap.queues(),
            counts: false,
            tap: self.serves.then_some(tap),
            question: self.question,
            hardware: self.hardware.clone(),
            failures_forgiven: if self.is_linux { FORGIVEN } else { 0 },
        }
    }

    /// How a client finds a guest of this kind that has its card on `tap`.
    pub(super) fn peer(&self, tap: Tap) -> Peer<'_> {
        Peer {
            tap,
            vsock: self.hardware.vsock.as_ref(),
        }
    }
}

/// How long a guest may take to boot before it counts as dead.
pub(crate) fn patience(kit: &Kit) -> Duration {
    Duration::from_secs(if kit.is_linux { 40 } else { 10 })
}

/// Boots a guest that serves and waits for its first answer; returns the VM and how long that took.
pub(crate) fn boot_server(
    guest: &Guest,
    patience: Duration,
    plugin: Option<&str>,
) -> Result<(Vm, Duration)> {
    let mut failures = 0;
    loop {
        match try_boot_server(guest, patience, plugin) {
            Err(error) if failures < guest.failures_forgiven => {
                failures += 1;
                progress(&format!("booting it again: {error:#}"));
            }
            outcome => return outcome,
        }
    }
}

fn try_boot_server(
    guest: &Guest,
    patience: Duration,
    plugin: Option<&str>,
) -> Result<(Vm, Duration)> {
    let tap = guest.tap.context("a server has a network card")?;
    tap.set_queue_length(4)?;
    let mut vm = Vm::start(guest, plugin)?;
    let started = vm.started();
    let answer = probe::first_answer(tap.guest(), guest.question, started, patience, || {
        vm.is_running()
    })?;
    tap.set_queue_length(1000)?;
    match answer {
        Some(time) => Ok((vm, time)),
        None => vm.fail(&format!("{} gave no answer", guest.name)),
    }
}
