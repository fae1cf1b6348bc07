//! What a stack does, packet by packet.

use std::task::{Poll, Waker};
use std::time::Duration;

use toro_dev::socket::{Header, Op, shut};
use toro_vsock::{AcceptError, ConnectError, ReadError, Shutdown, WriteError};

use crate::world::{CID, HOST, PORT, World, header};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_request_for_a_port_that_nobody_listens_to_is_refused() {
    let mut world = World::new();
    for op in [
        Op::Request,
        Op::Data,
        Op::Response,
        Op::CreditRequest,
        Op::Shutdown,
    ] {
        world.send(header(1, op), &[]);
        let answer = world.answer();
        assert_eq!(
            (answer.op, answer.dst.port, answer.src.port),
            (Op::Reset, 1, PORT)
        );
    }
    world.send(header(1, Op::Reset), &[]);
    assert_eq!(world.ops(), []);
    assert_eq!(world.stack.stats().refused, 5);
}

#[test]
fn other_kinds_of_socket_and_other_machines_are_not_for_us() {
    let mut world = World::new();
    world.stack.bind(PORT).expect("free");
    let seqpacket = Header {
        kind: 2,
        ..header(1, Op::Request)
    };
    let bytes = seqpacket.to_bytes();
    assert!(world.fake.send(&bytes));
    world.turn();
    let sent = world.fake.sent();
    let answer = Header::parse(&sent[0]).expect("a packet");
    assert_eq!((answer.op, answer.kind), (Op::Reset, 2));
    let mut other = header(1, Op::Request);
    other.dst.cid = CID + 1;
    world.send(other, &[]);
    assert_eq!(world.ops(), []);
    assert_eq!(world.stack.stats().misaddressed, 1);
}

#[test]
fn what_is_sent_before_accept_is_kept() {
    let mut world = World::new();
    world.stack.bind(PORT).expect("free");
    world.send(header(1, Op::Request), &[]);
    assert_eq!(world.answer().op, Op::Response);
    world.send(header(1, Op::Data), b"early");
    assert_eq!(world.stack.stats().unread, 5);
    world.send(
        Header {
            flags: shut::BOTH,
            ..header(1, Op::Shutdown)
        },
        &[],
    );
    let accepted = world.stack.accept(PORT, Waker::noop());
    let Poll::Ready(Ok(id)) = accepted else {
        panic!("{accepted:?}")
    };
    assert_eq!(world.read(id, 10), Poll::Ready(Ok(b"early".to_vec())));
    assert_eq!(world.read(id, 10), Poll::Ready(Ok(vec![])));
    assert_eq!(world.ops(), [Op::Reset]);
    world.stack.close(world.now, id);
    assert_eq!(world.stack.stats().connections, 0);
}

#[test]
fn a_full_backlog_and_a_full_table_refuse() {
    let mut world = World::new();
    world.stack.bind(PORT).expect("free");
    for port in 0..5 {
        world.send(header(port, Op::Request), &[]);
        let expected = if port < 4 { Op::Response } else { Op::Reset };
        assert_eq!(world.answer().op, expected, "{port}");
    }
    let mut ids = Vec::new();
    while let Poll::Ready(Ok(id)) = world.stack.accept(PORT, Waker::noop()) {
        ids.push(id);
    }
    for port in 10..15 {
        world.send(header(port, Op::Request), &[]);
        let expected = if port < 14 { Op::Response } else { Op::Reset };
        assert_eq!(world.answer().op, expected, "{port}");
    }
    assert_eq!(
        world.stack.connect(world.now, HOST),
        Err(ConnectError::NoResources)
    );
    world.stack.unbind(PORT);
    assert_eq!(world.ops(), [Op::Reset; 4]);
    assert_eq!(
        world.stack.accept(PORT, Waker::noop()),
        Poll::Ready(Err(AcceptError::Closed))
    );
    assert_eq!(world.stack.stats().connections, 4);
}

#[test]
fn connections_are_made_from_here() {
    let mut world = World::new();
    let id = world.stack.connect(world.now, HOST).expect("room");
    let request = world.answer();
    assert_eq!(
        (request.op, request.dst, request.buf_alloc),
        (Op::Request, HOST, 1000)
    );
    assert_eq!(world.stack.poll_connected(id, Waker::noop()), Poll::Pending);
    let answer = |op| Header {
        src: HOST,
        dst: request.src,
        ..header(0, op)
    };
    world.send(answer(Op::Response), &[]);
    assert_eq!(
        world.stack.poll_connected(id, Waker::noop()),
        Poll::Ready(Ok(()))
    );
    assert_eq!(world.write(id, b"hello"), Poll::Ready(Ok(5)));
    assert_eq!(world.sent()[0].1, b"hello");
    world.send(answer(Op::Data), b"hi");
    assert_eq!(world.read(id, 10), Poll::Ready(Ok(b"hi".to_vec())));

    let id = world.stack.connect(world.now, HOST).expect("room");
    let request = world.answer();
    world.send(
        Header {
            src: HOST,
            dst: request.src,
            ..header(0, Op::Reset)
        },
        &[],
    );
    let refused = Poll::Ready(Err(ConnectError::Refused));
    assert_eq!(world.stack.poll_connected(id, Waker::noop()), refused);

    let id = world.stack.connect(world.now, HOST).expect("room");
    assert_eq!(world.ops(), [Op::Request]);
    world.pass(11 * SECOND);
    let timed_out = Poll::Ready(Err(ConnectError::TimedOut));
    assert_eq!(world.stack.poll_connected(id, Waker::noop()), timed_out);
}

#[test]
fn no_more_is_sent_than_the_peer_has_room_for() {
    let mut world = World::new();
    let id = world.accept(1, 100);
    assert_eq!(world.write(id, &[1; 5000]), Poll::Ready(Ok(1100)));
    assert_eq!(world.write(id, &[1; 5000]), Poll::Pending);
    let sent = world.sent();
    assert_eq!(
        sent.iter().map(|(_, payload)| payload.len()).sum::<usize>(),
        100
    );
    assert_eq!(sent.last().expect("a packet").0.op, Op::CreditRequest);
    world.send(
        Header {
            buf_alloc: 400,
            fwd_cnt: 50,
            ..header(1, Op::Nothing)
        },
        &[],
    );
    let sent = world.sent();
    assert_eq!(
        sent.iter().map(|(_, payload)| payload.len()).sum::<usize>(),
        350
    );
    // It takes its room back, and some more than we have sent so far.
    world.send(
        Header {
            buf_alloc: 10,
            fwd_cnt: 450,
            ..header(1, Op::CreditUpdate)
        },
        &[],
    );
    let sent = world.sent();
    assert_eq!(
        sent.iter().map(|(_, payload)| payload.len()).sum::<usize>(),
        10
    );
}

#[test]
fn a_peer_that_breaks_a_rule_loses_that_connection() {
    let rules: [(Op, u32, u32, usize); 4] = [
        // More than there is room for; in one packet, and counted wrong; the same request again.
        (Op::Data, 1000, 0, 256),
        (Op::CreditUpdate, 1000, 1, 0),
        (Op::CreditUpdate, 1000, u32::MAX, 0),
        (Op::Request, 1000, 0, 0),
    ];
    for (op, buf_alloc, fwd_cnt, len) in rules {
        let mut world = World::new();
        let (good, bad) = (world.accept(1, 1000), world.accept(2, 1000));
        if op == Op::Data {
            for _ in 0..3 {
                world.send(header(2, op), &vec![0; 256]);
            }
            assert_eq!(world.ops(), []);
        }
        world.send(
            Header {
                buf_alloc,
                fwd_cnt,
                ..header(2, op)
            },
            &vec![0; len],
        );
        assert_eq!(world.ops(), [Op::Reset]);
        assert_eq!(world.stack.stats().broken, 1);
        assert_eq!(
            world.write(bad, b"x"),
            Poll::Ready(Err(WriteError::ConnectionReset))
        );
        assert_eq!(world.write(good, b"x"), Poll::Ready(Ok(1)));
    }
}

#[test]
fn the_peer_is_told_of_room_when_it_knows_of_less_than_half() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    world.send(header(1, Op::Data), &[1; 300]);
    world.send(header(1, Op::Data), &[2; 100]);
    assert_eq!(
        world.read(id, 400).map_ok(|bytes| bytes.len()),
        Poll::Ready(Ok(400))
    );
    assert_eq!(world.ops(), []);
    world.send(header(1, Op::Data), &[3; 100]);
    assert_eq!(world.read(id, 1), Poll::Ready(Ok(vec![3])));
    let update = world.answer();
    assert_eq!((update.op, update.fwd_cnt), (Op::CreditUpdate, 401));
}

#[test]
fn who_asks_for_room_is_answered_at_once_or_when_there_is_some() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    world.send(header(1, Op::CreditRequest), &[]);
    assert_eq!(world.answer().op, Op::CreditUpdate);
    for _ in 0..4 {
        world.send(header(1, Op::Data), &[1; 250]);
    }
    world.send(header(1, Op::CreditRequest), &[]);
    assert_eq!(world.ops(), []);
    assert_eq!(world.read(id, 1), Poll::Ready(Ok(vec![1])));
    let update = world.answer();
    assert_eq!((update.op, update.fwd_cnt), (Op::CreditUpdate, 1));
}

#[test]
fn closing_waits_until_the_peer_has_taken_all() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    assert_eq!(world.write(id, &[1; 500]), Poll::Ready(Ok(500)));
    world.stack.close(world.now, id);
    assert_eq!(world.ops(), [Op::Data, Op::Data, Op::CreditRequest]);
    world.send(
        Header {
            fwd_cnt: 499,
            ..header(1, Op::CreditUpdate)
        },
        &[],
    );
    world.ops();
    // What comes meanwhile is nobody's, and makes no one wait.
    world.send(
        Header {
            fwd_cnt: 499,
            ..header(1, Op::Data)
        },
        &[7; 200],
    );
    world.ops();
    world.send(
        Header {
            fwd_cnt: 500,
            ..header(1, Op::CreditUpdate)
        },
        &[],
    );
    let bye = world.answer();
    assert_eq!((bye.op, bye.flags), (Op::Shutdown, shut::BOTH));
    world.send(header(1, Op::Reset), &[]);
    assert_eq!(world.stack.stats().connections, 0);
    assert_eq!(world.ops(), []);
}

#[test]
fn who_does_not_say_good_bye_is_reset() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    world.stack.close(world.now, id);
    assert_eq!(world.ops(), [Op::Shutdown]);
    world.pass(9 * SECOND);
    assert_eq!(world.stack.stats().connections, 1);
    world.pass(2 * SECOND);
    assert_eq!(world.stack.stats().connections, 0);
    assert_eq!(world.ops(), [Op::Reset]);
    // A peer that takes nothing keeps us for a minute.
    let id = world.accept(2, 10);
    assert_eq!(world.write(id, &[1; 20]), Poll::Ready(Ok(20)));
    world.stack.close(world.now, id);
    for _ in 0..11 {
        world.pass(5 * SECOND);
        assert_eq!(world.stack.stats().connections, 1);
        world.ops();
        world.send(
            Header {
                buf_alloc: 10,
                ..header(2, Op::CreditUpdate)
            },
            &[],
        );
    }
    world.pass(6 * SECOND);
    assert_eq!(world.stack.stats().connections, 0);
}

#[test]
fn halves_are_shut_down_one_by_one() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    assert_eq!(world.write(id, b"last"), Poll::Ready(Ok(4)));
    world.stack.shutdown(id, Shutdown::Write);
    assert_eq!(
        world.write(id, b"more"),
        Poll::Ready(Err(WriteError::ShutDown))
    );
    let sent = world.sent();
    assert_eq!(
        (sent[0].1.as_slice(), sent[1].0.flags),
        (&b"last"[..], shut::SEND)
    );
    world.send(header(1, Op::Data), b"answer");
    assert_eq!(world.read(id, 10), Poll::Ready(Ok(b"answer".to_vec())));
    world.send(
        Header {
            flags: shut::SEND,
            ..header(1, Op::Shutdown)
        },
        &[],
    );
    assert_eq!(world.read(id, 10), Poll::Ready(Ok(vec![])));
    // It sends all the same.
    world.send(header(1, Op::Data), b"late");
    assert_eq!(world.ops(), [Op::Reset]);

    let id = world.accept(2, 1000);
    world.send(
        Header {
            flags: shut::RECEIVE,
            ..header(2, Op::Shutdown)
        },
        &[],
    );
    assert_eq!(
        world.write(id, b"x"),
        Poll::Ready(Err(WriteError::PeerShutDown))
    );
    world.stack.shutdown(id, Shutdown::Read);
    assert_eq!(world.read(id, 10), Poll::Ready(Ok(vec![])));
    assert_eq!(world.answer().flags, shut::RECEIVE);
    for _ in 0..20 {
        world.send(header(2, Op::Data), &[0; 300]);
    }
    assert!(world.ops().iter().all(|op| *op == Op::CreditUpdate));
}

#[test]
fn a_reset_gives_what_came_before_and_then_an_error() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    world.send(header(1, Op::Data), b"data");
    world.send(header(1, Op::Reset), &[]);
    assert_eq!(world.read(id, 10), Poll::Ready(Ok(b"data".to_vec())));
    assert_eq!(
        world.read(id, 10),
        Poll::Ready(Err(ReadError::ConnectionReset))
    );
    assert_eq!(
        world.write(id, b"x"),
        Poll::Ready(Err(WriteError::ConnectionReset))
    );
    // The pair of ports is free for another connection.
    world.accept(1, 1000);
    world.stack.close(world.now, id);
    assert_eq!(world.stack.stats().connections, 1);
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    world.pass(9 * SECOND);
    assert_eq!(world.ops(), []);
    world.pass(2 * SECOND);
    assert_eq!(world.ops(), [Op::CreditRequest]);
    world.send(header(1, Op::CreditUpdate), &[]);
    world.pass(11 * SECOND);
    assert_eq!(world.ops(), [Op::CreditRequest]);
    world.pass(11 * SECOND);
    assert_eq!(
        world.read(id, 10),
        Poll::Ready(Err(ReadError::ConnectionTimedOut))
    );
    assert_eq!(world.stack.stats().silent, 1);
}

#[test]
fn a_device_that_takes_nothing_is_started_anew() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    assert_eq!(world.write(id, b"x"), Poll::Ready(Ok(1)));
    world.pass(9 * SECOND);
    assert_eq!(world.stack.stats().revived, 0);
    world.pass(2 * SECOND);
    assert_eq!(world.stack.stats().revived, 1);
    assert_eq!(
        world.read(id, 10),
        Poll::Ready(Err(ReadError::ConnectionReset))
    );
    // The listener has stayed.
    world.accept(2, 1000);
}

#[test]
fn a_device_that_lies_is_started_anew_after_a_while() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    world.fake.device.put_used(0, 99, 0);
    world.turn();
    world.turn();
    assert_eq!(
        world.write(id, b"x"),
        Poll::Ready(Err(WriteError::ConnectionReset))
    );
    world.pass(6 * SECOND);
    assert_eq!(world.stack.stats().revived, 1);
    world.accept(2, 1000);
}

#[test]
fn a_lost_transport_ends_all_connections_and_no_listener() {
    let mut world = World::new();
    let id = world.accept(1, 1000);
    assert!(world.fake.tell(0));
    world.turn();
    assert_eq!(
        world.read(id, 10),
        Poll::Ready(Err(ReadError::ConnectionReset))
    );
    assert_eq!(world.ops(), []);
    world.accept(1, 1000);
}

#[test]
fn refusals_wait_for_a_device_that_does_not_listen() {
    let mut world = World::new();
    for port in 0..1000 {
        if !world.fake.send(&header(port, Op::Request).to_bytes()) {
            world.turn();
        }
    }
    let refused = world.stack.stats().refused;
    assert!(refused <= 200, "{refused} resets wait in memory");
    assert_eq!(world.sent().len() as u64, world.stack.stats().refused);
}
