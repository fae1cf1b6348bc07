//! The balloon on a fake device: reports, waiting, lies.

extern crate std;

use core::task::{Poll, Waker};
use std::vec::Vec;

use toro_fake::{CountingWaker, FakeDevice, Random};
use toro_mem::DmaBuf;
use toro_virtio::feature::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use toro_virtio::transport::status;
use toro_virtio::{DeviceError, DeviceType, SetQueueError};

use crate::probe::NO_REPORTS;
use crate::probe::feature::{HINTS, REPORTING, STATS};
use crate::{ProbeError, VirtioBalloon};

const FEATURES: u64 = VERSION_1 | EVENT_IDX | INDIRECT_DESC | REPORTING;
const QUEUES: usize = 5;

fn fake(features: u64) -> FakeDevice {
    FakeDevice::new(DeviceType::BALLOON, features, QUEUES, 64)
}

fn balloon() -> (FakeDevice, VirtioBalloon) {
    let fake = fake(FEATURES);
    let balloon = VirtioBalloon::probe(fake.transport()).expect("it takes reports");
    (fake, balloon)
}

fn blocks(count: usize) -> Vec<DmaBuf> {
    let block = |_| DmaBuf::try_new(1 << 14).expect("memory");
    (0..count).map(block).collect()
}

#[test]
fn reports_go_to_the_queue_behind_those_that_are_offered() {
    for (extra, queue) in [(0, 2), (STATS, 3), (HINTS, 3), (STATS | HINTS, 4)] {
        let fake = fake(FEATURES | extra);
        let mut balloon = VirtioBalloon::probe(fake.transport()).expect("it takes reports");
        assert_eq!(fake.accepted(), FEATURES, "nothing that is not used");
        balloon.report(blocks(3));
        let report = fake.take(queue).expect("a report");
        assert_eq!(report.capacity(), 3 << 14);
    }
}

#[test]
fn a_report_is_done_when_the_device_has_seen_it() {
    let (fake, mut balloon) = balloon();
    let (woken, waker) = CountingWaker::new();
    for round in 1..20 {
        balloon.report(blocks(1 + round % VirtioBalloon::MOST));
        assert_eq!(balloon.poll_done(&waker), Poll::Pending);
        let report = fake.take(2).expect("a report");
        fake.complete(2, &report, &[]);
        assert_eq!(woken.count(), u32::try_from(round).expect("small"));
        assert_eq!(balloon.poll_done(&waker), Poll::Ready(Ok(())));
        assert_eq!(
            balloon.poll_done(&waker),
            Poll::Ready(Ok(())),
            "nothing is out"
        );
    }
}

#[test]
fn a_balloon_without_reports_is_refused() {
    let refused = |fake: FakeDevice, expected| {
        let error = VirtioBalloon::probe(fake.transport()).expect_err("unsuitable");
        assert_eq!(error, expected);
    };
    let plain = fake(FEATURES & !REPORTING);
    refused(plain.clone(), NO_REPORTS);
    assert_ne!(plain.status() & status::FAILED, 0);
    let few = FakeDevice::new(DeviceType::BALLOON, FEATURES, 2, 64);
    refused(few, ProbeError::Queue(SetQueueError::NoSuchQueue(2)));
    let short = FakeDevice::new(DeviceType::BALLOON, FEATURES, 3, 8);
    refused(short, ProbeError::ShortQueue(8));
    let other = FakeDevice::new(DeviceType::NET, FEATURES, 3, 64);
    refused(
        other,
        ProbeError::OtherDevice {
            found: DeviceType::NET,
            wanted: DeviceType::BALLOON,
        },
    );
}

#[test]
fn a_liar_is_given_up_and_keeps_what_it_has() {
    let (fake, mut balloon) = balloon();
    balloon.report(blocks(2));
    fake.put_used(2, 40, 0);
    let error = Poll::Ready(Err(DeviceError::NotOutstanding(40)));
    for _ in 0..3 {
        assert_eq!(balloon.poll_done(Waker::noop()), error);
        balloon.report(blocks(1));
    }
    assert_ne!(fake.status() & status::FAILED, 0);
}

#[test]
fn nothing_that_a_device_does_breaks_the_driver() {
    let mut random = Random::new(5);
    let mut life = None;
    for _ in 0..toro_fake::steps(100_000) {
        let (fake, balloon) = life.get_or_insert_with(balloon);
        match random.below(8) {
            0 | 1 => balloon.report(blocks(1 + random.index(VirtioBalloon::MOST))),
            2 | 3 => {
                let _ = balloon.poll_done(Waker::noop());
            }
            4..=6 => {
                if let Some(report) = fake.take(2) {
                    fake.complete(2, &report, &[]);
                }
            }
            _ if random.below(8) == 0 => match random.below(4) {
                0 => fake.set_used_index(2, random.next_u16()),
                1 => fake.put_used(2, random.next_u32() >> random.below(32), random.below(9)),
                2 => fake.interrupt_without_work(),
                _ => life = None,
            },
            _ => {}
        }
    }
}
