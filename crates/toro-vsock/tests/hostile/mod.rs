//! A host that sends what it likes, read from bytes: for the fuzzer, and for a slice of what it would do.

use std::collections::HashMap;
use std::task::{Poll, Waker};
use std::time::Duration;

use toro_dev::socket::{HEADER, Header, Op, VsockAddr};
use toro_fake::FakeVsock;
use toro_time::Instant;
use toro_virtio_vsock::VirtioVsock;
use toro_vsock::{Buffers, Config, ConnectionId, Limits, Shutdown, Stack};

const CID: u32 = 3;
const CONNECTIONS: usize = 6;

/// Plays what `data` says: each step is an op and what it takes.
///
/// # Panics
/// Panics if the stack sends what is no packet, more than the host has room for, or holds more than it may.
pub(crate) fn play(data: &[u8]) {
    let mut host = Host::new();
    let mut bytes = data.iter().copied();
    while let Some(step) = bytes.next() {
        host.step(step, &mut bytes);
        host.turn();
    }
    host.end();
}

struct Host {
    fake: FakeVsock,
    stack: Stack,
    now: Instant,
    ids: Vec<ConnectionId>,
    /// For each pair of ports, ours first: how much may be sent, and how much was.
    room: HashMap<(u32, u32), (u64, u64)>,
}

impl Host {
    fn new() -> Self {
        let fake = FakeVsock::new(u64::from(CID), 4);
        let sizes = toro_virtio_vsock::Config {
            packets: 4,
            packet_len: 256,
        };
        let driver = VirtioVsock::probe(fake.device.transport(), sizes).expect("it starts");
        let mut stack = Stack::new(
            Box::new(driver),
            Config {
                buffers: Buffers {
                    receive: 512,
                    send: 512,
                },
                limits: Limits {
                    connections: CONNECTIONS,
                    backlog: 3,
                },
                ..Config::new(0)
            },
        );
        stack.bind(1).expect("free");
        stack.bind(2).expect("free");
        Self {
            fake,
            stack,
            now: Instant::ZERO,
            ids: Vec::new(),
            room: HashMap::new(),
        }
    }

    fn step(&mut self, step: u8, bytes: &mut impl Iterator<Item = u8>) {
        let mut next = || bytes.next().unwrap_or(0);
        match step % 16 {
            // Mostly packets.
            0..8 => {
                let header = self.header(step, &mut next);
                let len = usize::from(next()) % 220;
                let len = if header.op == Op::Data { len } else { 0 };
                self.send(header, len);
            }
            8 => {
                let raw: Vec<u8> = (0..usize::from(next())).map(|_| next()).collect();
                self.fake.send(&raw);
            }
            9 => {
                let port = 1 + u32::from(next() % 2);
                if let Poll::Ready(Ok(id)) = self.stack.accept(port, Waker::noop()) {
                    self.ids.push(id);
                }
            }
            10 => {
                let peer = VsockAddr::host(u32::from(next() % 4));
                self.ids.extend(self.stack.connect(self.now, peer));
            }
            11 => self.with_one(next(), |host, id| {
                let mut buffer = [0; 100];
                let _ = host.stack.read(id, &mut buffer, Waker::noop());
            }),
            12 => {
                let len = usize::from(next()) * 3;
                self.with_one(next(), |host, id| {
                    let _ = host.stack.write(id, &vec![7; len], Waker::noop());
                });
            }
            13 => {
                let how =
                    [Shutdown::Read, Shutdown::Write, Shutdown::Both][usize::from(next() % 3)];
                self.with_one(next(), |host, id| host.stack.shutdown(id, how));
            }
            14 => {
                let aborts = next() % 2 == 0;
                self.with_one(next(), |host, id| {
                    host.ids.retain(|other| *other != id);
                    match aborts {
                        true => host.stack.abort(id),
                        false => host.stack.close(host.now, id),
                    }
                });
            }
            _ => match next() {
                value @ 0..200 => self.now += Duration::from_millis(50) * u32::from(value),
                200..210 => drop(self.fake.tell(u32::from(next() % 2))),
                _ => self
                    .fake
                    .device
                    .put_used(usize::from(next() % 3), u32::from(next() % 5), 60),
            },
        }
    }

    /// A header in which most is as it should be.
    fn header(&self, step: u8, next: &mut impl FnMut() -> u8) -> Header {
        let ops = [
            Op::Nothing,
            Op::Request,
            Op::Response,
            Op::Reset,
            Op::Shutdown,
            Op::Data,
            Op::CreditUpdate,
            Op::CreditRequest,
        ];
        let (ours, theirs) = (next(), u32::from(next() % 4));
        // Ports that we choose count up from the first one.
        let port = match ours % 8 {
            ours @ 0..3 => u32::from(ours),
            ours => 0x1_0000 + u32::from(ours) - 3,
        };
        let (_, sent) = self.room.get(&(port, theirs)).copied().unwrap_or_default();
        let back = next();
        let fwd_cnt = sent.saturating_sub(u64::from(back / 2));
        Header {
            src: VsockAddr::host(theirs),
            dst: VsockAddr { cid: CID, port },
            len: 0,
            kind: if back == 255 { 2 } else { 1 },
            op: ops[usize::from(step % 8)],
            flags: u32::from(ours >> 6),
            buf_alloc: u32::from(next()) * 4,
            fwd_cnt: u32::try_from(fwd_cnt & 0xffff_ffff).expect("32 bits"),
        }
    }

    fn send(&mut self, header: Header, len: usize) {
        let header = Header {
            len: u32::try_from(len).expect("short"),
            ..header
        };
        let mut packet = header.to_bytes().to_vec();
        packet.resize(HEADER + len, 5);
        if self.fake.send(&packet) {
            let key = (header.dst.port, header.src.port);
            let (room, sent) = self.room.entry(key).or_default();
            if header.op == Op::Request {
                *sent = 0;
                *room = 0;
            }
            // The most that it can be taken to mean.
            *room = (*room).max(u64::from(header.fwd_cnt) + u64::from(header.buf_alloc));
        }
    }

    fn with_one(&mut self, which: u8, f: impl FnOnce(&mut Self, ConnectionId)) {
        if !self.ids.is_empty() {
            let id = self.ids[usize::from(which) % self.ids.len()];
            f(self, id);
        }
    }

    fn turn(&mut self) {
        self.stack.receive(self.now, 8);
        self.stack.serve(self.now);
        self.stack.advance(self.now);
        for bytes in self.fake.sent() {
            let header = Header::parse(&bytes).expect("the stack sends packets");
            let key = (header.src.port, header.dst.port);
            let (room, sent) = self.room.entry(key).or_default();
            if header.op == Op::Request {
                (*room, *sent) = (0, 0);
            }
            *sent += u64::from(header.len);
            assert!(
                header.len == 0 || *sent <= *room,
                "{sent} bytes sent into a room for {room}"
            );
        }
        let connections = self.stack.stats().connections;
        assert!(connections <= CONNECTIONS, "{connections} connections");
    }

    /// All that is let go of comes to an end.
    fn end(&mut self) {
        for id in core::mem::take(&mut self.ids) {
            self.stack.close(self.now, id);
        }
        self.stack.unbind(1);
        self.stack.unbind(2);
        for _ in 0..100 {
            self.turn();
            self.now += Duration::from_secs(5);
        }
        assert_eq!(self.stack.stats().connections, 0);
    }
}
