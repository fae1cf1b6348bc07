//! The driver on a fake device that works, or lies.

extern crate std;

use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;

use toro_dev::socket::{HEADER, Header, Op, STREAM, SocketDevice as _, VsockAddr};
use toro_fake::{CountingWaker, FakeDevice, FakeVsock, Lies};
use toro_virtio::transport::status;
use toro_virtio::{DeviceType, NegotiateError};

use crate::probe::NO_CID;
use crate::{Config, ProbeError, VirtioVsock};

const CONFIG: Config = Config {
    packets: 4,
    packet_len: 1024,
};

fn start() -> (FakeVsock, VirtioVsock) {
    let fake = FakeVsock::new(3, 8);
    let driver = VirtioVsock::probe(fake.device.transport(), CONFIG).expect("it starts");
    (fake, driver)
}

fn header(len: usize) -> Header {
    Header {
        src: VsockAddr::host(7),
        dst: VsockAddr { cid: 3, port: 9 },
        len: u32::try_from(len).expect("short"),
        kind: STREAM,
        op: Op::Data,
        flags: 0,
        buf_alloc: 1,
        fwd_cnt: 2,
    }
}

fn packet(payload: &[u8]) -> Vec<u8> {
    [&header(payload.len()).to_bytes()[..], payload].concat()
}

#[test]
fn packets_come_and_go() {
    let (fake, mut driver) = start();
    assert_eq!((driver.cid(), driver.payload()), (3, 1024 - HEADER));
    for round in 0..20 {
        assert!(fake.send(&packet(&[round; 100])));
        let (got, packet) = driver.receive().expect("a packet");
        assert_eq!((got, packet.payload()), (header(100), &[round; 100][..]));
        driver.recycle(packet);
        let mut answer = driver.allocate().expect("free");
        assert_eq!(answer.append(&[round; 2000]), 1024 - HEADER);
        driver.transmit(&header(0), answer);
        driver.flush();
        let sent = fake.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(Header::parse(&sent[0]), Ok(header(1024 - HEADER)));
        assert_eq!(sent[0][HEADER..], [round; 1024 - HEADER]);
    }
    assert!(driver.receive().is_none());
}

#[test]
fn no_more_packets_are_out_than_there_are() {
    let (fake, mut driver) = start();
    for _ in 0..4 {
        let packet = driver.allocate().expect("free");
        driver.transmit(&header(0), packet);
    }
    driver.flush();
    assert!(driver.allocate().is_none());
    assert_eq!(driver.outstanding(), 4);
    let (counter, waker) = CountingWaker::new();
    assert!(driver.arm(&waker));
    assert_eq!(fake.sent().len(), 4);
    assert_eq!(counter.count(), 1);
    assert_eq!(driver.outstanding(), 0);
    assert!(driver.allocate().is_some());
}

#[test]
fn what_is_no_packet_is_dropped_and_counted() {
    let (fake, mut driver) = start();
    let whole = packet(b"hello");
    let mut wrong_op = whole.clone();
    wrong_op[30] = 99;
    for bytes in [&[][..], &whole[..20], &whole[..44], &whole[..47], &wrong_op] {
        assert!(fake.send(bytes));
        assert!(driver.receive().is_none());
        driver.flush();
    }
    assert_eq!(driver.malformed(), 5);
    assert!(fake.send(&whole));
    assert!(driver.receive().is_some());
}

#[test]
fn nothing_of_an_old_packet_is_left_for_a_lazy_device() {
    let (fake, mut driver) = start();
    for _ in 0..4 {
        assert!(fake.send(&packet(&[])));
        let (_, packet) = driver.receive().expect("a packet");
        driver.recycle(packet);
    }
    driver.flush();
    // It claims to have written a header, and has not.
    let request = fake.device.take(0).expect("a buffer");
    fake.device.put_used(0, u32::from(request.head), 44);
    let (header, _) = driver.receive().expect("a header of zeroes");
    assert_eq!((header.op, header.dst.cid), (Op::Nothing, 0));
}

#[test]
fn a_lost_transport_is_told_once_and_the_context_id_read_again() {
    let (fake, mut driver) = start();
    assert!(!driver.take_loss());
    fake.set_cid(77);
    assert!(fake.tell(5));
    assert!(!driver.take_loss());
    let (_, waker) = CountingWaker::new();
    assert!(fake.tell(0));
    assert!(!driver.arm(&waker) || driver.take_loss());
    assert!(fake.tell(0));
    assert!(driver.take_loss());
    assert!(!driver.take_loss());
    assert_eq!(driver.cid(), 77);
    // A context id that nobody can have is not taken.
    fake.set_cid(2);
    assert!(fake.tell(0));
    assert!(driver.take_loss());
    assert_eq!(driver.cid(), 77);
}

/// Gives the device a lie to tell, and sees that it is given up and comes back. `look` may be told of the loss itself.
fn check_lie(lie: impl Fn(&FakeDevice), look: impl Fn(&mut VirtioVsock) -> bool) {
    let (fake, mut driver) = start();
    let packet = driver.allocate().expect("free");
    driver.transmit(&header(0), packet);
    driver.flush();
    lie(&fake.device);
    let is_told = look(&mut driver);
    assert!(driver.is_failed());
    assert!(is_told || driver.take_loss());
    assert!(driver.receive().is_none() && driver.allocate().is_none());
    assert!(driver.arm(Waker::noop()));
    assert!(driver.revive());
    assert!(!driver.is_failed());
    driver.take_loss();
    let packet = driver.allocate().expect("free");
    driver.transmit(&header(0), packet);
    driver.flush();
    assert_eq!(fake.sent().len(), 1);
}

#[test]
fn a_device_that_lies_is_given_up_and_can_be_started_anew() {
    let receive = |driver: &mut VirtioVsock| driver.receive().is_some();
    check_lie(|device| device.put_used(0, 99, 44), receive);
    check_lie(|device| device.put_used(0, 0, 1025), receive);
    check_lie(|device| device.set_used_index(0, 5), receive);
    let send = |driver: &mut VirtioVsock| driver.outstanding() != 0;
    check_lie(|device| device.put_used(1, 3, 0), send);
    check_lie(|device| device.put_used(1, 0, 1), send);
    check_lie(|device| device.set_used_index(1, 2), send);
    let hear = |driver: &mut VirtioVsock| driver.take_loss();
    check_lie(|device| device.put_used(2, 0, 5), hear);
    let needs_reset = |device: &FakeDevice| {
        device.raise_status(status::NEEDS_RESET);
        device.announce_config();
    };
    let arm = |driver: &mut VirtioVsock| driver.arm(Waker::noop());
    check_lie(needs_reset, arm);
}

#[test]
fn a_device_that_does_not_start_is_refused() {
    let fake = FakeVsock::new(3, 8);
    let probe = |fake: &FakeVsock| VirtioVsock::probe(fake.device.transport(), CONFIG);
    for cid in [0, 1, 2, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        fake.set_cid(cid);
        assert_eq!(probe(&fake).expect_err("no context id"), NO_CID);
        assert_ne!(fake.device.status() & status::FAILED, 0);
    }
    let lies = |lies: Lies| {
        let fake = FakeVsock::new(3, 8);
        fake.device.lie(lies);
        probe(&fake).expect_err("it lies")
    };
    let no_config = Lies {
        no_config: true,
        ..Lies::default()
    };
    let restless = Lies {
        restless_config: true,
        ..Lies::default()
    };
    let stuck = Lies {
        ignores_reset: true,
        ..Lies::default()
    };
    assert_eq!(lies(no_config), NO_CID);
    assert_eq!(lies(restless), NO_CID);
    let disk = FakeDevice::new(DeviceType::BLOCK, FakeVsock::FEATURES, 3, 8);
    let error = VirtioVsock::probe(disk.transport(), CONFIG).expect_err("a disk");
    assert_eq!(
        error,
        ProbeError::OtherDevice {
            found: DeviceType::BLOCK,
            wanted: DeviceType::SOCKET
        }
    );
    let fake = FakeVsock::new(3, 8);
    let driver = probe(&fake);
    fake.device.lie(stuck);
    // What the device may still write to is leaked.
    drop(driver);
    let error = probe(&fake).expect_err("no reset");
    assert_eq!(error, ProbeError::Negotiate(NegotiateError::NoReset));
}

#[test]
fn random_bytes_in_all_queues_do_no_harm() {
    let mut random = toro_fake::Random::new(44);
    for _ in 0..toro_fake::steps(40_000) / 200 {
        let (fake, mut driver) = start();
        for _ in 0..200 {
            match random.below(8) {
                0 => drop(
                    driver
                        .allocate()
                        .map(|packet| driver.transmit(&header(0), packet)),
                ),
                1 => {
                    let bytes: Vec<u8> =
                        (0..random.index(1100)).map(|_| random.next_u8()).collect();
                    fake.send(&bytes);
                }
                2 => drop(fake.sent()),
                3 => drop(fake.tell(random.below(2))),
                4 if random.below(50) == 0 => {
                    let queue = random.index(3);
                    fake.device
                        .put_used(queue, random.below(8), random.below(2000));
                }
                5 if random.below(50) == 0 => drop(driver.revive()),
                6 => drop(driver.arm(Waker::noop())),
                _ => {
                    if let Some((_, packet)) = driver.receive() {
                        driver.recycle(packet);
                    }
                    driver.take_loss();
                }
            }
            driver.flush();
        }
        drop(vec![driver.outstanding()]);
    }
}
