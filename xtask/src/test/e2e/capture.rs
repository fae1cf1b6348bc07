//! `cargo xtask pcap`: what it writes down, as Wireshark's own dissectors read it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::shutdown::Started;
use crate::setup::Tool;
use crate::test::client::Client;
use crate::workspace::Workspace;

/// The name of the case.
pub(super) const NAME: &str = "e2e: tshark reads a packet capture";

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
