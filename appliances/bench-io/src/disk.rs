//! Requests to the first disk, many in flight.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

use toro::block::{self, Disk, DmaBuf, Op, Pending, Request, SECTOR};
use toro::thread;

use crate::places::Places;

/// What is asked of the disk.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    pub(crate) is_write: bool,
    /// Bytes of a request.
    pub(crate) len: usize,
    /// Requests in flight.
    pub(crate) depth: usize,
    pub(crate) count: u64,
    pub(crate) order: &'a str,
}

/// Reads or writes `count` pieces.
pub(crate) fn run(load: &Load<'_>) -> Result<(), String> {
    let disk = block::open("blk0").ok_or("the machine has no disk")?;
    let size = disk.info().sectors * SECTOR as u64;
    let places = Places::new(size, load.len as u64, load.order);
    let mut places = places.ok_or("the disk is too small")?;
    let mut busy = VecDeque::new();
    for _ in 0..load.count {
        let buf = match busy.len() == load.depth {
            true => settle(busy.pop_front())?,
            false => memory(load.len)?,
        };
        busy.push_back(submit(&disk, load.is_write, places.next(), buf));
    }
    while !busy.is_empty() {
        settle(busy.pop_front())?;
    }
    Ok(())
}

fn submit(disk: &Disk, is_write: bool, offset: u64, buf: DmaBuf) -> Pending {
    let op = match is_write {
        true => Op::Write(buf),
        false => Op::Read(buf),
    };
    disk.submit(Request {
        sector: offset / SECTOR as u64,
        op,
    })
}

/// Waits for the oldest request, and returns its buffer.
fn settle(oldest: Option<Pending>) -> Result<DmaBuf, String> {
    let (buf, result) = thread::block_on(oldest.ok_or("nothing is in flight")?);
    result.map_err(|error| format!("blk0: {error}"))?;
    buf.ok_or(String::from("blk0: the buffer stays with the device"))
}

fn memory(len: usize) -> Result<DmaBuf, String> {
    let mut buf = DmaBuf::try_new(len).map_err(|_| String::from("out of memory"))?;
    buf.fill(7);
    Ok(buf)
}
