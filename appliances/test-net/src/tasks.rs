//! Connections and listeners of tasks, by the traits of `embedded-io-async`.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use embedded_io_async::{Read, Write};
use toro::net::{TcpListener, TcpStream};
use toro::task::{self, timeout};

use crate::peer::{CALLED, PATIENCE, address, text};

/// Writes all of `bytes` as a program does that knows only the traits.
async fn send(mut writer: impl Write, bytes: &[u8]) {
    writer.write_all(bytes).await.expect("the peer reads");
    writer.flush().await.expect("nothing is held back");
}

/// Reads as much as `buffer` holds.
async fn receive(mut reader: impl Read, buffer: &mut [u8]) {
    let read = reader.read_exact(buffer).await;
    read.expect("the peer answers");
}

/// Sends back what comes, to the end.
async fn echo<S: Read + Write>(mut stream: S) {
    let mut bytes = [0; 1500];
    loop {
        let len = stream.read(&mut bytes).await.expect("the peer is alive");
        if len == 0 {
            return;
        }
        send(&mut stream, &bytes[..len]).await;
    }
}

/// Sends `len` bytes to the echo while it reads them back.
async fn exchange(seed: usize, len: usize) {
    let stream = TcpStream::connected(address("echo")).await;
    let stream = Rc::new(stream.expect("the peer listens"));
    let writer = Rc::clone(&stream);
    let sender = task::spawn(async move { send(&*writer, &text(seed, len)).await });
    let mut back = vec![0; len];
    receive(&*stream, &mut back).await;
    assert!(back == text(seed, len), "other bytes come back");
    sender.await.expect("the sender is done");
}

async fn in_time<F: Future>(future: F) -> F::Output {
    let output = timeout(PATIENCE, future).await;
    output.expect("nothing has moved for long")
}

pub(crate) fn a_task_exchanges_bytes_both_ways_at_once() {
    let done = task::spawn(in_time(exchange(1, 100_000)));
    done.join().expect("the task is done");
}

pub(crate) fn many_tasks_share_the_core() {
    let tasks: Vec<_> = (0..12)
        .map(|seed| task::spawn(in_time(exchange(seed, 8000))))
        .collect();
    for task in tasks {
        task.join().expect("the task is done");
    }
}

pub(crate) fn tasks_accept_and_answer() {
    const CALLS: usize = 6;
    let all = async {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CALLED)).expect("a free port");
        let control = TcpStream::connected(address("call")).await;
        let control = control.expect("the peer listens");
        send(&control, b"6\n").await;
        let mut answers = Vec::new();
        for _ in 0..CALLS {
            let (stream, _) = listener.accepted().await.expect("the peer calls");
            answers.push(task::spawn(echo(stream)));
        }
        for answer in answers {
            answer.await.expect("the task is done");
        }
        let mut verdict = [0; 3];
        receive(&control, &mut verdict).await;
        assert_eq!(verdict, *b"ok\n");
    };
    task::block_on(in_time(all));
}
