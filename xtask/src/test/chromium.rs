//! A browser without a window, for pages that must work in one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::setup::Tool;

/// What headless Chromium prints of the page at `url` after a few of its seconds, asked by `arguments`. Its profile lies in `folder`.
///
/// # Errors
/// Fails if there is no Chromium, or it fails.
pub(super) fn show(folder: &Path, url: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    // A profile serves one browser at a time, and one that was killed leaves it taken.
    let profile = folder.join(format!("chromium-{}", std::process::id()));
    drop(fs::remove_dir_all(&profile));
    let output = Command::new(Tool::Chromium.program())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            // Where that is a small file system of its own, as in containers, a page would end in the middle.
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg("--virtual-time-budget=5000")
        .args(arguments)
        .arg(url)
        .output()
        .context("cannot run chromium")?;
    drop(fs::remove_dir_all(&profile));
    if !output.status.success() {
        bail!("chromium: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
