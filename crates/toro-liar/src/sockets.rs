//! [`Sockets`]: a socket device that takes steps, honest ones and others (VIRTIO 1.3, 5.10).

use std::io;
use std::time::{Duration, Instant};

use crate::back::{Back, Device, Next, RING_FEATURES};
use crate::bytes::{half, word};
use crate::ring::RingLie;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const HEADER: usize = 44;
/// A packet is sent again after this time.
const AGAIN: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(5);
/// The first port of the host's side.
const FIRST_PORT: u32 = 5000;

/// A packet's header, and what is behind it.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Where it says it comes from: 2 for the host.
    pub from: u64,
    /// The port of the host's side, counted from that of the step's connection.
    pub port: u32,
    /// The machine's port.
    pub to: u32,
    /// How many bytes the header claims.
    pub claims: u32,
    /// The kind of socket: 1 for streams.
    pub kind: u16,
    /// The operation.
    pub op: u16,
    /// Flags.
    pub flags: u32,
    /// How much room there is, and how much was taken out of it.
    pub credit: (u32, u32),
    /// What follows.
    pub payload: Vec<u8>,
}

impl Packet {
    /// An honest packet to port `to`: 1 asks for a connection, 3 ends one, 5 brings bytes, 6 and 7 are about credit.
    pub fn new(op: u16, to: u32, payload: &[u8]) -> Self {
        Self {
            from: 2,
            port: 0,
            to,
            claims: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            kind: 1,
            op,
            flags: 0,
            credit: (1 << 16, 0),
            payload: payload.to_vec(),
        }
    }

    fn bytes(&self, cid: u32, connection: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.payload.len());
        bytes.extend(self.from.to_le_bytes());
        bytes.extend(u64::from(cid).to_le_bytes());
        for number in [connection + self.port, self.to, self.claims] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [self.kind, self.op] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [self.flags, self.credit.0, self.credit.1] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&self.payload);
        bytes
    }
}

/// What a device does, one thing after the other.
#[derive(Clone, Debug)]
pub enum Step {
    /// It sends a packet of a new connection and waits for a packet of that operation about it.
    Ask(Packet, u16),
    /// It sends a packet of the same connection and waits for a packet of that operation about it.
    Go(Packet, u16),
    /// It sends a packet.
    Say(Packet),
    /// It gives a buffer back with these bytes in it.
    Raw(Vec<u8>),
    /// It gives a packet, and a lie about it.
    Receive(RingLie),
    /// It asks for a connection to that port, and lies when it takes the answer.
    Send(RingLie, u32),
    /// The machine has another context id from now on, and is told so.
    Rename(u32),
    /// It disconnects.
    Disconnect,
}

/// A socket device.
#[derive(Debug)]
pub struct Sockets {
    cid: u32,
    steps: Vec<Step>,
    at: usize,
    connection: u32,
    asked: Option<Instant>,
}

impl Sockets {
    /// A device of the machine `cid` that takes these steps.
    pub fn new(cid: u32, steps: Vec<Step>) -> Self {
        Self {
            cid,
            steps,
            at: 0,
            connection: FIRST_PORT,
            asked: None,
        }
    }

    /// Takes what the machine has sent; the operations of the packets of this step's connection.
    fn hear(&mut self, device: &mut Device<'_>) -> io::Result<Vec<u16>> {
        let mut heard = Vec::new();
        while let Some(mut queue) = device.queue(TRANSMIT) {
            let Some(chain) = queue.take()? else { break };
            let is_ours = word(&chain.readable, 20) == self.connection;
            let lie = match self.steps.get(self.at) {
                Some(&Step::Send(lie, _)) if is_ours => Some(lie),
                _ => None,
            };
            queue.finish(&chain, 0, lie)?;
            if is_ours {
                heard.push(half(&chain.readable, 30));
            }
        }
        Ok(heard)
    }

    fn give(device: &mut Device<'_>, bytes: &[u8], lie: Option<RingLie>) -> io::Result<bool> {
        let Some(mut queue) = device.queue(RECEIVE) else {
            return Ok(false);
        };
        let Some(chain) = queue.take()? else {
            return Ok(false);
        };
        queue.fill(&chain, 0, bytes)?;
        queue.finish(&chain, bytes.len(), lie)?;
        Ok(true)
    }

    /// Sends `packet` until it is answered by `op`, or by anything if that is 0.
    fn ask(
        &mut self,
        device: &mut Device<'_>,
        packet: &Packet,
        op: u16,
        heard: &[u16],
    ) -> io::Result<bool> {
        if self.asked.is_some() && heard.iter().any(|heard| op == 0 || *heard == op) {
            device.count_answer();
            return Ok(true);
        }
        if self.asked.is_none_or(|at| at.elapsed() > AGAIN)
            && Self::give(device, &packet.bytes(self.cid, self.connection), None)?
        {
            self.asked = Some(Instant::now());
        }
        Ok(false)
    }

    /// Takes the next step, if it can be taken now.
    fn step(&mut self, device: &mut Device<'_>, heard: &[u16]) -> io::Result<bool> {
        let Some(step) = self.steps.get(self.at).cloned() else {
            return Ok(false);
        };
        if self.asked.is_none() && matches!(step, Step::Ask(..) | Step::Send(..)) {
            // A number that no packet on its way can be about.
            self.connection += 16;
        }
        let is_taken = match &step {
            Step::Ask(packet, op) | Step::Go(packet, op) => self.ask(device, packet, *op, heard)?,
            Step::Send(_, port) => self.ask(device, &Packet::new(1, *port, &[]), 0, heard)?,
            Step::Say(packet) => {
                Self::give(device, &packet.bytes(self.cid, self.connection), None)?
            }
            Step::Raw(bytes) => Self::give(device, bytes, None)?,
            Step::Receive(lie) => {
                let packet = Packet::new(1, 1, &[]).bytes(self.cid, self.connection);
                Self::give(device, &packet, Some(*lie))?
            }
            Step::Rename(cid) => {
                self.cid = *cid;
                device.announce_config()?;
                true
            }
            Step::Disconnect => true,
        };
        if is_taken {
            if !matches!(step, Step::Ask(..) | Step::Go(..)) {
                device.count_lie();
            }
            self.at += 1;
            self.asked = None;
        }
        Ok(is_taken)
    }
}

impl Back for Sockets {
    fn features(&self) -> u64 {
        RING_FEATURES
    }

    fn config(&self) -> Vec<u8> {
        u64::from(self.cid).to_le_bytes().to_vec()
    }

    fn work(&mut self, device: &mut Device<'_>) -> io::Result<Next> {
        let mut heard = self.hear(device)?;
        while self.step(device, &heard)? {
            if matches!(self.steps[self.at - 1], Step::Disconnect) {
                return Ok(Next::Disconnect);
            }
            heard.clear();
        }
        Ok(match self.at < self.steps.len() {
            true => Next::After(SOON),
            false => Next::Ring,
        })
    }
}
