//! Whole streams, and the event loop.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use toro_dev::socket::{Header, Op, shut};
use toro_fake::Random;
use toro_vsock::{Closed, Conn, Output, Service};

use crate::world::{PORT, World, header};

const SECOND: Duration = Duration::from_secs(1);

/// A fair peer with changing room, and a service that reads and writes when it likes: both streams arrive whole.
#[test]
fn streams_arrive_whole_both_ways() {
    const LEN: usize = 20_000;
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let mut world = World::new();
        let id = world.accept(1, 0);
        let pattern = |at: usize| (at * 31 + at / 251).to_le_bytes()[0];
        // Of each stream: what was written, what has arrived, and what was taken of that.
        let (mut ours, mut theirs) = (0, 0);
        let (mut heard, mut taken, mut read) = (0, 0, 0);
        let mut room = 0;
        let mut peer_room = 1000;
        let mut spins = 0;
        while heard < LEN || read < LEN {
            spins += 1;
            assert!(spins < 100_000, "seed {seed}: stuck at {heard} and {read}");
            let len = random.index(700);
            match random.below(4) {
                0 => {
                    let bytes: Vec<u8> = (ours..LEN.min(ours + len)).map(pattern).collect();
                    if let Poll::Ready(Ok(len)) = world.write(id, &bytes) {
                        ours += len;
                    }
                }
                1 => {
                    if let Poll::Ready(Ok(bytes)) = world.read(id, len + 1) {
                        assert!(
                            bytes
                                .iter()
                                .copied()
                                .eq((read..read + bytes.len()).map(pattern))
                        );
                        read += bytes.len();
                    }
                }
                2 => {
                    let len = len.min(250).min(LEN - theirs).min(peer_room - theirs);
                    let bytes: Vec<u8> = (theirs..theirs + len).map(pattern).collect();
                    theirs += len;
                    let op = if len == 0 {
                        Op::CreditRequest
                    } else {
                        Op::Data
                    };
                    let told = Header {
                        buf_alloc: u32::try_from(room).expect("small"),
                        fwd_cnt: u32::try_from(taken).expect("small"),
                        ..header(1, op)
                    };
                    world.send(told, &bytes);
                }
                _ => {
                    taken += random.index(heard - taken + 1);
                    room = random.index(600).max(heard - taken);
                    let op = if random.below(2) == 0 {
                        Op::Nothing
                    } else {
                        Op::CreditUpdate
                    };
                    let told = Header {
                        buf_alloc: u32::try_from(room).expect("small"),
                        fwd_cnt: u32::try_from(taken).expect("small"),
                        ..header(1, op)
                    };
                    world.send(told, &[]);
                }
            }
            for (header, bytes) in world.sent() {
                peer_room = (header.fwd_cnt + header.buf_alloc) as usize;
                assert!(
                    bytes
                        .iter()
                        .copied()
                        .eq((heard..heard + bytes.len()).map(pattern))
                );
                heard += bytes.len();
                assert!(
                    heard <= taken + room,
                    "seed {seed}: more than there is room for"
                );
            }
        }
        assert_eq!(world.stack.stats().broken, 0);
    }
}

/// Sends everything back, and remembers how connections end.
struct Echo(Rc<RefCell<Vec<Closed>>>);

impl<A: Copy + 'static> Service<A> for Echo {
    type Connection = ();

    fn connected(&mut self, conn: &mut Conn<A>, _: &mut Output<'_>) -> Option<()> {
        conn.set_timeout(Some(100 * SECOND));
        Some(())
    }

    fn received(
        &mut self,
        (): &mut (),
        _: &mut Conn<A>,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        output.write(input)
    }

    fn closed(&mut self, (): (), why: Closed) {
        self.0.borrow_mut().push(why);
    }
}

#[test]
fn a_service_of_the_event_loop_is_called() {
    let mut world = World::new();
    let ends = Rc::default();
    let port = world.stack.register(PORT, Echo(Rc::clone(&ends)));
    assert_eq!(port, Ok(PORT));
    world.send(
        Header {
            buf_alloc: 400,
            ..header(1, Op::Request)
        },
        &[],
    );
    world.send(
        Header {
            buf_alloc: 400,
            ..header(1, Op::Data)
        },
        &[1; 300],
    );
    let sent = world.sent();
    assert_eq!(sent[0].0.op, Op::Response);
    assert_eq!(sent[1].1, [1; 300]);
    // No room for the answers: 100 leave, 1000 wait, and the rest is not heard.
    for _ in 0..6 {
        world.send(
            Header {
                buf_alloc: 400,
                ..header(1, Op::Data)
            },
            &[2; 250],
        );
        world.ops();
    }
    for fwd_cnt in [400, 800, 1200, 1600, 1800] {
        world.send(
            Header {
                buf_alloc: 400,
                fwd_cnt,
                ..header(1, Op::CreditUpdate)
            },
            &[],
        );
        let sent = world.sent();
        let len: usize = sent.iter().map(|(_, payload)| payload.len()).sum();
        assert_eq!(
            len,
            if fwd_cnt == 1600 {
                200
            } else if fwd_cnt == 1800 {
                0
            } else {
                400
            }
        );
    }
    world.send(
        Header {
            flags: shut::BOTH,
            fwd_cnt: 1800,
            ..header(1, Op::Shutdown)
        },
        &[],
    );
    assert_eq!(world.ops(), [Op::Reset]);
    world.send(header(2, Op::Request), &[]);
    world.send(header(2, Op::Reset), &[]);
    world.send(header(3, Op::Request), &[]);
    world.ops();
    world.stack.withdraw(world.now, PORT);
    assert_eq!(
        *ends.borrow(),
        [Closed::Finished, Closed::Reset, Closed::Aborted]
    );
    assert_eq!(world.ops(), [Op::Reset]);
    assert_eq!(world.stack.stats().connections, 0);
}
