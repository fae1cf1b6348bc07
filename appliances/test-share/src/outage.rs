//! Reads the folder for ever and tells of each failure, and when it works again; beside it a thread shows that the rest lives.

use core::time::Duration;

use toro::fs;
use toro::thread;

/// Reads until the image is ended from outside.
pub(crate) fn watch() {
    thread::spawn("beat", || {
        loop {
            toro::println!("outage: beat");
            thread::sleep(Duration::from_secs(1));
        }
    });
    let mut works = false;
    loop {
        let outcome = fs::read("/share/host/large").map(|bytes| bytes.len());
        match outcome {
            Ok(_) if works => {}
            Ok(_) => toro::println!("outage: reading works"),
            Err(error) => toro::println!("outage: reading fails: {error}"),
        }
        works = outcome.is_ok();
        thread::yield_now();
    }
}
