//! The source on a fake device: bytes, waiting, lies.

extern crate std;

use core::task::{Poll, Waker};
use std::vec;

use toro_fake::{CountingWaker, FakeDevice, Lies, Random};
use toro_virtio::feature::{EVENT_IDX, VERSION_1};
use toro_virtio::transport::status;
use toro_virtio::{DeviceError, DeviceType, NegotiateError, SetQueueError};

use crate::{ProbeError, VirtioRng};

fn fake(features: u64) -> FakeDevice {
    FakeDevice::new(DeviceType::ENTROPY, features, 1, 8)
}

fn source(features: u64) -> (FakeDevice, VirtioRng) {
    let fake = fake(features);
    let driver = VirtioRng::probe(fake.transport()).expect("the source starts");
    (fake, driver)
}

fn poll(driver: &mut VirtioRng, bytes: &mut [u8]) -> Poll<Result<usize, DeviceError>> {
    driver.poll_fill(bytes, Waker::noop())
}

#[test]
fn bytes_come_when_the_device_has_them() {
    for features in [VERSION_1, VERSION_1 | EVENT_IDX] {
        let (fake, mut driver) = source(features);
        let (counter, waker) = CountingWaker::new();
        let mut bytes = [0; 32];
        for round in 1..=20 {
            assert_eq!(driver.poll_fill(&mut bytes, &waker), Poll::Pending);
            assert_eq!(driver.poll_fill(&mut bytes, &waker), Poll::Pending);
            let request = fake.take(0).expect("it was asked for");
            assert!(fake.take(0).is_none(), "once");
            assert!(request.readable.is_empty());
            fake.complete(0, &request, &[u8::try_from(round).expect("small"); 64]);
            assert_eq!(counter.count(), round);
            assert_eq!(driver.poll_fill(&mut bytes, &waker), Poll::Ready(Ok(32)));
            assert_eq!(bytes, [u8::try_from(round).expect("small"); 32]);
        }
    }
}

#[test]
fn short_answers_are_taken_as_they_are() {
    for len in [0, 1, 31, 32, 33, 64, 200] {
        let (fake, mut driver) = source(VERSION_1);
        let mut bytes = [0; 32];
        assert_eq!(poll(&mut driver, &mut bytes), Poll::Pending);
        let request = fake.take(0).expect("asked");
        fake.complete(0, &request, &vec![0xff; len]);
        let taken = len.min(32);
        assert_eq!(poll(&mut driver, &mut bytes), Poll::Ready(Ok(taken)));
        assert_eq!(bytes.iter().filter(|byte| **byte == 0xff).count(), taken);
    }
}

#[test]
fn unsuitable_devices_are_refused() {
    let probe = |fake: &FakeDevice| VirtioRng::probe(fake.transport()).expect_err("unsuitable");
    let disk = FakeDevice::new(DeviceType::BLOCK, VERSION_1, 1, 8);
    assert_eq!(
        probe(&disk),
        ProbeError::OtherDevice {
            found: DeviceType::BLOCK,
            wanted: DeviceType::ENTROPY
        }
    );
    let legacy = fake(0);
    let missing = ProbeError::Negotiate(NegotiateError::Missing(VERSION_1));
    assert_eq!(probe(&legacy), missing);
    assert_ne!(legacy.status() & status::FAILED, 0);
    let bare = FakeDevice::new(DeviceType::ENTROPY, VERSION_1, 0, 8);
    let no_queue = ProbeError::Queue(SetQueueError::NoSuchQueue(0));
    assert_eq!(probe(&bare), no_queue);
    let stuck = fake(VERSION_1);
    stuck.lie(Lies {
        ignores_reset: true,
        ..Lies::default()
    });
    stuck.raise_status(1);
    assert_eq!(
        probe(&stuck),
        ProbeError::Negotiate(NegotiateError::NoReset)
    );
}

#[test]
fn liar_is_given_up_and_stays_so() {
    let (fake, mut driver) = source(VERSION_1 | EVENT_IDX);
    let mut bytes = [0; 32];
    assert_eq!(poll(&mut driver, &mut bytes), Poll::Pending);
    let request = fake.take(0).expect("asked");
    fake.put_used(0, u32::from(request.head), 65);
    let error = DeviceError::WrittenTooMuch {
        claimed: 65,
        capacity: 64,
    };
    for _ in 0..3 {
        assert_eq!(poll(&mut driver, &mut bytes), Poll::Ready(Err(error)));
    }
    assert_eq!(bytes, [0; 32]);
    assert_ne!(fake.status() & status::FAILED, 0);
}

#[test]
fn nothing_that_a_device_does_breaks_the_driver() {
    let mut random = Random::new(4);
    let mut life = None;
    for _ in 0..toro_fake::steps(200_000) {
        let (fake, driver) = life.get_or_insert_with(|| source(VERSION_1 | EVENT_IDX));
        let mut bytes = [0; 40];
        match random.below(8) {
            0..=2 => {
                if let Poll::Ready(Ok(taken)) = poll(driver, &mut bytes) {
                    assert!(taken <= bytes.len());
                }
            }
            3 | 4 => {
                if let Some(request) = fake.take(0) {
                    let len = random.index(100);
                    fake.complete(0, &request, &vec![1; len]);
                }
            }
            5 => fake.interrupt_without_work(),
            6 if random.below(8) == 0 => {
                fake.put_used(0, random.next_u32() >> random.below(32), random.below(100));
            }
            7 if random.below(64) == 0 => life = None,
            _ => {}
        }
    }
}
