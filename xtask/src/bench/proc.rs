//! What the host knows of a running process: its threads, the CPU time they used, its memory, its cores.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::process;

/// The core on which clients and everything of QEMU but its vCPUs run.
const CLIENT_CORE: usize = 0;
/// The core on which the vCPU runs.
pub(crate) const GUEST_CORE: usize = 1;

/// One thread of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thread {
    /// Its id.
    pub(crate) tid: i32,
    /// Its name, `CPU 0/TCG` for a vCPU of QEMU.
    pub(crate) name: String,
    /// The time it has run so far.
    pub(crate) cpu: Duration,
}

impl Thread {
    /// True of a thread that runs the guest.
    pub(crate) fn is_vcpu(&self) -> bool {
        self.name.starts_with("CPU ")
    }
}

/// The threads of `pid`, or none once it is gone.
pub(crate) fn threads(pid: u32) -> Vec<Thread> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| thread(pid, task.file_name().to_str()?))
        .collect()
}

fn thread(pid: u32, tid: &str) -> Option<Thread> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}")).ok();
    Some(Thread {
        tid: tid.parse().ok()?,
        name: read("comm")?.trim().to_owned(),
        cpu: Duration::from_nanos(read("schedstat")?.split(' ').next()?.parse().ok()?),
    })
}

/// CPU time of a process: of its vCPUs, and of all its threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// Time in the threads that run the guest.
    pub(crate) vcpu: Duration,
    /// Time in all threads.
    pub(crate) total: Duration,
}

impl CpuTime {
    /// What `pid` has used so far.
    pub(crate) fn of(pid: u32) -> Self {
        threads(pid)
            .iter()
            .fold(Self::default(), |sum, thread| Self {
                vcpu: sum.vcpu
                    + if thread.is_vcpu() {
                        thread.cpu
                    } else {
                        Duration::ZERO
                    },
                total: sum.total + thread.cpu,
            })
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            vcpu: self.vcpu.saturating_sub(earlier.vcpu),
            total: self.total.saturating_sub(earlier.total),
        }
    }
}

/// Resident memory of `pid` in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Puts the vCPUs of the QEMU process `pid` on [`GUEST_CORE`], the rest of it on [`CLIENT_CORE`].
///
/// Does nothing on a machine with one core.
pub(crate) fn pin_vm(pid: u32) -> Result<()> {
    if !can_pin() {
        return Ok(());
    }
    for thread in threads(pid) {
        let core = if thread.is_vcpu() {
            GUEST_CORE
        } else {
            CLIENT_CORE
        };
        let mut set = CpuSet::new();
        set.set(core)?;
        // A thread may end between being listed and being pinned.
        let _ = sched_setaffinity(Pid::from_raw(thread.tid), &set);
    }
    Ok(())
}

/// The running thread, and what it starts, kept on [`CLIENT_CORE`] until this value is dropped.
#[derive(Debug)]
pub(crate) struct OnClientCore(Option<CpuSet>);

impl OnClientCore {
    /// Moves the thread there; does nothing on a machine with one core.
    pub(crate) fn enter() -> Result<Self> {
        if !can_pin() {
            return Ok(Self(None));
        }
        let before = sched_getaffinity(Pid::from_raw(0))?;
        let mut set = CpuSet::new();
        set.set(CLIENT_CORE)?;
        sched_setaffinity(Pid::from_raw(0), &set)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for OnClientCore {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // It may run where it ran before.
            let _ = sched_setaffinity(Pid::from_raw(0), before);
        }
    }
}

/// A command for a program that loads a guest, on [`CLIENT_CORE`] where it can be kept there; it dies with the thread that starts it.
pub(crate) fn client(program: &str) -> Command {
    if !can_pin() {
        return process::mortal(program);
    }
    let mut command = process::mortal("taskset");
    command.args(["-c", &CLIENT_CORE.to_string(), program]);
    command
}

/// True if this process may use both cores that a measurement needs.
fn can_pin() -> bool {
    sched_getaffinity(Pid::from_raw(0)).is_ok_and(|set| {
        set.is_set(CLIENT_CORE).unwrap_or(false) && set.is_set(GUEST_CORE).unwrap_or(false)
    })
}

#[cfg(test)]
mod tests {
    use super::{CpuTime, resident_kib, threads};

    #[test]
    fn sees_this_process() {
        let pid = std::process::id();
        assert!(!threads(pid).is_empty());
        assert!(CpuTime::of(pid).total >= CpuTime::of(pid).vcpu);
        assert!(resident_kib(pid).expect("this process has memory") > 0);
    }

    #[test]
    fn sees_nothing_of_a_process_that_is_gone() {
        // Above the largest process id that Linux gives out.
        assert!(threads(1 << 23).is_empty());
        assert_eq!(resident_kib(1 << 23), None);
    }
}
