//! Tests console ports on a machine: the host sends what it is asked for, expects it back, and closes the port.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::vec;

use toro::console::{ConsoleError, OpenError, Port};
use toro::{devices, thread};
use toro_abi::session::PortSession;

toro::main!(main);

fn main() {
    toro_test::run(toro_test::cases![
        a_port_that_is_not_there_is_not_opened,
        a_port_has_one_handle,
        nobody_listens_before_the_host_does,
        a_mebibyte_is_echoed,
        two_ports_work_at_once,
        the_host_closes_a_port_and_opens_it_again,
        a_port_can_be_opened_again,
    ]);
}

/// Runs `body` on the core that owns the console.
fn on_its_core(body: impl FnOnce() + Send + 'static) {
    let core = devices::owner_of("console0").expect("the machine has a console");
    let builder = thread::Builder::new().name("ports").stack_size(64 << 10);
    let handle = builder.spawn_on(core, body).expect("a thread");
    handle.join().expect("the body has returned");
}

fn port(name: &str) -> Port {
    Port::open(name).expect("the machine has the port")
}

/// Asks the host for a session, and plays it to its end.
fn echo(port: &Port, name: &str, len: usize) {
    toro::println!("{}", PortSession { name, len });
    let mut bytes = vec![0; 16 << 10];
    let mut left = len;
    while left > 0 {
        let read = port.read(&mut bytes).expect("the port is there");
        assert!(read > 0 && read <= left, "{read} bytes of {left}");
        port.write_all(&bytes[..read]).expect("the host listens");
        left -= read;
    }
    assert_eq!(port.read(&mut bytes), Ok(0));
}

fn a_port_that_is_not_there_is_not_opened() {
    on_its_core(|| {
        let error = Port::open("nowhere").expect_err("there is none");
        assert_eq!(error, OpenError::NoSuchPort);
    });
}

fn a_port_has_one_handle() {
    on_its_core(|| {
        let first = port("echo");
        assert_eq!(Port::open("echo").expect_err("taken"), OpenError::InUse);
        drop(first);
        port("echo");
    });
}

fn nobody_listens_before_the_host_does() {
    on_its_core(|| {
        let port = port("echo");
        assert_eq!(port.write(b"early"), Err(ConsoleError::Closed));
    });
}

fn a_mebibyte_is_echoed() {
    on_its_core(|| echo(&port("echo"), "echo", 1 << 20));
}

fn two_ports_work_at_once() {
    on_its_core(|| {
        let other = thread::spawn("other", || echo(&port("other"), "other", 256 << 10));
        echo(&port("echo"), "echo", 256 << 10);
        other.join().expect("it was echoed");
    });
}

fn the_host_closes_a_port_and_opens_it_again() {
    on_its_core(|| {
        let port = port("echo");
        for len in [1, 1000, 5000, 70_000, 1] {
            echo(&port, "echo", len);
        }
    });
}

fn a_port_can_be_opened_again() {
    on_its_core(|| {
        for _ in 0..5 {
            echo(&port("other"), "other", 3000);
        }
    });
}
