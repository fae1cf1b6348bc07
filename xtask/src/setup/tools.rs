//! The programs that are needed, and the packages that bring them.

use std::env;
use std::path::{Path, PathBuf};

use super::built;
use crate::qemu::{self, Machine};

/// What brings a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A Debian package.
    Package(&'static str),
    /// The crate of the program's name, in this version: cargo builds it into the project's own folder.
    Crate {
        version: &'static str,
        /// What the build takes besides Rust.
        needs: &'static [Tool],
    },
}

/// A program or file that a verb needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Qemu,
    GrubMkrescue,
    GrubBios,
    Xorriso,
    Mtools,
    Dosfstools,
    E2fsprogs,
    Fdisk,
    Curl,
    Wrk,
    Ip,
    Lz4,
    Gdb,
    RedisTools,
    VhostDeviceVsock,
    Chromium,
    Tshark,
    Virtiofsd,
    /// Static programs of others, for ToroV.
    Busybox,
    Bash,
    Sash,
    /// The headers with which virtiofsd is built.
    LibcapNg,
    Libseccomp,
    Flex,
    Bison,
    Bc,
    Make,
    Libelf,
}

impl Tool {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::Qemu,
        Self::GrubMkrescue,
        Self::GrubBios,
        Self::Xorriso,
        Self::Mtools,
        Self::Dosfstools,
        Self::E2fsprogs,
        Self::Fdisk,
        Self::Curl,
        Self::Wrk,
        Self::Ip,
        Self::Lz4,
        Self::Gdb,
        Self::RedisTools,
        Self::VhostDeviceVsock,
        Self::Chromium,
        Self::Tshark,
        Self::LibcapNg,
        Self::Libseccomp,
        Self::Virtiofsd,
        Self::Busybox,
        Self::Bash,
        Self::Sash,
    ];

    /// What `cargo xtask test` drives images with.
    pub(crate) const TEST: &[Self] = &[
        Self::Qemu,
        Self::GrubMkrescue,
        Self::GrubBios,
        Self::Xorriso,
        Self::Mtools,
        Self::Dosfstools,
        Self::E2fsprogs,
        Self::Fdisk,
        Self::Curl,
        Self::Ip,
        Self::Gdb,
        Self::RedisTools,
        Self::VhostDeviceVsock,
        Self::Chromium,
        Self::Tshark,
        Self::Virtiofsd,
    ];

    /// What `cargo xtask bench` and `profile` measure with.
    pub(crate) const BENCH: &[Self] =
        &[Self::Qemu, Self::Wrk, Self::Ip, Self::Lz4, Self::RedisTools];

    /// What builds a Linux kernel, for `bench --kernel stripped` only.
    pub(crate) const KERNEL: &[Self] =
        &[Self::Flex, Self::Bison, Self::Bc, Self::Make, Self::Libelf];

    /// What a machine of that kind takes to boot.
    pub(crate) fn needed_by(machine: Machine) -> &'static [Self] {
        match machine {
            Machine::Iso => &[
                Self::Qemu,
                Self::GrubMkrescue,
                Self::GrubBios,
                Self::Xorriso,
                Self::Mtools,
            ],
            Machine::Pc | Machine::Q35 | Machine::Microvm => &[Self::Qemu],
        }
    }

    /// The name of the program, or the path of the file.
    pub(crate) fn program(self) -> &'static str {
        self.row().0
    }

    /// What brings it.
    pub(crate) fn source(self) -> Source {
        self.row().1
    }

    /// The table.
    fn row(self) -> (&'static str, Source) {
        let package = Source::Package;
        match self {
            Self::Qemu => (qemu::PROGRAM, package("qemu-system-x86")),
            Self::GrubMkrescue => ("grub-mkrescue", package("grub-common")),
            Self::GrubBios => (
                "/usr/lib/grub/i386-pc/multiboot2.mod",
                package("grub-pc-bin"),
            ),
            Self::Xorriso => ("xorriso", package("xorriso")),
            Self::Mtools => ("mformat", package("mtools")),
            Self::Dosfstools => ("mkfs.fat", package("dosfstools")),
            Self::E2fsprogs => ("mke2fs", package("e2fsprogs")),
            Self::Fdisk => ("sfdisk", package("fdisk")),
            Self::Curl => ("curl", package("curl")),
            Self::Wrk => ("wrk", package("wrk")),
            Self::Ip => ("ip", package("iproute2")),
            Self::Lz4 => ("lz4", package("lz4")),
            Self::Gdb => ("gdb", package("gdb")),
            Self::Chromium => ("chromium", package("chromium")),
            Self::Tshark => ("tshark", package("tshark")),
            Self::RedisTools => ("redis-cli", package("redis-tools")),
            Self::VhostDeviceVsock => (
                "vhost-device-vsock",
                Source::Crate {
                    version: "0.3.0",
                    needs: &[],
                },
            ),
            Self::Virtiofsd => (
                "virtiofsd",
                Source::Crate {
                    version: "1.14.0",
                    needs: &[Self::LibcapNg, Self::Libseccomp],
                },
            ),
            Self::Busybox => ("busybox", package("busybox-static")),
            Self::Bash => ("bash-static", package("bash-static")),
            Self::Sash => ("sash", package("sash")),
            Self::LibcapNg => ("/usr/include/cap-ng.h", package("libcap-ng-dev")),
            Self::Libseccomp => ("/usr/include/seccomp.h", package("libseccomp-dev")),
            Self::Flex => ("flex", package("flex")),
            Self::Bison => ("bison", package("bison")),
            Self::Bc => ("bc", package("bc")),
            Self::Make => ("make", package("make")),
            Self::Libelf => ("/usr/include/libelf.h", package("libelf-dev")),
        }
    }

    /// Where a program lies that is built here; others are found by their name.
    pub(crate) fn path(self) -> PathBuf {
        match self.source() {
            Source::Package(_) => self.program().into(),
            Source::Crate { .. } => built::path(self.program()),
        }
    }

    fn is_there(self) -> bool {
        if let Source::Crate { version, .. } = self.source() {
            return built::is_there(self.program(), version);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        // `ip` lies where only root's PATH looks.
        env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|folder| Path::new(&folder).join(self.program()).is_file())
    }
}

/// Those of `tools` that are not there, behind what their builds take and is not there either.
pub(crate) fn missing(tools: &[Tool]) -> Vec<Tool> {
    let mut missing = Vec::new();
    for tool in tools.iter().copied().filter(|tool| !tool.is_there()) {
        if let Source::Crate { needs, .. } = tool.source() {
            missing.extend(needs.iter().copied().filter(|tool| !tool.is_there()));
        }
        missing.push(tool);
    }
    missing.dedup();
    missing
}
