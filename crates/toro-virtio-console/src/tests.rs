//! The console on a fake device: ports, data, sessions, small queues, lies.

extern crate std;

use core::task::Waker;
use std::vec;
use std::vec::Vec;

use toro_dev::console::{ConsoleDevice, ConsoleError, Read};
use toro_fake::{CountingWaker, FakeDevice, Lies, Random};
use toro_virtio::feature::{EVENT_IDX, VERSION_1};
use toro_virtio::transport::status;
use toro_virtio::{DeviceError, DeviceType, NegotiateError, SetQueueError};

use crate::control::event;
use crate::{Config, ProbeError, VirtioConsole};

const MULTIPORT: u64 = 1 << 1;
const FEATURES: u64 = VERSION_1 | EVENT_IDX | MULTIPORT;
/// Queues of the device.
const TO_US: usize = 2;
const TO_HOST: usize = 3;

fn fake(features: u64, ports: u32, size: u32) -> FakeDevice {
    let queues = 2 * ports as usize + 2;
    let fake = FakeDevice::new(DeviceType::CONSOLE, features, queues, size);
    fake.set_config(4, &ports.to_le_bytes());
    fake
}

fn console(ports: u32, size: u32) -> (FakeDevice, VirtioConsole) {
    let fake = fake(FEATURES, ports, size);
    let driver = VirtioConsole::probe(fake.transport(), Config::default()).expect("it starts");
    (fake, driver)
}

/// Has the device say something.
fn say(fake: &FakeDevice, port: u32, event: u16, value: u16, rest: &[u8]) {
    let mut bytes = Vec::from(port.to_le_bytes());
    bytes.extend(event.to_le_bytes());
    bytes.extend(value.to_le_bytes());
    bytes.extend(rest);
    let request = fake.take(TO_US).expect("room for a message");
    fake.complete(TO_US, &request, &bytes);
}

/// What the driver has said.
fn heard(fake: &FakeDevice) -> Vec<(u32, u16, u16)> {
    let mut heard = Vec::new();
    while let Some(request) = fake.take(TO_HOST) {
        let [a, b, c, d, e, f, g, h] = request.readable[..] else {
            panic!("a message is a header")
        };
        heard.push((
            u32::from_le_bytes([a, b, c, d]),
            u16::from_le_bytes([e, f]),
            u16::from_le_bytes([g, h]),
        ));
        fake.complete(TO_HOST, &request, &[]);
    }
    heard
}

/// A console with port 1 called `name`, open at both ends.
fn with_port(size: u32) -> (FakeDevice, VirtioConsole) {
    let (fake, mut driver) = console(2, size);
    for (event, rest) in [
        (event::PORT_ADD, &b""[..]),
        (event::PORT_NAME, b"name\0"),
        (event::PORT_OPEN, b""),
    ] {
        say(&fake, 1, event, 1, rest);
        driver.turn();
    }
    driver.open(1).expect("it is there");
    driver.turn();
    (fake, driver)
}

/// Has the host send bytes to port 1, as far as there is room.
fn send(fake: &FakeDevice, bytes: &[u8]) -> bool {
    let request = fake.take(4);
    request.is_some_and(|request| {
        fake.complete(4, &request, bytes);
        true
    })
}

#[test]
fn ports_come_and_go_by_messages() {
    let (fake, mut driver) = console(3, 16);
    assert_eq!(driver.ports(), 3);
    assert_eq!(heard(&fake), [(0, event::DEVICE_READY, 1)]);
    assert!(driver.port(1).is_none());
    assert_eq!(driver.open(1), Err(ConsoleError::NoSuchPort));
    say(&fake, 1, event::PORT_ADD, 1, b"");
    say(&fake, 1, event::PORT_NAME, 1, b"org.example.1");
    assert!(driver.turn());
    assert_eq!(heard(&fake), [(1, event::PORT_READY, 1)]);
    let port = driver.port(1).expect("it has come");
    assert_eq!((port.name, port.is_host_open), ("org.example.1", false));
    driver.open(1).expect("it is there");
    driver.open(1).expect("it is open");
    driver.turn();
    assert_eq!(heard(&fake), [(1, event::PORT_OPEN, 1)]);
    assert_eq!(driver.write(1, b"x"), Err(ConsoleError::Closed));
    driver.close(1);
    driver.close(1);
    driver.turn();
    assert_eq!(heard(&fake), [(1, event::PORT_OPEN, 0)]);
    say(&fake, 1, event::PORT_REMOVE, 1, b"");
    driver.turn();
    assert!(driver.port(1).is_none());
    assert_eq!(driver.read(1, &mut [0]), Err(ConsoleError::NoSuchPort));
    say(&fake, 1, event::PORT_ADD, 1, b"");
    driver.turn();
    let port = driver.port(1).expect("another");
    assert_eq!((port.name, port.generation), ("", 1));
}

#[test]
fn there_is_room_for_an_answer_before_anything_is_asked() {
    let fake = fake(FEATURES, 2, 64);
    let device = fake.clone();
    // QEMU answers at the doorbell, and drops what finds no buffer.
    fake.on_notification(move |queue| {
        if usize::from(queue) == TO_HOST {
            while let Some(request) = device.take(TO_HOST) {
                device.complete(TO_HOST, &request, &[]);
                say(&device, 1, event::PORT_ADD, 1, b"");
            }
        }
    });
    let mut driver = VirtioConsole::probe(fake.transport(), Config::default()).expect("it starts");
    driver.turn();
    assert!(driver.port(1).is_some());
    fake.on_notification(|_| {});
}

#[test]
fn bytes_go_both_ways_in_order() {
    for size in [1, 2, 4, 16] {
        let (fake, mut driver) = with_port(size);
        let mut random = Random::new(u64::from(size));
        let (mut sent, mut read): (Vec<u8>, Vec<u8>) = Default::default();
        let (mut written, mut arrived): (Vec<u8>, Vec<u8>) = Default::default();
        for _ in 0..500 {
            let len = random.index(5000);
            let bytes: Vec<u8> = (0..len).map(|_| random.next_u8()).collect();
            if len > 0 && send(&fake, &bytes[..len.min(4096)]) {
                sent.extend(&bytes[..len.min(4096)]);
            }
            let accepted = driver.write(1, &bytes).expect("the host listens");
            written.extend(&bytes[..accepted]);
            driver.turn();
            if random.below(2) == 0 {
                while let Some(request) = fake.take(5) {
                    arrived.extend(&request.readable);
                    fake.complete(5, &request, &[]);
                }
            }
            let mut part = vec![0; random.index(9000)];
            if let Read::Bytes(len) = driver.read(1, &mut part).expect("it is open") {
                read.extend(&part[..len]);
            }
        }
        while let Some(request) = fake.take(5) {
            arrived.extend(&request.readable);
            fake.complete(5, &request, &[]);
        }
        driver.turn();
        let mut part = [0; 4096];
        while let Ok(Read::Bytes(len)) = driver.read(1, &mut part) {
            read.extend(&part[..len]);
        }
        assert!(sent.len() > 1 << 16 && sent == read, "to us, {size}");
        assert!(written.len() > 1 << 16 && written == arrived, "to the host");
    }
}

#[test]
fn a_port_that_nobody_opens_has_no_buffers() {
    let (fake, mut driver) = console(2, 16);
    say(&fake, 1, event::PORT_ADD, 1, b"");
    driver.turn();
    assert!(!send(&fake, b"early"));
    driver.open(1).expect("it is there");
    driver.turn();
    assert!(send(&fake, b"in time"));
}

#[test]
fn an_end_is_told_once_behind_the_data() {
    let (fake, mut driver) = with_port(16);
    let mut bytes = [0; 8];
    assert_eq!(driver.read(1, &mut bytes), Ok(Read::Nothing));
    send(&fake, b"last");
    say(&fake, 1, event::PORT_OPEN, 0, b"");
    driver.turn();
    assert_eq!(driver.read(1, &mut bytes), Ok(Read::Bytes(4)));
    assert_eq!(driver.read(1, &mut bytes), Ok(Read::End));
    assert_eq!(driver.read(1, &mut bytes), Ok(Read::Nothing));
    assert_eq!(driver.write(1, b"x"), Err(ConsoleError::Closed));
    say(&fake, 1, event::PORT_OPEN, 1, b"");
    driver.turn();
    assert_eq!(driver.write(1, b"x"), Ok(1));
    assert_eq!(driver.read(1, &mut bytes), Ok(Read::Nothing));
}

#[test]
fn the_log_waits_for_its_port_and_loses_what_does_not_fit() {
    let (fake, mut driver) = console(1, 4);
    let mut log = driver.take_log().expect("once");
    assert!(driver.take_log().is_none());
    log.write(b"one\ntw");
    assert_eq!(fake.waiting(1), 0, "nobody is there");
    say(&fake, 0, event::PORT_ADD, 1, b"");
    say(&fake, 0, event::PORT_OPEN, 1, b"");
    driver.turn();
    let opened = [
        (0, event::DEVICE_READY, 1),
        (0, event::PORT_READY, 1),
        (0, event::PORT_OPEN, 1),
    ];
    assert_eq!(heard(&fake), opened);
    log.write(b"o\n");
    let line = || {
        let request = fake.take(1)?;
        fake.complete(1, &request, &[]);
        Some(request.readable)
    };
    assert_eq!(line().as_deref(), Some(&b"one\n"[..]));
    assert_eq!(line().as_deref(), Some(&b"two\n"[..]));
    assert_eq!(line(), None);
    log.write(&[b'x'; 5000]);
    let mut len = 0;
    while let Some(line) = line() {
        len += line.len();
    }
    assert_eq!(len, 4 * 256);
    assert_eq!(driver.write(0, b"x"), Err(ConsoleError::LogOnly));
    drop(driver);
    log.write(b"the device is gone\n");
}

#[test]
fn a_plain_console_is_open_at_once() {
    let fake = fake(VERSION_1, 1, 16);
    let mut driver = VirtioConsole::probe(fake.transport(), Config::default()).expect("it starts");
    let mut log = driver.take_log().expect("once");
    log.write(b"hello\n");
    assert_eq!(fake.take(1).expect("a line").readable, b"hello\n");
    assert!(driver.port(0).expect("it is there").is_host_open);
    driver.open(0).expect("it is there");
    driver.turn();
    let request = fake.take(0).expect("room");
    fake.complete(0, &request, b"typed");
    driver.turn();
    let mut bytes = [0; 8];
    assert_eq!(driver.read(0, &mut bytes), Ok(Read::Bytes(5)));
}

#[test]
fn unsuitable_devices_are_refused() {
    let probe = |fake: &FakeDevice| {
        VirtioConsole::probe(fake.transport(), Config::default()).expect_err("unsuitable")
    };
    let disk = FakeDevice::new(DeviceType::BLOCK, VERSION_1, 1, 8);
    assert_eq!(
        probe(&disk),
        ProbeError::OtherDevice {
            found: DeviceType::BLOCK,
            wanted: DeviceType::CONSOLE
        }
    );
    let legacy = fake(MULTIPORT, 1, 8);
    let missing = ProbeError::Negotiate(NegotiateError::Missing(VERSION_1));
    assert_eq!(probe(&legacy), missing);
    let blind = fake(FEATURES, 1, 8);
    blind.lie(Lies {
        no_config: true,
        ..Lies::default()
    });
    assert_eq!(probe(&blind), ProbeError::Config);
    let short = fake(FEATURES, 2, 8);
    short.set_config(4, &[0xff; 4]);
    let no_queue = ProbeError::Queue(SetQueueError::NoSuchQueue(6));
    assert_eq!(probe(&short), no_queue);
    assert_ne!(short.status() & status::FAILED, 0);
}

#[test]
fn messages_without_sense_are_passed_over() {
    let (fake, mut driver) = console(2, 16);
    say(&fake, 1, event::PORT_ADD, 1, b"");
    say(&fake, 2, event::PORT_ADD, 1, b"");
    say(&fake, u32::MAX, event::PORT_NAME, 1, b"x");
    say(&fake, 0, event::PORT_NAME, 1, b"early");
    say(&fake, 1, 77, 1, b"x");
    say(&fake, 1, event::PORT_NAME, 1, b"\xff\xfe");
    say(&fake, 1, event::PORT_NAME, 1, b"a\x1b[2J");
    say(&fake, 1, event::PORT_NAME, 1, &[b'n'; 65]);
    for len in 0..8 {
        let request = fake.take(TO_US).expect("room");
        fake.complete(TO_US, &request, &[0xff; 8][..len]);
    }
    driver.turn();
    assert_eq!(driver.error(), None);
    assert!(driver.port(0).is_none());
    assert_eq!(driver.port(1).expect("it is there").name, "");
}

#[test]
fn a_device_that_asks_and_does_not_listen_is_given_up() {
    let (fake, mut driver) = console(2, 16);
    for _ in 0..200 {
        if driver.error().is_none() {
            say(&fake, 1, event::PORT_ADD, 1, b"");
            say(&fake, 1, event::PORT_REMOVE, 1, b"");
        }
        driver.turn();
    }
    assert_eq!(driver.error(), Some(DeviceError::Reset));
    assert_eq!(driver.open(1), Err(ConsoleError::Failed));
    assert!(driver.arm(Waker::noop()), "there is nothing to wait for");
}

#[test]
fn interrupts_wake_who_has_armed() {
    let (fake, mut driver) = with_port(16);
    heard(&fake);
    driver.turn();
    let (counter, waker) = CountingWaker::new();
    assert!(driver.arm(&waker));
    send(&fake, b"x");
    assert_eq!(counter.count(), 1);
    assert!(!driver.arm(&waker), "there is news");
    driver.turn();
    assert!(driver.arm(&waker));
    fake.raise_status(status::NEEDS_RESET);
    fake.announce_config();
    assert!(!driver.arm(&waker));
    assert_eq!(driver.error(), Some(DeviceError::Reset));
}

#[test]
fn liars_are_given_up() {
    for queue in [TO_US, TO_HOST, 4, 5] {
        let (fake, mut driver) = with_port(16);
        driver.write(1, b"x").expect("the host listens");
        driver.turn();
        fake.put_used(queue, 77, 1);
        assert!(driver.turn(), "whoever waits must learn of it");
        assert_eq!(driver.error(), Some(DeviceError::NotOutstanding(77)));
        assert_eq!(driver.read(1, &mut [0]), Err(ConsoleError::Failed));
        assert_eq!(driver.write(1, b"x"), Err(ConsoleError::Failed));
        assert!(driver.port(1).is_none());
        assert_ne!(fake.status() & status::FAILED, 0);
    }
}

#[test]
fn nothing_that_a_device_does_breaks_the_driver() {
    let mut random = Random::new(5);
    let mut life = None;
    for _ in 0..toro_fake::steps(100_000) {
        let (fake, driver, log) = life.get_or_insert_with(|| {
            let (fake, mut driver) = console(3, [1, 4, 16][random.index(3)]);
            let log = driver.take_log().expect("once");
            (fake, driver, log)
        });
        let (number, queue) = (random.index(4), random.index(8));
        let mut bytes = vec![random.next_u8(); random.index(6000)];
        match random.below(16) {
            0..=2 => {
                driver.turn();
            }
            3 => drop(driver.open(number)),
            4 => driver.close(number),
            5 | 6 => drop(driver.read(number, &mut bytes)),
            7 => drop(driver.write(number, &bytes)),
            8 => log.write(&bytes[..bytes.len().min(300)]),
            9 | 10 => {
                if let Some(request) = fake.take(TO_US) {
                    let mut message = vec![random.next_u8() % 4, 0, 0, 0];
                    message.extend([random.next_u8() % 9, 0, random.next_u8() % 2, 0]);
                    message.extend(&bytes[..bytes.len().min(random.index(80))]);
                    let len = message.len() - random.index(2);
                    fake.complete(TO_US, &request, &message[..len]);
                }
            }
            11 | 12 => {
                if let Some(request) = fake.take(queue) {
                    fake.complete(queue, &request, &bytes);
                }
            }
            13 => drop(driver.arm(Waker::noop())),
            14 if random.below(64) == 0 => match random.below(3) {
                0 => fake.set_used_index(queue, random.next_u16()),
                1 => fake.announce_config(),
                _ => fake.put_used(
                    queue,
                    random.next_u32() >> random.below(32),
                    random.below(5000),
                ),
            },
            15 if random.below(128) == 0 => life = None,
            _ => {}
        }
    }
}
