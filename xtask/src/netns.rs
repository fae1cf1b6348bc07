//! The network lab: a network namespace of our own with a tap for each guest, gone when we are.
//!
//! [`Lab::enter`] moves the calling thread into a new, nameless namespace: the clients and the VMs that
//! it starts afterwards live there too, and nothing can leave it, for it has no way out. The kernel
//! removes it with its last process, so there is nothing to clean up, however the tool ends.
//!
//! Tap `i` has 10.77.i.1/24 on the host's side; its guest has 10.77.i.2 and the MAC address that every VM has.

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};
use nix::unistd::{getgid, getuid};

use crate::qemu::MAC;

/// Being inside the namespace.
#[derive(Debug)]
pub(crate) struct Lab {
    taps: Vec<Tap>,
}

/// The host's side of a tap, frame by frame.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: OwnedFd,
    address: LinkAddr,
}

impl Wire {
    /// Sends a frame; `false` if the tap has no room for it.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<bool> {
        let flags = MsgFlags::MSG_DONTWAIT;
        match sendto(self.socket.as_raw_fd(), frame, &self.address, flags) {
            Ok(_) => Ok(true),
            Err(Errno::ENOBUFS | Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error).context("cannot send a frame"),
        }
    }
}

/// One tap interface and the addresses at both of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    index: u8,
    /// Queues, for as many queue pairs of a card.
    queues: u32,
}

impl Lab {
    /// Moves this thread, and what it starts from now on, into a new namespace with `taps` taps.
    ///
    /// Needs root, or a kernel that lets users make user namespaces. Downloads must be done before.
    pub(crate) fn enter(taps: u8) -> Result<Self> {
        Self::enter_with(taps, 1)
    }

    /// As [`enter`](Self::enter), with so many queues in each tap.
    pub(crate) fn enter_with(taps: u8, queues: u32) -> Result<Self> {
        leave_host_network()?;
        ip("link set lo up")?;
        // Many short connections in a row must not run out of ports.
        sysctl("net/ipv4/ip_local_port_range", "10240 65000")?;
        sysctl("net/ipv4/tcp_tw_reuse", "1")?;
        // Router solicitations would be noise in an idle guest; a kernel without IPv6 sends none.
        let _ = sysctl("net/ipv6/conf/all/disable_ipv6", "1");
        let _ = sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        let taps: Vec<Tap> = (0..taps).map(|index| Tap { index, queues }).collect();
        for tap in &taps {
            tap.make()?;
        }
        Ok(Self { taps })
    }

    /// The tap with that index.
    pub(crate) fn tap(&self, index: usize) -> Tap {
        self.taps[index]
    }
}

impl Tap {
    /// How many queues it has.
    pub(crate) fn queues(self) -> u32 {
        self.queues
    }

    /// Name of the interface.
    pub(crate) fn name(self) -> String {
        format!("tap{}", self.index)
    }

    /// The address of the host's end.
    pub(crate) fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.index, 1)
    }

    /// A way to put whole frames on the tap, as a network would.
    pub(crate) fn wire(self) -> Result<Wire> {
        let name = self.name();
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .context("cannot make a packet socket")?;
        let mut interfaces = getifaddrs()?.filter(|interface| interface.interface_name == name);
        let address = interfaces.find_map(|interface| interface.address?.as_link_addr().copied());
        let address = address.with_context(|| format!("{name} has no address of its own"))?;
        Ok(Wire { socket, address })
    }

    /// Frames that have passed so far, both ways; the calling thread must be in the namespace.
    pub(crate) fn frames(self) -> Result<u64> {
        let table = fs::read_to_string("/proc/thread-self/net/dev")?;
        frames_of(&table, &self.name()).with_context(|| format!("{} is not there", self.name()))
    }

    /// The address that the guest must take.
    pub(crate) fn guest(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.index, 2)
    }

    /// Sets how many packets wait in the tap for a guest that does not read yet.
    ///
    /// While a guest boots, a short queue keeps it from waking up to a second of stale probes.
    pub(crate) fn set_queue_length(self, packets: u32) -> Result<()> {
        ip(&format!("link set {} txqueuelen {packets}", self.name()))
    }

    fn make(self) -> Result<()> {
        let name = self.name();
        let several = if self.queues > 1 { "multi_queue" } else { "" };
        ip(&format!(
            "tuntap add dev {name} mode tap vnet_hdr {several}"
        ))?;
        ip(&format!("addr add {}/24 dev {name}", self.host()))?;
        ip(&format!("link set {name} up"))?;
        // A fixed neighbour entry: address resolution with its retries once a second would quantise boot times.
        ip(&format!(
            "neigh replace {} lladdr {MAC} dev {name} nud permanent",
            self.guest()
        ))
    }
}

/// `tap0: BYTES FRAMES` and six more columns of what came, then as many of what went.
fn frames_of(table: &str, name: &str) -> Option<u64> {
    let (_, columns) = table
        .lines()
        .filter_map(|line| line.trim().split_once(':'))
        .find(|(interface, _)| *interface == name)?;
    let columns: Vec<&str> = columns.split_whitespace().collect();
    let column = |index: usize| columns.get(index)?.parse::<u64>().ok();
    Some(column(1)? + column(9)?)
}

fn leave_host_network() -> Result<()> {
    if getuid().is_root() {
        return unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace");
    }
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .context("cannot make a network namespace: run this as root")?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
        .context("cannot become root of the namespace")
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .context("cannot run `ip` (package iproute2)")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {arguments}: {}", error.trim());
    Ok(())
}

fn sysctl(key: &str, value: &str) -> Result<()> {
    fs::write(format!("/proc/sys/{key}"), value).with_context(|| format!("cannot set {key}"))
}

#[cfg(test)]
mod tests {
    use super::{Tap, frames_of};

    #[test]
    fn counts_frames_both_ways() {
        let table = "Inter-| Receive | Transmit\n face |bytes packets\n\
            \x20   lo:    7    1    0    0    0     0          0         0     7    1    0    0    0     0       0          0\n\
            \x20 tap0: 1200   20    0    0    0     0          0         0  9000   30    0    0    0     0       0          0\n";
        assert_eq!(frames_of(table, "tap0"), Some(50));
        assert_eq!(frames_of(table, "tap1"), None);
    }

    #[test]
    fn gives_each_tap_its_own_addresses() {
        let tap = Tap {
            index: 3,
            queues: 1,
        };
        assert_eq!(tap.name(), "tap3");
        assert_eq!(tap.host().to_string(), "10.77.3.1");
        assert_eq!(tap.guest().to_string(), "10.77.3.2");
    }
}
