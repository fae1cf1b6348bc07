//! Messages in flight, over the virtio driver on a fake device: order, room, silence, lies.

use std::boxed::Box;
use std::rc::Rc;
use std::vec::Vec;

use core::task::{Poll, Waker};

use toro_dev::fuse::{FuseError, Message};
use toro_fake::{CountingWaker, FakeDevice};
use toro_mem::DmaBuf;
use toro_virtio::DeviceType;
use toro_virtio::feature::VERSION_1;
use toro_virtio_fs::{Config, VirtioFs};

use crate::engine::{Call, Engine, Outcome, Submitted};

const REQUESTS: usize = 1;

fn engine(queue: u32) -> (FakeDevice, Engine) {
    let device = FakeDevice::new(DeviceType::FILE_SYSTEM, VERSION_1 | 1 << 28, 2, queue);
    device.set_config(0, b"www");
    device.set_config(36, &1u32.to_le_bytes());
    let driver = VirtioFs::probe(device.transport(), Config::default()).expect("it starts");
    (device, Engine::new(Box::new(driver)))
}

fn message(byte: u8) -> Message {
    let mut sent = DmaBuf::try_new(40).expect("memory");
    sent.fill(byte);
    let answer = Some((DmaBuf::try_new(64).expect("memory"), 64));
    Message {
        sent,
        len: 40,
        answer,
    }
}

fn send(engine: &mut Engine, byte: u8) -> Rc<Call> {
    match engine.submit(message(byte), true) {
        Submitted::Call(call) => call,
        _ => panic!("there is room"),
    }
}

/// Answers the next message with its first byte.
fn serve(device: &FakeDevice) {
    let request = device.take(REQUESTS).expect("something was sent");
    device.complete(REQUESTS, &request, &request.readable[..1]);
}

/// A turn; says how many were woken.
fn turn(engine: &mut Engine) -> usize {
    let mut woken = Vec::new();
    engine.turn(Waker::noop(), &mut woken);
    woken.iter().for_each(Waker::wake_by_ref);
    woken.len()
}

/// The first byte of the answer, if there is one.
fn answer(call: &Call) -> Poll<Result<u8, FuseError>> {
    call.poll(Waker::noop()).map(|outcome: Outcome| {
        let (message, written) = outcome?;
        assert_eq!(written, 1);
        Ok(message.answer.expect("it is the same message").0[0])
    })
}

#[test]
fn each_answer_wakes_who_waits_for_it() {
    let (device, mut engine) = engine(16);
    let (counter, waker) = CountingWaker::new();
    let (first, second) = (send(&mut engine, 1), send(&mut engine, 2));
    assert_eq!(device.notifications(), 2, "it moves at once");
    assert!(second.poll(&waker).is_pending());
    serve(&device);
    assert_eq!(turn(&mut engine), 0);
    assert_eq!(counter.count(), 0);
    serve(&device);
    assert_eq!(turn(&mut engine), 1);
    assert_eq!(counter.count(), 1);
    assert_eq!(answer(&second), Poll::Ready(Ok(2)));
    assert_eq!(answer(&first), Poll::Ready(Ok(1)));
}

#[test]
fn an_answer_that_comes_too_late_harms_nobody() {
    let (device, mut engine) = engine(4);
    let late = send(&mut engine, 1);
    assert!(answer(&late).is_pending());
    engine.give_up(&late);
    assert!(engine.is_silent());
    let other = send(&mut engine, 2);
    serve(&device);
    serve(&device);
    turn(&mut engine);
    assert!(!engine.is_silent(), "it has answered");
    assert_eq!(answer(&other), Poll::Ready(Ok(2)));
    // Its place is used again.
    let next = send(&mut engine, 3);
    engine.give_up(&late);
    serve(&device);
    turn(&mut engine);
    assert_eq!(answer(&next), Poll::Ready(Ok(3)));
}

#[test]
fn who_finds_no_room_is_told_when_there_is_some_or_never_will_be() {
    let (device, mut engine) = engine(4);
    let calls: Vec<_> = (0..4).map(|byte| send(&mut engine, byte)).collect();
    assert!(matches!(
        engine.submit(message(9), true),
        Submitted::Full(_)
    ));
    let (counter, waker) = CountingWaker::new();
    engine.await_room(&waker);
    engine.await_room(&waker);
    serve(&device);
    turn(&mut engine);
    assert_eq!(counter.count(), 1);
    send(&mut engine, 5);
    engine.await_room(&waker);
    let woken = engine.give_up(&calls[1]);
    assert_eq!(woken.len(), 1);
    let refused = engine.submit(message(9), true);
    assert!(matches!(refused, Submitted::Never(FuseError::TimedOut)));
}

#[test]
fn nobody_waits_for_a_device_that_is_given_up() {
    let (device, mut engine) = engine(16);
    let calls: Vec<_> = (0..5).map(|byte| send(&mut engine, byte)).collect();
    device.put_used(REQUESTS, 99, 0);
    turn(&mut engine);
    for call in calls {
        assert_eq!(answer(&call), Poll::Ready(Err(FuseError::Failed)));
    }
    let refused = engine.submit(message(9), true);
    assert!(matches!(refused, Submitted::Never(FuseError::Failed)));
}

#[test]
fn an_answer_that_nobody_waits_for_frees_its_room() {
    let (device, mut engine) = engine(4);
    for round in 0..50 {
        assert!(matches!(
            engine.submit(message(round), false),
            Submitted::Cast
        ));
        serve(&device);
        turn(&mut engine);
    }
}
