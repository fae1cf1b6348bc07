//! [`Peers`]: what a test image finds at the other end of its network, on ports of this host that nothing else uses.
//!
//! - `echo`: takes connections and sends back what comes.
//! - `call`: takes a connection and a number, makes as many connections to the image, sends and expects back a
//!   few bytes over each, and says `ok` or what went wrong.
//! - `udp`: sends every datagram back to where it came from.
//! - `dns`: a name server for a few names (see [`names`]), by datagrams and by connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::names;

/// Nothing may stand still for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each connection of `call` carries, in bytes.
const CALL_LEN: usize = 5000;

/// The peers of one boot. They end with this value.
#[derive(Debug)]
pub(super) struct Peers {
    listeners: Vec<(&'static str, SocketAddr)>,
    answerers: Vec<(&'static str, SocketAddr)>,
    threads: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Peers {
    /// Starts them; the image is called at `image`, a port of this host.
    pub(super) fn start(image: Option<u16>) -> Result<Self> {
        let mut peers = Self {
            listeners: Vec::new(),
            answerers: Vec::new(),
            threads: Vec::new(),
            over: Arc::new(AtomicBool::new(false)),
        };
        peers.listen("echo", |stream| echo(&stream))?;
        peers.listen("call", move |stream| call(&stream, image))?;
        peers.answer("udp", |question| vec![question.to_vec()])?;
        peers.serve_names()?;
        Ok(peers)
    }

    /// Their ports, as words for the image.
    pub(super) fn words(&self) -> String {
        let word = |(name, address): &(&str, SocketAddr)| format!("{name}={} ", address.port());
        self.listeners
            .iter()
            .chain(&self.answerers)
            .map(word)
            .collect()
    }

    /// What the image's kernel is told: who knows names, and a name that nobody is asked for.
    pub(super) fn kernel_words(&self) -> String {
        let servers = self.answerers.iter().filter(|(name, _)| *name == "dns");
        let servers = servers.map(|(_, address)| format!("dns=10.0.2.2:{}", address.port()));
        let words: Vec<String> = servers
            .chain(["hosts=given.test:10.0.2.2".to_owned()])
            .collect();
        words.join(" ")
    }

    /// A name server has one number for both: it is looked for until both are free.
    fn serve_names(&mut self) -> Result<()> {
        for _ in 0..100 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let Ok(socket) = UdpSocket::bind(listener.local_addr()?) else {
                continue;
            };
            self.listen_on(listener, "dns-tcp", |stream| tell_name(&stream))?;
            return self.answer_on(socket, "dns", names::answers);
        }
        Err(anyhow!("no port is free for both TCP and UDP"))
    }

    /// Takes datagrams on a thread, and sends back what `play` makes of each.
    fn answer(
        &mut self,
        name: &'static str,
        play: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Result<()> {
        self.answer_on(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, name, play)
    }

    fn answer_on(
        &mut self,
        socket: UdpSocket,
        name: &'static str,
        play: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Result<()> {
        self.answerers.push((name, socket.local_addr()?));
        let over = Arc::clone(&self.over);
        self.threads.push(thread::spawn(move || {
            let mut question = [0; 2048];
            while !over.load(Ordering::SeqCst) {
                let Ok((len, from)) = socket.recv_from(&mut question) else {
                    continue;
                };
                for answer in play(&question[..len]) {
                    // Datagrams may be lost.
                    let _ = socket.send_to(&answer, from);
                }
            }
        }));
        Ok(())
    }

    /// Takes connections on a thread, and has `play` called for each on one of its own.
    fn listen(
        &mut self,
        name: &'static str,
        play: impl Fn(TcpStream) -> Result<()> + Clone + Send + 'static,
    ) -> Result<()> {
        self.listen_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, name, play)
    }

    fn listen_on(
        &mut self,
        listener: TcpListener,
        name: &'static str,
        play: impl Fn(TcpStream) -> Result<()> + Clone + Send + 'static,
    ) -> Result<()> {
        self.listeners.push((name, listener.local_addr()?));
        let over = Arc::clone(&self.over);
        self.threads.push(thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let play = play.clone();
                let played = move |stream: TcpStream| {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    play(stream)
                };
                // What goes wrong is seen by the image.
                thread::spawn(move || stream.map(played));
            }
        }));
        Ok(())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for (_, address) in &self.listeners {
            // Wakes the thread, which then sees that it is over.
            let _ = TcpStream::connect(address);
        }
        for (_, address) in &self.answerers {
            let waker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
            let _ = waker.and_then(|socket| socket.send_to(&[], address));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn echo(mut stream: &TcpStream) -> Result<()> {
    let mut bytes = [0; 16 << 10];
    loop {
        let len = stream.read(&mut bytes)?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&bytes[..len])?;
    }
}

fn tell_name(mut stream: &TcpStream) -> Result<()> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut question = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut question)?;
    let answer = names::whole_answer(&question).context("no answer to that")?;
    stream.write_all(&u16::try_from(answer.len())?.to_be_bytes())?;
    Ok(stream.write_all(&answer)?)
}

fn call(mut stream: &TcpStream, image: Option<u16>) -> Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let outcome = line
        .trim()
        .parse()
        .map_err(|_| anyhow!("`{line}` is not a number"))
        .and_then(|count: usize| call_at_once(count, image));
    let answer = match outcome {
        Ok(()) => "ok\n".to_owned(),
        Err(error) => format!("{error:#}\n"),
    };
    Ok(stream.write_all(answer.as_bytes())?)
}

fn call_at_once(count: usize, image: Option<u16>) -> Result<()> {
    let port = image.context("no port leads to the image")?;
    // One is taken before the next comes: QEMU's user networking has a backlog of one and stalls beyond.
    let streams: Result<Vec<_>> = (0..count).map(|_| greeted(port)).collect();
    let callers: Vec<_> = streams?
        .into_iter()
        .enumerate()
        .map(|(number, stream)| thread::spawn(move || exchange(stream, number)))
        .collect();
    callers.into_iter().try_for_each(|caller| {
        let result = caller.join().map_err(|_| anyhow!("a caller panicked"))?;
        result.context("a caller got no echo")
    })
}

/// Connects, and waits for the echo of a byte.
fn greeted(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"!")?;
    stream.read_exact(&mut [0]).context("no echo of a byte")?;
    Ok(stream)
}

fn exchange(mut stream: TcpStream, number: usize) -> Result<()> {
    let text: Vec<u8> = (0..CALL_LEN)
        .map(|at| at.wrapping_mul(number + 7).to_le_bytes()[0])
        .collect();
    stream.write_all(&text)?;
    stream.shutdown(Shutdown::Write)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    ensure!(
        back == text,
        "{} bytes of {CALL_LEN} came back, or others",
        back.len()
    );
    Ok(())
}
