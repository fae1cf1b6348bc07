//! [`Folder`]: a shared folder that works until it lies (VIRTIO 1.3, 5.11): a FUSE server behind it answers.

use std::io;
use std::time::Duration;

use toro_fake::FakeFuse;

use crate::back::{Back, Device, Next, RING_FEATURES};
use crate::bytes::word;
use crate::ring::{Chain, RingLie};

/// Queues: high priority, requests.
const QUEUES: usize = 2;
const HEADER: usize = 16;

/// Operations of FUSE that are lied about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The search for a name.
    Lookup = 1,
    /// Opening a file.
    Open = 14,
    /// Reading.
    Read = 15,
    /// The beginning.
    Init = 26,
}

/// What a folder lies about.
#[derive(Clone, Debug)]
pub enum Lie {
    /// About a request.
    Ring(RingLie),
    /// The answer's bytes from the first number on are these; behind its end it gets longer.
    Bytes(usize, Vec<u8>),
    /// The answer has so many bytes, and its header says so.
    Length(usize),
    /// The answer's header says so many bytes.
    Claims(u32),
    /// Every answer of this kind comes after that time.
    Late(Duration),
    /// It disconnects.
    Disconnect,
    /// None.
    None,
}

/// A folder with a file `file` of 10,000 bytes.
#[derive(Debug)]
pub struct Folder {
    fuse: FakeFuse,
    about: About,
    lie: Lie,
    late: Vec<(usize, Chain)>,
}

impl Folder {
    /// A folder that lies about one kind of request.
    pub fn new(about: About, lie: Lie) -> Self {
        let fuse = FakeFuse::new();
        fuse.add_file(b"file", &Self::FILE);
        Self {
            fuse,
            about,
            lie,
            late: Vec::new(),
        }
    }

    /// What is in the file.
    pub const FILE: [u8; 10_000] = [b'x'; 10_000];

    /// Answers, or lies; `true` if the device is to disconnect.
    fn answer(&mut self, device: &mut Device<'_>, index: usize, chain: Chain) -> io::Result<bool> {
        if word(&chain.readable, 4) != self.about as u32 || matches!(self.lie, Lie::None) {
            self.finish(device, index, &chain, None)?;
            return Ok(false);
        }
        device.count_lie();
        match self.lie.clone() {
            Lie::Late(_) => self.late.push((index, chain)),
            Lie::Disconnect => return Ok(true),
            lie => self.finish(device, index, &chain, Some(&lie))?,
        }
        Ok(false)
    }

    fn finish(
        &self,
        device: &mut Device<'_>,
        index: usize,
        chain: &Chain,
        lie: Option<&Lie>,
    ) -> io::Result<()> {
        let Some(mut queue) = device.queue(index) else {
            return Ok(());
        };
        let mut answer = self.fuse.answer(&chain.readable).unwrap_or_default();
        if let Some(lie) = lie {
            distort(&mut answer, lie);
        }
        answer.truncate(chain.capacity());
        queue.fill(chain, 0, &answer)?;
        let ring = match lie {
            Some(Lie::Ring(lie)) => Some(*lie),
            _ => None,
        };
        queue.finish(chain, answer.len(), ring)
    }
}

/// Makes an answer something else.
fn distort(answer: &mut Vec<u8>, lie: &Lie) {
    match lie {
        Lie::Bytes(at, bytes) => {
            let end = at + bytes.len();
            if answer.len() < end {
                answer.resize(end, 0);
            }
            answer[*at..end].copy_from_slice(bytes);
        }
        Lie::Length(len) => {
            answer.resize((*len).max(HEADER), 0x78);
            let len = u32::try_from(answer.len()).unwrap_or(u32::MAX);
            answer[..4].copy_from_slice(&len.to_le_bytes());
        }
        Lie::Claims(len) => answer[..4].copy_from_slice(&len.to_le_bytes()),
        _ => {}
    }
}

impl Back for Folder {
    fn features(&self) -> u64 {
        RING_FEATURES
    }

    fn work(&mut self, device: &mut Device<'_>) -> io::Result<Next> {
        let waiting = self.late.len();
        for index in 0..QUEUES {
            while let Some(mut queue) = device.queue(index) {
                let Some(chain) = queue.take()? else { break };
                if self.answer(device, index, chain)? {
                    return Ok(Next::Disconnect);
                }
            }
        }
        if waiting > 0 && waiting == self.late.len() {
            for (index, chain) in std::mem::take(&mut self.late) {
                self.finish(device, index, &chain, None)?;
                device.count_answer();
            }
        }
        match self.lie {
            Lie::Late(time) if !self.late.is_empty() => Ok(Next::After(time)),
            _ => Ok(Next::Ring),
        }
    }
}
