//! The programs that are needed, and the packages that bring them.

use std::env;
use std::path::Path;

use crate::qemu::{self, Machine};

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
        Self::RedisTools,
    ];

    /// What `cargo xtask bench` and `profile` measure with.
    pub(crate) const BENCH: &[Self] =
        &[Self::Qemu, Self::Wrk, Self::Ip, Self::Lz4, Self::RedisTools];

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
    pub(crate) fn program(&self) -> &'static str {
        match self {
            Self::Qemu => qemu::PROGRAM,
            Self::GrubMkrescue => "grub-mkrescue",
            Self::GrubBios => "/usr/lib/grub/i386-pc/multiboot2.mod",
            Self::Xorriso => "xorriso",
            Self::Mtools => "mformat",
            Self::Dosfstools => "mkfs.fat",
            Self::E2fsprogs => "mke2fs",
            Self::Fdisk => "sfdisk",
            Self::Curl => "curl",
            Self::Wrk => "wrk",
            Self::Ip => "ip",
            Self::Lz4 => "lz4",
            Self::Gdb => "gdb",
            Self::RedisTools => "redis-cli",
        }
    }

    /// The Debian package.
    pub(crate) fn package(&self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86",
            Self::GrubMkrescue => "grub-common",
            Self::GrubBios => "grub-pc-bin",
            Self::Xorriso => "xorriso",
            Self::Mtools => "mtools",
            Self::Dosfstools => "dosfstools",
            Self::E2fsprogs => "e2fsprogs",
            Self::Fdisk => "fdisk",
            Self::Curl => "curl",
            Self::Wrk => "wrk",
            Self::Ip => "iproute2",
            Self::Lz4 => "lz4",
            Self::Gdb => "gdb",
            Self::RedisTools => "redis-tools",
        }
    }

    fn is_there(self) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        // `ip` lies where only root's PATH looks.
        env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|folder| Path::new(&folder).join(self.program()).is_file())
    }
}

/// Those of `tools` that are not there.
pub(crate) fn missing(tools: &[Tool]) -> Vec<Tool> {
    tools
        .iter()
        .copied()
        .filter(|tool| !tool.is_there())
        .collect()
}
