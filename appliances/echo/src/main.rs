//! Sends back what it gets, on port 7: the smallest service on the event loop.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::net::{Ipv4Addr, SocketAddrV4};

use toro::metrics::Requests;
use toro::net::{Conn, Output, Service};
use toro::time::Duration;

/// The port of RFC 862.
const PORT: u16 = 7;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(300);

/// What `metrics=` and `trace=` show of it: each piece that is sent back.
static REQUESTS: Requests = Requests::new("echo");

toro::main!(main);

fn main() {
    REQUESTS.announce();
    match toro::net::serve_on_each_core(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT), || Echo) {
        Ok(serving) => {
            toro::println!("echo: listening on port {PORT}");
            toro::net::keep_serving(serving);
        }
        Err(error) => {
            toro::println!("echo: cannot listen on port {PORT}: {error}");
            toro::exit(toro::ExitCode::Failure);
        }
    }
}

struct Echo;

impl Service for Echo {
    type Connection = ();

    fn connected(&mut self, conn: &mut Conn, _: &mut Output<'_>) -> Option<()> {
        conn.set_timeout(Some(IDLE));
        Some(())
    }

    fn received(
        &mut self,
        (): &mut (),
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        conn.set_timeout(Some(IDLE));
        let begun = Requests::begin();
        let sent = output.write(input);
        // Without room nothing was answered: it comes again.
        if sent > 0 {
            REQUESTS.end(begun);
        }
        sent
    }
}
