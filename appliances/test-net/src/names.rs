//! Names and their addresses. The host knows some, and plays tricks with others.

use core::net::IpAddr;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use alloc::vec::Vec;

use toro::net::{ConnectToError, LookupError, TcpStream, looked_up, lookup};
use toro::task;

use crate::peer::{HOST, PATIENCE, address};

/// Asks until the servers have answered: their datagrams may be late on a busy host.
fn check(name: &str, expected: Result<IpAddr, LookupError>) {
    let mut found = lookup(name);
    for _ in 0..3 {
        if found == Err(LookupError::TimedOut) {
            found = lookup(name);
        }
    }
    let first = found.map(|addresses| addresses[0]);
    assert_eq!(first, expected, "{name}");
}

pub(crate) fn a_name_has_the_address_that_its_server_knows() {
    check("host.test", Ok(HOST.into()));
    check("HOST.test.", Ok(HOST.into()));
    check("10.0.2.2", Ok(HOST.into()));
    check("given.test", Ok(HOST.into()));
}

pub(crate) fn a_name_that_is_remembered_is_not_asked_for_again() {
    check("host.test", Ok(HOST.into()));
    let mut found = pin!(looked_up("host.test"));
    let at_once = found.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(at_once, Poll::Ready(Ok([HOST.into()].to_vec())));
}

pub(crate) fn a_name_leads_to_another() {
    check("alias.test", Ok(HOST.into()));
    check("ring.test", Err(LookupError::Failed));
}

pub(crate) fn a_name_that_is_not_there_is_not_found() {
    check("nobody.test", Err(LookupError::NotFound));
    check("empty.test", Err(LookupError::NotFound));
    check("broken.test", Err(LookupError::Failed));
    check("no name", Err(LookupError::BadName));
}

pub(crate) fn an_answer_that_was_cut_is_asked_for_by_connection() {
    check("cut.test", Ok(HOST.into()));
}

pub(crate) fn nobody_else_is_believed() {
    check("guessed.test", Ok(HOST.into()));
    check("poisoned.test", Ok(HOST.into()));
    check("host.test", Ok(HOST.into()));
}

pub(crate) fn tasks_look_up_at_once() {
    let names = ["host.test", "alias.test", "cut.test", "guessed.test"];
    let tasks: Vec<_> = names
        .iter()
        .map(|name| task::spawn(task::timeout(PATIENCE, looked_up(name))))
        .collect();
    for task in tasks {
        let found = task.join().expect("the task has not panicked");
        let found = found.expect("in time").expect("the name is known");
        assert_eq!(found, [IpAddr::from(HOST)]);
    }
}

pub(crate) fn a_connection_is_made_to_a_name() {
    let port = address("echo").port();
    let stream = TcpStream::connect_to("host.test", port, PATIENCE).expect("the peer listens");
    assert_eq!(stream.peer_addr(), address("echo"));
    let nobody = TcpStream::connect_to("nobody.test", port, PATIENCE);
    let nobody = nobody.expect_err("there is nobody");
    assert_eq!(nobody, ConnectToError::Lookup(LookupError::NotFound));
}
