//! [`Session`]: one machine and one device, from QEMU's first message to its last.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::back::{Back, Device, Facts, Next};
use crate::bytes::{long, word};
use crate::memory::Memory;
use crate::ring::Ring;
use crate::wire::{Message, Wire, request};

/// The bit that says that a back end has protocol features.
const HAS_PROTOCOL: u64 = 1 << 30;
/// Several queues, a channel of our own, a configuration of our own.
const PROTOCOL: u64 = 1 << 0 | 1 << 5 | 1 << 9;
/// No device has more queues.
const QUEUES: usize = 8;
/// No file comes with this message.
const NO_FILE: u64 = 1 << 8;

/// A device and its machine.
pub(crate) struct Session {
    wire: Wire,
    back: Box<dyn Back>,
    facts: Arc<Facts>,
    memory: Memory,
    rings: Vec<Ring>,
    features: u64,
    channel: Option<UnixStream>,
}

impl Session {
    pub(crate) fn new(stream: UnixStream, back: Box<dyn Back>, facts: Arc<Facts>) -> Self {
        Self {
            wire: Wire(stream),
            back,
            facts,
            memory: Memory::default(),
            rings: (0..QUEUES).map(|_| Ring::default()).collect(),
            features: 0,
            channel: None,
        }
    }

    /// Serves the machine until one of the two has gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut patience = None;
        loop {
            let is_asked = self.wait(patience)?;
            if is_asked {
                match self.wire.receive()? {
                    Some(message) => self.handle(message)?,
                    None => return Ok(()),
                }
            }
            let mut device = Device {
                rings: &mut self.rings,
                memory: &self.memory,
                features: self.features,
                channel: self.channel.as_mut(),
                facts: &self.facts,
            };
            patience = match self.back.work(&mut device)? {
                Next::Ring => None,
                Next::After(time) => Some(time),
                Next::Disconnect => return Ok(()),
            };
        }
    }

    /// Waits for a message or a ring, and takes the rings; says whether there is a message.
    fn wait(&mut self, patience: Option<Duration>) -> io::Result<bool> {
        let kicks: Vec<&File> = self
            .rings
            .iter()
            .filter_map(|ring| ring.kick.as_ref())
            .collect();
        let mut waited: Vec<PollFd<'_>> = Vec::with_capacity(1 + kicks.len());
        waited.push(PollFd::new(&self.wire.0, PollFlags::IN));
        waited.extend(kicks.iter().map(|kick| PollFd::new(kick, PollFlags::IN)));
        let patience = patience.map(|time| Timespec::try_from(time).unwrap_or_default());
        match poll(&mut waited, patience.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let is_asked = !waited[0].revents().is_empty();
        for (kick, waited) in kicks.iter().zip(&waited[1..]) {
            if waited.revents().contains(PollFlags::IN) {
                match (&mut &**kick).read(&mut [0; 8]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(is_asked)
    }

    fn handle(&mut self, message: Message) -> io::Result<()> {
        let Message {
            request,
            payload,
            files,
        } = message;
        match request {
            request::GET_FEATURES => {
                let features = self.back.features() | HAS_PROTOCOL;
                self.wire.answer(request, &features.to_le_bytes())
            }
            request::SET_FEATURES => {
                self.features = long(&payload, 0);
                Ok(())
            }
            request::GET_PROTOCOL_FEATURES => self.wire.answer(request, &PROTOCOL.to_le_bytes()),
            request::GET_QUEUES => self.wire.answer(request, &(QUEUES as u64).to_le_bytes()),
            request::SET_MEMORY => {
                self.memory = Memory::parse(&payload, files);
                Ok(())
            }
            request::SET_BACKEND_CHANNEL => {
                // QEMU waits for answers of ours with its hands full: nobody here may wait for QEMU.
                self.channel = files.into_iter().next().map(UnixStream::from);
                self.channel
                    .as_ref()
                    .map_or(Ok(()), |channel| channel.set_nonblocking(true))
            }
            request::GET_CONFIG => self.configuration(payload),
            _ => self.handle_ring(request, &payload, files.into_iter().next().map(File::from)),
        }
    }

    /// Answers with the part of the configuration that is asked for.
    fn configuration(&mut self, mut payload: Vec<u8>) -> io::Result<()> {
        const HEADER: usize = 12;
        let config = self.back.config();
        let from = word(&payload, 0) as usize;
        let bytes = config.into_iter().skip(from).chain(std::iter::repeat(0));
        for (place, byte) in payload.iter_mut().skip(HEADER).zip(bytes) {
            *place = byte;
        }
        self.wire.answer(request::GET_CONFIG, &payload)
    }

    fn handle_ring(&mut self, request: u32, payload: &[u8], file: Option<File>) -> io::Result<()> {
        let (index, number) = (word(payload, 0), word(payload, 4));
        let Some(ring) = self.rings.get_mut((index & 0xff) as usize) else {
            return Ok(());
        };
        // The standard has no queue of more than 2^15.
        let half = u16::try_from(number).unwrap_or(0);
        let file = file.filter(|_| long(payload, 0) & NO_FILE == 0);
        match request {
            request::SET_RING_SIZE => ring.size = half,
            request::SET_RING_BASE => (ring.seen, ring.done) = (half, half),
            request::SET_RING_ADDRESS => {
                ring.descriptors = long(payload, 8);
                ring.used = long(payload, 16);
                ring.available = long(payload, 24);
            }
            request::SET_RING_KICK => ring.kick = file,
            request::SET_RING_CALL => ring.call = file,
            request::SET_RING_ENABLE => ring.is_enabled = number != 0,
            request::GET_RING_BASE => {
                let (seen, _) = (ring.seen, ring.kick.take());
                let answer = [index.to_le_bytes(), u32::from(seen).to_le_bytes()].concat();
                return self.wire.answer(request, &answer);
            }
            // All else is about machines that move, and needs no answer.
            _ => {}
        }
        Ok(())
    }
}
