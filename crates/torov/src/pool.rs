//! Machines that are ready before they are wanted: each connection gets a program that goes on from a snapshot.
//!
//! This process holds a socket and starts others (`restore --accept`), which make everything ready and then wait for a
//! connection to that socket. Whichever gets one says so on its standard output, and another is started in its place.

use std::env;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, ExitCode, Stdio};

use torov_abi::Errno;
use torov_host::{self as host, Polled};

use crate::failure::Failure;

/// How many programs run or wait at once, at most: more connections wait.
const MOST: usize = 64;

/// Something to read, or the end of it.
pub(crate) const READABLE: i16 = 1;

/// A machine that waits or runs.
struct Member {
    child: Child,
    is_busy: bool,
}

/// Serves connections to `address`, with `spare` machines that wait. Comes back only if that fails.
pub(crate) fn serve(address: &str, spare: usize) -> Result<ExitCode, Failure> {
    let spare = spare.clamp(1, MOST);
    let failed = |error: io::Error| Failure::own(format!("{address}: {error}"));
    let listener = open(address).map_err(failed)?;
    let mut members: Vec<Member> = Vec::new();
    loop {
        let waiting = members.iter().filter(|member| !member.is_busy).count();
        for _ in waiting..spare.min(waiting + MOST - members.len()) {
            members.push(start(&listener).map_err(failed)?);
        }
        // It may wait for long.
        host::give_back_pages();
        let found = wait(&members).map_err(|error| Failure::own(format!("{address}: {error}")))?;
        for at in found.into_iter().rev() {
            let member = &mut members[at];
            let Some(pipe) = &mut member.child.stdout else {
                continue;
            };
            if pipe.read(&mut [0]).map_err(failed)? == 1 {
                member.is_busy = true;
                continue;
            }
            let mut member = members.swap_remove(at);
            let status = member.child.wait().map_err(failed)?;
            if !member.is_busy {
                // What is wrong with one is wrong with all.
                return Err(Failure::own(format!("no machine gets ready: {status}")));
            }
        }
    }
}

/// Opens a socket of the Internet, or of the file system if `address` is a path, and says where it is.
fn open(address: &str) -> io::Result<OwnedFd> {
    if address.contains('/') {
        let listener = UnixListener::bind(address)?;
        listener.set_nonblocking(true)?;
        eprintln!("torov: listening on {address}");
        return Ok(listener.into());
    }
    let listener = TcpListener::bind(address)?;
    // Of those that wait for it several wake up, and one gets the connection.
    listener.set_nonblocking(true)?;
    eprintln!("torov: listening on {}", listener.local_addr()?);
    Ok(listener.into())
}

/// Starts this program once more, as the command line says, to wait for a connection.
fn start(listener: &OwnedFd) -> io::Result<Member> {
    let mut command = Command::new(env::current_exe()?);
    let mut words = env::args_os().skip(1);
    command.args(words.next()).arg("--accept").args(words);
    command.stdin(Stdio::from(listener.try_clone()?));
    command.stdout(Stdio::piped());
    let child = command.spawn()?;
    let is_busy = false;
    Ok(Member { child, is_busy })
}

/// Waits until some have something to say, or have ended, and returns which.
fn wait(members: &[Member]) -> Result<Vec<usize>, Errno> {
    let pipes = members.iter().map(|member| &member.child.stdout);
    let entries = pipes.map(|pipe| Polled {
        fd: pipe.as_ref().map(AsFd::as_fd),
        events: READABLE,
        found: 0,
    });
    let mut entries: Vec<Polled<'_>> = entries.collect();
    match host::poll(&mut entries, None) {
        Err(Errno::EINTR) | Ok(_) => {}
        Err(error) => return Err(error),
    }
    let found = entries.iter().enumerate();
    let found = found.filter(|(_, entry)| entry.found != 0);
    Ok(found.map(|(at, _)| at).collect())
}
