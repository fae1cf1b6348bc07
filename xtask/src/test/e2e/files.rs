//! Every file of a generated tree, fetched with curl, byte for byte.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process;
use crate::test::tree::{Tree, encoded};

/// The name of the case.
pub(super) const NAME: &str = "e2e: curl fetches every file of a tree byte for byte";

/// Fetches all files and compares them.
pub(super) fn fetch_all(server: SocketAddr, tree: &Tree) -> Result<()> {
    let folder = tree.folder.with_extension("fetched");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder)?;
    let list = folder.join("curl.list");
    fs::write(&list, requests(server, tree, &folder))?;
    let mut curl = Command::new("curl");
    curl.args([
        "--fail",
        "--silent",
        "--show-error",
        "--max-time",
        "300",
        "--config",
    ])
    .arg(&list);
    process::output(&mut curl)?;
    for (number, path) in tree.files.iter().enumerate() {
        let fetched = folder.join(number.to_string());
        // curl makes no file of an empty answer.
        let found = if fetched.exists() {
            fs::read(&fetched)?
        } else {
            Vec::new()
        };
        let expected = fs::read(tree.folder.join(path)).with_context(|| path.clone())?;
        let (len, wanted) = (found.len(), expected.len());
        ensure!(len == wanted, "{path}: {len} bytes instead of {wanted}");
        ensure!(found == expected, "{path}: the bytes differ");
    }
    Ok(())
}

fn requests(server: SocketAddr, tree: &Tree, folder: &Path) -> String {
    let mut list = String::new();
    for (number, path) in tree.files.iter().enumerate() {
        let output = folder.join(number.to_string());
        writeln!(list, "url = \"http://{server}/{}\"", encoded(path)).expect("strings take all");
        writeln!(list, "output = \"{}\"", output.display()).expect("strings take all");
    }
    list
}
