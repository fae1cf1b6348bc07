//! Servers in virtual machines.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::time::Duration;

use crate::harness::{Case, check_error, folder, guest, profile, run, start};

pub(crate) const CASES: &[Case] = &[
    ("echo_in_c", echo_in_c),
    ("echo_in_rust", echo_in_rust),
    ("http_is_served", http_is_served),
    ("addresses_bind", addresses_bind),
    ("the_monitor_is_bound", the_monitor_is_bound),
];

/// A server that runs, and ends when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a guest that says where it listens in its first line.
    fn start(words: &[&str], source: &str) -> Self {
        let mut child = start(words, &guest(source), &["0"]);
        let stdout = child.stdout.take().expect("it is a pipe");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the server says something");
        let address = line.trim().trim_end_matches('/').rsplit([' ', '/']).next();
        let address = address.and_then(|text| text.parse().ok());
        let Some(address) = address else {
            let mut errors = String::new();
            drop(child.kill());
            let _ = child
                .stderr
                .take()
                .map(|mut pipe| pipe.read_to_string(&mut errors));
            panic!("the server says `{line}` and {errors}");
        };
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("it is not zero");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}

fn echo(words: &[&str], source: &str) {
    let server = Server::start(words, source);
    for round in 0..20 {
        let mut stream = server.connect();
        let sent: Vec<u8> = (0..=255).cycle().skip(round).take(10_000).collect();
        let mut back = vec![0; sent.len()];
        stream.write_all(&sent).expect("the server reads");
        stream.read_exact(&mut back).expect("the server answers");
        assert!(sent == back, "round {round}");
    }
}

fn echo_in_c() {
    echo(&["run", &profile("echo.toml")], "echo.c");
}

fn echo_in_rust() {
    echo(&["run", "-a", "@net-server"], "echo.rs");
}

fn http_is_served() {
    let www = folder("www");
    fs::write(www.join("index.html"), "a page\n").expect("it can be written");
    let mount = format!("{}:/www", www.display());
    let server = Server::start(&["run", "-a", "@net-server,@files", "-m", &mount], "http.c");
    let ask = |path: &str| {
        let mut stream = server.connect();
        write!(stream, "GET {path} HTTP/1.1\r\n\r\n").expect("the server reads");
        let mut head = String::new();
        let mut reader = BufReader::new(stream);
        while !head.ends_with("\r\n\r\n") {
            let got = reader.read_line(&mut head).expect("the server answers");
            assert_ne!(got, 0, "the head is cut off: {head}");
        }
        let len = head
            .split("Content-Length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        let len: usize = len.and_then(|len| len.parse().ok()).expect("a length");
        let mut body = vec![0; len];
        reader.read_exact(&mut body).expect("the server answers");
        (head, String::from_utf8(body).expect("it is text"))
    };
    for _ in 0..10 {
        let (head, body) = ask("/");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, "a page\n");
    }
    assert!(ask("/none").0.starts_with("HTTP/1.1 404"));
    assert!(ask("/../../../../etc/passwd").0.starts_with("HTTP/1.1 404"));
}

fn the_monitor_is_bound() {
    let server = Server::start(&["run", &profile("echo.toml")], "echo.c");
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id()));
    let status = status.expect("the monitor runs");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

fn addresses_bind() {
    let folder = folder("bind");
    let path = folder.join("echo.toml");
    let text = "[syscalls]\nallow = [\"@start\", \"@stdio\", \"@net-server\"]\n\
                [[rule]]\ncall = \"bind\"\naddr = \"127.0.0.1:1\"\n";
    fs::write(&path, text).expect("it can be written");
    let output = run(
        &["explain", &path.display().to_string()],
        &guest("echo.c"),
        &["0"],
    );
    check_error(&output, 1, "Operation not permitted");
    check_error(&output, 1, "addr = \"127.0.0.1:0\"");
}
