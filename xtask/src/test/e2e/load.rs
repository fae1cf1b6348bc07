//! Many requests, many connections: not one may fail.

use std::net::SocketAddr;
use std::thread;

use anyhow::{Context as _, Result};

use crate::test::Depth;
use crate::test::client::Client;

/// User networking carries so many connections at a time without stalling.
const CLIENTS: usize = 8;

/// 10,000 requests over eight connections.
pub(super) fn keep_alive(server: SocketAddr, depth: Depth) -> Result<()> {
    bursts(server, depth.pick(1_000, 10_000, 100_000))
}

/// 2,000 connections, eight at a time.
pub(super) fn connections(server: SocketAddr, depth: Depth) -> Result<()> {
    let each = depth.pick(200, 2_000, 20_000) / CLIENTS;
    in_parallel(move || (0..each).try_for_each(|_| once(server)))
}

/// Many clients connect and send before any of them is answered.
pub(super) fn early_data(server: SocketAddr, _: Depth) -> Result<()> {
    for round in 0..5 {
        let mut clients = Vec::new();
        for number in 0..64 {
            let mut client = Client::connect(server)?;
            client
                .send(b"GET / HTTP/1.1\r\nHost: toro\r\n\r\n")
                .with_context(|| format!("client {number} of round {round}"))?;
            clients.push(client);
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let answer = client
                .receive(false)
                .and_then(|response| response.expect(200));
            answer.with_context(|| format!("client {number} of round {round}"))?;
        }
    }
    Ok(())
}

/// After bursts, short connections in a row: none is reset, none stalls until the client gives up.
pub(super) fn churn(server: SocketAddr, depth: Depth) -> Result<()> {
    for _ in 0..2 {
        bursts(server, 4_000)?;
    }
    for number in 0..depth.pick(1_000, 5_000, 100_000) {
        once(server).with_context(|| format!("connection {number}"))?;
    }
    Ok(())
}

fn bursts(server: SocketAddr, requests: usize) -> Result<()> {
    in_parallel(move || {
        let mut client = Client::connect(server)?;
        for number in 0..requests / CLIENTS {
            let answer = client.get("/").and_then(|response| response.expect(200));
            answer.with_context(|| format!("request {number}"))?;
        }
        Ok(())
    })
}

/// One request on a connection of its own, which the server closes.
pub(super) fn once(server: SocketAddr) -> Result<()> {
    let mut client = Client::connect(server)?;
    client
        .request("GET", "/", "Connection: close\r\n")?
        .expect(200)?;
    client.expect_end()
}

/// Runs `work` for each client at once; the first error counts.
fn in_parallel(work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(&work)).collect();
        let results = workers
            .into_iter()
            .map(|worker| worker.join().expect("no client panics"));
        results.collect::<Vec<_>>().into_iter().collect()
    })
}
