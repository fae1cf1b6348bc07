//! [`Port`]: a byte stream each way, with as many buffers as its queues have descriptors.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use toro_dev::console::{ConsoleError, PortInfo, Read};
use toro_mem::DmaBuf;
use toro_virtio::{Buffer, DeviceError, Queue};

use crate::log_port::Gate;

/// Bytes of a buffer to receive into, and of one to send from.
const RECEIVE: usize = 4 << 10;
const SEND: usize = 4 << 10;
/// The most bytes of a name.
const NAME: usize = 64;

/// Where what a port sends goes.
pub(crate) enum Sending {
    /// Only the log writes.
    Log(Gate),
    /// A queue, its buffers that are free, and how many there are.
    Queue(Queue, Vec<DmaBuf>, u16),
}

impl Sending {
    pub(crate) fn queue(queue: Queue) -> Self {
        Self::Queue(queue, Vec::new(), 0)
    }
}

/// A port of the device, there or not.
pub(crate) struct Port {
    receiving: Queue,
    sending: Sending,
    /// How many buffers to receive into were made.
    made: u16,
    /// What has arrived, and which part of it is unread.
    arrived: VecDeque<(DmaBuf, Range<usize>)>,
    name: String,
    is_there: bool,
    is_open: bool,
    is_host_open: bool,
    /// The host has closed the port since a reader was told.
    has_ended: bool,
    generation: u32,
}

impl Port {
    /// A port that is not there.
    pub(crate) fn new(receiving: Queue, sending: Sending) -> Self {
        Self {
            receiving,
            sending,
            made: 0,
            arrived: VecDeque::new(),
            name: String::new(),
            is_there: false,
            is_open: false,
            is_host_open: false,
            has_ended: false,
            generation: 0,
        }
    }

    /// The port has come. Returns `false` if it was there.
    pub(crate) fn add(&mut self) -> bool {
        let is_new = !self.is_there;
        self.is_there = true;
        is_new
    }

    /// The port has gone: what arrived is lost. Buffers that the device has stay with it, for the next port of this number.
    pub(crate) fn remove(&mut self) {
        if core::mem::take(&mut self.is_there) {
            self.generation = self.generation.wrapping_add(1);
            self.name.clear();
            self.is_open = false;
            self.set_host_open(false);
            self.has_ended = false;
            while let Some((buf, _)) = self.arrived.pop_front() {
                give(&mut self.receiving, buf);
            }
        }
    }

    /// Takes a name if it is one: printable text, not too long.
    pub(crate) fn set_name(&mut self, bytes: &[u8]) {
        let end = bytes.iter().position(|byte| *byte == 0);
        let bytes = &bytes[..end.unwrap_or(bytes.len())];
        match str::from_utf8(bytes) {
            Ok(name) if bytes.len() <= NAME && !name.contains(char::is_control) => {
                self.name.clear();
                self.name.push_str(name);
            }
            _ => log::warn!("console: the host gives a port no proper name"),
        }
    }

    pub(crate) fn set_host_open(&mut self, is_open: bool) {
        self.has_ended |= self.is_host_open && !is_open;
        self.is_host_open = is_open;
        if let Sending::Log(gate) = &self.sending {
            gate.set(is_open);
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.is_there
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) fn info(&self) -> Option<PortInfo<'_>> {
        self.is_there.then_some(PortInfo {
            name: &self.name,
            is_host_open: self.is_host_open,
            generation: self.generation,
        })
    }

    /// Makes the buffers, if there are none yet. The device gets them at the next [`kick`](Self::kick).
    pub(crate) fn open(&mut self) -> Result<(), ConsoleError> {
        let out_of_memory = |_| ConsoleError::OutOfMemory;
        while self.made < self.receiving.size() {
            let buf = DmaBuf::try_new(RECEIVE).map_err(out_of_memory)?;
            give(&mut self.receiving, buf);
            self.made += 1;
        }
        if let Sending::Queue(queue, pool, made) = &mut self.sending {
            while *made < queue.size() {
                pool.push(DmaBuf::try_new(SEND).map_err(out_of_memory)?);
                *made += 1;
            }
        }
        self.is_open = true;
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        self.is_open = false;
    }

    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> Read {
        let mut done = 0;
        while done < bytes.len()
            && let Some((buf, unread)) = self.arrived.front_mut()
        {
            let len = unread.len().min(bytes.len() - done);
            bytes[done..done + len].copy_from_slice(&buf[unread.start..unread.start + len]);
            unread.start += len;
            done += len;
            if unread.start == unread.end
                && let Some((buf, _)) = self.arrived.pop_front()
            {
                give(&mut self.receiving, buf);
            }
        }
        match done {
            0 if self.arrived.is_empty() && core::mem::take(&mut self.has_ended) => Read::End,
            0 => Read::Nothing,
            _ => Read::Bytes(done),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, ConsoleError> {
        let Sending::Queue(queue, pool, _) = &mut self.sending else {
            return Err(ConsoleError::LogOnly);
        };
        if !self.is_host_open {
            return Err(ConsoleError::Closed);
        }
        let mut done = 0;
        for part in bytes.chunks(SEND) {
            let Some(mut buf) = pool.pop() else {
                break;
            };
            buf[..part.len()].copy_from_slice(part);
            match queue.add(Buffer::readable(buf, 0..part.len()).into()) {
                Ok(_) => done += part.len(),
                Err(full) => {
                    pool.push(full.0.into_first());
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Tells the device of new buffers.
    pub(crate) fn kick(&mut self) {
        self.receiving.notify_if_needed();
        if let Sending::Queue(queue, ..) = &mut self.sending {
            queue.notify_if_needed();
        }
    }

    /// Takes what the device has done, and says whether that was anything.
    pub(crate) fn take(&mut self) -> Result<bool, DeviceError> {
        let mut has_news = false;
        while let Some(used) = self.receiving.pop()? {
            let buf = used.chain.into_first();
            let written = (used.written as usize).min(buf.len());
            if written == 0 || !self.is_there {
                give(&mut self.receiving, buf);
            } else {
                self.arrived.push_back((buf, 0..written));
                has_news = true;
            }
        }
        if let Sending::Queue(queue, pool, _) = &mut self.sending {
            while let Some(used) = queue.pop()? {
                pool.push(used.chain.into_first());
                has_news = true;
            }
        }
        Ok(has_news)
    }

    /// Asks for interrupts, and says whether there is news already.
    pub(crate) fn arm(&mut self) -> bool {
        let receiving = self.receiving.enable_interrupts();
        let sending = match &mut self.sending {
            Sending::Queue(queue, ..) => queue.enable_interrupts(),
            Sending::Log(_) => false,
        };
        receiving | sending
    }

    pub(crate) fn queues(&mut self) -> impl Iterator<Item = &mut Queue> {
        let sending = match &mut self.sending {
            Sending::Queue(queue, ..) => Some(queue),
            Sending::Log(_) => None,
        };
        core::iter::once(&mut self.receiving).chain(sending)
    }
}

fn give(queue: &mut Queue, buf: DmaBuf) {
    let len = buf.len();
    // Refused only by a queue that has failed.
    drop(queue.add(Buffer::writable(buf, 0..len).into()));
}
