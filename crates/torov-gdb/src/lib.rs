//! Shows a ToroV guest to gdb, by its remote protocol (GDB manual, E).
//!
//! [`Door::open`] waits for a debugger, [`Visitor::attend`] serves it on a thread of the monitor: all threads of the guest
//! stop and go on together. What stops them and what they hold is `torov_calls::debug`.

#![forbid(unsafe_code)]

mod packet;
mod registers;
mod session;

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;

use torov_calls::Process;
use torov_calls::debug::Debug;

use self::session::Session;

/// Where a debugger may come in.
#[derive(Debug)]
pub enum Door {
    /// A port of the Internet's protocols.
    Port(TcpListener),
    /// A socket in the file system.
    Socket(UnixListener),
}

/// A debugger that has come in.
#[derive(Debug)]
pub struct Visitor(File);

impl Door {
    /// Opens a door at `address`: a path if it has a slash, else `HOST:PORT`, or `:PORT` for this machine alone.
    ///
    /// # Errors
    /// What the host says.
    pub fn open(address: &str) -> io::Result<Self> {
        if address.contains('/') {
            return UnixListener::bind(address).map(Self::Socket);
        }
        let address = match address.strip_prefix(':') {
            Some(port) => format!("127.0.0.1:{port}"),
            None => address.to_owned(),
        };
        TcpListener::bind(address).map(Self::Port)
    }

    /// Where it is, as gdb's `target remote` takes it.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Port(listener) => listener.local_addr().map(|at| at.to_string()),
            Self::Socket(listener) => listener.local_addr().map(|at| {
                at.as_pathname()
                    .map_or(String::new(), |path| path.display().to_string())
            }),
        }
        .unwrap_or_default()
    }

    /// Waits for a debugger; the door is closed behind it.
    ///
    /// # Errors
    /// What the host says.
    pub fn admit(self) -> io::Result<Visitor> {
        let stream: OwnedFd = match self {
            Self::Port(listener) => {
                let (stream, _) = listener.accept()?;
                // A packet is waited for by the other side.
                stream.set_nodelay(true)?;
                stream.into()
            }
            Self::Socket(listener) => listener.accept()?.0.into(),
        };
        Ok(Visitor(File::from(stream)))
    }
}

impl Visitor {
    /// Serves it on a thread of its own until it goes or the program ends. `auxiliary` is the program's auxiliary vector.
    ///
    /// # Errors
    /// What the host says to another thread.
    pub fn attend(
        self,
        process: Arc<Process>,
        debug: Arc<Debug>,
        auxiliary: Vec<u8>,
    ) -> io::Result<()> {
        let mut session = Session::new(self.0, process, debug, auxiliary);
        let thread = thread::Builder::new().stack_size(256 << 10);
        thread.spawn(move || {
            torov_interrupt::shut();
            session.serve();
        })?;
        Ok(())
    }
}
