//! What a packet costs must not depend on how many connections there are: counted in visits, not in time.

use std::task::Poll;
use std::time::Duration;

use crate::world::{World, config};

/// Visits per request of one connection while `idle` others exist.
fn visits_per_request(idle: usize) -> u64 {
    const REQUESTS: u64 = 50;
    let mut config = config();
    config.buffers = toro_net::Buffers {
        receive: 2048,
        send: 2048,
    };
    let mut world = World::with(config, false);
    world.bind(80);
    // The client's end of an idle connection is dropped: its own cost would grow with them.
    for _ in 0..idle {
        let (client, _) = world.connected(80);
        world.client.sockets.remove(client);
    }
    let (client, server) = world.connected(80);
    let before = world.stack.stats().visits;
    for _ in 0..REQUESTS {
        world.client.tcp(client).send_slice(b"request").unwrap();
        world.settle();
        assert_eq!(world.read(server), Poll::Ready(Ok(b"request".to_vec())));
        assert!(world.write(server, b"answer").is_ready());
        world.settle();
        assert_eq!(world.client_reads(client), b"answer");
    }
    (world.stack.stats().visits - before) / REQUESTS
}

#[test]
fn a_packet_costs_the_same_among_ten_and_a_thousand_connections() {
    let few = visits_per_request(10);
    assert_eq!(few, visits_per_request(1000));
    assert!(
        few <= 4,
        "a request, its answer and two acknowledgements: {few}"
    );
}

#[test]
fn an_answer_carries_the_acknowledgement_of_its_request() {
    let mut world = World::new();
    world.bind(80);
    let (client, server) = world.connected(80);
    let before = world.stack.stats().frames_out;
    world.client.tcp(client).send_slice(b"request").unwrap();
    world.client.poll(smoltcp::time::Instant::from_millis(10));
    let request = world.client.port.sent.pop_front().unwrap();
    world.inject(request);
    // The order of a turn: receive, let the service run, advance.
    world.stack.receive(world.now, 64);
    assert!(world.read(server).is_ready());
    assert!(world.write(server, b"answer").is_ready());
    world.stack.advance(world.now);
    assert_eq!(world.stack.stats().frames_out - before, 1);
}

#[test]
fn nothing_is_due_on_an_idle_connection_before_its_keep_alive() {
    let mut world = World::new();
    world.bind(80);
    world.connected(80);
    world.pass(Duration::from_secs(1));
    let deadline = world.stack.next_deadline().unwrap();
    assert!(
        deadline > world.now + Duration::from_secs(60),
        "{deadline:?} at {:?}",
        world.now
    );
}

#[test]
fn an_idle_stack_with_a_fixed_address_has_no_deadline() {
    let mut world = World::new();
    world.settle();
    assert_eq!(world.stack.next_deadline(), None);
}
