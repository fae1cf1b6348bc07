//! Peers that do what few do and the standards allow, made of bytes.

use std::task::{Poll, Waker};
use std::time::Duration;

use toro_net::{ConnectionId, ReadError};

use crate::bytes::{PEER, Tcp, arp_reply, is_arp, tcp, tcp_of};
use crate::world::World;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const URG: u8 = 32;

/// A peer that says what the test has it say.
struct Peer {
    world: World,
    /// Its port and ours.
    ports: [u16; 2],
    /// What it says next, and what it expects.
    next: u32,
    expected: u32,
    window: u16,
}

impl Peer {
    /// One that has a connection to port 80, of which it has said nothing yet.
    fn connected() -> (Self, ConnectionId) {
        let mut peer = Self::asking();
        let answer = peer.say(SYN, b"");
        assert_eq!(answer[0].flags, SYN | ACK);
        peer.next += 1;
        peer.expected = answer[0].seq.wrapping_add(1);
        assert_eq!(peer.say(ACK, b""), []);
        let id = peer.world.accept(80).expect("the handshake is complete");
        (peer, id)
    }

    fn asking() -> Self {
        let mut world = World::new();
        world.bind(80);
        Self {
            world,
            ports: [40_000, 80],
            next: 0xffff_ff00,
            expected: 0,
            window: 8000,
        }
    }

    /// One to which the stack has a connection under way.
    fn asked() -> (Self, ConnectionId) {
        let mut peer = Self::asking();
        let id = peer.world.stack.connect(peer.world.now, (PEER, 9)).unwrap();
        let asked = peer.turn();
        assert_eq!((asked.len(), asked[0].flags), (1, SYN));
        peer.ports = [asked[0].ports[1], asked[0].ports[0]];
        peer.expected = asked[0].seq.wrapping_add(1);
        (peer, id)
    }

    fn segment(&self, flags: u8, payload: &[u8]) -> Tcp {
        Tcp {
            ports: self.ports,
            seq: self.next,
            ack: if flags & ACK == 0 { 0 } else { self.expected },
            flags,
            window: self.window,
            payload: payload.to_vec(),
        }
    }

    /// Says `payload` where it has got to, without going on; returns the answers.
    fn say(&mut self, flags: u8, payload: &[u8]) -> Vec<Tcp> {
        self.give(&self.segment(flags, payload))
    }

    fn give(&mut self, segment: &Tcp) -> Vec<Tcp> {
        self.world.inject(tcp(segment, 0));
        self.turn()
    }

    /// What the stack says now. Whoever it looks for is found.
    fn turn(&mut self) -> Vec<Tcp> {
        let mut said = Vec::new();
        for _ in 0..4 {
            for frame in self.world.stack_turn() {
                if is_arp(&frame) {
                    self.world.inject(arp_reply(&frame));
                } else {
                    said.extend(tcp_of(&frame));
                }
            }
        }
        said
    }

    /// Lets time pass, stopping where the stack has something to do; returns what it says.
    fn pass(&mut self, time: Duration) -> Vec<Tcp> {
        let (end, mut said) = (self.world.now + time, Vec::new());
        while self.world.now < end {
            said.extend(self.turn());
            let next = self.world.stack.next_deadline().unwrap_or(end);
            let least = self.world.now + Duration::from_micros(1);
            self.world.now = next.max(least).min(end);
        }
        said
    }

    fn read(&mut self, id: ConnectionId) -> Vec<u8> {
        match self.world.read(id) {
            Poll::Ready(read) => read.unwrap(),
            Poll::Pending => panic!("there is nothing to read"),
        }
    }

    /// Nothing is left of any connection.
    fn assert_clean(&self) {
        let stats = self.world.stack.stats();
        assert_eq!((stats.open, stats.half_open), (0, 0));
    }
}

#[test]
fn both_ask_at_the_same_time() {
    // RFC 9293, 3.5, figure 7.
    let (mut peer, id) = Peer::asked();
    let answers = peer.say(SYN, b"");
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].flags, SYN | ACK);
    assert_eq!(answers[0].seq.wrapping_add(1), peer.expected);
    assert_eq!(answers[0].ack, peer.next.wrapping_add(1));
    peer.say(SYN | ACK, b"");
    peer.next = peer.next.wrapping_add(1);
    peer.say(ACK, b"");
    let connected = peer.world.stack.poll_connected(id, Waker::noop());
    assert_eq!(connected, Poll::Ready(Ok(())));
    assert_eq!(peer.say(ACK, b"hello").len(), 1);
    assert_eq!(peer.read(id), b"hello");
    assert_eq!(peer.world.write(id, b"world"), Poll::Ready(Ok(5)));
    peer.next = peer.next.wrapping_add(5);
    assert_eq!(peer.turn()[0].payload, b"world");
}

#[test]
fn urgent_bytes_come_in_their_place() {
    // RFC 6093, 3.2: urgent data is no other data.
    let (mut peer, id) = Peer::connected();
    let segment = peer.segment(ACK | URG, b"ab!");
    peer.world.inject(tcp(&segment, 3));
    peer.turn();
    peer.next += 3;
    let segment = peer.segment(ACK | URG, b"c");
    peer.world.inject(tcp(&segment, 0xffff));
    peer.turn();
    assert_eq!(peer.read(id), b"ab!c");
}

#[test]
fn a_peer_that_asks_whether_we_live_is_answered() {
    // RFC 9293, 3.8.4: with a byte from before its window, or with none.
    let (mut peer, id) = Peer::connected();
    peer.say(ACK, b"hello");
    peer.next += 5;
    assert_eq!(peer.read(id), b"hello");
    peer.turn();
    for payload in [&b""[..], b"o"] {
        for _ in 0..3 {
            // Who asks is asked too, in time.
            if !peer.pass(Duration::from_secs(60)).is_empty() {
                peer.say(ACK, b"");
            }
            let mut probe = peer.segment(ACK, payload);
            probe.seq = probe.seq.wrapping_sub(1);
            let answers = peer.give(&probe);
            assert!(!answers.is_empty() && answers.len() <= 2, "{answers:?}");
            let is_sign = |said: &Tcp| (said.flags, said.ack) == (ACK, peer.next);
            assert!(answers.iter().all(is_sign), "{answers:?}");
        }
    }
    peer.say(ACK, b" world");
    assert_eq!(peer.read(id), b" world");
}

#[test]
fn a_peer_whose_window_stays_closed_is_waited_for() {
    // RFC 9293, 3.8.6.1: for as long as it answers.
    let (mut peer, id) = Peer::connected();
    assert_eq!(peer.world.write(id, b"hello"), Poll::Ready(Ok(5)));
    assert_eq!(peer.turn()[0].payload, b"hello");
    (peer.window, peer.expected) = (0, peer.expected.wrapping_add(5));
    peer.say(ACK, b"");
    assert_eq!(peer.world.write(id, b"world"), Poll::Ready(Ok(5)));
    let end = peer.world.now + Duration::from_secs(20 * 60);
    let mut probes = 0;
    while peer.world.now < end {
        for probe in peer.pass(Duration::from_secs(1)) {
            probes += usize::from(!probe.payload.is_empty());
            assert!(probe.payload.len() <= 1, "into a closed window");
            assert_eq!(peer.say(ACK, b""), []);
        }
    }
    assert!((10..1000).contains(&probes), "{probes}");
    peer.window = 8000;
    let mut said = peer.say(ACK, b"");
    said.extend(peer.pass(Duration::from_secs(1)));
    let longest = said.iter().map(|said| said.payload.len()).max();
    assert_eq!(longest, Some(5), "{said:?}");
    assert_eq!(peer.world.stack.stats().timed_out, 0);
}

#[test]
fn single_bytes_in_the_wrong_order_arrive() {
    let (mut peer, id) = Peer::connected();
    let text: Vec<u8> = (0..200).collect();
    let first = peer.next;
    // Every second byte, from behind: more holes than can be remembered. Then all until they have arrived.
    let order = (0..200).rev().step_by(2).chain((0..200).cycle().take(2000));
    let mut acked = first;
    for at in order {
        peer.next = first.wrapping_add(at as u32);
        for answer in peer.say(ACK, &text[at..=at]) {
            acked = answer.ack;
        }
    }
    assert_eq!(acked.wrapping_sub(first), 200);
    assert_eq!(peer.read(id), text);
}

#[test]
fn an_end_that_comes_before_what_it_ends_waits() {
    let (mut peer, id) = Peer::connected();
    peer.next += 5;
    peer.say(FIN | ACK, b" world");
    assert!(peer.world.read(id).is_pending());
    peer.next -= 5;
    let answers = peer.say(ACK, b"hello");
    // It may have to say again what lay beyond the hole.
    assert_eq!(answers.last().unwrap().ack, peer.next.wrapping_add(11));
    peer.next += 11;
    let answers = peer.say(FIN | ACK, b"");
    assert_eq!(answers.last().unwrap().ack, peer.next.wrapping_add(1));
    assert_eq!(peer.read(id), b"hello world");
    assert_eq!(peer.read(id), b"", "the end");
}

#[test]
fn bytes_that_come_with_the_request_are_not_lost() {
    // RFC 9293, 3.10.7.2: they may wait, or be asked for again.
    let mut peer = Peer::asking();
    let answers = peer.say(SYN, b"hello");
    let first = peer.next.wrapping_add(1);
    assert_eq!(answers[0].flags, SYN | ACK);
    assert!([first, first.wrapping_add(5)].contains(&answers[0].ack));
    peer.expected = answers[0].seq.wrapping_add(1);
    peer.next = answers[0].ack;
    let left = &b"hello"[answers[0].ack.wrapping_sub(first) as usize..];
    peer.say(ACK, left);
    let id = peer.world.accept(80).unwrap();
    assert_eq!(peer.read(id), b"hello");
}

#[test]
fn a_window_that_shrinks_is_kept_to_in_the_end() {
    // RFC 9293, 3.8.6: nobody should, and it must be lived with.
    let (mut peer, id) = Peer::connected();
    let len = 6000;
    assert_eq!(peer.world.write(id, &vec![7; len]), Poll::Ready(Ok(len)));
    let first = peer.turn();
    assert_eq!(
        first.iter().map(|said| said.payload.len()).sum::<usize>(),
        len
    );
    // It has room for 1,000 bytes only, and takes no more at a time.
    let mut got = 0;
    let end = peer.world.now + Duration::from_secs(600);
    let start = peer.expected;
    let mut said = first;
    while got < len {
        assert!(peer.world.now < end, "{got} bytes");
        peer.window = 1000;
        for segment in std::mem::take(&mut said) {
            let ahead = segment.seq.wrapping_sub(start) as usize;
            let in_order = ahead <= got && !segment.payload.is_empty();
            if in_order {
                got = got.max((ahead + segment.payload.len()).min(got + 1000));
            }
        }
        peer.expected = start.wrapping_add(got as u32);
        said.extend(peer.say(ACK, b""));
        said.extend(peer.pass(Duration::from_millis(300)));
    }
    assert_eq!(peer.world.stack.stats().reset, 0);
}

#[test]
fn a_reset_ends_a_connection_in_every_state() {
    type Way = fn(&mut Peer, ConnectionId);
    let ways: [(&str, Way); 6] = [
        ("established", |_, _| {}),
        ("with bytes on their way", |peer, id| {
            assert!(peer.world.write(id, &[7; 3000]).is_ready());
            assert!(!peer.turn().is_empty());
        }),
        ("FIN-WAIT-1", |peer, id| {
            peer.world.stack.close(peer.world.now, id);
            assert_eq!(peer.turn().last().unwrap().flags & FIN, FIN);
        }),
        ("FIN-WAIT-2", |peer, id| {
            peer.world.stack.close(peer.world.now, id);
            peer.turn();
            peer.expected += 1;
            peer.say(ACK, b"");
        }),
        ("CLOSE-WAIT", |peer, _| {
            peer.say(FIN | ACK, b"");
            peer.next += 1;
        }),
        ("LAST-ACK", |peer, id| {
            peer.say(FIN | ACK, b"");
            peer.next += 1;
            peer.world.stack.close(peer.world.now, id);
            assert_eq!(peer.turn().last().unwrap().flags & FIN, FIN);
        }),
    ];
    for (name, way) in ways {
        let (mut peer, id) = Peer::connected();
        way(&mut peer, id);
        assert_eq!(peer.say(RST | ACK, b""), [], "{name}");
        let expected = match name {
            "established" | "with bytes on their way" => Some(Err(ReadError::ConnectionReset)),
            // All that it had to say has come.
            "CLOSE-WAIT" => Some(Ok(Vec::new())),
            _ => None,
        };
        if let Some(expected) = expected {
            assert_eq!(peer.world.read(id), Poll::Ready(expected), "{name}");
            peer.world.stack.close(peer.world.now, id);
        }
        peer.turn();
        peer.assert_clean();
        assert_eq!(peer.pass(Duration::from_secs(100)), [], "{name}");
    }
}

#[test]
fn a_reset_ends_a_request_and_a_question() {
    let mut peer = Peer::asking();
    peer.say(SYN, b"");
    peer.next += 1;
    assert_eq!(peer.say(RST, b""), []);
    peer.assert_clean();

    // RFC 9293, 3.10.7.3: only one that acknowledges our SYN.
    let (mut peer, id) = Peer::asked();
    assert_eq!(peer.say(RST, b""), []);
    let mut other = peer.segment(RST | ACK, b"");
    other.ack = other.ack.wrapping_add(1);
    peer.give(&other);
    let still = peer.world.stack.poll_connected(id, Waker::noop());
    assert_eq!(still, Poll::Pending, "blind resets");
    assert_eq!(peer.say(RST | ACK, b""), []);
    let refused = peer.world.stack.poll_connected(id, Waker::noop());
    assert!(matches!(refused, Poll::Ready(Err(_))));
}

#[test]
fn both_end_at_the_same_time() {
    // RFC 9293, 3.6, figure 13.
    let (mut peer, id) = Peer::connected();
    peer.world.stack.close(peer.world.now, id);
    let said = peer.turn();
    assert_eq!(said.last().unwrap().flags & FIN, FIN);
    // Its FIN does not acknowledge ours.
    let answers = peer.say(FIN | ACK, b"");
    assert_eq!(answers.last().unwrap().ack, peer.next.wrapping_add(1));
    peer.next += 1;
    peer.expected += 1;
    peer.say(ACK, b"");
    peer.turn();
    peer.assert_clean();
    assert_eq!(peer.world.stack.stats().time_wait, 1);
    peer.pass(Duration::from_secs(100));
    assert_eq!(peer.world.stack.stats().time_wait, 0);
}
