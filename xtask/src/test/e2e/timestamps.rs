//! An image with the units `timestamps` and `large-windows` and Linux at the other end of its wire, as a packet socket beside them
//! sees the two.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket,
};

use super::TIMEOUT;
use crate::build::{self, Extras, Profile};
use crate::netns::{Lab, Tap};
use crate::qemu::{Machine, Net, Running};
use crate::run::Wish;
use crate::setup;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// The name of the case.
const NAME: &str = "e2e: Linux and an image tell each other the time, and how far a window reaches";
/// The scale of a window of 1 MiB, and what the first ring is in it.
const SCALE: (u8, u16) = (5, (8 << 10) >> 5);
/// No step waits longer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
const PORT: u16 = 7;
/// What goes there and comes back, one after the other: not so much that a ring grows, and a few packets each, which all wait in the
/// socket that listens.
const EXCHANGES: u8 = 20;
const LEN: usize = 700;
/// Room for the frames that nobody has taken from it yet, in bytes.
const ROOM: usize = 4 << 20;

/// Runs it.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    if !tally.wants(NAME) {
        return;
    }
    if !setup::is_root() {
        tally.skip(NAME, "only root can make a tap");
        return;
    }
    let workspace = workspace.clone();
    tally.case(NAME, TIMEOUT * 2, move || {
        let lab = Lab::enter(1)?;
        are_told(&workspace, lab.tap(0))
    });
}

fn are_told(workspace: &Workspace, tap: Tap) -> Result<()> {
    let extras = Extras {
        timestamps: true,
        large_windows: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, "echo", Profile::Release, extras)?;
    let package = workspace.appliance("echo")?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.append = format!("ip={}/24,gw={} {}", tap.guest(), tap.host(), wish.append);
    let mut vm = wish.vm(workspace, package, &image)?;
    vm.net = Net::Tap(tap.name(), tap.queues());
    let mut running = Running::start(&vm.command())?;
    running.wait_for(0, "listening")?;

    let ear = ear()?;
    exchange(SocketAddr::from((tap.guest(), PORT))).with_context(|| running.tail())?;
    let frames = heard(&ear)?;
    let segments: Vec<Segment> = frames.iter().filter_map(|frame| segment(frame)).collect();
    check(&segments).with_context(|| format!("{segments:?}"))?;
    running.check_alive()
}

/// Each exchange waits for the one before, so all bytes are acknowledged on the way.
fn exchange(address: SocketAddr) -> Result<()> {
    let mut client = TcpStream::connect_timeout(&address, PATIENCE)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    for number in 0..EXCHANGES {
        let sent = [number; LEN];
        let mut received = [0; LEN];
        client.write_all(&sent)?;
        client.read_exact(&mut received)?;
        ensure!(received == sent, "the echo of exchange {number} differs");
    }
    Ok(())
}

/// A socket that hears every frame in the namespace from now on.
fn ear() -> Result<OwnedFd> {
    let (family, kind) = (AddressFamily::Packet, SockType::Raw);
    let ear = socket(family, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .context("cannot make a packet socket")?;
    setsockopt(&ear, RcvBufForce, &ROOM).context("no room for what it hears")?;
    Ok(ear)
}

fn heard(ear: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    loop {
        let mut frame = vec![0; 1 << 16];
        match recv(ear.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
            Ok(len) => {
                frame.truncate(len);
                frames.push(frame);
            }
            Err(Errno::EAGAIN) => return Ok(frames),
            Err(error) => bail!("cannot hear the wire: {error}"),
        }
    }
}

/// A segment to or from the port of the image.
#[derive(Clone, Copy, Debug)]
struct Segment {
    is_ours: bool,
    has_syn: bool,
    window: u16,
    scale: Option<u8>,
    /// TSval and TSecr.
    times: Option<(u32, u32)>,
}

fn segment(frame: &[u8]) -> Option<Segment> {
    let is_tcp = frame.get(12..15)? == [8, 0, 0x45] && frame.get(23) == Some(&6);
    let tcp = frame.get(34..).filter(|tcp| is_tcp && tcp.len() >= 20)?;
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let end = usize::from(tcp[12] >> 4) * 4;
    let is_known = port(0) == PORT || port(2) == PORT;
    is_known.then_some(Segment {
        is_ours: port(0) == PORT,
        has_syn: tcp[13] & 2 != 0,
        window: port(14),
        scale: option(tcp.get(20..end)?, 3).and_then(|bytes| bytes.first().copied()),
        times: option(tcp.get(20..end)?, 8).and_then(times),
    })
}

/// What an option of this kind says.
fn option(mut options: &[u8], kind: u8) -> Option<&[u8]> {
    loop {
        match options {
            [1, rest @ ..] => options = rest,
            [found @ 2..=255, len, ..] => {
                let (said, rest) = options.split_at_checked((*len).max(2).into())?;
                if *found == kind {
                    return said.get(2..);
                }
                options = rest;
            }
            _ => return None,
        }
    }
}

fn times(bytes: &[u8]) -> Option<(u32, u32)> {
    let [own, echo] = bytes.as_chunks::<4>().0 else {
        return None;
    };
    Some((u32::from_be_bytes(*own), u32::from_be_bytes(*echo)))
}

/// Both speak of the time in each segment, each echoes what the other has said, and neither clock goes back.
fn check(segments: &[Segment]) -> Result<()> {
    for is_ours in [true, false] {
        let who = if is_ours { "the image" } else { "Linux" };
        let own = || segments.iter().filter(move |it| it.is_ours == is_ours);
        ensure!(own().count() > usize::from(EXCHANGES), "{who} says little");
        ensure!(own().any(|it| it.has_syn), "{who} has no SYN");
        let times: Vec<(u32, u32)> = own().filter_map(|it| it.times).collect();
        ensure!(times.len() == own().count(), "{who} leaves timestamps out");
        let goes_on = |pair: &[(u32, u32)]| pair[1].0.wrapping_sub(pair[0].0).cast_signed() >= 0;
        ensure!(
            times.windows(2).all(goes_on),
            "the clock of {who} goes back"
        );
        let said: Vec<u32> = segments
            .iter()
            .filter(|it| it.is_ours != is_ours)
            .filter_map(|it| it.times.map(|(own, _)| own))
            .collect();
        // Linux, which calls, has heard nothing yet when it begins.
        let mut echoes = times.iter().skip(usize::from(!is_ours));
        ensure!(
            echoes.all(|(_, echo)| said.contains(echo)),
            "{who} echoes what was not said"
        );
    }
    let mut ours = segments.iter().filter(|it| it.is_ours);
    let scale = ours.next().and_then(|it| it.scale);
    ensure!(scale == Some(SCALE.0), "the SYN|ACK says {scale:?}");
    let most = ours.map(|it| it.window).max();
    ensure!(most == Some(SCALE.1), "the image offers {most:?}");
    Ok(())
}
