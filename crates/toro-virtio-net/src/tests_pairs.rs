//! Merged buffers, large segments, queue pairs and the control queue on a fake device, which lies about each.

extern crate std;

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use toro_dev::net::NetDevice;
use toro_fake::{FakeNet, Random};
use toro_virtio::feature::{EVENT_IDX, VERSION_1};
use toro_virtio::{CoreInterrupts, DeviceError, Message};

use crate::{Config, Pair, PairMessages, VirtioNet};

const GUEST_CSUM: u64 = 1 << 1;
const MAC: u64 = 1 << 5;
const GUEST_TSO4: u64 = 1 << 7;
const MRG_RXBUF: u64 = 1 << 15;
const CTRL_VQ: u64 = 1 << 17;
const MQ: u64 = 1 << 22;
const MERGING: u64 = FakeNet::FEATURES | MRG_RXBUF | GUEST_TSO4;
const PAIRED: u64 = MERGING | CTRL_VQ | MQ;
const RECEIVE: usize = 0;
const CONFIG: Config = Config {
    rx_buffers: 64,
    rx_len: 2048,
    tx_buffers: 64,
    long_frames: 2,
};

fn card(features: u64) -> (FakeNet, VirtioNet) {
    let fake = FakeNet::new(features, 256);
    let driver = VirtioNet::probe(fake.device.transport(), CONFIG).expect("the card starts");
    (fake, driver)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// NEEDS_CSUM and a kind of segment.
fn header(segment: u8) -> [u8; 12] {
    [1, segment, 0, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]
}

#[test]
fn packets_in_several_buffers_are_put_together() {
    let (fake, mut driver) = card(MERGING);
    for len in [60, 2036, 2037, 4000, 9000, 65_549] {
        for _ in 0..20 {
            assert!(fake.send_merged(RECEIVE, header(1), &bytes(len), None));
            let frame = driver.receive().expect("it was sent");
            assert_eq!(frame.bytes(), bytes(len));
            assert!(frame.checksum_good, "the header vouches for it");
            driver.recycle(frame);
            driver.flush();
        }
    }
    assert_eq!(driver.stats().rx_frames, 120);
    assert_eq!(fake.device.waiting(RECEIVE), 64, "every buffer came back");
}

#[test]
fn longer_buffers_take_more_of_a_packet() {
    let fake = FakeNet::new(MERGING, 256);
    let config = Config {
        rx_len: 8192,
        ..CONFIG
    };
    let mut driver = VirtioNet::probe(fake.device.transport(), config).expect("the card starts");
    for len in [60, 8180, 8181, 65_549] {
        for _ in 0..20 {
            assert!(fake.send_merged(RECEIVE, header(1), &bytes(len), None));
            let waiting = fake.device.waiting(RECEIVE);
            let frame = driver.receive().expect("it was sent");
            assert_eq!(frame.bytes(), bytes(len));
            assert_eq!(64 - waiting, (len + 12).div_ceil(8192));
            driver.recycle(frame);
            driver.flush();
        }
    }
    assert_eq!(fake.device.waiting(RECEIVE), 64, "every buffer came back");
}

#[test]
fn two_long_packets_can_be_held_at_once() {
    let (fake, mut driver) = card(MERGING);
    for len in [5000, 6000] {
        assert!(fake.send_merged(RECEIVE, header(1), &bytes(len), None));
    }
    let held = [driver.receive(), driver.receive()].map(|frame| frame.expect("it was sent"));
    assert_eq!(held[0].bytes(), bytes(5000));
    assert_eq!(held[1].bytes(), bytes(6000));
}

#[test]
fn large_segments_need_several_buffers_and_checksums() {
    for (offered, accepted) in [
        (MERGING, GUEST_TSO4 | MRG_RXBUF),
        (MERGING & !MRG_RXBUF, 0),
        (MERGING & !GUEST_CSUM, MRG_RXBUF),
    ] {
        let (fake, mut driver) = card(offered);
        let wanted = GUEST_TSO4 | MRG_RXBUF;
        assert_eq!(fake.device.accepted() & wanted, accepted);
        // A liar sends one all the same.
        assert!(fake.send_merged(RECEIVE, header(1), &bytes(1000), Some(1)));
        assert_eq!(driver.receive().is_some(), accepted & GUEST_TSO4 != 0);
        assert_eq!(driver.error(), None);
    }
}

#[test]
fn device_that_claims_more_buffers_than_it_returns_is_given_up() {
    let (fake, mut driver) = card(MERGING);
    assert!(fake.send_merged(RECEIVE, header(0), &bytes(3000), Some(3)));
    assert!(driver.receive().is_none());
    let error = DeviceError::Merged {
        claimed: 3,
        found: 2,
    };
    assert_eq!(driver.error(), Some(error));
    assert!(!driver.link_up());
    let (fake, mut driver) = card(MERGING);
    assert!(fake.send_merged(RECEIVE, header(0), &bytes(60), Some(u16::MAX)));
    assert!(driver.receive().is_none());
    assert!(driver.error().is_some());
}

#[test]
fn packet_in_no_buffer_or_too_many_is_dropped() {
    let (fake, mut driver) = card(MERGING);
    assert!(fake.send_merged(RECEIVE, header(0), &bytes(60), Some(0)));
    assert!(driver.receive().is_none());
    assert_eq!(driver.stats().rx_unmerged, 1);
    driver.flush();
    // 64 buffers of 2 KiB: longer than any packet.
    assert!(fake.send_merged(RECEIVE, header(1), &bytes(64 * 2048 - 12), None));
    assert!(driver.receive().is_none());
    assert_eq!(driver.stats().rx_unmerged, 2);
    driver.flush();
    assert!(fake.send_merged(RECEIVE, header(0), &bytes(60), None));
    assert!(driver.receive().is_some(), "and the card works on");
}

#[test]
fn card_without_merging_ignores_the_number_of_buffers() {
    let (fake, mut driver) = card(FakeNet::FEATURES);
    assert!(fake.send_merged(RECEIVE, header(0), &bytes(60), Some(7)));
    assert!(driver.receive().is_some());
}

/// What `cores` cores that are not the owner say.
fn messages(cores: u8) -> Vec<PairMessages> {
    let of = |core: u8| {
        let message = |vector| Message {
            apic_id: u32::from(core),
            vector,
        };
        PairMessages {
            receive: message(40),
            transmit: message(41),
        }
    };
    (1..=cores).map(of).collect()
}

/// How a device answers on its control queue.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Says(u8),
    Nothing,
    UsesAnotherChain,
    Never,
}

/// Starts a card of `pairs` pairs for `cores` further cores, whose device answers so; returns what it was asked for, too.
fn probe_pairs(pairs: u16, cores: u8, answer: Answer) -> (FakeNet, VirtioNet, Vec<Pair>, Vec<u8>) {
    let fake = FakeNet::with_pairs(PAIRED, pairs, 256);
    let control = 2 * usize::from(pairs);
    let mut asked = Vec::new();
    let mut patience = 10;
    let mut is_patient = || {
        while let Some(request) = fake.device.take(control) {
            asked.extend(&request.readable);
            match answer {
                Answer::Says(byte) => fake.device.complete(control, &request, &[byte]),
                Answer::Nothing => fake.device.complete(control, &request, &[]),
                Answer::UsesAnotherChain => fake.device.put_used(control, 3, 1),
                Answer::Never => {}
            }
        }
        patience -= 1;
        patience > 0
    };
    let transport = fake.device.transport();
    let started = VirtioNet::probe_pairs(transport, CONFIG, &messages(cores), &mut is_patient);
    let (driver, others) = started.expect("the card starts");
    (fake, driver, others, asked)
}

fn open(pair: Pair) -> VirtioNet {
    pair.open(Box::new(CoreInterrupts::new()))
        .expect("there is memory")
}

#[test]
fn each_core_gets_a_pair_as_far_as_there_are_some() {
    for (pairs, cores, count) in [(4, 3, 4), (4, 1, 2), (2, 3, 2), (1, 3, 1), (4, 0, 1)] {
        let (_fake, _driver, others, asked) = probe_pairs(pairs, cores, Answer::Says(0));
        assert_eq!(others.len() + 1, count, "{pairs} pairs, {cores} cores");
        let command: &[u8] = &[4, 0, u8::try_from(count).expect("few"), 0];
        assert_eq!(asked, if count > 1 { command } else { &[] });
    }
}

#[test]
fn pairs_carry_frames_of_their_own() {
    let (fake, first, others, _) = probe_pairs(3, 2, Answer::Says(0));
    let mut cards: Vec<VirtioNet> = others.into_iter().map(open).collect();
    cards.insert(0, first);
    for (index, card) in cards.iter_mut().enumerate() {
        let (receive, transmit) = (2 * index, 2 * index + 1);
        let frame = bytes(100 + index);
        assert!(fake.send_merged(receive, header(0), &frame, None));
        assert_eq!(card.receive().expect("it was sent").bytes(), frame);
        let mut answer = card.allocate().expect("room");
        answer.set_len(60);
        card.transmit(answer);
        card.flush();
        let sent = fake.device.take(transmit).expect("on its own queue");
        assert_eq!(sent.readable.len(), 72);
        assert!(card.arm(std::task::Waker::noop()));
        assert!(card.link_up());
    }
}

#[test]
fn one_pair_is_left_if_the_device_does_not_switch() {
    for answer in [
        Answer::Says(1),
        Answer::Says(0xff),
        Answer::Nothing,
        Answer::UsesAnotherChain,
        Answer::Never,
    ] {
        let (fake, mut driver, others, asked) = probe_pairs(2, 1, answer);
        assert_eq!((others.len(), asked.len()), (0, 4), "{answer:?}");
        assert!(fake.send_merged(RECEIVE, header(0), &bytes(60), None));
        assert!(
            driver.receive().is_some(),
            "{answer:?}: the first pair works"
        );
    }
}

#[test]
fn nonsense_about_pairs_leaves_one() {
    for most in [0u16, 0x8000, u16::MAX] {
        let fake = FakeNet::with_pairs(PAIRED, 2, 256);
        fake.device.set_config(8, &most.to_le_bytes());
        let transport = fake.device.transport();
        let started = VirtioNet::probe_pairs(transport, CONFIG, &messages(3), &mut || false);
        assert!(started.expect("the card starts").1.is_empty(), "{most}");
    }
    // It names more pairs than it has queues.
    let fake = FakeNet::with_pairs(PAIRED, 2, 256);
    fake.device.set_config(8, &9u16.to_le_bytes());
    let transport = fake.device.transport();
    let started = VirtioNet::probe_pairs(transport, CONFIG, &messages(3), &mut || false);
    assert!(started.is_err());
}

#[test]
fn no_more_pairs_than_interrupts_or_features() {
    let fake = FakeNet::with_pairs(PAIRED, 4, 256);
    fake.device.set_messages(3);
    let transport = fake.device.transport();
    let started = VirtioNet::probe_pairs(transport, CONFIG, &messages(3), &mut || false);
    assert!(started.expect("the card starts").1.is_empty(), "no answer");
    let (_, _, others, _) = probe_pairs(4, 3, Answer::Says(0));
    assert_eq!(others.len(), 3);
    for missing in [CTRL_VQ, MQ] {
        let fake = FakeNet::with_pairs(PAIRED & !missing, 4, 256);
        let transport = fake.device.transport();
        let started = VirtioNet::probe_pairs(transport, CONFIG, &messages(3), &mut || false);
        assert!(started.expect("the card starts").1.is_empty());
    }
}

#[test]
fn control_queue_without_room_leaves_one_pair() {
    let fake = FakeNet::with_pairs(PAIRED, 2, 1);
    let transport = fake.device.transport();
    let started = VirtioNet::probe_pairs(transport, CONFIG, &messages(1), &mut || false);
    assert!(started.expect("the card starts").1.is_empty());
}

#[test]
fn random_liar_about_merged_packets_never_harms_the_driver() {
    let mut random = Random::new(7);
    let (mut given_up, mut received) = (0, 0);
    for _ in 0..400 {
        let (fake, mut driver) = card(VERSION_1 | EVENT_IDX | MAC | MERGING);
        for _ in 0..20 {
            let len = 14 + random.index(9_000);
            let claimed = match random.below(8) {
                0 => Some(random.next_u16() % 8),
                _ => None,
            };
            let kind = [0, 1, 4, random.next_u8()][random.index(4)];
            fake.send_merged(RECEIVE, header(kind), &vec![0x45; len], claimed);
            while let Some(frame) = driver.receive() {
                assert!(frame.bytes().len() >= 14);
                driver.recycle(frame);
            }
            driver.flush();
        }
        given_up += u32::from(driver.error().is_some());
        received += driver.stats().rx_frames;
    }
    assert!(given_up > 50, "the lies bite: {given_up}");
    assert!(
        received > 2_000,
        "and work goes on between them: {received}"
    );
}
