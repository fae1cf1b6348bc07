//! [`Edge`]: stands between the stack and the card, and makes packets of IPv6 out of those that the stack sends to addresses
//! that [stand for](super::peers) one. What else the stack sends passes through.

use alloc::boxed::Box;
use core::net::Ipv4Addr;
use core::task::Waker;

use toro_dev::net::{Frame, NetDevice, NetInfo};

use super::header::{self, Header, IPV6_LEN, PAYLOAD};
use super::peers::{self, HOP};
use super::state::{Lent, State};
use crate::packet::{
    self, ETHERNET_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, Flags, IPV4_LEN, PROTOCOL_TCP, TCP_LEN,
};

/// By how much a packet becomes longer.
pub(super) const LONGER: usize = IPV6_LEN - IPV4_LEN;
/// TCP's checksum behind its header's beginning.
const TCP_CHECKSUM: usize = 16;

/// A card that takes packets to stand-ins too.
pub(super) struct Edge {
    card: Box<dyn NetDevice>,
    state: Lent,
}

impl Edge {
    pub(super) fn new(card: Box<dyn NetDevice>, state: Lent) -> Self {
        Self { card, state }
    }

    /// Sends a packet that is for the peer that `address` stands for. It is lost if that is not known any more.
    fn translate(&mut self, mut frame: Frame, address: Ipv4Addr) {
        let mut state = self.state.borrow_mut();
        let len = frame.bytes().len();
        let is_tcp = frame.bytes().get(ETHERNET_LEN + 9) == Some(&PROTOCOL_TCP);
        let has_room = len + LONGER <= frame.capacity() && frame.segment_size == 0;
        let is_whole = len >= ETHERNET_LEN + IPV4_LEN + TCP_LEN;
        let Some(peer) = state.peers.get(address).copied() else {
            return;
        };
        if !is_tcp || !has_room || !is_whole {
            return;
        }
        frame.set_len(len + LONGER);
        let most = state.most_payload();
        let bytes = frame.bytes_mut();
        bytes.copy_within(ETHERNET_LEN + IPV4_LEN..len, PAYLOAD);
        limit_segments(&mut bytes[PAYLOAD..], most);
        let header = Header {
            source: peer.local,
            target: peer.remote,
            protocol: PROTOCOL_TCP,
            hop_limit: 64,
            start: PAYLOAD,
            end: len + LONGER,
        };
        header::write(bytes, &header);
        header::put_checksum(bytes, &header, TCP_CHECKSUM);
        frame.needs_checksum = false;
        if let Some(station) = state.station_for(&peer, frame.bytes()) {
            let mac = state.mac;
            State::address(frame.bytes_mut(), station, mac);
            drop(state);
            self.card.transmit(frame);
        }
    }

    fn send_waiting(&mut self) {
        loop {
            let mut state = self.state.borrow_mut();
            let Some(bytes) = state.outbox.pop_front() else {
                return;
            };
            drop(state);
            // Without a free frame it is lost, as on any full wire.
            let frame = self.card.allocate();
            if let Some(mut frame) = frame.filter(|frame| bytes.len() <= frame.capacity()) {
                frame.set_len(bytes.len());
                frame.bytes_mut().copy_from_slice(&bytes);
                self.card.transmit(frame);
            }
        }
    }
}

/// Keeps the peers of a handshake from sending, or being sent, more than `most` bytes in a segment (RFC 9293, 3.7.1): a header
/// of IPv6 is longer than the stack knows.
pub(super) fn limit_segments(tcp: &mut [u8], most: u16) {
    let Some(header) = tcp.first_chunk::<TCP_LEN>() else {
        return;
    };
    let end = usize::from(header[12] >> 4) * 4;
    if header[13] & Flags::SYN == 0 || end > tcp.len() {
        return;
    }
    let mut at = TCP_LEN;
    while at + 1 < end {
        let (kind, len) = (tcp[at], usize::from(tcp[at + 1]));
        match kind {
            0 => return,
            1 => at += 1,
            2 if len == 4 && at + 4 <= end => {
                let said = packet::be16(tcp, at + 2).min(most);
                tcp[at + 2..at + 4].copy_from_slice(&said.to_be_bytes());
                return;
            }
            _ if len < 2 => return,
            _ => at += len,
        }
    }
}

/// The stand-in that a frame is for: of a packet, or of a question for a station.
fn stand_in(frame: &[u8]) -> Option<Ipv4Addr> {
    let target = match packet::be16(frame.get(12..14)?, 0) {
        ETHERTYPE_IPV4 => packet::address(frame.get(30..34)?, 0),
        ETHERTYPE_ARP => packet::address(frame.get(38..42)?, 0),
        _ => return None,
    };
    peers::is_stand_in(target).then_some(target)
}

impl NetDevice for Edge {
    fn info(&self) -> NetInfo {
        self.card.info()
    }

    fn link_up(&mut self) -> bool {
        self.card.link_up()
    }

    fn receive(&mut self) -> Option<Frame> {
        self.card.receive()
    }

    fn recycle(&mut self, frame: Frame) {
        self.card.recycle(frame);
    }

    fn surrender(&mut self, frame: Frame) -> Option<Frame> {
        self.card.surrender(frame)
    }

    fn allocate(&mut self) -> Option<Frame> {
        self.card.allocate()
    }

    fn longest_frame(&self) -> usize {
        self.card.longest_frame()
    }

    fn allocate_long(&mut self) -> Option<Frame> {
        self.card.allocate_long()
    }

    fn transmit(&mut self, frame: Frame) {
        match stand_in(frame.bytes()) {
            None => self.card.transmit(frame),
            // smoltcp has forgotten the way to all of them.
            Some(HOP) => self.state.borrow_mut().is_hop_asked = true,
            Some(address) => self.translate(frame, address),
        }
    }

    fn flush(&mut self) {
        self.send_waiting();
        self.card.flush();
    }

    fn arm(&mut self, waker: &Waker) -> bool {
        self.card.arm(waker)
    }
}
