//! [`Wire`]: the messages of the vhost-user protocol (QEMU, `docs/interop/vhost-user.rst`), with the files that come with them.

use std::io::{self, ErrorKind, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use crate::bytes::word;

/// A request, its flags, and the length of what follows.
const HEADER: usize = 12;
/// Version 1 of the protocol, and this is an answer.
const ANSWER: u32 = 1 | 1 << 2;
/// No message is longer.
const LONGEST: usize = 4096;
/// The most files with one message.
const MOST_FILES: usize = 8;

/// Requests of QEMU that a back end has to understand.
pub(crate) mod request {
    pub(crate) const GET_FEATURES: u32 = 1;
    pub(crate) const SET_FEATURES: u32 = 2;
    pub(crate) const SET_MEMORY: u32 = 5;
    pub(crate) const SET_RING_SIZE: u32 = 8;
    pub(crate) const SET_RING_ADDRESS: u32 = 9;
    pub(crate) const SET_RING_BASE: u32 = 10;
    pub(crate) const GET_RING_BASE: u32 = 11;
    pub(crate) const SET_RING_KICK: u32 = 12;
    pub(crate) const SET_RING_CALL: u32 = 13;
    pub(crate) const GET_PROTOCOL_FEATURES: u32 = 15;
    pub(crate) const GET_QUEUES: u32 = 17;
    pub(crate) const SET_RING_ENABLE: u32 = 18;
    pub(crate) const SET_BACKEND_CHANNEL: u32 = 21;
    pub(crate) const GET_CONFIG: u32 = 24;
    /// The one message of ours: the configuration has changed.
    pub(crate) const CONFIG_CHANGED: u32 = 2;
}

/// A message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) request: u32,
    pub(crate) payload: Vec<u8>,
    pub(crate) files: Vec<OwnedFd>,
}

/// The connection to QEMU.
#[derive(Debug)]
pub(crate) struct Wire(pub(crate) UnixStream);

impl Wire {
    /// Reads the next message; `None` once QEMU has gone.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Message>> {
        let mut header = [0; HEADER];
        let mut files = Vec::new();
        let first = self.receive_files(&mut header, &mut files)?;
        if first == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut header[first..])?;
        let len = word(&header, 8) as usize;
        if len > LONGEST {
            return Err(io::Error::new(ErrorKind::InvalidData, "a long message"));
        }
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload)?;
        Ok(Some(Message {
            request: word(&header, 0),
            payload,
            files,
        }))
    }

    /// Reads some of `bytes`, with the files that came along.
    fn receive_files(&self, bytes: &mut [u8], files: &mut Vec<OwnedFd>) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut buffer = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(bytes)];
        let received = recvmsg(&self.0, &mut parts, &mut buffer, RecvFlags::CMSG_CLOEXEC)?;
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::new(ErrorKind::InvalidData, "too many files"));
        }
        for message in buffer.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                files.extend(more);
            }
        }
        Ok(received.bytes)
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, request: u32, payload: &[u8]) -> io::Result<()> {
        send(&mut self.0, request, ANSWER, payload)
    }
}

/// Sends a message of ours, without an answer.
pub(crate) fn tell(channel: &mut UnixStream, request: u32) -> io::Result<()> {
    send(channel, request, 1, &[])
}

fn send(stream: &mut UnixStream, request: u32, flags: u32, payload: &[u8]) -> io::Result<()> {
    let len = u32::try_from(payload.len()).expect("an answer is short");
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    for number in [request, flags, len] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(payload);
    stream.write_all(&bytes)
}
