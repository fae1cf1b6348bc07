//! The disk on a fake device: data, limits, errors, small queues, lies.

extern crate std;

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use core::task::Waker;

use toro_dev::block::{
    BlockDevice, BlockError, BlockInfo, Completion, Op, Refused, Request, Token,
};
use toro_fake::{CountingWaker, FakeBlk, FakeDevice, Lies, Random};
use toro_mem::DmaBuf;
use toro_virtio::feature::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use toro_virtio::transport::status;
use toro_virtio::{DeviceError, DeviceType, NegotiateError};

use crate::{Config, ProbeError, VirtioBlk};

const SECTORS: usize = 256;

fn disk(features: u64, queue: u16) -> (FakeBlk, VirtioBlk) {
    let fake = FakeBlk::new(features, SECTORS, 256);
    let driver = probe(&fake, queue).expect("the disk starts");
    (fake, driver)
}

fn probe(fake: &FakeBlk, queue: u16) -> Result<VirtioBlk, ProbeError> {
    VirtioBlk::probe(fake.device.transport(), Config { queue })
}

fn buf(len: usize, byte: u8) -> DmaBuf {
    let mut buf = DmaBuf::try_new(len).expect("memory");
    buf.fill(byte);
    buf
}

fn submit(driver: &mut VirtioBlk, sector: u64, op: Op) -> Token {
    let token = driver.submit(Request { sector, op }).expect("room");
    driver.kick();
    token
}

/// Has one request carried out.
fn run(fake: &FakeBlk, driver: &mut VirtioBlk, sector: u64, op: Op) -> Completion {
    let token = submit(driver, sector, op);
    assert!(driver.complete().is_none(), "the device has not worked yet");
    assert!(fake.serve());
    let completion = driver.complete().expect("it was carried out");
    assert_eq!(completion.token, token);
    completion
}

#[test]
fn disk_says_what_it_is() {
    let info = BlockInfo {
        sectors: 256,
        block_size: 512,
        max_transfer: 1 << 20,
        max_discard: 64,
        max_write_zeroes: 64,
        is_read_only: false,
        can_flush: true,
    };
    let (fake, driver) = disk(FakeBlk::FEATURES, 16);
    assert_eq!(driver.info(), info);
    assert_eq!(fake.device.accepted(), FakeBlk::FEATURES);
    let (_, driver) = disk(VERSION_1 | FakeBlk::READ_ONLY, 16);
    let plain = BlockInfo {
        max_discard: 0,
        max_write_zeroes: 0,
        is_read_only: true,
        can_flush: false,
        ..info
    };
    assert_eq!(driver.info(), plain);
}

#[test]
fn nonsense_about_itself_is_bounded() {
    let info = |offset, bytes: &[u8]| {
        let fake = FakeBlk::new(FakeBlk::FEATURES | 1 << 1, SECTORS, 256);
        fake.device.set_config(offset, bytes);
        probe(&fake, 16).expect("the disk starts").info()
    };
    let block = |size: u32| info(20, &size.to_le_bytes()).block_size;
    assert_eq!([0, 1, 513, 1 << 17, u32::MAX].map(block), [512; 5]);
    assert_eq!([512, 4096, 1 << 16].map(block), [512, 4096, 1 << 16]);
    assert_eq!(info(0, &[0xff; 8]).sectors, 1 << 55);
    let transfer = |most: u32| info(8, &most.to_le_bytes()).max_transfer;
    assert_eq!(
        [0, 1, 511, 513, 65_535, u32::MAX].map(transfer),
        [1 << 20, 512, 512, 512, 65_024, 1 << 20]
    );
}

#[test]
fn unsuitable_devices_are_refused() {
    let refused = |fake: &FakeBlk, error| {
        assert_eq!(probe(fake, 16).expect_err("unsuitable"), error);
    };
    let legacy = FakeBlk::new(0, SECTORS, 256);
    refused(
        &legacy,
        ProbeError::Negotiate(NegotiateError::Missing(VERSION_1)),
    );
    assert_ne!(legacy.device.status() & status::FAILED, 0);
    refused(
        &FakeBlk::new(VERSION_1, SECTORS, 2),
        ProbeError::ShortQueue(2),
    );
    for lies in [
        Lies {
            no_config: true,
            ..Lies::default()
        },
        Lies {
            restless_config: true,
            ..Lies::default()
        },
    ] {
        let fake = FakeBlk::new(FakeBlk::FEATURES, SECTORS, 256);
        fake.device.lie(lies);
        refused(&fake, ProbeError::Config);
    }
    let card = FakeDevice::new(DeviceType::NET, VERSION_1, 1, 8);
    let error = VirtioBlk::probe(card.transport(), Config::default()).expect_err("a card");
    assert_eq!(
        error,
        ProbeError::OtherDevice {
            found: DeviceType::NET,
            wanted: DeviceType::BLOCK
        }
    );
}

#[test]
fn what_is_written_is_read() {
    for features in [
        FakeBlk::FEATURES,
        FakeBlk::FEATURES & !INDIRECT_DESC,
        FakeBlk::FEATURES & !EVENT_IDX,
        VERSION_1,
    ] {
        for queue in [4, 256] {
            let (fake, mut driver) = disk(features, queue);
            for round in 0..300u16 {
                let [byte, _] = round.to_le_bytes();
                let (sector, len) = (u64::from(round) % 200, 512 * (1 + usize::from(round) % 56));
                let done = run(&fake, &mut driver, sector, Op::Write(buf(len, byte)));
                assert_eq!(done.result, Ok(()));
                let done = run(&fake, &mut driver, sector, Op::Read(buf(len, !byte)));
                assert_eq!(done.result, Ok(()));
                let read = done.buf.expect("the buffer comes back");
                assert_eq!(*read, vec![byte; len]);
            }
        }
    }
}

#[test]
fn flush_discard_and_zeroes_reach_the_disk() {
    let (fake, mut driver) = disk(FakeBlk::FEATURES, 16);
    run(&fake, &mut driver, 0, Op::Write(buf(8 * 512, 7)));
    for (sector, op) in [
        (0, Op::Flush),
        (1, Op::Discard { sectors: 2 }),
        (5, Op::WriteZeroes { sectors: 1 }),
    ] {
        let done = run(&fake, &mut driver, sector, op);
        assert_eq!(done.result, Ok(()));
        assert!(done.buf.is_none());
    }
    assert_eq!(fake.flushes(), 1);
    let sectors: Vec<u8> = fake.bytes().iter().step_by(512).copied().collect();
    assert_eq!(sectors[..9], [7, 0, 0, 7, 7, 0, 7, 7, 0]);
}

#[test]
fn the_status_byte_decides() {
    let (fake, mut driver) = disk(FakeBlk::FEATURES, 16);
    for (status, expected) in [
        (0, Ok(())),
        (1, Err(BlockError::Io)),
        (2, Err(BlockError::Unsupported)),
        (3, Err(BlockError::Io)),
        (255, Err(BlockError::Io)),
    ] {
        submit(&mut driver, 0, Op::Read(buf(512, 1)));
        let request = fake.device.take(0).expect("a request");
        fake.refuse(&request, status);
        let done = driver.complete().expect("done");
        assert_eq!(done.result, expected);
        assert!(done.buf.is_some(), "the buffer comes back in any case");
    }
}

#[test]
fn a_status_that_was_not_written_is_an_error() {
    let (fake, mut driver) = disk(FakeBlk::FEATURES, 16);
    for _ in 0..3 {
        submit(&mut driver, 0, Op::Flush);
        let request = fake.device.take(0).expect("a request");
        fake.device.complete(0, &request, &[]);
        let done = driver.complete().expect("done");
        assert_eq!(done.result, Err(BlockError::Io));
    }
}

#[test]
fn a_full_queue_hands_the_request_back_as_it_was() {
    for (features, queue, room) in [
        (FakeBlk::FEATURES, 4, 4),
        (FakeBlk::FEATURES & !INDIRECT_DESC, 4, 1),
        (FakeBlk::FEATURES & !INDIRECT_DESC, 16, 5),
    ] {
        let (fake, mut driver) = disk(features, queue);
        for sector in 0..room {
            submit(&mut driver, sector, Op::Write(buf(512, 1)));
        }
        let Err(Refused::Full(request)) = driver.submit(Request {
            sector: 9,
            op: Op::Write(buf(1024, 42)),
        }) else {
            panic!("the queue of {queue} is full")
        };
        assert_eq!(request.sector, 9);
        let Op::Write(data) = request.op else {
            panic!("it was a write")
        };
        assert_eq!(*data, [42; 1024]);
        assert!(fake.serve());
        assert!(driver.complete().is_some());
        submit(&mut driver, 9, Op::Write(data));
        while fake.serve() {
            assert!(driver.complete().is_some());
        }
        assert_eq!(fake.bytes()[9 * 512..][..1024], [42; 1024]);
    }
}

#[test]
fn requests_complete_in_any_order() {
    let (fake, mut driver) = disk(FakeBlk::FEATURES, 64);
    let mut random = Random::new(1);
    let mut tokens = BTreeMap::new();
    for sector in 0..64u8 {
        let op = Op::Write(buf(512, sector));
        let token = submit(&mut driver, u64::from(sector), op);
        assert!(tokens.insert(token.0, sector).is_none());
    }
    let mut requests: Vec<_> = core::iter::from_fn(|| fake.device.take(0)).collect();
    while !requests.is_empty() {
        let request = requests.swap_remove(random.index(requests.len()));
        fake.carry_out(&request);
        let done = driver.complete().expect("done");
        let sector = tokens.remove(&done.token.0).expect("in flight");
        assert_eq!(*done.buf.expect("its buffer"), [sector; 512]);
    }
    assert!(tokens.is_empty());
}

#[test]
fn a_batch_is_one_notification_and_sleep_ends_with_a_completion() {
    let (fake, mut driver) = disk(FakeBlk::FEATURES, 64);
    let (counter, waker) = CountingWaker::new();
    let before = fake.device.notifications();
    for sector in 0..8 {
        let op = Op::Write(buf(512, 0));
        driver.submit(Request { sector, op }).expect("room");
    }
    assert_eq!(fake.device.waiting(0), 0, "nothing moves before the kick");
    driver.kick();
    assert_eq!(fake.device.notifications(), before + 1);
    assert!(driver.arm(&waker));
    assert!(fake.serve());
    assert_eq!(counter.count(), 1);
    assert!(!driver.arm(&waker), "there is a completion");
    assert!(driver.complete().is_some());
    assert!(fake.serve(), "not armed");
    assert_eq!(counter.count(), 1);
}

#[test]
fn a_resized_disk_is_noticed() {
    let (fake, mut driver) = disk(FakeBlk::FEATURES, 16);
    fake.device.set_config(0, &512u64.to_le_bytes());
    fake.device.announce_config();
    driver.arm(Waker::noop());
    assert_eq!(driver.info().sectors, 512);
    fake.device.raise_status(status::NEEDS_RESET);
    fake.device.announce_config();
    driver.arm(Waker::noop());
    assert_eq!(driver.error(), Some(DeviceError::Reset));
}

#[test]
fn a_liar_fails_everything_that_is_in_flight_and_later() {
    let lies: [fn(&FakeBlk, u16); 4] = [
        |fake, _| fake.device.put_used(0, 77, 1),
        |fake, head| fake.device.put_used(0, u32::from(head) | 1 << 16, 1),
        |fake, head| fake.device.put_used(0, u32::from(head), 514),
        |fake, _| fake.device.set_used_index(0, 1000),
    ];
    for lie in lies {
        let (fake, mut driver) = disk(FakeBlk::FEATURES, 16);
        let mut tokens = Vec::new();
        for sector in 0..5 {
            tokens.push(submit(&mut driver, sector, Op::Read(buf(512, 0))).0);
        }
        let request = fake.device.take(0).expect("a request");
        lie(&fake, request.head);
        let mut failed = Vec::new();
        while let Some(done) = driver.complete() {
            assert_eq!(done.result, Err(BlockError::Failed));
            assert!(done.buf.is_none(), "the device may still write to it");
            failed.push(done.token.0);
        }
        tokens.sort_unstable();
        assert_eq!(failed, tokens);
        assert!(driver.error().is_some());
        assert_ne!(fake.device.status() & status::FAILED, 0);
        assert!(driver.arm(Waker::noop()), "there is nothing to wait for");
        let later = driver.submit(Request {
            sector: 0,
            op: Op::Flush,
        });
        assert!(matches!(later, Err(Refused::Never(_, BlockError::Failed))));
    }
}

#[test]
fn nothing_that_a_device_does_breaks_the_driver() {
    let mut random = Random::new(2);
    let mut life: Option<(FakeBlk, VirtioBlk)> = None;
    let mut taken = Vec::new();
    let mut in_flight = 0;
    for _ in 0..toro_fake::steps(200_000) {
        let (fake, driver) = life.get_or_insert_with(|| {
            taken.clear();
            in_flight = 0;
            let features = FakeBlk::FEATURES & !(u64::from(random.below(2)) * INDIRECT_DESC);
            disk(features, [4, 16, 256][random.index(3)])
        });
        match random.below(12) {
            0..=3 => {
                let len = 512 * (1 + random.index(8));
                let op = match random.below(6) {
                    0 | 1 => Op::Read(buf(len, 0)),
                    2 | 3 => Op::Write(buf(len, 1)),
                    4 => Op::Flush,
                    _ => Op::Discard {
                        sectors: random.below(80),
                    },
                };
                let sector = u64::from(random.below(260));
                match driver.submit(Request { sector, op }) {
                    Ok(_) => in_flight += 1,
                    Err(Refused::Full(_)) => assert!(in_flight > 0),
                    Err(Refused::Never(..)) => {}
                }
                driver.kick();
            }
            4 | 5 => {
                in_flight -= u32::from(driver.complete().is_some());
            }
            6 => {
                driver.arm(Waker::noop());
            }
            7 => taken.extend(fake.device.take(0)),
            8 | 9 if !taken.is_empty() => {
                let request = taken.swap_remove(random.index(taken.len()));
                match random.below(8) {
                    0 => fake.refuse(&request, random.next_u8()),
                    1 => fake.device.complete(0, &request, &[]),
                    _ => fake.carry_out(&request),
                }
            }
            10 if random.below(16) == 0 => match random.below(4) {
                0 => fake.device.set_used_index(0, random.next_u16()),
                1 => fake
                    .device
                    .set_config(random.index(60), &[random.next_u8()]),
                2 => fake.device.announce_config(),
                _ => fake.device.put_used(
                    0,
                    random.next_u32() >> random.below(32),
                    random.below(1024),
                ),
            },
            11 if random.below(64) == 0 => life = None,
            _ => {}
        }
    }
}
