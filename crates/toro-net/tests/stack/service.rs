//! Services of the event loop: who is called when, and how they and their connections end.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use toro_net::{Closed, Conn, Output, Service};

use crate::flight::Weather;
use crate::world::{ADDRESS, World, config};

const PORT: u16 = 7;
const IDLE: Duration = Duration::from_secs(5);

/// Answers each line; some lines are orders. It keeps count of what it is called for.
#[derive(Default)]
struct Lines {
    seen: Rc<RefCell<Seen>>,
}

#[derive(Default, Debug)]
struct Seen {
    open: usize,
    inputs: Vec<Vec<u8>>,
    writable: usize,
    ended: usize,
    timed_out: usize,
    closed: Vec<Closed>,
}

/// Bytes of `x` that are still to be written.
struct Line {
    owed: usize,
    /// The connection closes when they are.
    is_ending: bool,
}

impl Lines {
    fn order(
        line: &[u8],
        state: &mut Line,
        conn: &mut Conn,
        output: &mut Output<'_>,
    ) -> Option<()> {
        match line {
            b"close" => conn.close(),
            b"abort" => conn.abort(),
            b"shut" => conn.shutdown_write(),
            b"forever" => conn.set_timeout(None),
            [b'x', number @ ..] => {
                state.owed = std::str::from_utf8(number).unwrap().parse().unwrap();
                pay(state, output);
            }
            _ => {
                let mut answer = line.to_vec();
                answer.push(b'\n');
                return output.write_all(&answer).then_some(());
            }
        }
        Some(())
    }
}

fn pay(state: &mut Line, output: &mut Output<'_>) {
    state.owed -= output.write(&vec![b'x'; state.owed]);
}

impl Service for Lines {
    type Connection = Line;

    fn connected(&mut self, conn: &mut Conn, output: &mut Output<'_>) -> Option<Line> {
        if conn.peer_addr().port() == 6666 {
            return None;
        }
        conn.set_timeout(Some(IDLE));
        output.write(b"hello\n");
        self.seen.borrow_mut().open += 1;
        Some(Line {
            owed: 0,
            is_ending: false,
        })
    }

    fn received(
        &mut self,
        state: &mut Line,
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        self.seen.borrow_mut().inputs.push(input.to_vec());
        if conn.deadline().is_some() {
            conn.set_timeout(Some(IDLE));
        }
        let mut consumed = 0;
        while let Some(len) = input[consumed..].iter().position(|byte| *byte == b'\n') {
            let line = &input[consumed..consumed + len];
            if output.is_waiting() || Self::order(line, state, conn, output).is_none() {
                break;
            }
            consumed += len + 1;
        }
        consumed
    }

    fn writable(&mut self, state: &mut Line, conn: &mut Conn, output: &mut Output<'_>) {
        self.seen.borrow_mut().writable += 1;
        pay(state, output);
        if state.is_ending && state.owed == 0 {
            conn.close();
        }
    }

    fn ending(&mut self, state: &mut Line, conn: &mut Conn, _: &mut Output<'_>) {
        state.is_ending = true;
        if state.owed == 0 {
            conn.close();
        }
    }

    fn ended(&mut self, _: &mut Line, conn: &mut Conn, output: &mut Output<'_>) {
        self.seen.borrow_mut().ended += 1;
        output.write(b"bye\n");
        conn.close();
    }

    fn timed_out(&mut self, _: &mut Line, conn: &mut Conn, output: &mut Output<'_>) {
        self.seen.borrow_mut().timed_out += 1;
        output.write(b"late\n");
        conn.close();
    }

    fn closed(&mut self, _: Line, why: Closed) {
        let mut seen = self.seen.borrow_mut();
        seen.open -= 1;
        seen.closed.push(why);
    }
}

/// A world with the service in it.
struct Served {
    world: World,
    seen: Rc<RefCell<Seen>>,
}

impl Served {
    fn new() -> Self {
        Self::within(World::new())
    }

    fn within(mut world: World) -> Self {
        let lines = Lines::default();
        let seen = Rc::clone(&lines.seen);
        let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
        world.stack.register(address, lines).unwrap();
        Self { world, seen }
    }

    fn connect(&mut self) -> SocketHandle {
        let client = self.world.client.connect((ADDRESS, PORT));
        self.world.settle();
        assert_eq!(self.world.client_reads(client), b"hello\n");
        client
    }

    fn send(&mut self, client: SocketHandle, bytes: &[u8]) {
        self.world.client.tcp(client).send_slice(bytes).unwrap();
        self.world.settle();
    }

    /// What the client gets for `bytes`.
    fn ask(&mut self, client: SocketHandle, bytes: &[u8]) -> Vec<u8> {
        self.send(client, bytes);
        self.world.client_reads(client)
    }

    fn check_gone(&mut self, closed: &[Closed]) {
        let seen = self.seen.borrow();
        assert_eq!((seen.open, &seen.closed[..]), (0, closed));
    }
}

#[test]
fn a_request_is_answered_in_the_turn_in_which_it_came() {
    let mut served = Served::new();
    let client = served.connect();
    let frames = served.world.stack.stats().frames_out;
    assert_eq!(served.ask(client, b"one\n"), b"one\n");
    let sent = served.world.stack.stats().frames_out - frames;
    assert_eq!(sent, 1, "the answer carries the acknowledgement");
}

#[test]
fn pipelined_requests_are_answered_together() {
    let mut served = Served::new();
    let client = served.connect();
    let frames = served.world.stack.stats().frames_out;
    assert_eq!(served.ask(client, b"a\nbc\nd\n"), b"a\nbc\nd\n");
    assert_eq!(served.world.stack.stats().frames_out - frames, 1);
}

#[test]
fn what_is_not_consumed_is_shown_again_with_what_follows() {
    let mut served = Served::new();
    let client = served.connect();
    assert_eq!(served.ask(client, b"on"), b"");
    assert_eq!(served.ask(client, b"e\ntw"), b"one\n");
    assert_eq!(served.ask(client, b"o\n"), b"two\n");
    let seen = served.seen.borrow();
    assert_eq!(seen.inputs, [&b"on"[..], b"one\ntw", b"two\n"]);
}

#[test]
fn rings_wrap_unseen() {
    let mut served = Served::new();
    let client = served.connect();
    // Neither length divides a ring, so every place comes to lie across the end.
    for round in 0..200 {
        let mut line = vec![b'a' + (round % 20) as u8; 997];
        line.push(b'\n');
        assert_eq!(served.ask(client, &line), line, "round {round}");
    }
}

#[test]
fn bytes_that_came_before_the_service_looked_are_not_lost() {
    let mut served = Served::new();
    let client = served.world.client.connect((ADDRESS, PORT));
    let now = smoltcp::time::Instant::from_micros((served.world.now.as_nanos() / 1000) as i64);
    while served.world.client_state(client) != State::Established {
        served.world.turn();
        served.world.client.poll(now);
    }
    // The last word of the handshake has not left; the first line goes with it.
    served
        .world
        .client
        .tcp(client)
        .send_slice(b"early\n")
        .unwrap();
    served.world.settle();
    assert_eq!(served.world.client_reads(client), b"hello\nearly\n");
}

#[test]
fn a_body_larger_than_the_ring_is_pulled_as_the_peer_reads() {
    let mut served = Served::new();
    let client = served.connect();
    served.send(client, b"x300000\nafter\n");
    let mut received = Vec::new();
    for _ in 0..2000 {
        received.extend(served.world.client_reads(client));
        served.world.pass(Duration::from_millis(1));
    }
    assert_eq!(received.len(), 300_006);
    assert!(received.ends_with(b"xafter\n"));
    assert!(served.seen.borrow().writable > 3);
    assert_eq!(served.seen.borrow().inputs.len(), 2);
}

#[test]
fn a_peer_that_does_not_read_is_not_heard() {
    let mut served = Served::new();
    let client = served.connect();
    served.send(client, b"x1000000\n");
    let shown = served.seen.borrow().inputs.len();
    for _ in 0..20 {
        served
            .world
            .client
            .tcp(client)
            .send_slice(&[b'\n'; 1024])
            .ok();
        served.world.pass(Duration::from_millis(10));
    }
    assert_eq!(served.seen.borrow().inputs.len(), shown);
}

#[test]
fn a_full_ring_that_nobody_wants_ends_the_connection() {
    let mut served = Served::new();
    let client = served.connect();
    for _ in 0..4 {
        served
            .world
            .client
            .tcp(client)
            .send_slice(&[b'a'; 4096])
            .ok();
        served.world.settle();
    }
    served.check_gone(&[Closed::Overrun]);
    assert_eq!(served.world.client_state(client), State::Closed);
}

#[test]
fn closing_delivers_what_was_written() {
    let mut served = Served::new();
    let client = served.connect();
    assert_eq!(served.ask(client, b"last\nclose\nrest"), b"last\n");
    served.check_gone(&[Closed::Finished]);
    assert_eq!(
        served.world.client_state(client),
        State::CloseWait,
        "what was shown counts as read"
    );
    served.world.client.tcp(client).close();
    served.world.settle();
    assert_eq!(served.world.stack.stats().open, 0);
}

#[test]
fn the_end_of_the_peer_is_told_once_and_can_be_answered() {
    let mut served = Served::new();
    let client = served.connect();
    served
        .world
        .client
        .tcp(client)
        .send_slice(b"a\nrest")
        .unwrap();
    served.world.client.tcp(client).close();
    served.world.settle();
    assert_eq!(served.world.client_reads(client), b"a\nbye\n");
    served.check_gone(&[Closed::Finished]);
    assert_eq!(served.seen.borrow().ended, 1);
    assert_eq!(served.world.stack.stats().open, 0);
}

#[test]
fn aborting_resets_the_peer() {
    let mut served = Served::new();
    let client = served.connect();
    served.send(client, b"abort\n");
    served.check_gone(&[Closed::Aborted]);
    assert_eq!(served.world.client_state(client), State::Closed);
    assert_eq!(served.world.stack.stats().open, 0);
}

#[test]
fn after_shutdown_the_peer_is_still_heard() {
    let mut served = Served::new();
    let client = served.connect();
    assert_eq!(served.ask(client, b"a\nshut\n"), b"a\n");
    assert_eq!(served.world.client_state(client), State::CloseWait);
    served.send(client, b"more");
    assert_eq!(served.seen.borrow().inputs.last().unwrap(), b"more");
    served.world.client.tcp(client).close();
    served.world.settle();
    served.check_gone(&[Closed::Finished]);
    assert_eq!(served.world.stack.stats().open, 0);
}

#[test]
fn a_reset_is_told() {
    let mut served = Served::new();
    let (idle, busy) = (served.connect(), served.connect());
    served.send(busy, b"x1000000\n");
    for client in [idle, busy] {
        served.world.client.tcp(client).abort();
        served.world.settle();
    }
    served.check_gone(&[Closed::Reset, Closed::Reset]);
    assert_eq!(served.world.stack.stats().open, 0);
}

#[test]
fn silence_passes_the_deadline_and_talk_moves_it() {
    let mut served = Served::new();
    let client = served.connect();
    for _ in 0..3 {
        served.world.pass(Duration::from_secs(4));
        assert_eq!(served.ask(client, b"a\n"), b"a\n");
    }
    served.world.pass(Duration::from_secs(4));
    served.check_open(1);
    served.world.pass(Duration::from_secs(2));
    assert_eq!(served.world.client_reads(client), b"late\n");
    served.check_gone(&[Closed::Finished]);
    assert_eq!(served.seen.borrow().timed_out, 1);
}

#[test]
fn a_deadline_can_be_taken_back() {
    let mut served = Served::new();
    let client = served.connect();
    served.send(client, b"forever\n");
    served.world.pass(Duration::from_secs(60));
    served.check_open(1);
    assert_eq!(served.ask(client, b"a\n"), b"a\n");
}

#[test]
fn a_peer_that_vanishes_is_given_up() {
    let mut served = Served::new();
    let client = served.connect();
    served.send(client, b"forever\n");
    served.world.flight.weather.lose = 1000;
    served.world.pass(Duration::from_secs(400));
    served.check_gone(&[Closed::TimedOut]);
    assert_eq!(served.world.stack.stats().open, 0);
}

#[test]
fn a_connection_that_is_not_wanted_is_reset() {
    let mut served = Served::new();
    let client = served.world.client.connect_from(6666, (ADDRESS, PORT));
    served.world.settle();
    assert_eq!(served.world.client_state(client), State::Closed);
    served.check_gone(&[]);
    assert_eq!(served.world.stack.stats().open, 0);
}

#[test]
fn withdrawing_resets_all_and_frees_the_port() {
    let mut served = Served::new();
    let clients = [served.connect(), served.connect()];
    let now = served.world.now;
    served.world.stack.withdraw(now, PORT);
    served.world.settle();
    served.check_gone(&[Closed::Aborted, Closed::Aborted]);
    for client in clients {
        assert_eq!(served.world.client_state(client), State::Closed);
    }
    assert_eq!(Rc::strong_count(&served.seen), 1, "the service is dropped");
    let mut again = Served::within(served.world);
    again.connect();
}

#[test]
fn a_service_that_ends_delivers_what_it_owes_first() {
    let mut served = Served::new();
    let (idle, owed) = (served.connect(), served.connect());
    // More than the rings of both sides hold.
    served.send(owed, b"forever\nx400000\n");
    let now = served.world.now;
    served.world.stack.retire(now, PORT);
    served.world.settle();
    assert_eq!(served.world.client_state(idle), State::CloseWait);
    assert!(served.world.stack.is_in_use(PORT));
    let refused = served.world.client.connect_from(5555, (ADDRESS, PORT));
    let mut received = 0;
    for _ in 0..10_000 {
        received += served.world.client_reads(owed).len();
        if served.world.client_state(owed) == State::CloseWait {
            break;
        }
        served.world.now = served.world.next_event().max(served.world.now);
        served.world.settle();
    }
    received += served.world.client_reads(owed).len();
    assert_eq!(received, 400_000);
    assert_eq!(served.world.client_state(refused), State::Closed);
    for client in [idle, owed] {
        served.world.client.tcp(client).close();
    }
    served.world.settle();
    served.check_gone(&[Closed::Finished, Closed::Finished]);
    assert!(!served.world.stack.is_in_use(PORT));
}

#[test]
fn connections_come_and_go_without_a_trace() {
    let mut config = config();
    config.limits.time_wait = 16;
    let mut served = Served::within(World::with(config, false));
    for round in 0..500 {
        let client = served.connect();
        assert_eq!(served.ask(client, b"a\n"), b"a\n");
        match round % 3 {
            0 => served.send(client, b"close\n"),
            1 => served.world.client.tcp(client).abort(),
            _ => {}
        }
        served.world.client.tcp(client).close();
        served.world.settle();
        served.world.client.sockets.remove(client);
        served.check_open(0);
        assert_eq!(served.world.stack.stats().open, 0, "round {round}");
    }
}

/// Byte-exact over wires that lose, repeat, delay and corrupt, whatever the seed.
#[test]
fn streams_are_exact_in_bad_weather() {
    for seed in 1..=40 {
        let mut served = Served::new();
        let client = served.connect();
        served.send(client, b"forever\n");
        served.world.flight.rng = crate::wire::Rng::new(seed);
        served.world.flight.weather = Weather {
            lose: 30,
            repeat: 20,
            corrupt: 10,
            delay: Duration::from_millis(3),
            ..Weather::default()
        };
        let sent: Vec<u8> = (0..20_000u32)
            .map(|i| {
                if i % 61 == 60 {
                    b'\n'
                } else {
                    b'a' + (i % 20) as u8
                }
            })
            .chain(*b"\n")
            .collect();
        let (mut at, mut received) = (0, Vec::new());
        for _ in 0..200_000 {
            let socket = served.world.client.tcp(client);
            at += socket.send_slice(&sent[at..]).unwrap_or(0);
            received.extend(served.world.client_reads(client));
            if received.len() >= sent.len() || served.seen.borrow().open == 0 {
                break;
            }
            let next = served.world.next_event();
            served.world.settle();
            served.world.now = next.max(served.world.now);
        }
        assert_eq!(received, sent, "seed {seed}");
    }
}

impl Served {
    fn check_open(&self, open: usize) {
        assert_eq!(self.seen.borrow().open, open);
    }
}
