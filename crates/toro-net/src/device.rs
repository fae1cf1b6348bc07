//! Between the stack and the network device: [`Wire`] owns the device and sends frames, [`Phy`] shows it to smoltcp
//! one packet at a time.
//!
//! Every frame that leaves goes through [`Wire::send`], which finishes it (checksum offload) and notes what smoltcp
//! does not tell: sequence numbers sent, whether the neighbour was missing, whether the device was full.

use alloc::boxed::Box;
use alloc::vec;
use core::net::Ipv4Addr;

use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::wire::TcpTimestampRepr;
use toro_dev::net::{Frame, NetDevice, NetInfo};
use toro_trace::Kind;

use crate::checksum;
use crate::packet::{self, ETHERNET_LEN, IPV4_LEN, PROTOCOL_TCP, TCP_LEN};
use crate::random::low_word;
use crate::scale::{self, Scale};
use crate::slot::Slot;
use crate::timestamps;

/// Where the TCP header starts in a frame of ours: smoltcp writes no IP options.
pub(crate) const TCP_AT: usize = ETHERNET_LEN + IPV4_LEN;
/// Where its checksum lies.
const TCP_CHECKSUM_AT: usize = TCP_AT + 16;

/// The headers of a TCP segment without options.
const HEADERS_LEN: usize = TCP_AT + TCP_LEN;

/// A TCP segment that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentSegment {
    /// The sequence number after its last byte.
    pub(crate) end: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    /// It occupies sequence numbers: a bare acknowledgement does not.
    pub(crate) occupies: bool,
    /// It carries one byte and nothing else.
    single: bool,
}

impl SentSegment {
    /// Whether this may be a byte for a closed window, to hear whether it has opened.
    pub(crate) fn asks_for_window(&self) -> bool {
        self.single
    }

    /// Whether this only asks for a sign of life: the last byte again, when everything up to `sent` was sent before.
    pub(crate) fn is_probe(&self, sent: u32) -> bool {
        self.single && self.end == sent
    }
}

/// What happened on the way out since [`Wire::start_log`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SendLog {
    pub(crate) segment: Option<SentSegment>,
    /// The neighbour that an ARP request was sent for.
    pub(crate) arp_target: Option<Ipv4Addr>,
    /// A packet was to be sent and was not, because the device had no free frame.
    pub(crate) full: bool,
    /// Packets that smoltcp wanted to send.
    pub(crate) wanted: u32,
    /// IP packets that were sent.
    pub(crate) sent: u32,
    /// Where the connection's stream has got to, for [`correct_sequence`].
    next: Option<u32>,
    /// What the connection's segments say of the time.
    pub(crate) stamp: Slot<TcpTimestampRepr>,
    /// How their windows are written.
    pub(crate) scale: Slot<Scale>,
}

impl SendLog {
    /// A packet was held back because the address of the next hop is not known.
    pub(crate) fn misses_neighbour(&self) -> bool {
        self.wanted > self.sent && !self.full
    }
}

/// The device with its counters.
pub(crate) struct Wire {
    device: Box<dyn NetDevice>,
    info: NetInfo,
    /// A free frame in hand: smoltcp asks for permission to send before it knows whether it will.
    spare: Option<Frame>,
    /// The same for a long packet.
    long: Option<Frame>,
    /// The longest packet that smoltcp is told of, when an interface is made.
    pub(crate) packet_len: usize,
    /// What long packets are to be cut into.
    pub(crate) segment_size: u16,
    pub(crate) frames_out: u64,
    pub(crate) bytes_out: u64,
    /// Replies that were lost for want of a free frame.
    pub(crate) replies_lost: u64,
    pub(crate) log: SendLog,
    /// Frames were queued since the last flush.
    unflushed: bool,
}

impl Wire {
    pub(crate) fn new(device: Box<dyn NetDevice>) -> Self {
        let info = device.info();
        Self {
            device,
            info,
            spare: None,
            long: None,
            packet_len: info.mtu,
            segment_size: 0,
            frames_out: 0,
            bytes_out: 0,
            replies_lost: 0,
            log: SendLog::default(),
            unflushed: false,
        }
    }

    pub(crate) fn info(&self) -> &NetInfo {
        &self.info
    }

    pub(crate) fn device(&mut self) -> &mut dyn NetDevice {
        &mut *self.device
    }

    /// Takes a frame that has come.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        // Handed on where it is: to take it out and wrap it again would copy it.
        let frame = self.device.receive();
        if let Some(frame) = &frame {
            toro_trace::emit_with(Kind::PacketIn, || frame.bytes().len() as u64);
        }
        frame
    }

    /// Begins a new log for a connection that has sent everything up to `next`.
    pub(crate) fn start_log(&mut self, next: Option<u32>) {
        self.log = SendLog {
            next,
            ..SendLog::default()
        };
    }

    /// Whether frames wait for [`flush`](Self::flush).
    pub(crate) fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    pub(crate) fn flush(&mut self) {
        self.unflushed = false;
        self.device.flush();
    }

    /// Makes sure that a frame can be sent now.
    pub(crate) fn reserve(&mut self) -> bool {
        if self.spare.is_none() {
            self.spare = self.device.allocate();
        }
        self.log.full |= self.spare.is_none();
        self.spare.is_some()
    }

    /// The longest packet that the device cuts into segments; `None` if it cannot, or only ones that fit the wire.
    pub(crate) fn longest_packet(&self) -> Option<usize> {
        let longest = self.device.longest_frame().checked_sub(ETHERNET_LEN)?;
        let is_use = self.info.tx_checksum && longest > self.info.mtu;
        is_use.then_some(longest.min(usize::from(u16::MAX)))
    }

    /// Makes sure that a long packet can be sent now.
    pub(crate) fn reserve_long(&mut self) -> bool {
        if self.long.is_none() {
            self.long = self.device.allocate_long();
        }
        self.log.full |= self.long.is_none();
        self.long.is_some()
    }

    /// Sends a frame of `len` bytes that `write` fills; without a free frame it is lost.
    pub(crate) fn send<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.reserve();
        let is_long = len > ETHERNET_LEN + self.info.mtu;
        let held = if is_long {
            &mut self.long
        } else {
            &mut self.spare
        };
        let frame = held.take_if(|frame| len <= frame.capacity());
        let Some(mut frame) = frame else {
            self.replies_lost += 1;
            return write(&mut vec![0; len]);
        };
        frame.set_len(len);
        let result = write(frame.bytes_mut());
        if is_long {
            frame.segment_size = self.segment_size;
        }
        self.finish(&mut frame);
        self.frames_out += 1;
        self.bytes_out += len as u64;
        self.unflushed = true;
        toro_trace::emit(Kind::PacketOut, len as u64);
        self.device.transmit(frame);
        result
    }

    /// The same for what is sent rarely, in one place: [`send`](Self::send) becomes a part of whoever calls it.
    #[inline(never)]
    pub(crate) fn send_rare(&mut self, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        self.send(len, write);
    }

    /// Notes what the frame holds, and starts its checksum if the device completes it.
    fn finish(&mut self, frame: &mut Frame) {
        let offload = self.info.tx_checksum;
        let bytes = frame.bytes_mut();
        let len = bytes.len();
        if len < TCP_AT || packet::be16(bytes, 12) != 0x0800 {
            self.note_arp(frame.bytes());
            return;
        }
        self.log.sent += 1;
        if scale::IS_COMPILED
            && len >= HEADERS_LEN
            && bytes[ETHERNET_LEN + 9] == PROTOCOL_TCP
            && let Some(scale) = self.log.scale.get()
        {
            scale.put(bytes, !offload);
        }
        // An array: what is read from it needs no more checks.
        let headers: Option<&mut [u8; HEADERS_LEN]> = bytes.first_chunk_mut();
        let Some(headers) = headers.filter(|headers| headers[ETHERNET_LEN + 9] == PROTOCOL_TCP)
        else {
            return;
        };
        let segment = sent_segment(headers, len);
        if !segment.occupies {
            correct_sequence(headers, self.log.next, offload);
        }
        self.log.segment = Some(segment);
        if offload {
            let (source, target) = (packet::address(headers, 26), packet::address(headers, 30));
            let len = len - TCP_AT;
            let sum = checksum::fold(checksum::pseudo_header(source, target, PROTOCOL_TCP, len));
            headers[TCP_CHECKSUM_AT..TCP_CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
            frame.needs_checksum = true;
        }
        if timestamps::ARE_COMPILED
            && let Some(stamp) = self.log.stamp.get()
        {
            timestamps::put(frame.bytes_mut(), stamp, !offload);
        }
    }

    fn note_arp(&mut self, bytes: &[u8]) {
        // Operation 1 is a request; the address it asks for is its last field.
        if bytes.len() >= 42 && packet::be16(bytes, 12) == 0x0806 && packet::be16(bytes, 20) == 1 {
            self.log.arp_target = Some(packet::address(bytes, 38));
        }
    }
}

impl core::fmt::Debug for Wire {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Wire")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Gives a bare acknowledgement the sequence number `next`, if smoltcp has gone back to an earlier one.
///
/// After a timeout smoltcp sends from the oldest byte again and numbers its acknowledgements from there too. The peer
/// drops them, as they lie outside its window, and when both ends do so neither hears the other ever again. RFC 9293,
/// 3.10.7.4 says SND.NXT, which does not go back.
fn correct_sequence(bytes: &mut [u8; HEADERS_LEN], next: Option<u32>, offload: bool) {
    let has_ack = bytes[TCP_AT + 13] & 0x10 != 0;
    let Some(next) = next.filter(|_| has_ack) else {
        return;
    };
    let old = packet::be32(bytes, TCP_AT + 4);
    if next.wrapping_sub(old).cast_signed() <= 0 {
        return;
    }
    bytes[TCP_AT + 4..TCP_AT + 8].copy_from_slice(&next.to_be_bytes());
    if !offload {
        // RFC 1624, equation 3.
        let was = u64::from(!packet::be16(bytes, TCP_CHECKSUM_AT));
        let sum = !checksum::fold(was + u64::from(!old) + u64::from(next));
        bytes[TCP_CHECKSUM_AT..TCP_CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Reads the headers of a frame of `len` bytes.
#[inline]
fn sent_segment(bytes: &[u8; HEADERS_LEN], len: usize) -> SentSegment {
    let header_len = usize::from(bytes[TCP_AT + 12] >> 4) * 4;
    let payload_len = len.saturating_sub(TCP_AT + header_len);
    // SYN and FIN occupy a number each.
    let controls = u32::from(bytes[TCP_AT + 13] & 1) + u32::from(bytes[TCP_AT + 13] >> 1 & 1);
    // A frame is shorter than 4 GiB.
    let len = low_word(payload_len as u64) + controls;
    SentSegment {
        end: packet::be32(bytes, TCP_AT + 4).wrapping_add(len),
        ack: packet::be32(bytes, TCP_AT + 8),
        window: packet::be16(bytes, TCP_AT + 14),
        occupies: len > 0,
        single: len == 1 && controls == 0,
    }
}

/// One turn of smoltcp with the device: at most one received frame, and what is sent meanwhile.
pub(crate) struct Phy<'a> {
    /// Without a wire, what is sent is thrown away.
    pub(crate) wire: Option<&'a mut Wire>,
    pub(crate) frame: Option<&'a [u8]>,
}

impl phy::Device for Phy<'_> {
    type RxToken<'t>
        = RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let frame = self.frame.take()?;
        Some((RxToken(frame), TxToken(self.wire.as_deref_mut())))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<TxToken<'_>> {
        if let Some(wire) = self.wire.as_deref_mut() {
            wire.log.wanted += 1;
            if !wire.reserve() {
                return None;
            }
        }
        Some(TxToken(self.wire.as_deref_mut()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        let checksum = &mut capabilities.checksum;
        // What arrives was verified by `packet::classify`; pings are left to smoltcp.
        (checksum.ipv4, checksum.udp, checksum.tcp) = (Checksum::Tx, Checksum::Tx, Checksum::Tx);
        match &self.wire {
            Some(wire) => {
                capabilities.max_transmission_unit = wire.packet_len + ETHERNET_LEN;
                if wire.info.tx_checksum {
                    checksum.tcp = Checksum::None;
                }
            }
            None => capabilities.max_transmission_unit = 1500 + ETHERNET_LEN,
        }
        capabilities
    }
}

/// A received frame.
pub(crate) struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Permission to send one frame.
pub(crate) struct TxToken<'a>(Option<&'a mut Wire>);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        match self.0 {
            Some(wire) => wire.send(len, write),
            None => write(&mut vec![0; len]),
        }
    }
}
