//! The card on a fake device: traffic, interrupts, small queues, lies.

extern crate std;

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use toro_dev::net::{Frame, NetDevice, NetInfo};
use toro_fake::{CountingWaker, FakeDevice, FakeNet, Lies, Random};
use toro_mem::DmaBuf;
use toro_virtio::feature::{EVENT_IDX, VERSION_1};
use toro_virtio::transport::status;
use toro_virtio::{DeviceError, DeviceType, NegotiateError, SetQueueError};

use crate::probe::GROUP_MAC;
use crate::{Config, ProbeError, VirtioNet};

const MTU: u64 = 1 << 3;
const MAC: u64 = 1 << 5;
const HOST_TSO4: u64 = 1 << 11;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

fn card(features: u64, size: u16) -> (FakeNet, VirtioNet) {
    let fake = FakeNet::new(features, 256);
    let driver = probe(&fake, size).expect("the card starts");
    (fake, driver)
}

fn probe(fake: &FakeNet, size: u16) -> Result<VirtioNet, ProbeError> {
    VirtioNet::probe(
        fake.device.transport(),
        Config {
            rx_buffers: size,
            rx_len: 2048,
            tx_buffers: size,
            long_frames: 2,
        },
    )
}

fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0x42; len];
    frame[..4].copy_from_slice(&number.to_le_bytes());
    frame
}

/// Queues a frame, if there is room.
fn send(driver: &mut VirtioNet, bytes: &[u8]) -> bool {
    let Some(mut frame) = driver.allocate() else {
        return false;
    };
    frame.set_len(bytes.len());
    frame.bytes_mut().copy_from_slice(bytes);
    driver.transmit(frame);
    true
}

/// An IPv4 frame with a TCP header.
fn tcp() -> Vec<u8> {
    let mut bytes = frame(1, 80);
    (bytes[12], bytes[13], bytes[14], bytes[23]) = (0x08, 0, 0x45, 6);
    bytes
}

#[test]
fn card_says_what_it_is() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 8);
    let info = NetInfo {
        mac: FakeNet::MAC,
        mtu: 1500,
        tx_checksum: true,
        rx_checksum: true,
    };
    assert_eq!(driver.info(), info);
    assert!(driver.link_up());
    assert_eq!(fake.device.accepted(), FakeNet::FEATURES);
    let running = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;
    assert_eq!(fake.device.status(), running);
}

#[test]
fn plain_card_has_no_offloads() {
    let (fake, mut driver) = card(VERSION_1 | MAC, 8);
    fake.set_link(false);
    let info = NetInfo {
        mac: FakeNet::MAC,
        mtu: 1500,
        tx_checksum: false,
        rx_checksum: false,
    };
    assert_eq!(driver.info(), info);
    assert!(
        driver.link_up(),
        "a card without status has no link to lose"
    );
}

#[test]
fn unsuitable_cards_are_refused_with_a_reason() {
    let check = |features, error| {
        let fake = FakeNet::new(features, 256);
        assert_eq!(probe(&fake, 8).expect_err("unsuitable"), error);
        assert_ne!(fake.device.status() & status::FAILED, 0);
    };
    let missing = |features| ProbeError::Negotiate(NegotiateError::Missing(features));
    check(VERSION_1, missing(MAC));
    check(MAC, missing(VERSION_1));

    let check = |change: &dyn Fn(&FakeNet), error| {
        let fake = FakeNet::new(FakeNet::FEATURES, 256);
        change(&fake);
        assert_eq!(probe(&fake, 8).expect_err("unsuitable"), error);
    };
    let group = [1, 2, 3, 4, 5, 6];
    check(&|fake| fake.device.set_config(0, &group), GROUP_MAC);
    let restless = Lies {
        restless_config: true,
        ..Lies::default()
    };
    check(&|fake| fake.device.lie(restless), ProbeError::Config);
    let empty = Lies {
        no_config: true,
        ..Lies::default()
    };
    check(&|fake| fake.device.lie(empty), ProbeError::Config);

    let disk = FakeDevice::new(DeviceType::BLOCK, VERSION_1, 1, 8);
    let error = VirtioNet::probe(disk.transport(), Config::default()).expect_err("a disk");
    assert_eq!(
        error,
        ProbeError::OtherDevice {
            found: DeviceType::BLOCK,
            wanted: DeviceType::NET
        }
    );
    let half = FakeDevice::new(DeviceType::NET, FakeNet::FEATURES, 1, 8);
    let error = VirtioNet::probe(half.transport(), Config::default()).expect_err("one queue");
    assert_eq!(error, ProbeError::Queue(SetQueueError::NoSuchQueue(1)));
}

#[test]
fn packet_size_is_bounded() {
    let check = |mtu: u16, expected| {
        let fake = FakeNet::new(FakeNet::FEATURES | MTU, 256);
        fake.device.set_config(10, &mtu.to_le_bytes());
        let mut driver = probe(&fake, 4).expect("the card starts");
        assert_eq!(driver.info().mtu, expected);
        assert!(driver.allocate().expect("room").capacity() >= expected + 14);
        let request = fake.device.take(RECEIVE).expect("a buffer");
        assert!(request.capacity() >= expected + 26);
    };
    check(1280, 1280);
    check(9000, 9000);
    check(0, 1500);
    check(67, 1500);
    check(65_535, 1500);
}

#[test]
fn frames_pass_both_ways() {
    for features in [
        FakeNet::FEATURES,
        FakeNet::FEATURES & !EVENT_IDX,
        VERSION_1 | MAC,
    ] {
        for size in [4, 256] {
            let (fake, mut driver) = card(features, size);
            for number in 0..2_000 {
                let len = 14 + number as usize % 1501;
                assert!(fake.send(&frame(number, len)), "a buffer for {number}");
                let received = driver.receive().expect("it was sent");
                assert_eq!(received.bytes(), frame(number, len));
                driver.recycle(received);

                assert!(send(&mut driver, &frame(!number, len)), "room for {number}");
                driver.flush();
                assert_eq!(fake.sent(), [([0; 12], frame(!number, len))]);
            }
            let stats = driver.stats();
            assert_eq!((stats.rx_frames, stats.tx_frames), (2_000, 2_000));
            assert_eq!((stats.rx_malformed, stats.tx_dropped), (0, 0));
        }
    }
}

#[test]
fn batch_is_one_notification() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 256);
    for _ in 0..3 {
        assert!(fake.sent().is_empty(), "the device waits for the doorbell");
        let before = fake.device.notifications();
        for number in 0..64 {
            assert!(send(&mut driver, &frame(number, 60)));
        }
        assert_eq!(
            fake.device.waiting(TRANSMIT),
            0,
            "nothing moves before the flush"
        );
        driver.flush();
        assert_eq!(fake.device.notifications(), before + 1);
        assert_eq!(fake.sent().len(), 64);
    }
}

#[test]
fn sending_raises_no_interrupts() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 64);
    for number in 0..1_000 {
        assert!(send(&mut driver, &frame(number, 60)));
        driver.flush();
        fake.sent();
    }
    assert_eq!(fake.device.interrupts(), 0);
}

#[test]
fn full_queue_wakes_when_half_of_it_is_sent() {
    for features in [FakeNet::FEATURES, FakeNet::FEATURES & !EVENT_IDX] {
        let (fake, mut driver) = card(features, 8);
        let (woken, waker) = CountingWaker::new();
        while send(&mut driver, &frame(0, 60)) {}
        driver.flush();
        assert_eq!(driver.stats().tx_frames, 8);
        assert!(driver.arm(&waker), "nothing to do but wait");
        assert_eq!(fake.sent().len(), 8);
        assert!(woken.count() > 0);
        assert!(send(&mut driver, &frame(0, 60)), "there is room again");
        driver.flush();
        assert!(driver.arm(&waker));
        let before = woken.count();
        fake.sent();
        assert_eq!(woken.count(), before, "nobody waits for room any more");
    }
}

#[test]
fn armed_card_wakes_at_the_next_frame() {
    for features in [FakeNet::FEATURES, FakeNet::FEATURES & !EVENT_IDX] {
        let (fake, mut driver) = card(features, 8);
        let (woken, waker) = CountingWaker::new();
        assert!(driver.receive().is_none());
        assert!(driver.arm(&waker));
        assert!(fake.send(&frame(1, 60)));
        assert_eq!(woken.count(), 1);
        let received = driver.receive().expect("it was sent");
        assert!(fake.send(&frame(2, 60)));
        assert_eq!(woken.count(), 1, "polling asks for no interrupts");
        assert!(!driver.arm(&waker), "there is a frame already");
        driver.recycle(received);
        assert!(driver.receive().is_some());
        assert!(driver.receive().is_none());
        assert!(driver.arm(&waker));
    }
}

#[test]
fn checksums_are_left_to_the_device() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 8);
    let mut frame = driver.allocate().expect("room");
    frame.set_len(80);
    frame.bytes_mut().copy_from_slice(&tcp());
    frame.needs_checksum = true;
    driver.transmit(frame);
    driver.flush();
    assert_eq!(fake.sent()[0].0, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);

    let mut received = |flags| {
        assert!(fake.send_with([flags, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0], &tcp()));
        driver.receive().expect("it was sent").checksum_good
    };
    assert_eq!([0, 1, 2].map(&mut received), [false, true, true]);
}

#[test]
fn verdict_that_was_not_agreed_on_is_ignored() {
    let (fake, mut driver) = card(VERSION_1 | MAC, 8);
    assert!(fake.send_with([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &tcp()));
    assert!(!driver.receive().expect("it was sent").checksum_good);
}

#[test]
fn malformed_frames_are_dropped_and_counted() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 4);
    for round in 0..10 {
        assert!(fake.send(&[0; 13]), "shorter than an Ethernet header");
        assert!(
            fake.send_with([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &tcp()),
            "a large segment"
        );
        assert!(fake.send_with([1, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0], &tcp()));
        assert!(fake.send(&tcp()));
        let received = driver.receive().expect("the last one is good");
        driver.recycle(received);
        assert_eq!(driver.stats().rx_malformed, 3 * (round + 1));
        driver.flush();
    }
    let request = fake.device.take(RECEIVE).expect("a buffer");
    fake.device.complete(RECEIVE, &request, &[0; 11]);
    assert!(driver.receive().is_none(), "shorter than the header");
    assert_eq!(driver.error(), None);
}

#[test]
fn frames_that_are_not_from_here_do_no_harm() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 4);
    let foreign = || Frame::new(DmaBuf::try_new(100).expect("memory"), 0, 60);
    driver.transmit(foreign());
    driver.recycle(foreign());
    let empty = driver.allocate().expect("room");
    driver.transmit(empty);
    let mut unsummed = driver.allocate().expect("room");
    unsummed.set_len(60);
    unsummed.needs_checksum = true;
    driver.transmit(unsummed);
    driver.flush();
    assert_eq!(driver.stats().tx_dropped, 3);
    assert!(fake.sent().is_empty());
}

#[test]
fn link_is_followed() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 4);
    let (woken, waker) = CountingWaker::new();
    assert!(driver.arm(&waker));
    fake.set_link(false);
    fake.device.announce_config();
    assert_eq!(woken.count(), 1);
    assert!(driver.receive().is_none());
    assert!(driver.arm(&waker));
    assert!(!driver.link_up());
    fake.set_link(true);
    fake.device.announce_config();
    assert!(driver.arm(&waker));
    assert!(driver.link_up());
}

/// Lets the card lie on one of its queues, and expects that it is given up quietly.
fn check_lie(error: DeviceError, lie: impl FnOnce(&FakeDevice)) {
    let (fake, mut driver) = card(FakeNet::FEATURES, 8);
    assert!(send(&mut driver, &frame(0, 60)));
    driver.flush();
    lie(&fake.device);
    assert!(driver.receive().is_none());
    while send(&mut driver, &frame(0, 60)) {}
    assert_eq!(driver.error(), Some(error));
    assert_ne!(fake.device.status() & status::FAILED, 0);
    let (_, waker) = CountingWaker::new();
    assert!(
        driver.arm(&waker),
        "nobody spins on a card that was given up"
    );
    assert!(!driver.link_up());
    fake.device.put_used(RECEIVE, 1, 100);
    assert!(driver.receive().is_none());
    assert!(driver.allocate().is_none());
    driver.flush();
}

#[test]
fn lying_card_is_given_up() {
    use DeviceError::{NotOutstanding, UsedTooMany, WrittenTooMuch};
    check_lie(NotOutstanding(8), |device| device.put_used(RECEIVE, 8, 60));
    check_lie(NotOutstanding(3), |device| device.put_used(TRANSMIT, 3, 0));
    let claimed = 2049;
    let error = WrittenTooMuch {
        claimed,
        capacity: 2048,
    };
    check_lie(error, |device| device.put_used(RECEIVE, 0, claimed));
    let error = WrittenTooMuch {
        claimed: 1,
        capacity: 0,
    };
    check_lie(error, |device| device.put_used(TRANSMIT, 0, 1));
    let error = UsedTooMany {
        claimed: 9,
        outstanding: 8,
    };
    check_lie(error, |device| device.set_used_index(RECEIVE, 9));
    let error = UsedTooMany {
        claimed: 2,
        outstanding: 1,
    };
    check_lie(error, |device| device.set_used_index(TRANSMIT, 2));
}

#[test]
fn card_that_asks_for_a_reset_is_given_up() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 8);
    let (_, waker) = CountingWaker::new();
    fake.device.raise_status(status::NEEDS_RESET);
    fake.device.announce_config();
    assert!(driver.arm(&waker));
    assert_eq!(driver.error(), Some(DeviceError::Reset));
    assert!(driver.allocate().is_none());
}

/// One step of a card that mostly works and sometimes does anything.
fn misbehave(fake: &FakeNet, random: &mut Random) {
    let queue = random.index(2);
    match random.below(300) {
        0 => fake
            .device
            .put_used(queue, random.next_u32(), random.next_u32()),
        1 => fake
            .device
            .put_used(queue, random.below(20), random.below(3000)),
        2 => fake.device.set_used_index(queue, random.next_u16()),
        3 => fake.device.raise_status(status::NEEDS_RESET),
        4..20 => fake.device.announce_config(),
        20..40 => fake.device.interrupt_without_work(),
        40..60 => fake.set_link(random.below(2) == 0),
        60..120 => drop(fake.sent()),
        _ => {
            let mut header = [0; 12];
            if random.below(4) == 0 {
                header.fill_with(|| random.next_u8());
            }
            let len = random.index(2040);
            fake.send_with(header, &vec![0x45; len]);
        }
    }
}

/// One step of a stack.
fn poll(driver: &mut VirtioNet, held: &mut Vec<Frame>, random: &mut Random) {
    match random.below(6) {
        0 | 1 => {
            let frame = driver.receive();
            assert!(frame.is_none() || driver.error().is_none());
            held.extend(frame);
        }
        2 => held.drain(..).for_each(|frame| driver.recycle(frame)),
        3 => drop(send(driver, &tcp())),
        4 => driver.flush(),
        _ => drop(driver.arm(std::task::Waker::noop())),
    }
}

#[test]
fn random_liar_never_harms_the_driver() {
    let mut random = Random::new(42);
    let (mut given_up, mut received) = (0, 0);
    let (mut steps, most) = (0, toro_fake::steps(200_000));
    while steps < most {
        let fake = FakeNet::new(FakeNet::FEATURES, 1 << random.below(5));
        let mut driver = probe(&fake, 16).expect("the card starts");
        let mut held = Vec::new();
        let mut after = 0;
        while steps < most && after < 20 {
            steps += 1;
            misbehave(&fake, &mut random);
            poll(&mut driver, &mut held, &mut random);
            after += u32::from(driver.error().is_some());
        }
        given_up += u32::from(driver.error().is_some());
        received += driver.stats().rx_frames;
    }
    assert!(given_up > 500, "the lies bite: {given_up}");
    assert!(
        received > 5_000,
        "and work goes on between them: {received}"
    );
}

#[test]
fn card_that_never_resets_keeps_its_memory() {
    let (fake, driver) = card(FakeNet::FEATURES, 4);
    let request = fake.device.take(RECEIVE).expect("a buffer");
    fake.device.lie(Lies {
        ignores_reset: true,
        ..Lies::default()
    });
    drop(driver);
    // The device goes on: under a sanitizer this finds buffers that were freed too early.
    let _others = Box::new([0u8; 2048]);
    fake.device.complete(RECEIVE, &request, &[0x55; 2048]);
    assert_eq!(fake.device.used_index(RECEIVE), 1);
}

/// An IPv4 frame with a TCP header and `payload` bytes, to be cut.
fn long(payload: usize) -> Vec<u8> {
    let mut bytes = frame(1, 54 + payload);
    (bytes[12], bytes[13], bytes[14], bytes[23], bytes[46]) = (0x08, 0, 0x45, 6, 0x50);
    bytes
}

#[test]
fn long_frame_goes_out_with_its_segment_size() {
    let (fake, mut driver) = card(FakeNet::FEATURES | HOST_TSO4, 8);
    let mut frame = driver.allocate_long().expect("room");
    assert!(frame.capacity() >= driver.longest_frame());
    let bytes = long(driver.longest_frame() - 54);
    frame.set_len(bytes.len());
    frame.bytes_mut().copy_from_slice(&bytes);
    (frame.needs_checksum, frame.segment_size) = (true, 1460);
    driver.transmit(frame);
    driver.flush();
    let header = [1, 1, 54, 0, 0xb4, 0x05, 34, 0, 16, 0, 0, 0];
    assert_eq!(fake.sent(), [(header, bytes)]);
}

#[test]
fn device_that_cannot_cut_gets_no_long_frame() {
    for features in [FakeNet::FEATURES, FakeNet::FEATURES & !1 | HOST_TSO4] {
        let (fake, mut driver) = card(features, 8);
        assert_eq!(driver.longest_frame(), 0);
        assert!(driver.allocate_long().is_none());
        let mut frame = driver.allocate().expect("room");
        frame.set_len(80);
        frame.bytes_mut().copy_from_slice(&tcp());
        (frame.needs_checksum, frame.segment_size) = (true, 20);
        driver.transmit(frame);
        driver.flush();
        assert!(fake.sent().is_empty(), "it would leave uncut");
        assert_eq!(driver.stats().tx_dropped, 1);
    }
}

#[test]
fn long_frames_are_bounded_and_their_return_is_announced() {
    let (fake, mut driver) = card(FakeNet::FEATURES | HOST_TSO4, 8);
    let waker = std::task::Waker::noop();
    for _ in 0..2 {
        let mut frame = driver.allocate_long().expect("two are allowed");
        frame.set_len(2000);
        frame.bytes_mut().copy_from_slice(&long(1946));
        (frame.needs_checksum, frame.segment_size) = (true, 1460);
        driver.transmit(frame);
    }
    driver.flush();
    assert!(driver.allocate_long().is_none(), "two are on their way");
    assert!(send(&mut driver, &frame(1, 60)), "short ones still go");
    assert!(driver.arm(waker), "nothing to do until one is back");
    assert_eq!(fake.sent().len(), 2);
    assert!(!driver.arm(waker), "they are back");
    assert!(driver.allocate_long().is_some());
}

#[test]
fn storm_of_interrupts_is_masked_and_frames_still_come() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 8);
    let (woken, waker) = CountingWaker::new();
    assert!(driver.arm(&waker));
    let mut raised = 0;
    while !fake.device.is_masked() {
        fake.device.interrupt_without_work();
        assert!(driver.receive().is_none());
        assert!(driver.arm(&waker));
        raised += 1;
        assert!(raised < 10_000, "a storm is noticed");
    }
    assert!(raised >= 1000, "a few are none");
    assert_eq!(driver.storms(), 1);
    let before = woken.count();
    fake.device.interrupt_without_work();
    assert!(fake.send(&frame(1, 60)));
    assert_eq!(woken.count(), before, "nobody listens");
    assert!(!driver.arm(&waker), "whoever looks finds it all the same");
    fake.device.end_rest();
    assert_eq!(woken.count(), before + 1, "and the clock has one look");
    let received = driver.receive().expect("it was sent");
    driver.recycle(received);
    assert!(driver.receive().is_none());
    assert!(driver.arm(&waker));
    // Frames come as usual, and interrupts with work are none to mask.
    for number in 0..5_000 {
        let before = woken.count();
        assert!(fake.send(&frame(number, 60)));
        assert!(woken.count() > before);
        let received = driver.receive().expect("it was sent");
        driver.recycle(received);
        assert!(driver.receive().is_none());
        assert!(driver.arm(&waker));
        driver.flush();
    }
    assert_eq!((driver.storms(), driver.error()), (1, None));
}

#[test]
fn interrupts_that_come_late_for_their_work_are_no_storm() {
    let (fake, mut driver) = card(FakeNet::FEATURES, 8);
    let (_, waker) = CountingWaker::new();
    for number in 0..5_000 {
        assert!(fake.send(&frame(number, 60)));
        let received = driver.receive().expect("it was sent");
        driver.recycle(received);
        driver.flush();
        driver.arm(&waker);
        fake.device.interrupt_without_work();
        assert!(driver.receive().is_none());
        driver.arm(&waker);
    }
    assert!(!fake.device.is_masked());
}
