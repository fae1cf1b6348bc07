//! Frames on their way in: from [`classify`](crate::packet::classify) to the one place each belongs to.

use core::net::Ipv4Addr;

use smoltcp::socket::tcp;
use toro_time::Instant;

use crate::aging::AgingId;
use crate::birth;
use crate::clock;
use crate::connection::{Connection, End, Stage};
use crate::demux::Target;
use crate::device::Phy;
use crate::echo;
use crate::extension::Dropped;
use crate::half_open::{self, HalfOpen};
use crate::ipv6;
use crate::neighbours::{self, ARP_FRAME_LEN, Advice, Station};
use crate::packet::{self, ETHERNET_LEN, ETHERTYPE_ARP, Packet, Segment};
use crate::route;
use crate::segment;
use crate::slab::SlotId;
use crate::slot::Slot;
use crate::stack::Stack;
use crate::stats::DropReason;
use crate::timestamps;

/// Doubted resets that are answered in one second (RFC 5961, 7).
const CHALLENGES_PER_SECOND: u32 = 100;

impl Stack {
    /// Takes one received frame; `trusted` says that the device vouches for its transport checksum. Returns `false` if it is
    /// unknown here and another core may know it.
    pub(crate) fn take_frame(&mut self, now: Instant, frame: &mut [u8], trusted: bool) -> bool {
        self.stats.frames_in += 1;
        self.stats.bytes_in += frame.len() as u64;
        let taken = match packet::classify(frame, trusted, &self.identity()) {
            Ok(Packet::Tcp(segment)) => self.take_segment(now, frame, &segment),
            Ok(Packet::Echo) => self.take_echo(frame),
            Ok(Packet::TooLong) => self.take_too_long(frame),
            Ok(Packet::Arp) => self.take_arp(now, frame),
            Ok(Packet::Dhcp) if !self.local.has_client() => Err(DropReason::NoSocket),
            Ok(Packet::Dhcp) => {
                self.hand_to_local(now, frame);
                Ok(())
            }
            Err(reason) => Err(reason),
        };
        let taken = taken.or_else(|reason| {
            let bytes = frame;
            let dropped = Dropped {
                bytes,
                trusted,
                reason,
            };
            self.offer(now, dropped)
        });
        let Err(reason) = taken else {
            return true;
        };
        let is_unknown = matches!(reason, DropReason::NoSocket | DropReason::UnsolicitedArp);
        if is_unknown && self.hops > 0 {
            return false;
        }
        self.stats.count(reason);
        true
    }

    pub(crate) fn take_segment(
        &mut self,
        now: Instant,
        frame: &mut [u8],
        segment: &Segment,
    ) -> Result<(), DropReason> {
        if !segment::flags_make_sense(segment.flags) {
            return Err(DropReason::BadTcpHeader);
        }
        match self.demux.find(&segment.tuple) {
            Some(Target::Connection(id)) => self.hand_to_connection(now, id, frame, segment),
            Some(Target::HalfOpen(id)) => self.hand_to_half_open(now, id, frame, segment),
            Some(Target::TimeWait(id)) => self.hand_to_time_wait(now, id, frame, segment),
            None => self.hand_to_listener(now, frame, segment),
        }
    }

    fn hand_to_connection(
        &mut self,
        now: Instant,
        id: SlotId,
        frame: &mut [u8],
        segment: &Segment,
    ) -> Result<(), DropReason> {
        if segment.flags.rst() && !self.reset_is_believed(now, id, segment) {
            return Err(DropReason::BadSegment);
        }
        if timestamps::ARE_COMPILED && !self.is_fresh(now, id, frame, segment) {
            return Err(DropReason::OldTimestamp);
        }
        let mut connection = self.connections.get_mut(id).ok_or(DropReason::BadSegment)?;
        if connection.is_asleep() {
            if !segment.flags.rst() && !self.wake(now, id) {
                return Err(DropReason::ConnectionsFull);
            }
            connection = self.connections.get_mut(id).ok_or(DropReason::BadSegment)?;
        }
        connection.heard = now;
        if connection.only_lacks_fin(segment) {
            return Ok(());
        }
        let mut seq = segment.seq;
        if connection.is_from_edge(segment) {
            // With nothing left to acknowledge, this is the number that smoltcp expects.
            self.send(now, id);
            let Some(same) = self.connections.get_mut(id) else {
                return Ok(());
            };
            connection = same;
            seq = connection.acknowledged;
        }
        let (ack, window) = connection.judge(segment);
        if (seq, ack, window) != (segment.seq, segment.ack, segment.window) {
            segment.correct(frame, seq, ack, window);
        }
        connection.watch(segment, window);
        if segment.flags.syn() && connection.stage == Stage::Connecting {
            let mut agreed = half_open::agreement(frame, segment, connection.sent);
            if timestamps::ARE_COMPILED {
                connection.agree_on_timestamps(now, &mut agreed);
            }
            connection.agree(agreed, self.config.window_shift());
            connection.received_from = segment.seq;
        }
        let queued = connection.socket().send_queue();
        let at = clock::to_smoltcp(now);
        self.wire.start_log(Some(connection.sent));
        self.wire.log.stamp = Slot::new(connection.stamp(now));
        self.wire.log.scale = Slot::new(connection.scale(self.config.window_shift()));
        let (wide, path) = (connection.is_wide(), connection.path);
        let interface = self.interfaces.choose(&mut self.wire, now, wide, path);
        let mut phy = Phy {
            wire: Some(&mut self.wire),
            frame: Some(frame),
        };
        interface.poll_ingress_single(at, &mut phy, &mut connection.sockets);
        self.stats.visits += 1;
        let (left, state) = connection.progress();
        connection.note_delivered(now, queued.saturating_sub(left), state);
        connection.note_sent(now, &self.wire.log, &mut self.stats);
        if connection.finishing && left == 0 {
            connection.finish();
        }
        if segment.flags.rst() && state == tcp::State::Closed {
            (connection.end, connection.promised) = (Some(End::Reset), 0);
            self.stats.reset += 1;
        }
        if connection.stage == Stage::Orphan {
            connection.follow_orphan(now, queued, segment, &self.config.times);
        }
        let asked = self.wire.log.arp_target;
        connection.consider_growth(&self.config.growth);
        if connection.draining && left == 0 {
            // Wakes whoever waits for room.
            self.grow(now, id);
            self.touch(id);
        } else {
            connection.wake_ready();
            connection.line_up(id, &mut self.dirty);
        }
        if let Some(address) = asked {
            self.local.neighbours.asked_for(address);
        }
        Ok(())
    }

    /// RFC 5961, 3.2: a reset counts at exactly the next expected number; elsewhere in the window it is doubted.
    fn reset_is_believed(&mut self, now: Instant, id: SlotId, reset: &Segment) -> bool {
        // Acknowledgements that wait for the service's answer would make the peer's number look wrong.
        self.send(now, id);
        let Some(connection) = self.connections.get(id).filter(|c| c.attached) else {
            return false;
        };
        if connection.believes_reset(reset) {
            return true;
        }
        if connection.is_in_window(reset) {
            self.challenge(now, id, reset);
        }
        false
    }

    /// Tells who has sent `segment` for connection `id` where that is, unless many were told in this second (RFC 5961, 7).
    #[cold]
    #[inline(never)]
    pub(crate) fn challenge(&mut self, now: Instant, id: SlotId, segment: &Segment) {
        let second = now.as_nanos() / 1_000_000_000;
        if self.challenges.0 != second {
            self.challenges = (second, 0);
        }
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if self.challenges.1 < CHALLENGES_PER_SECOND {
            self.challenges.1 += 1;
            let (next, expected) = (connection.sent, connection.acknowledged);
            let window = connection.offered_window();
            let mut repr = segment::acknowledgement(&segment.tuple, next, expected, window);
            repr.timestamp = connection.stamp(now);
            segment::send(&mut self.wire, segment.mac, &segment.tuple, &repr);
        }
    }

    fn hand_to_half_open(
        &mut self,
        now: Instant,
        id: AgingId,
        frame: &mut [u8],
        segment: &Segment,
    ) -> Result<(), DropReason> {
        let buffers = self.config.buffers;
        let request = *self.half_open.get(id).ok_or(DropReason::BadSegment)?;
        let first = request.agreed.peer_isn;
        if segment.flags.rst() {
            if segment.seq != first.wrapping_add(1) {
                return Err(DropReason::BadSegment);
            }
            self.forget_request(id);
            return Ok(());
        }
        if segment.flags.opens() {
            if segment.seq == first {
                request.answer(now, &mut self.wire, &self.config);
                return Ok(());
            }
            // The peer has started over.
            self.forget_request(id);
            return self.hand_to_listener(now, frame, segment);
        }
        if !request.is_completed_by(segment) {
            return self.refuse(segment);
        }
        if !request.is_in_window(segment, &buffers) {
            return Err(DropReason::BadSegment);
        }
        if timestamps::ARE_COMPILED && !request.is_followed_by(frame, segment) {
            return Err(DropReason::OldTimestamp);
        }
        let Some(listener) = self.listeners.get_mut(segment.tuple.local_port) else {
            self.forget_request(id);
            return self.refuse(segment);
        };
        if !listener.has_room() {
            // The peer says it again, or sends something.
            return Err(DropReason::BacklogFull);
        }
        let connection = self.promote(now, id, &request, segment)?;
        self.hand_to_connection(now, connection, frame, segment)?;
        if let Some(listener) = self.listeners.get_mut(segment.tuple.local_port) {
            if let Some(connection) = self.connections.get_mut(connection) {
                connection.share = listener.share();
            }
            listener.push(connection);
        }
        Ok(())
    }

    /// Makes a connection of a completed request.
    fn promote(
        &mut self,
        now: Instant,
        id: AgingId,
        request: &HalfOpen,
        segment: &Segment,
    ) -> Result<SlotId, DropReason> {
        let is_full = self.connections.len() >= self.config.limits.connections;
        if is_full || !self.make_room_for_rings(now) {
            return Err(DropReason::ConnectionsFull);
        }
        let (tuple, agreed) = (request.tuple, &request.agreed);
        let lone = birth::established(&self.config, &tuple, agreed, clock::to_smoltcp(now))
            .ok_or(DropReason::ConnectionsFull)?;
        self.forget_request(id);
        let (sent, expected) = (agreed.isn.wrapping_add(1), agreed.peer_isn.wrapping_add(1));
        let mut connection = Connection::new(now, lone, tuple, sent, expected);
        connection.agree(*agreed, self.config.window_shift());
        if timestamps::ARE_COMPILED {
            connection.timestamps = Slot::new(request.timestamps(now));
        }
        let connection = self.connections.insert(connection);
        self.account((0, 0), self.first_rings());
        self.demux.set(tuple, Target::Connection(connection));
        self.stats.accepted += 1;
        self.confirm_station(
            now,
            Station {
                mac: segment.mac,
                address: tuple.remote,
            },
        );
        Ok(connection)
    }

    pub(crate) fn forget_request(&mut self, id: AgingId) {
        let Some(request) = self.half_open.remove(id) else {
            return;
        };
        self.demux.remove(&request.tuple, Target::HalfOpen(id));
    }

    #[cold]
    #[inline(never)]
    fn hand_to_time_wait(
        &mut self,
        now: Instant,
        id: AgingId,
        frame: &[u8],
        segment: &Segment,
    ) -> Result<(), DropReason> {
        let closed = *self.time_wait.get(id).ok_or(DropReason::BadSegment)?;
        // RFC 1337: a reset does not end TIME-WAIT early.
        if segment.flags.rst() {
            return Err(DropReason::BadSegment);
        }
        if segment.flags.opens() && !timestamps::begins_anew(frame, segment, &closed) {
            return Err(DropReason::OldTimestamp);
        }
        if segment.flags.opens() {
            self.time_wait.remove(id);
            self.demux.remove(&closed.tuple, Target::TimeWait(id));
            return self.hand_to_listener(now, frame, segment);
        }
        if segment.len() > 0 {
            let (next, expected) = (closed.next, closed.expected);
            let mut repr = segment::acknowledgement(&closed.tuple, next, expected, 0);
            repr.timestamp = self.stamp_of(now, &closed);
            segment::send(&mut self.wire, segment.mac, &closed.tuple, &repr);
        }
        Ok(())
    }

    fn hand_to_listener(
        &mut self,
        now: Instant,
        frame: &[u8],
        segment: &Segment,
    ) -> Result<(), DropReason> {
        let (tuple, limits) = (segment.tuple, &self.config.limits);
        let listener = self.listeners.matching(tuple.local, tuple.local_port);
        let Some(listener) = listener.filter(|_| segment.flags.opens()) else {
            return self.refuse(segment);
        };
        if !listener.has_room() {
            return Err(DropReason::BacklogFull);
        }
        if self.connections.len() >= limits.connections {
            return Err(DropReason::ConnectionsFull);
        }
        while let Some((oldest, given_up)) = self.half_open.make_room() {
            self.demux.remove(&given_up.tuple, Target::HalfOpen(oldest));
            self.stats.count(DropReason::HalfOpenFull);
        }
        let isn = self.secrets.initial_sequence(&tuple, now.as_nanos() / 1000);
        let offset = self.clock_offset(&tuple);
        let request = HalfOpen::from_syn(frame, segment, isn, offset);
        request.answer(now, &mut self.wire, &self.config);
        let id = self.half_open.insert(now, request);
        self.demux.set(tuple, Target::HalfOpen(id));
        Ok(())
    }

    fn refuse(&mut self, segment: &Segment) -> Result<(), DropReason> {
        // Another core may know it.
        if self.hops == 0 && segment::refuse(&mut self.wire, segment) {
            self.stats.refused += 1;
        }
        Err(DropReason::NoSocket)
    }

    #[cold]
    #[inline(never)]
    fn take_echo(&mut self, frame: &[u8]) -> Result<(), DropReason> {
        let len = echo::answer_len(frame).ok_or(DropReason::BadChecksum)?;
        let mac = self.wire.info().mac;
        self.wire.send_rare(len, &mut |answer| {
            echo::write_answer(answer, frame, mac);
        });
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn take_arp(&mut self, now: Instant, frame: &[u8]) -> Result<(), DropReason> {
        let own = self.own_address().ok_or(DropReason::NotOurAddress)?;
        let station = Station {
            mac: self.wire.info().mac,
            address: own,
        };
        match self.local.neighbours.judge(now, frame, own)? {
            Advice::Answer(asker) => self.wire.send_rare(ARP_FRAME_LEN, &mut |answer| {
                neighbours::write_reply(answer, station, asker);
            }),
            Advice::LearnAndAnswer => self.hand_to_local(now, frame),
            Advice::Learn => {
                self.hand_to_local(now, frame);
                self.retry_unresolved();
            }
        }
        Ok(())
    }

    /// Tells smoltcp where `peer` is, or the router in front of it: the handshake has proved it.
    #[cold]
    #[inline(never)]
    fn confirm_station(&mut self, now: Instant, peer: Station) {
        if ipv6::is_stand_in(peer.address) {
            return;
        }
        let Some(addresses) = &self.local.addresses else {
            return;
        };
        let Some(address) = route::next_hop(addresses, peer.address) else {
            return;
        };
        let hop = Station {
            mac: peer.mac,
            address,
        };
        let own = Station {
            mac: self.wire.info().mac,
            address: addresses.ip,
        };
        if self.local.neighbours.confirm(now, hop) {
            let mut frame = [0; ARP_FRAME_LEN];
            neighbours::write_reply(&mut frame, hop, own);
            self.hand_to_local(now, &frame);
            self.retry_unresolved();
        }
    }

    /// The station that packets to `target` go to first, if it is known.
    pub(crate) fn station_towards(&self, target: Ipv4Addr) -> Option<[u8; 6]> {
        if ipv6::is_stand_in(target) {
            // The edge knows better.
            return Some(self.wire.info().mac);
        }
        let hop = route::next_hop(self.local.addresses.as_ref()?, target)?;
        let (station, _) = self.local.neighbours.find(hop)?;
        Some(station)
    }

    pub(crate) fn retry_unresolved(&mut self) {
        while let Some(id) = self.unresolved.pop_front() {
            self.release(id);
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn hand_to_local(&mut self, now: Instant, frame: &[u8]) {
        let at = clock::to_smoltcp(now);
        if frame.len() >= ETHERNET_LEN && packet::be16(frame, 12) == ETHERTYPE_ARP {
            self.interfaces.teach(now, frame);
        }
        let mut phy = Phy {
            wire: Some(&mut self.wire),
            frame: Some(frame),
        };
        self.interfaces
            .narrow
            .poll_ingress_single(at, &mut phy, &mut self.local.sockets);
        self.local.touched = true;
    }
}
