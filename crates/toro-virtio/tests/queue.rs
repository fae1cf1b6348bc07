//! The queue on a fake device that keeps the rules.

use toro_fake::{CountingWaker, FakeDevice};
use toro_mem::DmaBuf;
use toro_virtio::feature::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use toro_virtio::{Buffer, Chain, DeviceType, Queue, SetQueueError, Transport, device};

const ALL: u64 = EVENT_IDX | INDIRECT_DESC;

fn set_up(features: u64, max: u32, size: u16) -> (FakeDevice, Box<dyn Transport>, Queue) {
    let fake = FakeDevice::new(DeviceType::NET, VERSION_1 | features, 1, max);
    let mut transport = fake.transport();
    let features = device::negotiate(&mut *transport, features, 0).expect("features suit");
    let queue = Queue::new(&mut *transport, 0, size, features).expect("the queue is there");
    (fake, transport, queue)
}

fn buf(bytes: &[u8]) -> DmaBuf {
    let mut buf = DmaBuf::try_new(bytes.len()).expect("memory");
    buf.copy_from_slice(bytes);
    buf
}

fn readable(bytes: &[u8]) -> Chain {
    Buffer::readable(buf(bytes), 0..bytes.len()).into()
}

fn writable(len: usize) -> Chain {
    Buffer::writable(buf(&vec![0; len]), 0..len).into()
}

#[test]
fn size_is_a_power_of_two_that_both_sides_take() {
    let check = |max, size, expected| assert_eq!(set_up(0, max, size).2.size(), expected);
    check(256, 256, 256);
    check(256, 4, 4);
    check(4, 256, 4);
    check(1, 256, 1);
    check(100, 256, 64);
    check(u32::MAX, 40_000, 32_768);
}

#[test]
fn absent_queue_is_named() {
    let fake = FakeDevice::new(DeviceType::NET, VERSION_1, 1, 8);
    let mut transport = fake.transport();
    let error = Queue::new(&mut *transport, 1, 8, 0).expect_err("there is one queue");
    assert_eq!(error, SetQueueError::NoSuchQueue(1));
    let _queue = Queue::new(&mut *transport, 0, 8, 0).expect("the queue is there");
    let error = Queue::new(&mut *transport, 0, 8, 0).expect_err("it was taken");
    assert_eq!(error, SetQueueError::InUse(0));
}

#[test]
fn buffers_go_to_the_device_and_come_back() {
    for features in [0, ALL] {
        let (fake, _transport, mut queue) = set_up(features, 8, 8);
        let first = queue.add(readable(b"ping")).expect("room");
        let second = queue.add(writable(16)).expect("room");
        assert!(
            fake.take(0).is_none(),
            "nothing moves before the notification"
        );
        queue.notify_if_needed();
        let (ping, pong) = (fake.take(0).expect("first"), fake.take(0).expect("second"));
        assert_eq!(ping.readable, b"ping");
        assert_eq!(pong.capacity(), 16);
        fake.complete(0, &pong, b"pong");
        fake.complete(0, &ping, b"");

        let used = queue.pop().expect("no error").expect("second comes first");
        assert_eq!((used.token, used.written), (second, 4));
        assert_eq!(&used.chain.into_first()[..5], b"pong\0");
        let used = queue.pop().expect("no error").expect("then first");
        assert_eq!((used.token, used.written), (first, 0));
        assert!(queue.pop().expect("no error").is_none());
        assert_eq!((queue.free(), queue.outstanding()), (8, 0));
    }
}

#[test]
fn full_queue_hands_the_chain_back() {
    let (fake, _transport, mut queue) = set_up(ALL, 4, 256);
    for byte in 0..4 {
        queue.add(readable(&[byte])).expect("room");
    }
    let full = queue.add(readable(b"x")).expect_err("four is full");
    assert_eq!(&full.0.into_first()[..], b"x");
    queue.notify_if_needed();
    let request = fake.take(0).expect("published");
    fake.complete(0, &request, b"");
    queue.pop().expect("no error").expect("one is back");
    queue.add(readable(b"y")).expect("room again");
}

#[test]
fn chain_of_several_buffers_arrives_in_order() {
    for features in [0, ALL] {
        let (fake, _transport, mut queue) = set_up(features, 4, 4);
        for round in 0..10u8 {
            let buffers = vec![
                Buffer::readable(buf(&[round, 1, 2, 3]), 0..2),
                Buffer::readable(buf(&[7, 8, 9]), 1..3),
                Buffer::writable(buf(&[0; 8]), 2..5),
                Buffer::writable(buf(&[0; 1]), 0..1),
            ];
            queue.add(Chain::new(buffers)).expect("room");
            assert_eq!(queue.free(), if features == ALL { 3 } else { 0 });
            queue.notify_if_needed();
            let request = fake.take(0).expect("published");
            assert_eq!(request.readable, [round, 1, 8, 9]);
            fake.complete(0, &request, b"abcd");
            let used = queue.pop().expect("no error").expect("used");
            assert_eq!(used.written, 4);
            let bufs: Vec<_> = used
                .chain
                .into_buffers()
                .into_iter()
                .map(Buffer::into_buf)
                .collect();
            assert_eq!(
                (&bufs[2][..], &bufs[3][..]),
                (&b"\0\0abc\0\0\0"[..], &b"d"[..])
            );
            assert_eq!(queue.free(), 4);
        }
    }
}

#[test]
fn chain_longer_than_the_queue_never_fits() {
    for features in [0, ALL] {
        let (_fake, _transport, mut queue) = set_up(features, 4, 4);
        let buffers = (0..5).map(|_| Buffer::readable(buf(b"x"), 0..1)).collect();
        let full = queue.add(Chain::new(buffers)).expect_err("five into four");
        assert_eq!(full.0.buffers().len(), 5);
        assert_eq!(queue.free(), 4);
    }
}

#[test]
fn batch_rings_once() {
    for features in [0, ALL] {
        let (fake, _transport, mut queue) = set_up(features, 256, 256);
        for batch in 1..=3 {
            for _ in 0..50 {
                queue.add(readable(b"x")).expect("room");
            }
            queue.notify_if_needed();
            queue.notify_if_needed();
            assert_eq!(fake.notifications(), batch);
            while let Some(request) = fake.take(0) {
                fake.complete(0, &request, b"");
            }
        }
    }
}

#[test]
fn busy_device_is_not_rung() {
    for features in [0, ALL] {
        let (fake, _transport, mut queue) = set_up(features, 256, 256);
        fake.suppress_notifications(0);
        queue.add(readable(b"x")).expect("room");
        queue.notify_if_needed();
        assert_eq!(fake.notifications(), 0);
        while fake.take(0).is_some() {}
        queue.add(readable(b"x")).expect("room");
        queue.notify_if_needed();
        assert_eq!(
            fake.notifications(),
            1,
            "it has asked again when it ran out of work"
        );
    }
}

#[test]
fn interrupt_comes_when_asked_for_and_only_then() {
    for features in [0, ALL] {
        let (fake, mut transport, mut queue) = set_up(features, 8, 8);
        let (woken, waker) = CountingWaker::new();
        transport.wake_on_interrupt(&waker);
        queue.disable_interrupts();
        let pass = |queue: &mut Queue| {
            queue.add(readable(b"x")).expect("room");
            queue.notify_if_needed();
            let request = fake.take(0).expect("published");
            fake.complete(0, &request, b"");
        };
        pass(&mut queue);
        assert_eq!(woken.count(), 0, "not asked for");
        assert!(queue.enable_interrupts(), "there is work already");
        queue.disable_interrupts();
        queue.pop().expect("no error").expect("work");
        assert!(!queue.enable_interrupts(), "there is none");
        pass(&mut queue);
        assert_eq!(woken.count(), 1);
    }
}

#[test]
fn interrupt_can_wait_for_several() {
    let (fake, _transport, mut queue) = set_up(ALL, 8, 8);
    queue.disable_interrupts();
    for _ in 0..6 {
        queue.add(readable(b"x")).expect("room");
    }
    queue.notify_if_needed();
    assert!(!queue.enable_interrupts_after(3));
    for (number, expected) in (1..=6).zip([0, 0, 1, 1, 1, 1]) {
        let request = fake.take(0).expect("published");
        fake.complete(0, &request, b"");
        assert_eq!(fake.interrupts(), expected, "after {number}");
    }
    assert!(queue.enable_interrupts_after(3));
}

#[test]
fn indices_wrap_at_65536() {
    for (features, size) in [(ALL, 4), (0, 4), (ALL, 256)] {
        let (fake, _transport, mut queue) = set_up(features, size, 256);
        let (mut passed, mut interrupts) = (0u32, 0);
        while passed < 140_000 {
            let batch = (passed % 3 + 1).min(size);
            for number in 0..batch {
                queue
                    .add(readable(&(passed + number).to_le_bytes()))
                    .expect("room");
            }
            let before = fake.notifications();
            fake.ask_notification(0);
            queue.notify_if_needed();
            assert_eq!(fake.notifications(), before + 1, "at {passed}");
            assert!(!queue.enable_interrupts(), "at {passed}");
            for number in 0..batch {
                let request = fake.take(0).expect("published");
                assert_eq!(request.readable, (passed + number).to_le_bytes());
                fake.complete(0, &request, b"");
                queue.disable_interrupts();
            }
            interrupts += 1;
            assert_eq!(fake.interrupts(), interrupts, "at {passed}");
            for _ in 0..batch {
                queue.pop().expect("no error").expect("used");
            }
            passed += batch;
        }
        assert_eq!(queue.outstanding(), 0);
    }
}

#[test]
fn retired_queue_takes_nothing() {
    let (_fake, mut transport, mut queue) = set_up(ALL, 8, 8);
    queue.add(writable(64)).expect("room");
    queue.notify_if_needed();
    let proof = device::reset(&mut *transport).expect("the device resets");
    queue.retire(&proof);
    assert!(queue.pop().is_err());
    assert!(queue.add(writable(64)).is_err());
}
