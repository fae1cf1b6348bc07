//! The driver on a fake device: both queues, short ones, refusals, lies.

extern crate std;

use core::task::Waker;
use std::vec::Vec;

use toro_dev::fuse::{Completion, FuseDevice, FuseError, Message, Refused, Token};
use toro_fake::{CountingWaker, FakeDevice, Lies, Random};
use toro_mem::DmaBuf;
use toro_virtio::feature::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use toro_virtio::transport::status;
use toro_virtio::{DeviceError, DeviceType, NegotiateError};

use crate::probe::{NO_REQUESTS, NO_TAG};
use crate::{Config, ProbeError, VirtioFs};

const FEATURES: u64 = VERSION_1 | EVENT_IDX | INDIRECT_DESC;
const HIGH_PRIORITY: usize = 0;
const REQUESTS: usize = 1;

fn device(features: u64, tag: &[u8], max_size: u32) -> FakeDevice {
    let device = FakeDevice::new(DeviceType::FILE_SYSTEM, features, 2, max_size);
    device.set_config(0, tag);
    device.set_config(36, &1u32.to_le_bytes());
    device
}

fn probe(device: &FakeDevice) -> Result<VirtioFs, ProbeError> {
    VirtioFs::probe(device.transport(), Config::default())
}

fn share(features: u64, max_size: u32) -> (FakeDevice, VirtioFs) {
    let device = device(features, b"www", max_size);
    let driver = probe(&device).expect("the device starts");
    (device, driver)
}

/// A message of `len` bytes, with room for `room` bytes of answer.
fn message(byte: u8, len: usize, room: usize) -> Message {
    let mut sent = DmaBuf::try_new(len + 7).expect("memory");
    sent.fill(byte);
    let answer = (room > 0).then(|| (DmaBuf::try_new(room + 7).expect("memory"), room));
    Message { sent, len, answer }
}

fn send(driver: &mut VirtioFs, byte: u8, room: usize) -> Token {
    let token = driver.submit(message(byte, 40, room)).expect("room");
    driver.kick();
    token.expect("it has an answer")
}

#[test]
fn a_device_says_who_it_is() {
    let (fake, driver) = share(FEATURES, 128);
    assert_eq!(driver.info().tag, "www");
    assert_eq!(driver.info().depth, 128);
    assert_eq!(fake.accepted(), FEATURES);
    let (_, driver) = share(VERSION_1, 64);
    assert_eq!(driver.info().depth, 32);
    let longest = device(FEATURES, &[b'x'; 36], 128);
    assert_eq!(
        probe(&longest).expect("the device starts").info().tag.len(),
        36
    );
}

#[test]
fn unsuitable_devices_are_refused() {
    let refused = |device: &FakeDevice, error| {
        assert_eq!(probe(device).expect_err("unsuitable"), error);
        assert_ne!(device.status() & status::FAILED, 0);
    };
    let legacy = ProbeError::Negotiate(NegotiateError::Missing(VERSION_1));
    refused(&device(0, b"a", 128), legacy);
    for tag in [&b""[..], b"\0a", b"a\n", b"\xff"] {
        refused(&device(FEATURES, tag, 128), NO_TAG);
    }
    let idle = device(FEATURES, b"a", 128);
    idle.set_config(36, &[0; 4]);
    refused(&idle, NO_REQUESTS);
    refused(&device(FEATURES, b"a", 1), ProbeError::ShortQueue(1));
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
        let liar = device(FEATURES, b"a", 128);
        liar.lie(lies);
        refused(&liar, ProbeError::Config);
    }
    let disk = FakeDevice::new(DeviceType::BLOCK, FEATURES, 2, 128);
    let error = probe(&disk).expect_err("a disk");
    assert_eq!(
        error,
        ProbeError::OtherDevice {
            found: DeviceType::BLOCK,
            wanted: DeviceType::FILE_SYSTEM
        }
    );
}

#[test]
fn an_answer_comes_back_with_its_message() {
    let (fake, mut driver) = share(FEATURES, 128);
    let token = send(&mut driver, 5, 100);
    assert!(driver.complete().is_none(), "nothing was answered yet");
    let request = fake.take(REQUESTS).expect("it was sent");
    assert_eq!(request.readable, [5; 40]);
    assert_eq!(request.capacity(), 100);
    fake.complete(REQUESTS, &request, b"answer");
    let completion = driver.complete().expect("it was answered");
    assert_eq!(completion.token, Some(token));
    let (message, written) = completion.result.expect("it went well");
    assert_eq!((message.len, written), (40, 6));
    let (answer, room) = message.answer.expect("it has room for one");
    assert_eq!((&answer[..6], room), (&b"answer"[..], 100));
}

#[test]
fn a_message_without_answer_overtakes_and_gives_its_room_back() {
    let (fake, mut driver) = share(FEATURES, 4);
    for byte in 0..4 {
        send(&mut driver, byte, 16);
    }
    assert!(matches!(
        driver.submit(message(9, 40, 16)),
        Err(Refused::Full(Message { len: 40, .. }))
    ));
    for round in 0..20 {
        assert_eq!(driver.submit(message(round, 56, 0)).expect("room"), None);
        driver.kick();
        let request = fake.take(HIGH_PRIORITY).expect("it was sent");
        assert_eq!(request.readable, [round; 56]);
        fake.complete(HIGH_PRIORITY, &request, b"");
        let completion = driver.complete().expect("the device is done with it");
        assert!(completion.token.is_none() && completion.result.is_ok());
    }
    assert_eq!(fake.waiting(REQUESTS), 4);
}

#[test]
fn news_of_either_queue_wake() {
    for queue in [HIGH_PRIORITY, REQUESTS] {
        let (fake, mut driver) = share(FEATURES, 16);
        let (counter, waker) = CountingWaker::new();
        assert!(driver.arm(&waker));
        let room = [0, 16][queue];
        driver.submit(message(1, 40, room)).expect("room");
        driver.kick();
        let request = fake.take(queue).expect("it was sent");
        fake.complete(queue, &request, b"");
        assert_eq!(counter.count(), 1);
        assert!(!driver.arm(&waker), "it is there already");
        assert!(driver.complete().is_some());
        assert!(driver.arm(&waker));
    }
}

#[test]
fn a_device_that_breaks_a_rule_is_given_up() {
    type Break = fn(&FakeDevice);
    let breaks: [(Break, DeviceError); 4] = [
        (
            |fake| fake.put_used(REQUESTS, 9, 0),
            DeviceError::NotOutstanding(9),
        ),
        (
            |fake| fake.put_used(REQUESTS, 0, 17),
            DeviceError::WrittenTooMuch {
                claimed: 17,
                capacity: 16,
            },
        ),
        (
            |fake| fake.set_used_index(REQUESTS, 9),
            DeviceError::UsedTooMany {
                claimed: 9,
                outstanding: 2,
            },
        ),
        (
            |fake| {
                fake.raise_status(status::NEEDS_RESET);
                fake.announce_config();
            },
            DeviceError::Reset,
        ),
    ];
    for (break_it, error) in breaks {
        let (fake, mut driver) = share(FEATURES, 16);
        assert!(driver.arm(Waker::noop()));
        let tokens = [send(&mut driver, 1, 16), send(&mut driver, 2, 16)];
        break_it(&fake);
        let mut failed = Vec::new();
        driver.arm(Waker::noop());
        while let Some(Completion { token, result }) = driver.complete() {
            assert_eq!(result.expect_err("it was not answered"), FuseError::Failed);
            failed.extend(token);
        }
        assert_eq!(failed, tokens);
        assert_eq!(driver.error(), Some(error));
        assert_ne!(fake.status() & status::FAILED, 0);
        let refused = driver
            .submit(message(1, 40, 16))
            .expect_err("it was given up");
        assert!(matches!(refused, Refused::Never(_, FuseError::Failed)));
        assert!(driver.arm(Waker::noop()), "nothing more will come");
    }
}

#[test]
fn memory_comes_back_when_the_reset_is_acknowledged() {
    for ignores_reset in [false, true] {
        let (fake, mut driver) = share(FEATURES, 16);
        send(&mut driver, 1, 16);
        fake.lie(Lies {
            ignores_reset,
            ..Lies::default()
        });
        drop(driver);
        // A device that goes on may still write; that it meets its own memory is for the sanitizers to see.
        if let Some(request) = fake.take(REQUESTS) {
            assert!(ignores_reset);
            fake.complete(REQUESTS, &request, b"late");
        }
    }
}

#[test]
fn random_steps_of_a_lying_device_end_well() {
    let lives = toro_fake::steps(60_000) / 200;
    for seed in 0..lives as u64 {
        let mut random = Random::new(seed);
        let features = [FEATURES, VERSION_1, VERSION_1 | EVENT_IDX][random.index(3)];
        let (fake, mut driver) = share(features, 8);
        let mut waiting = 0usize;
        for _ in 0..200 {
            match random.below(8) {
                0..3 => {
                    let room = random.index(3) * 20;
                    if driver.submit(message(1, 40, room)).is_ok() && room > 0 {
                        waiting += 1;
                    }
                    driver.kick();
                }
                3 | 4 => {
                    let queue = random.index(2);
                    if let Some(request) = fake.take(queue) {
                        fake.complete(queue, &request, &[7; 30]);
                    }
                }
                5 if random.below(20) == 0 => {
                    fake.put_used(random.index(2), random.below(12), random.below(64));
                }
                6 if random.below(20) == 0 => {
                    fake.set_used_index(random.index(2), random.next_u16());
                }
                _ => {
                    driver.arm(Waker::noop());
                    while let Some(completion) = driver.complete() {
                        waiting -= usize::from(completion.token.is_some());
                    }
                }
            }
        }
        while let Some(completion) = driver.complete() {
            waiting -= usize::from(completion.token.is_some());
        }
        assert!(
            driver.error().is_none() || waiting == 0,
            "all that waits is told"
        );
    }
}
