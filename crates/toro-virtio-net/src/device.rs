//! [`VirtioNet`]: the card while it runs.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::Waker;

use toro_dev::net::{Frame, NetDevice, NetInfo};
use toro_mem::DmaBuf;
use toro_virtio::transport::status;
use toro_virtio::{Buffer, DeviceError, Queue, Storm, Transport, device};

use crate::header;
use crate::probe::{Agreed, read_link};

/// What has passed, and what has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames received.
    pub rx_frames: u64,
    /// Frames received and dropped, for their header made no sense.
    pub rx_malformed: u64,
    /// Frames received in several buffers and dropped: in none at all, longer than a packet can be, or for want of memory.
    pub rx_unmerged: u64,
    /// Frames queued for sending.
    pub tx_frames: u64,
    /// Frames to send that were dropped: the queue was full or has failed, or the frame was not from here.
    pub tx_dropped: u64,
}

/// What [`VirtioNet::probe`] has set up.
pub(crate) struct Parts {
    pub(crate) receive: Queue,
    pub(crate) transmit: Queue,
    pub(crate) agreed: Agreed,
}

/// Length of a buffer for a frame that the device cuts: IPv4 has no longer packets.
const LONG_LEN: usize = 1 << 16;
/// Length of the buffer in which a frame is put together: the longest packet with its headers, in whole pages.
const MERGED_LEN: usize = 17 << 12;

/// A virtio network card.
pub struct VirtioNet {
    transport: Box<dyn Transport>,
    receive: Queue,
    transmit: Queue,
    info: NetInfo,
    /// Bytes of a buffer to send with, and of one to receive into.
    buffer_len: usize,
    receive_len: usize,
    /// Packets may lie in several buffers.
    merges: bool,
    /// Large segments may be received.
    large: bool,
    /// The buffer in which the last such packet was put together.
    merged: Option<DmaBuf>,
    /// The packet that is being put together, its length so far, the buffers seen of it (0 if there is none) and in all.
    whole: Option<DmaBuf>,
    gathered: usize,
    found: u16,
    claimed: u16,
    /// Buffers to send with, from completed frames.
    pool: Vec<DmaBuf>,
    /// The same for long frames, of which there may be `long_limit` and are `long_count`.
    long_pool: Vec<DmaBuf>,
    long_limit: u16,
    long_count: u16,
    stats: Stats,
    error: Option<DeviceError>,
    waker: Option<Waker>,
    /// Interrupts may come: those of the receive queue are asked for.
    is_armed: bool,
    /// Somebody was refused a frame to send for want of room, and waits for it.
    is_starved: bool,
    /// It was a long frame.
    is_starved_of_long: bool,
    has_status: bool,
    is_link_up: bool,
    /// The configuration may have changed since it was read.
    is_config_stale: bool,
    /// Something was received since the card was armed.
    was_active: bool,
    storm: Storm,
}

impl VirtioNet {
    pub(crate) fn new(transport: Box<dyn Transport>, parts: Parts) -> Self {
        let Parts {
            receive,
            transmit,
            agreed,
        } = parts;
        let Agreed {
            info,
            has_status,
            buffer_len,
            receive_len,
            long_limit,
            merges,
            large,
            ..
        } = agreed;
        let is_link_up = !has_status || read_link(&*transport);
        Self {
            transport,
            receive,
            transmit,
            info,
            buffer_len,
            receive_len,
            merges,
            large,
            merged: None,
            whole: None,
            gathered: 0,
            found: 0,
            claimed: 0,
            pool: Vec::new(),
            long_pool: Vec::new(),
            long_limit,
            long_count: 0,
            stats: Stats::default(),
            error: None,
            waker: None,
            is_armed: true,
            is_starved: false,
            is_starved_of_long: false,
            has_status,
            is_link_up,
            is_config_stale: false,
            was_active: false,
            storm: Storm::new(),
        }
    }

    /// What has passed so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How often its interrupts were masked because they came without work.
    pub fn storms(&self) -> u32 {
        self.storm.count()
    }

    /// Why the device was given up, if it was.
    pub fn error(&self) -> Option<DeviceError> {
        self.error
    }

    #[cold]
    fn fail(&mut self, error: DeviceError) {
        if self.error.is_none() {
            log::error!("net: given up: {error}");
            device::fail(&mut *self.transport);
            self.error = Some(error);
            self.is_link_up = false;
        }
    }

    /// Gives a buffer to the device, for another frame.
    fn refill(&mut self, buf: DmaBuf) {
        let len = buf.len();
        // A full queue has buffers enough: one too many is freed.
        drop(self.receive.add_one(Buffer::writable(buf, 0..len)));
    }

    /// Takes a buffer back in which something was received.
    #[inline]
    fn take_back(&mut self, buf: DmaBuf) {
        match buf.len() {
            len if len == self.receive_len => self.refill(buf),
            MERGED_LEN => self.merged = Some(buf),
            _ => {}
        }
    }

    /// Adds the `written` bytes in `buf` to the packet that lies in several buffers (VIRTIO 1.3, 5.1.6.4), and gives `buf` back
    /// to the device; returns the packet with its length if it is whole.
    ///
    /// One copy of the bytes: the stack above wants a packet in one piece, and buffers for the longest one, all the time, would
    /// cost 64 KiB each.
    #[inline(never)]
    fn gather(&mut self, buf: DmaBuf, written: usize) -> Option<(DmaBuf, usize)> {
        if self.found == 0 {
            self.claimed = buf.first_chunk().map_or(0, header::buffers);
            self.gathered = 0;
            self.whole = self
                .merged
                .take()
                .or_else(|| DmaBuf::try_new(MERGED_LEN).ok());
        }
        self.found += 1;
        let (from, to) = (self.gathered, self.gathered + written);
        match self
            .whole
            .as_mut()
            .and_then(|whole| whole.get_mut(from..to))
        {
            Some(place) => {
                place.copy_from_slice(&buf[..written]);
                self.gathered = to;
            }
            None => self.whole = None,
        }
        self.refill(buf);
        if self.found < self.claimed {
            return None;
        }
        self.found = 0;
        let whole = self.whole.take().filter(|_| self.claimed > 0);
        self.stats.rx_unmerged += u64::from(whole.is_none());
        whole.map(|whole| (whole, self.gathered))
    }

    /// Takes the buffers of frames that were sent.
    fn reclaim(&mut self) {
        loop {
            match self.transmit.pop() {
                Ok(Some(used)) => {
                    self.storm.worked();
                    self.pool_of(used.chain.into_first());
                }
                Ok(None) => break,
                Err(error) => return self.fail(error),
            }
        }
    }

    fn pool_of(&mut self, buf: DmaBuf) {
        if buf.len() == LONG_LEN {
            self.long_pool.push(buf);
        } else {
            self.pool.push(buf);
        }
    }

    /// A long buffer to send with.
    fn take_long_buffer(&mut self) -> Option<DmaBuf> {
        if self.error.is_some() {
            return None;
        }
        if self.long_pool.is_empty() || self.transmit.free() == 0 {
            self.reclaim();
        }
        if self.transmit.free() > 0 {
            if let Some(buf) = self.long_pool.pop() {
                return Some(buf);
            }
            if self.long_count < self.long_limit {
                if let Ok(buf) = DmaBuf::try_new(LONG_LEN) {
                    self.long_count += 1;
                    return Some(buf);
                }
                // These will have to do, or frames of the usual size if there is none.
                self.long_limit = self.long_count;
            }
        }
        self.is_starved = true;
        self.is_starved_of_long = true;
        None
    }

    /// A buffer to send with.
    fn take_buffer(&mut self) -> Option<DmaBuf> {
        if self.error.is_some() {
            return None;
        }
        if self.pool.is_empty() || self.transmit.free() == 0 {
            self.reclaim();
        }
        if self.transmit.free() == 0 {
            self.is_starved = true;
            return None;
        }
        if self.is_starved && !self.is_starved_of_long {
            self.is_starved = false;
            self.transmit.disable_interrupts();
        }
        self.pool
            .pop()
            .or_else(|| DmaBuf::try_new(self.buffer_len).ok())
    }

    /// Looks at the configuration, if it may have changed and nothing else was to do.
    ///
    /// A message does not tell why it came, and a look costs an exit: so only one that brought no frame is
    /// suspected.
    fn refresh(&mut self) {
        let was_active = core::mem::take(&mut self.was_active);
        if was_active || !core::mem::take(&mut self.is_config_stale) {
            return;
        }
        if self.transport.status() & status::NEEDS_RESET != 0 {
            self.fail(DeviceError::Reset);
        } else if self.has_status {
            self.is_link_up = read_link(&*self.transport);
        }
    }

    fn rebind(&mut self, waker: &Waker) {
        if !self
            .waker
            .as_ref()
            .is_some_and(|bound| bound.will_wake(waker))
        {
            self.transport.wake_on_interrupt(waker);
            self.waker = Some(waker.clone());
        }
    }

    /// Asks for an interrupt when half of what is being sent is done; says whether there is room already.
    fn await_room(&mut self) -> bool {
        if !self.is_starved {
            return false;
        }
        self.reclaim();
        let half = self.transmit.outstanding() / 2;
        let lacks_long = self.is_starved_of_long && self.long_pool.is_empty();
        let lacks = self.transmit.free() == 0 || (lacks_long && self.long_limit > 0);
        if lacks && !self.transmit.enable_interrupts_after(half) {
            return false;
        }
        self.transmit.disable_interrupts();
        (self.is_starved, self.is_starved_of_long) = (false, false);
        true
    }
}

impl NetDevice for VirtioNet {
    fn info(&self) -> NetInfo {
        self.info
    }

    fn link_up(&mut self) -> bool {
        self.is_link_up
    }

    fn receive(&mut self) -> Option<Frame> {
        if self.error.is_some() {
            return None;
        }
        if core::mem::take(&mut self.is_armed) {
            self.receive.disable_interrupts();
        }
        loop {
            let used = match self.receive.pop() {
                Ok(Some(used)) => used,
                // 5.1.6.4.1: the device returns all buffers of a packet at once.
                Ok(None) if self.found > 0 => {
                    let (claimed, found) = (self.claimed, self.found);
                    self.fail(DeviceError::Merged { claimed, found });
                    return None;
                }
                Ok(None) => return None,
                Err(error) => {
                    self.fail(error);
                    return None;
                }
            };
            self.was_active = true;
            self.storm.worked();
            let (mut buf, mut written) = (used.chain.into_first(), used.written as usize);
            if self.merges && (self.found > 0 || is_split(&buf, written)) {
                let Some(whole) = self.gather(buf, written) else {
                    continue;
                };
                (buf, written) = whole;
            }
            match open(buf, written, self.info.rx_checksum, self.large) {
                Ok(frame) => {
                    self.stats.rx_frames += 1;
                    return Some(frame);
                }
                Err(buf) => {
                    self.stats.rx_malformed += 1;
                    self.take_back(buf);
                }
            }
        }
    }

    fn recycle(&mut self, frame: Frame) {
        self.take_back(frame.into_buf());
    }

    fn surrender(&mut self, frame: Frame) -> Option<Frame> {
        let buf = frame.buffer();
        // Another one to put packets together in is made when there is need.
        if buf.len() == self.receive_len {
            match DmaBuf::try_new(self.receive_len) {
                Ok(other) => self.refill(other),
                Err(_) => {
                    self.recycle(frame);
                    return None;
                }
            }
        }
        Some(frame)
    }

    fn allocate(&mut self) -> Option<Frame> {
        Some(Frame::new(self.take_buffer()?, header::LEN, 0))
    }

    fn longest_frame(&self) -> usize {
        if self.long_limit > 0 {
            LONG_LEN - header::LEN
        } else {
            0
        }
    }

    fn allocate_long(&mut self) -> Option<Frame> {
        Some(Frame::new(self.take_long_buffer()?, header::LEN, 0))
    }

    fn transmit(&mut self, frame: Frame) {
        let (len, capacity) = (frame.bytes().len(), frame.capacity());
        let header = match frame.needs_checksum {
            true if frame.segment_size > 0 && self.long_limit > 0 => {
                header::with_segments(frame.bytes(), frame.segment_size)
            }
            _ if frame.segment_size > 0 => None,
            true if self.info.tx_checksum => header::with_checksum(frame.bytes()),
            true => None,
            false => Some(header::PLAIN),
        };
        let mut buf = frame.into_buf();
        let has_headroom = buf.len() - capacity == header::LEN;
        let (Some(header), true, true) = (header, has_headroom, len >= header::ETHERNET) else {
            self.stats.tx_dropped += 1;
            return;
        };
        buf[..header::LEN].copy_from_slice(&header);
        match self
            .transmit
            .add_one(Buffer::readable(buf, 0..header::LEN + len))
        {
            Ok(_) => self.stats.tx_frames += 1,
            Err(_) => self.stats.tx_dropped += 1,
        }
    }

    fn flush(&mut self) {
        self.receive.notify_if_needed();
        self.transmit.notify_if_needed();
    }

    fn arm(&mut self, waker: &Waker) -> bool {
        self.rebind(waker);
        // Before the rings: a line that is up gives no further edge, and news that came before it was taken
        // down are found in the rings below.
        self.is_config_stale |= self.transport.acknowledge().config;
        self.storm.look("net", &mut *self.transport, waker);
        self.refresh();
        if self.error.is_some() {
            // Nothing will come any more: whoever polls may sleep.
            return true;
        }
        self.is_armed = true;
        let has_frame = self.receive.enable_interrupts();
        let has_room = self.await_room();
        !has_frame && !has_room
    }
}

impl Drop for VirtioNet {
    fn drop(&mut self) {
        // Without a proof the queues leak what the device may still write to.
        if let Ok(proof) = device::reset(&mut *self.transport) {
            self.receive.retire(&proof);
            self.transmit.retire(&proof);
        }
    }
}

impl core::fmt::Debug for VirtioNet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "VirtioNet({:02x?}, {:?})", self.info.mac, self.stats)
    }
}

/// Whether the packet that begins in `buf` lies in more buffers than this one, or in none.
#[inline]
fn is_split(buf: &DmaBuf, written: usize) -> bool {
    let header = buf.first_chunk().filter(|_| written >= header::LEN);
    header.is_some_and(|header| header::buffers(header) != 1)
}

/// Makes a frame of a buffer in which the device has written `written` bytes; gives it back if it is none.
fn open(buf: DmaBuf, written: usize, has_checksum: bool, large: bool) -> Result<Frame, DmaBuf> {
    let Some(len) = written.checked_sub(header::LEN) else {
        return Err(buf);
    };
    let Some(header) = buf.first_chunk() else {
        return Err(buf);
    };
    match header::judge(*header, len, large) {
        Ok(is_good) => {
            let mut frame = Frame::new(buf, header::LEN, len);
            frame.checksum_good = is_good && has_checksum;
            Ok(frame)
        }
        Err(_) => Err(buf),
    }
}
