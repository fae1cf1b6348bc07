//! [`World`]: a stack over the real driver on a fake device, whose host is the test.

use std::task::{Poll, Waker};
use std::time::Duration;

use toro_dev::socket::{HEADER, Header, Op, STREAM, VsockAddr};
use toro_fake::FakeVsock;
use toro_time::Instant;
use toro_virtio_vsock::VirtioVsock;
use toro_vsock::{Buffers, Config, ConnectionId, Limits, Stack};

/// The machine under test.
pub(crate) const CID: u32 = 3;
/// Its port that listens.
pub(crate) const PORT: u32 = 7;
/// A port of the host.
pub(crate) const HOST: VsockAddr = VsockAddr::host(1000);

/// A packet as the test sees it.
pub(crate) type Packet = (Header, Vec<u8>);

pub(crate) struct World {
    pub(crate) fake: FakeVsock,
    pub(crate) stack: Stack,
    pub(crate) now: Instant,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config {
            buffers: Buffers {
                receive: 1000,
                send: 1000,
            },
            limits: Limits {
                connections: 8,
                backlog: 4,
            },
            ..Config::new(0)
        })
    }

    pub(crate) fn with(config: Config) -> Self {
        let fake = FakeVsock::new(u64::from(CID), 8);
        let sizes = toro_virtio_vsock::Config {
            packets: 8,
            packet_len: HEADER + 300,
        };
        let driver = VirtioVsock::probe(fake.device.transport(), sizes).expect("it starts");
        Self {
            fake,
            stack: Stack::new(Box::new(driver), config),
            now: Instant::ZERO,
        }
    }

    /// Lets the stack take a turn.
    pub(crate) fn turn(&mut self) {
        self.stack.receive(self.now, 64);
        self.stack.serve(self.now);
        self.stack.advance(self.now);
    }

    /// Lets time pass, with a turn whenever the stack wants one.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            self.turn();
            match self.stack.next_deadline() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
        self.turn();
    }

    /// Takes what the stack has sent, after turns until it has nothing more to say.
    pub(crate) fn sent(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            self.turn();
            let some = self.fake.sent();
            if some.is_empty() {
                return packets;
            }
            packets.extend(some.iter().map(|bytes| parse(bytes)));
        }
    }

    /// Sends a packet to the stack.
    pub(crate) fn send(&mut self, header: Header, payload: &[u8]) {
        let header = Header {
            len: u32::try_from(payload.len()).expect("short"),
            ..header
        };
        let packet = [&header.to_bytes()[..], payload].concat();
        while !self.fake.send(&packet) {
            self.turn();
        }
        self.turn();
    }

    /// The only packet that the stack has sent.
    pub(crate) fn answer(&mut self) -> Header {
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].0
    }

    /// The ops of what was sent.
    pub(crate) fn ops(&mut self) -> Vec<Op> {
        self.sent().iter().map(|(header, _)| header.op).collect()
    }

    /// Binds the port, and lets the host connect from `port` with so much room.
    pub(crate) fn accept(&mut self, port: u32, room: u32) -> ConnectionId {
        let _ = self.stack.bind(PORT);
        self.send(
            Header {
                buf_alloc: room,
                ..header(port, Op::Request)
            },
            &[],
        );
        let answer = self.answer();
        assert_eq!((answer.op, answer.buf_alloc), (Op::Response, 1000));
        match self.stack.accept(PORT, Waker::noop()) {
            Poll::Ready(Ok(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn read(
        &mut self,
        id: ConnectionId,
        len: usize,
    ) -> Poll<Result<Vec<u8>, toro_vsock::ReadError>> {
        let mut bytes = vec![0; len];
        let read = self.stack.read(id, &mut bytes, Waker::noop());
        read.map_ok(|len| bytes[..len].to_vec())
    }

    pub(crate) fn write(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
    ) -> Poll<Result<usize, toro_vsock::WriteError>> {
        self.stack.write(id, bytes, Waker::noop())
    }
}

/// The header of a packet from `port` of the host to the port that listens.
pub(crate) fn header(port: u32, op: Op) -> Header {
    Header {
        src: VsockAddr::host(port),
        dst: VsockAddr {
            cid: CID,
            port: PORT,
        },
        len: 0,
        kind: STREAM,
        op,
        flags: 0,
        buf_alloc: 1000,
        fwd_cnt: 0,
    }
}

/// Whatever is sent must be a packet.
pub(crate) fn parse(bytes: &[u8]) -> Packet {
    let header = Header::parse(bytes).expect("the stack sends packets");
    assert_eq!((header.src.cid, header.kind), (CID, STREAM));
    (header, bytes[HEADER..].to_vec())
}
