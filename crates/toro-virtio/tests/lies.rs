//! The queue, and negotiation, on a fake device that lies: errors, never a panic.

use toro_fake::{FakeDevice, Lies, Random};
use toro_mem::DmaBuf;
use toro_virtio::feature::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use toro_virtio::transport::status;
use toro_virtio::{
    Buffer, Chain, DeviceError, DeviceType, NegotiateError, Queue, Transport, device,
};

const ALL: u64 = EVENT_IDX | INDIRECT_DESC;

fn set_up(size: u16) -> (FakeDevice, Box<dyn Transport>, Queue) {
    let fake = FakeDevice::new(DeviceType::NET, VERSION_1 | ALL, 1, u32::from(size));
    let mut transport = fake.transport();
    let features = device::negotiate(&mut *transport, ALL, 0).expect("features suit");
    let queue = Queue::new(&mut *transport, 0, size, features).expect("the queue is there");
    (fake, transport, queue)
}

fn buffer(len: usize) -> Buffer {
    Buffer::writable(DmaBuf::try_new(len).expect("memory"), 0..len)
}

/// Lets the device lie about one of two outstanding chains of 32 bytes, and expects `error` ever after.
fn check(lie: impl FnOnce(&FakeDevice), error: DeviceError) {
    let (fake, _transport, mut queue) = set_up(8);
    for _ in 0..2 {
        queue.add(buffer(32).into()).expect("room");
    }
    queue.notify_if_needed();
    let _taken = fake.take(0).expect("published");
    lie(&fake);
    let popped = (0..3).find_map(|_| queue.pop().err());
    assert_eq!(popped, Some(error));
    assert_eq!(queue.error(), Some(error));
    fake.put_used(0, 1, 0);
    assert_eq!(queue.pop().err(), Some(error), "it stays poisoned");
    assert!(queue.add(buffer(32).into()).is_err());
    assert!(queue.enable_interrupts(), "whoever waits finds the error");
    let rung = fake.notifications();
    queue.notify_if_needed();
    assert_eq!(fake.notifications(), rung);
}

#[test]
fn id_out_of_range_is_refused() {
    check(
        |fake| fake.put_used(0, 8, 0),
        DeviceError::NotOutstanding(8),
    );
    check(
        |fake| fake.put_used(0, u32::MAX, 0),
        DeviceError::NotOutstanding(u32::MAX),
    );
}

#[test]
fn id_is_not_cut_to_16_bits() {
    check(
        |fake| fake.put_used(0, 0x1_0000, 0),
        DeviceError::NotOutstanding(0x1_0000),
    );
}

#[test]
fn id_that_is_not_outstanding_is_refused() {
    check(
        |fake| fake.put_used(0, 5, 0),
        DeviceError::NotOutstanding(5),
    );
}

#[test]
fn id_returned_twice_is_refused() {
    let twice = |fake: &FakeDevice| {
        fake.put_used(0, 0, 32);
        fake.put_used(0, 0, 32);
    };
    check(twice, DeviceError::NotOutstanding(0));
}

#[test]
fn length_beyond_the_buffer_is_refused() {
    let error = |claimed| DeviceError::WrittenTooMuch {
        claimed,
        capacity: 32,
    };
    check(|fake| fake.put_used(0, 0, 33), error(33));
    check(|fake| fake.put_used(0, 0, u32::MAX), error(u32::MAX));
}

#[test]
fn jump_of_the_index_is_refused() {
    let error = |claimed| DeviceError::UsedTooMany {
        claimed,
        outstanding: 2,
    };
    check(|fake| fake.set_used_index(0, 3), error(3));
    check(|fake| fake.set_used_index(0, 0x8000), error(0x8000));
    check(|fake| fake.set_used_index(0, u16::MAX), error(u16::MAX));
}

#[test]
fn chain_that_was_not_published_cannot_come_back() {
    let (fake, _transport, mut queue) = set_up(8);
    queue.add(buffer(32).into()).expect("room");
    fake.put_used(0, 0, 0);
    let error = DeviceError::UsedTooMany {
        claimed: 1,
        outstanding: 0,
    };
    assert_eq!(queue.pop().err(), Some(error));
}

#[test]
fn tail_of_a_chain_is_no_head() {
    let fake = FakeDevice::new(DeviceType::NET, VERSION_1, 1, 8);
    let mut transport = fake.transport();
    let mut queue = Queue::new(&mut *transport, 0, 8, 0).expect("the queue is there");
    queue
        .add(Chain::new(vec![buffer(8), buffer(8)]))
        .expect("room");
    queue.notify_if_needed();
    fake.put_used(0, 1, 8);
    assert_eq!(queue.pop().err(), Some(DeviceError::NotOutstanding(1)));
}

#[test]
fn legacy_device_is_refused_by_name() {
    let fake = FakeDevice::new(DeviceType::NET, EVENT_IDX, 1, 8);
    let error = device::negotiate(&mut *fake.transport(), ALL, 0).expect_err("not version 1");
    assert_eq!(error, NegotiateError::Missing(VERSION_1));
    assert!(error.to_string().contains("legacy"));
    assert_ne!(fake.status() & status::FAILED, 0);
}

#[test]
fn withdrawn_features_are_refused() {
    let fake = FakeDevice::new(DeviceType::NET, VERSION_1 | ALL, 1, 8);
    fake.lie(Lies {
        refuses_features: true,
        ..Lies::default()
    });
    let error = device::negotiate(&mut *fake.transport(), ALL, 0).expect_err("refused");
    assert_eq!(error, NegotiateError::Refused(VERSION_1 | ALL));
    assert_ne!(fake.status() & status::FAILED, 0);
}

#[test]
fn device_that_never_resets_is_given_up() {
    let (fake, mut transport, _queue) = set_up(8);
    fake.lie(Lies {
        ignores_reset: true,
        ..Lies::default()
    });
    let error = device::negotiate(&mut *transport, ALL, 0).expect_err("no reset");
    assert_eq!(error, NegotiateError::NoReset);
}

#[test]
fn configuration_that_never_rests_is_given_up() {
    let fake = FakeDevice::new(DeviceType::NET, VERSION_1, 1, 8);
    let read = || device::consistent(&*fake.transport(), |t| device::field::<u32>(t, 0));
    assert_eq!(read(), Some(0));
    fake.lie(Lies {
        restless_config: true,
        ..Lies::default()
    });
    assert_eq!(read(), None);
    fake.lie(Lies {
        no_config: true,
        ..Lies::default()
    });
    assert_eq!(read(), None);
}

/// A device that mostly works and sometimes does anything, against a driver that starts it again whenever it
/// has broken a rule.
#[test]
fn random_liar_causes_errors_only() {
    let mut random = Random::new(7);
    let (mut steps, mut failures, mut served) = (0, 0, 0);
    let most = toro_fake::steps(200_000);
    while steps < most {
        let size = 1 << random.below(6);
        let (fake, mut transport, mut queue) = set_up(size);
        let mut taken = Vec::new();
        while queue.error().is_none() && steps < most {
            steps += 1;
            match random.below(400) {
                0 => fake.put_used(0, random.next_u32(), random.next_u32()),
                1 => fake.put_used(0, random.below(64), random.below(200)),
                2 => fake.set_used_index(0, random.next_u16()),
                3 => fake.set_used_index(0, fake.used_index(0).wrapping_sub(1)),
                4 => fake.interrupt_without_work(),
                5..100 => taken.extend(fake.take(0)),
                100..200 if !taken.is_empty() => {
                    let pick = random.index(taken.len());
                    let request = taken.swap_remove(pick);
                    let len = random.index(1 + request.capacity());
                    fake.complete(0, &request, &vec![0x5a; len]);
                }
                200..300 => {
                    let buffers = (0..=random.below(3))
                        .map(|_| buffer(64))
                        .collect::<Vec<_>>();
                    drop(queue.add(Chain::new(buffers)));
                    queue.notify_if_needed();
                }
                _ => {
                    if let Ok(Some(used)) = queue.pop() {
                        let room: usize = used
                            .chain
                            .into_buffers()
                            .into_iter()
                            .map(|b| b.into_buf().len())
                            .sum();
                        assert!(used.written as usize <= room);
                        served += 1;
                    }
                }
            }
        }
        failures += u32::from(queue.error().is_some());
        let proof = device::reset(&mut *transport).expect("the device resets");
        queue.retire(&proof);
    }
    assert!(failures > 500, "the lies bite: {failures}");
    assert!(served > 5_000, "and work goes on between them: {served}");
}
