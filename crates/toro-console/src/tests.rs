//! Ports over the real driver on a fake device.

extern crate std;

use alloc::boxed::Box;
use core::task::{Poll, Waker};

use toro_dev::console::ConsoleError;
use toro_fake::{CountingWaker, FakeDevice};
use toro_virtio::DeviceType;
use toro_virtio::feature::VERSION_1;
use toro_virtio_console::{Config, VirtioConsole};

use crate::console::Console;
use crate::port::{OpenError, Port};

/// Has the device say something about port 1 (VIRTIO 1.3, 5.3.6.2).
fn say(fake: &FakeDevice, event: u8, value: u8, rest: &[u8]) {
    let mut bytes = alloc::vec![1, 0, 0, 0, event, 0, value, 0];
    bytes.extend(rest);
    let request = fake.take(2).expect("room");
    fake.complete(2, &request, &bytes);
}

fn console() -> (FakeDevice, Console) {
    let fake = FakeDevice::new(DeviceType::CONSOLE, VERSION_1 | 1 << 1, 6, 16);
    fake.set_config(4, &[2]);
    let driver = VirtioConsole::probe(fake.transport(), Config::default()).expect("it starts");
    (fake, Console::new(Box::new(driver)))
}

#[test]
fn a_port_is_found_by_its_name_once_it_has_come() {
    let (fake, console) = console();
    let (counter, waker) = CountingWaker::new();
    assert!(Port::find(&console, "name", &waker).is_none());
    say(&fake, 1, 1, b"");
    say(&fake, 7, 1, b"name");
    console.turn(Waker::noop());
    assert_eq!(counter.count(), 1);
    let port = Port::find(&console, "name", &waker).expect("it has come");
    let port = port.expect("it is free");
    let second = Port::find(&console, "name", &waker).expect("it is there");
    assert_eq!(second.expect_err("taken"), OpenError::InUse);
    drop(port);
    assert!(Port::find(&console, "name", &waker).is_some_and(|port| port.is_ok()));
}

#[test]
fn readers_and_writers_are_woken() {
    let (fake, console) = console();
    say(&fake, 1, 1, b"");
    say(&fake, 7, 1, b"name");
    say(&fake, 6, 1, b"");
    console.turn(Waker::noop());
    let (counter, waker) = CountingWaker::new();
    let port = Port::find(&console, "name", &waker).expect("there");
    let port = port.expect("free");
    console.turn(Waker::noop());
    let mut bytes = [0; 8];
    assert_eq!(port.poll_read(&mut bytes, &waker), Poll::Pending);
    let request = fake.take(4).expect("room");
    fake.complete(4, &request, b"hello");
    console.turn(Waker::noop());
    assert_eq!(counter.count(), 1);
    assert_eq!(port.poll_read(&mut bytes, &waker), Poll::Ready(Ok(5)));
    let mut written = 0;
    while let Poll::Ready(Ok(len)) = port.poll_write(&[7; 4096], &waker) {
        written += len;
    }
    assert_eq!(written, 16 * 4096);
    console.turn(Waker::noop());
    let request = fake.take(5).expect("data");
    fake.complete(5, &request, &[]);
    console.turn(Waker::noop());
    assert_eq!(counter.count(), 2);
    assert_eq!(port.poll_write(b"x", &waker), Poll::Ready(Ok(1)));
    say(&fake, 2, 1, b"");
    console.turn(Waker::noop());
    let gone = Poll::Ready(Err(ConsoleError::NoSuchPort));
    assert_eq!(port.poll_read(&mut bytes, &waker), gone);
}
