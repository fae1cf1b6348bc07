//! `cargo xtask pcap`: what it writes down, as Wireshark's own dissectors read it.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::operator;
use super::shutdown::Started;
use crate::build::Extras;
use crate::pcap::PORT;
use crate::setup::Tool;
use crate::test::client::Client;
use crate::workspace::Workspace;

/// The name of the case.
pub(super) const NAME: &str = "e2e: tshark reads a packet capture";
/// The name of the other.
pub(super) const ANEW: &str = "e2e: each reader of a packet capture gets it from its beginning";

/// No reader may wait longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Requests on one connection.
const REQUESTS: usize = 20;

/// Captures some requests, and looks for them.
pub(super) fn is_read(workspace: &Workspace) -> Result<()> {
    let path = workspace.target("test")?.join("capture.pcapng");
    let _ = fs::remove_file(&path);
    let output = path.to_str().context("a path that is no text")?;
    let mut run = Started::new(workspace, &["pcap", "--output", output])?;
    let mut client = Client::connect(run.address)?;
    for number in 0..REQUESTS {
        client.get(&format!("/?capture={number}"))?.expect(200)?;
    }
    drop(client);
    run.interrupt()?;
    let status = run.ended()?;
    ensure!(status.code() == Some(0), "it ended with {status}");

    let broken = tshark(&path, "_ws.malformed || tcp.len > 65535", "frame.number")?;
    ensure!(broken.is_empty(), "malformed: {broken:?}");
    let asked = tshark(&path, "http.request", "http.request.uri")?;
    for number in 0..REQUESTS {
        let uri = format!("/?capture={number}");
        let times = asked.iter().filter(|seen| **seen == uri).count();
        ensure!(times == 1, "{uri} was seen {times} times of {asked:?}");
    }
    let answered = tshark(&path, "http.response.code == 200", "frame.interface_name")?;
    ensure!(answered.len() >= REQUESTS, "{} answers", answered.len());
    ensure!(
        answered.iter().all(|name| name == "net0 core 0"),
        "{answered:?}"
    );
    // The flags of a frame tell which way it went: 1 in, 2 out.
    let ways = tshark(&path, "http", "frame.packet_flags_direction")?;
    let count =
        |ways: &[String], way: &str| ways.iter().filter(|flags| flags.ends_with(way)).count();
    let (inbound, outbound) = (count(&ways, "1"), count(&ways, "2"));
    ensure!(
        inbound == asked.len() && outbound == ways.len() - inbound,
        "{ways:?}"
    );
    Ok(())
}

/// A reader leaves while nothing goes on, and the next one finds a capture from its beginning.
pub(super) fn begins_anew(workspace: &Workspace) -> Result<()> {
    /// The type of the block that begins a section.
    const SECTION: [u8; 4] = 0x0A0D_0D0A_u32.to_le_bytes();
    /// How often a reader comes at most: there are only so many frames while a machine starts.
    const TRIES: usize = 10;
    let extras = Extras {
        pcap: true,
        ..Extras::default()
    };
    let (mut server, socket) = operator::start(workspace, extras, PORT, PORT)?;
    for reader in 0..3 {
        // QEMU hands what the image sent to a reader who has just left to the next one: then that one comes again.
        let mut first = [0; 4];
        for _ in 0..TRIES {
            let mut stream = UnixStream::connect(&socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let read = stream.read_exact(&mut first);
            read.with_context(|| format!("reader {reader} gets nothing"))?;
            if first == SECTION {
                break;
            }
        }
        ensure!(
            first == SECTION,
            "reader {reader} gets {first:02x?} first, {TRIES} times"
        );
    }
    server.check_alive()
}

/// A field of each frame that the filter lets through.
fn tshark(path: &Path, filter: &str, field: &str) -> Result<Vec<String>> {
    let output = Command::new(Tool::Tshark.program())
        .arg("-r")
        .arg(path)
        .args(["-n", "-Y", filter, "-T", "fields", "-e", field])
        .output()
        .context("cannot run tshark; `cargo xtask setup` installs it")?;
    ensure!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}
