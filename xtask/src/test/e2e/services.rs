//! `echo` and `resp`, the services of the event loop, and `echo-threads`, that of blocking sockets, asked by plain sockets and
//! by the clients of Redis.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::TIMEOUT;
use crate::build::{self, Profile};
use crate::process;
use crate::qemu::{Forward, Machine, Running};
use crate::run::Wish;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// From start to the first connection, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
/// No answer may take longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// More than both rings of a connection and the socket buffers on the way hold.
const LARGE: usize = 4 << 20;

type Case = (&'static str, fn(u16) -> Result<()>);

const ECHO: &[Case] = &[
    ("e2e: echo sends back what it gets", echoes),
    ("e2e: echo waits for a peer that does not read", echoes_late),
];
const ECHO_THREADS: &[Case] = &[
    (
        "e2e: echo-threads keeps what is sent before it accepts",
        early_data,
    ),
    ("e2e: echo-threads sends back what it gets", echoes),
    (
        "e2e: echo-threads waits for a peer that does not read",
        echoes_late,
    ),
];
const RESP: &[Case] = &[
    ("e2e: resp answers redis-cli", redis_cli),
    ("e2e: resp carries redis-benchmark", redis_benchmark),
    ("e2e: resp keeps large values", large_values),
    ("e2e: resp refuses what is no command and lives on", hostile),
    ("e2e: resp stays within its memory", out_of_memory),
];

/// Boots each of them and runs its cases.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for (appliance, port, arguments, cases) in [
        ("echo", 7, "", ECHO),
        ("echo-threads", 7, "-- late=1500", ECHO_THREADS),
        ("resp", 6379, "", RESP),
    ] {
        if !cases.iter().any(|(name, _)| tally.wants(name)) {
            continue;
        }
        let name = format!("e2e: {appliance} outlives its tests");
        let outcome =
            serve(workspace, appliance, port, arguments).and_then(|(mut running, port)| {
                for &(name, case) in cases {
                    tally.case(name, TIMEOUT, move || case(port));
                }
                running.check_alive()
            });
        tally.record(&name, outcome);
    }
}

/// Boots an appliance and waits until it takes connections; returns its port on this side.
fn serve(
    workspace: &Workspace,
    appliance: &str,
    port: u16,
    arguments: &str,
) -> Result<(Running, u16)> {
    let image = build::build(workspace, appliance, Profile::Release)?;
    let package = workspace.appliance(appliance)?;
    let mut wish = Wish::of(package, Machine::Pc)?;
    let forward = Forward::from_free_port(port)?;
    wish.ports = vec![forward];
    wish.append = format!("{} {arguments}", wish.append).trim().to_owned();
    let mut running = Running::start(&wish.vm(workspace, package, &image)?.command())?;
    let deadline = Instant::now() + READY_TIMEOUT;
    while !running
        .lines()
        .iter()
        .any(|line| line.contains("listening"))
    {
        running.check_alive()?;
        ensure!(Instant::now() < deadline, "it is not up in time");
        thread::sleep(Duration::from_millis(20));
    }
    Ok((running, forward.host))
}

fn connect(port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(stream)
}

/// Bytes that no shift maps onto themselves soon.
fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// As many clients as user networking carries send before the service looks for them.
fn early_data(port: u16) -> Result<()> {
    let sent = pattern(4000);
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = connect(port)?;
        client.write_all(&sent)?;
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut received = vec![0; sent.len()];
        client
            .read_exact(&mut received)
            .with_context(|| format!("client {number}"))?;
        ensure!(received == sent, "client {number} got other bytes back");
    }
    Ok(())
}

pub(super) fn echoes(port: u16) -> Result<()> {
    let mut stream = connect(port)?;
    for len in [1, 100, 1000, 1460, 5000, 8192, 30_000] {
        let sent = pattern(len);
        stream.write_all(&sent)?;
        let mut received = vec![0; len];
        stream
            .read_exact(&mut received)
            .with_context(|| format!("{len} bytes"))?;
        ensure!(received == sent, "{len} bytes came back changed");
    }
    stream.shutdown(Shutdown::Write)?;
    ensure!(stream.read(&mut [0])? == 0, "bytes came that nobody sent");
    Ok(())
}

fn echoes_late(port: u16) -> Result<()> {
    let stream = connect(port)?;
    let mut writer = stream.try_clone()?;
    let sender = thread::spawn(move || -> Result<()> {
        writer.write_all(&pattern(LARGE))?;
        Ok(writer.shutdown(Shutdown::Write)?)
    });
    // The rings fill up meanwhile.
    thread::sleep(Duration::from_millis(500));
    let mut received = Vec::new();
    (&stream).read_to_end(&mut received)?;
    sender.join().expect("the sender does not panic")?;
    ensure!(
        received.len() == LARGE,
        "{} bytes of {LARGE}",
        received.len()
    );
    ensure!(received == pattern(LARGE), "the bytes came back changed");
    Ok(())
}

/// What `redis-cli` prints for a command.
fn cli(port: u16, words: &[&str]) -> Result<String> {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string()]).args(words);
    Ok(process::output(&mut command)?.trim().to_owned())
}

fn redis_cli(port: u16) -> Result<()> {
    for (words, expected) in [
        (&["PING"][..], "PONG"),
        (&["PING", "hello"], "hello"),
        (&["ECHO", "two words"], "two words"),
        (&["SET", "a", "1"], "OK"),
        (&["GET", "a"], "1"),
        (&["INCR", "a"], "2"),
        (&["incr", "b"], "1"),
        (&["SET", "a", "x", "NX"], ""),
        (&["EXISTS", "a", "b", "c", "a"], "3"),
        (&["DEL", "a", "b", "c"], "2"),
        (&["GET", "a"], ""),
        (&["SET", "text", "x y"], "OK"),
        (
            &["INCR", "text"],
            "ERR value is not an integer or out of range",
        ),
        (&["GET"], "ERR wrong number of arguments for 'GET' command"),
        (&["FLY", "away"], "ERR unknown command 'FLY'"),
        (&["HELLO", "3"], "NOPROTO unsupported protocol version"),
        (&["QUIT"], "OK"),
    ] {
        let answer = cli(port, words)?;
        ensure!(
            answer == expected,
            "{words:?}: {answer:?} instead of {expected:?}"
        );
    }
    Ok(())
}

fn redis_benchmark(port: u16) -> Result<()> {
    for pipeline in ["1", "16"] {
        let mut command = Command::new("redis-benchmark");
        command.args(["-q", "-n", "2000", "-c", "5", "-t", "ping,set,get,incr"]);
        command.args(["-p", &port.to_string(), "-P", pipeline]);
        let report = process::output(&mut command)?;
        let done = report.matches("requests per second").count();
        ensure!(done >= 5, "{done} of 5 tests in\n{report}");
    }
    Ok(())
}

/// Sends a command as an array.
fn send(stream: &mut TcpStream, words: &[&[u8]]) -> Result<()> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend(format!("${}\r\n", word.len()).bytes());
        command.extend(*word);
        command.extend(b"\r\n");
    }
    Ok(stream.write_all(&command)?)
}

fn expect(stream: &mut TcpStream, expected: &[u8]) -> Result<()> {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer)?;
    let shown = String::from_utf8_lossy(&answer[..answer.len().min(80)]).into_owned();
    ensure!(answer == expected, "{shown:?}");
    Ok(())
}

fn large_values(port: u16) -> Result<()> {
    let mut stream = connect(port)?;
    for len in [1000, 8000, 16_000, 100_000, 512 << 10] {
        let value = pattern(len);
        send(&mut stream, &[b"SET", b"large", &value])?;
        expect(&mut stream, b"+OK\r\n").with_context(|| format!("SET of {len} bytes"))?;
        // Two at a time: the second waits for the first.
        send(&mut stream, &[b"GET", b"large"])?;
        send(&mut stream, &[b"PING"])?;
        expect(&mut stream, format!("${len}\r\n").as_bytes())?;
        expect(&mut stream, &value).with_context(|| format!("GET of {len} bytes"))?;
        expect(&mut stream, b"\r\n+PONG\r\n")?;
    }
    send(&mut stream, &[b"DEL", b"large"])?;
    expect(&mut stream, b":1\r\n")
}

fn hostile(port: u16) -> Result<()> {
    for (bytes, answer) in [
        (
            &b"*1\r\n$99999999\r\n"[..],
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*99999\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (b"*1\r\nx\r\n", "-ERR Protocol error: expected '$'\r\n"),
    ] {
        let mut stream = connect(port)?;
        stream.write_all(bytes)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        ensure!(text == answer, "{text:?} instead of {answer:?}");
    }
    for cut in 0..40 {
        let command = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n";
        connect(port)?.write_all(&command[..cut.min(command.len())])?;
    }
    ensure!(
        cli(port, &["PING"])? == "PONG",
        "it does not answer any more"
    );
    Ok(())
}

fn out_of_memory(port: u16) -> Result<()> {
    let mut stream = connect(port)?;
    let value = vec![b'x'; 400_000];
    let mut refused = 0;
    for key in 0..120 {
        send(
            &mut stream,
            &[b"SET", format!("fill{key}").as_bytes(), &value],
        )?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte)?;
        }
        refused += u32::from(kind == *b"-");
    }
    ensure!(
        refused > 0,
        "48 MB fit into 64 MiB of which half may be used"
    );
    for key in 0..120 {
        send(&mut stream, &[b"DEL", format!("fill{key}").as_bytes()])?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
    }
    send(&mut stream, &[b"SET", b"after", &value])?;
    expect(&mut stream, b"+OK\r\n").context("memory did not come back")
}
