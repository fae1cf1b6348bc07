//! [`Liar`]: a device behind a socket, on a thread of its own.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{fs, thread};

use crate::back::{Back, Facts};
use crate::session::Session;

/// A device that waits for its machine, or works for it. It ends when the machine does.
#[derive(Debug)]
pub struct Liar {
    path: PathBuf,
    facts: Arc<Facts>,
}

impl Liar {
    /// Listens at `path` for the QEMU of one machine, and is `back` to it.
    ///
    /// # Errors
    /// Fails if nobody can listen there.
    pub fn start(path: &Path, back: Box<dyn Back>) -> io::Result<Self> {
        // What an earlier run left there.
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        let facts = Arc::new(Facts::default());
        let mine = Arc::clone(&facts);
        thread::spawn(move || {
            // Whatever ends it ends the device: that is what the image sees, too.
            if let Ok((stream, _)) = listener.accept() {
                drop(listener);
                let _ = Session::new(stream, back, mine).run();
            }
        });
        Ok(Self {
            path: path.to_owned(),
            facts,
        })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many lies it has told.
    pub fn lies(&self) -> u32 {
        self.facts.lies.load(Ordering::Relaxed)
    }

    /// How many answers it has got from the machine, of those that it waits for.
    pub fn answers(&self) -> u32 {
        self.facts.answers.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        // Ends a thread that nobody has come to.
        drop(UnixStream::connect(&self.path));
        let _ = fs::remove_file(&self.path);
    }
}
