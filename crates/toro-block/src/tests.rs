//! The engine over the virtio driver on a fake disk: order, waiting, time, lies.

extern crate std;

use std::boxed::Box;
use std::vec::Vec;

use core::task::{Poll, Waker};
use core::time::Duration;

use toro_dev::Tally;
use toro_dev::block::{BlockError, Op, Refused, Request};
use toro_fake::{CountingWaker, FakeBlk, Random};
use toro_mem::DmaBuf;
use toro_time::Instant;
use toro_virtio_blk::{Config, VirtioBlk};

use crate::engine::{Engine, Stats, TIMEOUT, Ticket};

const SECTORS: usize = 128;
const START: Instant = Instant::ZERO;

fn engine(queue: u16) -> (FakeBlk, Engine) {
    let fake = FakeBlk::new(FakeBlk::FEATURES, SECTORS, 256);
    let driver =
        VirtioBlk::probe(fake.device.transport(), Config { queue }).expect("the disk starts");
    (fake, Engine::new(Box::new(driver)))
}

fn buf(byte: u8) -> DmaBuf {
    let mut buf = DmaBuf::try_new(512).expect("memory");
    buf.fill(byte);
    buf
}

fn submit(engine: &mut Engine, sector: u64, op: Op, now: Instant) -> Ticket {
    engine.submit(Request { sector, op }, now).expect("room")
}

/// A turn; says how many were woken, and wakes them.
fn turn(engine: &mut Engine, now: Instant) -> usize {
    let mut woken = Vec::new();
    engine.turn(now, Waker::noop(), &mut woken);
    woken.iter().for_each(Waker::wake_by_ref);
    woken.len()
}

fn result(engine: &mut Engine, ticket: Ticket) -> Option<Result<(), BlockError>> {
    match engine.poll(ticket, Waker::noop()) {
        Poll::Ready((_, result)) => Some(result),
        Poll::Pending => None,
    }
}

#[test]
fn an_outcome_wakes_who_waits_for_it() {
    let (fake, mut engine) = engine(16);
    let (counter, waker) = CountingWaker::new();
    let ticket = submit(&mut engine, 3, Op::Write(buf(7)), START);
    assert!(engine.poll(ticket, &waker).is_pending());
    assert_eq!(fake.device.waiting(0), 0, "it moves at the turn");
    assert!(engine.is_unkicked());
    turn(&mut engine, START);
    assert!(fake.serve());
    assert_eq!(counter.count(), 0);
    assert_eq!(turn(&mut engine, START), 1);
    assert_eq!(counter.count(), 1);
    let Poll::Ready((data, result)) = engine.poll(ticket, &waker) else {
        panic!("it is done")
    };
    assert_eq!(result, Ok(()));
    assert_eq!(*data.expect("the buffer comes back"), [7; 512]);
    assert_eq!(fake.bytes()[3 * 512], 7);
    assert_eq!(engine.next_check(), None);
}

#[test]
fn what_came_of_requests_is_counted_by_kind() {
    let (fake, mut engine) = engine(16);
    submit(&mut engine, 3, Op::Write(buf(7)), START);
    submit(&mut engine, 3, Op::Read(buf(0)), START);
    submit(&mut engine, 4, Op::Read(buf(0)), START);
    turn(&mut engine, START);
    assert_eq!(engine.stats(), Stats::default(), "nothing has ended");
    assert!((0..3).all(|_| fake.serve()));
    let took = Duration::from_micros(5);
    turn(&mut engine, START + took);
    // Nobody answers this one.
    submit(&mut engine, 0, Op::Flush, START);
    turn(&mut engine, START + TIMEOUT);
    let tally = |done: u64, failed, nanos| Tally {
        done,
        failed,
        bytes: 512 * done,
        nanos,
    };
    let lost = u64::try_from(TIMEOUT.as_nanos()).expect("30 s");
    let expected = Stats {
        read: tally(2, 0, 10_000),
        write: tally(1, 0, 5_000),
        flush: tally(0, 1, lost),
        other: Tally::default(),
    };
    assert_eq!(engine.stats(), expected);
}

#[test]
fn one_turn_kicks_all_that_was_accepted() {
    let (fake, mut engine) = engine(64);
    let before = fake.device.notifications();
    for sector in 0..32 {
        submit(&mut engine, sector, Op::Read(buf(0)), START);
    }
    turn(&mut engine, START);
    assert_eq!(fake.device.notifications(), before + 1);
    assert_eq!(fake.device.waiting(0), 32);
}

#[test]
fn whoever_found_no_room_is_woken_when_there_is_some() {
    let (fake, mut engine) = engine(4);
    let (counter, waker) = CountingWaker::new();
    for sector in 0..4 {
        submit(&mut engine, sector, Op::Read(buf(0)), START);
    }
    let request = Request {
        sector: 9,
        op: Op::Flush,
    };
    assert!(matches!(
        engine.submit(request, START),
        Err(Refused::Full(_))
    ));
    engine.await_room(&waker);
    engine.await_room(&waker);
    turn(&mut engine, START);
    assert_eq!(counter.count(), 0);
    assert!(fake.serve());
    turn(&mut engine, START);
    assert_eq!(counter.count(), 1);
    submit(&mut engine, 9, Op::Flush, START);
}

#[test]
fn an_overdue_request_ends_and_its_late_answer_harms_nobody() {
    let (fake, mut engine) = engine(4);
    let late = submit(&mut engine, 0, Op::Read(buf(1)), START);
    turn(&mut engine, START);
    let half = START + TIMEOUT / 2;
    let other = submit(&mut engine, 1, Op::Read(buf(2)), half);
    turn(&mut engine, half);
    assert_eq!(engine.next_check(), Some(START + TIMEOUT));
    let overdue = START + TIMEOUT;
    turn(&mut engine, overdue);
    let Poll::Ready((data, outcome)) = engine.poll(late, Waker::noop()) else {
        panic!("it is overdue")
    };
    assert_eq!(outcome, Err(BlockError::TimedOut));
    assert!(data.is_none(), "the device may still write to it");
    assert_eq!(result(&mut engine, other), None);
    assert_eq!(engine.next_check(), Some(half + TIMEOUT));
    // A ticket and a token that are used again meet the late answer.
    let next = submit(&mut engine, 2, Op::Read(buf(3)), overdue);
    turn(&mut engine, overdue);
    assert!(fake.serve() && fake.serve() && fake.serve());
    turn(&mut engine, overdue);
    assert_eq!(result(&mut engine, other), Some(Ok(())));
    assert_eq!(result(&mut engine, next), Some(Ok(())));
}

#[test]
fn a_forgotten_request_is_carried_out_and_frees_its_room() {
    let (fake, mut engine) = engine(4);
    for round in 0..50 {
        let ticket = submit(&mut engine, 5, Op::Write(buf(round)), START);
        engine.forget(ticket);
        assert_eq!(engine.next_check(), None);
        turn(&mut engine, START);
        assert!(fake.serve());
        turn(&mut engine, START);
        assert_eq!(fake.bytes()[5 * 512], round);
    }
}

#[test]
fn a_disk_that_is_given_up_fails_whoever_waits() {
    let (fake, mut engine) = engine(16);
    let tickets: Vec<Ticket> = (0..5)
        .map(|sector| submit(&mut engine, sector, Op::Read(buf(0)), START))
        .collect();
    turn(&mut engine, START);
    fake.device.put_used(0, 99, 0);
    turn(&mut engine, START);
    for ticket in tickets {
        assert_eq!(result(&mut engine, ticket), Some(Err(BlockError::Failed)));
    }
    assert_eq!(engine.next_check(), None);
}

#[test]
fn random_work_matches_a_model_of_the_disk() {
    let mut random = Random::new(3);
    for queue in [4, 64] {
        let (fake, mut engine) = engine(queue);
        let mut model = std::vec![0u8; SECTORS];
        let mut busy = std::vec![false; SECTORS];
        let mut waiting: Vec<(Ticket, u64, Option<u8>)> = Vec::new();
        let mut taken = Vec::new();
        let mut now = START;
        for _ in 0..toro_fake::steps(200_000) {
            now += Duration::from_micros(10);
            match random.below(5) {
                0 | 1 => {
                    let sector = random.index(SECTORS);
                    if busy[sector] {
                        continue;
                    }
                    let byte = random.next_u8();
                    let writes = random.below(2) == 0;
                    let op = if writes {
                        Op::Write(buf(byte))
                    } else {
                        Op::Read(buf(byte))
                    };
                    let sector_number = sector as u64;
                    let request = Request {
                        sector: sector_number,
                        op,
                    };
                    if let Ok(ticket) = engine.submit(request, now) {
                        busy[sector] = true;
                        let expected = (!writes).then_some(model[sector]);
                        if writes {
                            model[sector] = byte;
                        }
                        waiting.push((ticket, sector_number, expected));
                    }
                }
                2 => {
                    turn(&mut engine, now);
                }
                3 => taken.extend(fake.device.take(0)),
                _ if !taken.is_empty() => {
                    fake.carry_out(&taken.swap_remove(random.index(taken.len())));
                }
                _ => {}
            }
            if !waiting.is_empty() {
                let index = random.index(waiting.len());
                let (ticket, sector, expected) = waiting[index];
                if let Poll::Ready((data, result)) = engine.poll(ticket, Waker::noop()) {
                    assert_eq!(result, Ok(()));
                    let data = data.expect("the buffer comes back");
                    if let Some(byte) = expected {
                        assert_eq!(*data, [byte; 512]);
                    }
                    busy[usize::try_from(sector).expect("small")] = false;
                    waiting.swap_remove(index);
                }
            }
        }
    }
}
