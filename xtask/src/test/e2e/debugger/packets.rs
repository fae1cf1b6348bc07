//! Packets that no gdb would send, for a debugger that has to go on answering.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail, ensure};

use super::server::{Debugged, Load};
use super::{At, PATIENCE};
use crate::build::Image;
use crate::gdb::Over;
use crate::qemu::{Machine, Running};
use crate::workspace::{Package, Workspace};

/// Sends `count` packets, most of them damaged, and looks after each few whether the debugger answers; the server serves afterwards.
pub(super) fn live_through(
    workspace: &Workspace,
    package: &Package,
    image: &Image,
    count: usize,
) -> Result<()> {
    let at = At {
        // Long answers leave a serial port byte by byte, each of which an emulator stops for.
        over: Over::Console,
        machine: Machine::Pc,
        cores: 2,
    };
    let mut server = Debugged::start(workspace, package, image, at, "")?;
    let load = Load::start(server.address);
    load.goes_on(1)?;
    let mut wire = Wire::connect(&server)?;
    let description = wire.description()?;
    talk(&mut wire, &description, &mut server.running, count)
        .with_context(|| server.running.tail())?;
    wire.send(b"D", true)?;
    wire.wait(b"$OK#9a")?;
    drop(wire);
    load.goes_on(20)?;
    server.running.check_alive()
}

/// After so many packets it is asked whether the debugger still answers.
const EACH: usize = 20;

/// Sends the packets.
fn talk(wire: &mut Wire, description: &[u8], running: &mut Running, count: usize) -> Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..count {
        let text = random.packet();
        let is_harmful = text.iter().any(|byte| b"$#\x03".contains(byte))
            || text.first().is_some_and(|first| HARMFUL.contains(first));
        wire.send(&text, !is_harmful)?;
        if number % EACH == EACH - 1 || number + 1 == count {
            wire.catch_up(description, number / EACH).with_context(|| {
                let text = String::from_utf8_lossy(&text);
                format!("after packet {number}, {text:?}")
            })?;
            running.check_alive()?;
        }
    }
    Ok(())
}

/// Packets as gdb sends them, none of which changes what the image does when it goes on without gdb.
const ORDINARY: &[&str] = &[
    "?",
    "qSupported:multiprocess+;swbreak+;hwbreak+;xmlRegisters=i386",
    "vMustReplyEmpty",
    "vCont?",
    "Hg1",
    "Hc-1",
    "qC",
    "T1",
    "g",
    "p10",
    "m100000,40",
    "m0,8",
    "mffffffffffffffff,10",
    "Z0,100200,1",
    "z0,100200,1",
    "Z2,200000,8",
    "z2,200000,8",
    "qXfer:features:read:target.xml:0,ffb",
    "qXfer:threads:read::0,ffb",
    "qRcmd,68656170",
    "qRcmd,74687265616473",
    "qAttached:1",
    "qTStatus",
    "QStartNoAckMode",
];

/// What changes memory, registers, or who runs: sent with a wrong sum only.
const HARMFUL: &[u8] = b"MXGPDkcCsSvR";

/// A deterministic source of numbers (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }

    /// One of the ordinary packets with a few bytes changed, put in or left out.
    fn packet(&mut self) -> Vec<u8> {
        let mut text = ORDINARY[self.below(ORDINARY.len())].as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(text.len() + 1);
            match self.below(5) {
                0 if at < text.len() => text[at] = self.byte(),
                1 => text.insert(at, self.byte()),
                2 if at < text.len() => drop(text.remove(at)),
                3 => text.truncate(at),
                _ => {
                    let more = text.clone();
                    text.extend_from_slice(&more);
                }
            }
        }
        text
    }
}

/// A connection to the debugger, without gdb.
struct Wire {
    stream: UnixStream,
    /// What has come and was not looked at.
    left: Vec<u8>,
}

impl Wire {
    fn connect(server: &Debugged) -> Result<Self> {
        let stream = UnixStream::connect(&server.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let left = Vec::new();
        Ok(Self { stream, left })
    }

    fn send(&mut self, text: &[u8], is_sound: bool) -> Result<()> {
        let sum = text
            .iter()
            .fold(u8::from(!is_sound), |sum, byte| sum.wrapping_add(*byte));
        let packet = [b"$", text, format!("#{sum:02x}").as_bytes()].concat();
        self.stream
            .write_all(&packet)
            .context("the debugger takes nothing")
    }

    /// Waits until `wanted` has come, and returns what came before it.
    fn wait(&mut self, wanted: &[u8]) -> Result<Vec<u8>> {
        let mut room = [0; 4096];
        loop {
            if let Some(at) = self
                .left
                .windows(wanted.len())
                .position(|piece| piece == wanted)
            {
                let behind = self.left.split_off(at + wanted.len());
                let mut before = std::mem::replace(&mut self.left, behind);
                before.truncate(at);
                return Ok(before);
            }
            let len = self
                .stream
                .read(&mut room)
                .context("the debugger says nothing")?;
            if len == 0 {
                bail!("the machine has ended");
            }
            self.left.extend_from_slice(&room[..len]);
        }
    }

    /// The start of what the debugger says of the registers.
    fn description(&mut self) -> Result<Vec<u8>> {
        let ask = format!("qXfer:features:read:target.xml:0,{DESCRIBED:x}");
        self.send(ask.as_bytes(), true)?;
        self.wait(b"$m")?;
        let described = self.wait(b"#")?;
        ensure!(described.len() == DESCRIBED, "{described:?} is not all");
        Ok(described)
    }

    /// Waits until the debugger has answered all that was sent: with a piece of the description that was not asked for lately, so that no
    /// answer to what was sent before, nor one that is sent again, is taken for it.
    fn catch_up(&mut self, description: &[u8], turn: usize) -> Result<()> {
        let start = turn % (DESCRIBED - PIECE);
        let ask = format!("qXfer:features:read:target.xml:{start:x},{PIECE:x}");
        self.send(ask.as_bytes(), true)?;
        let piece = &description[start..start + PIECE];
        self.wait(&[b"$m", piece, b"#"].concat()).map(drop)
    }
}

/// So many bytes of the description are asked for piece by piece, of this length. None of them has a meaning in a packet.
const DESCRIBED: usize = 0x300;
const PIECE: usize = 0x20;
