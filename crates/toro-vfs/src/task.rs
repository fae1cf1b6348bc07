//! The calls for tasks: futures that let the other tasks of the core go on while a device works.
//!
//! A file system parks the thread that calls it, and all tasks of a core share one thread. So [`run`] takes a call to a thread of its own,
//! and completes when that has ended; [`File`] has the usual calls in that form. A read of what is in memory costs no thread.
//!
//! ```no_run
//! # async fn example() -> Result<(), toro_vfs::FileError> {
//! let file = toro_vfs::task::open("/data/table").await?;
//! let (page, len) = file.read_at(vec![0; 4096], 8192).await;
//! let len = len?;
//! toro_vfs::task::run(|| toro_vfs::rename("/data/new", "/data/old")).await?;
//! # let _ = (page, len);
//! # Ok(())
//! # }
//! ```

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use toro_sched::Builder;

use crate::{FileError, Metadata, OpenOptions};

/// The stack of a call, in bytes: the deepest ones of a file system run on it.
const STACK: usize = 64 << 10;

/// Runs `call` on a thread of its own, on this core, and completes with what it returns.
///
/// The thread runs to its end also if the future is dropped. Each call that is under way costs 64 KiB for a stack; who starts
/// many at once bounds them, for example with a `Semaphore`. A panic in `call` ends the image.
///
/// # Errors
/// What `call` returns, and [`FileError::OutOfMemory`] if there is no memory for a stack; nothing was called then.
pub async fn run<T: 'static>(
    call: impl FnOnce() -> Result<T, FileError> + 'static,
) -> Result<T, FileError> {
    let slot = Rc::new(RefCell::new(Slot::<Result<T, FileError>>::Empty));
    let filled = Rc::clone(&slot);
    let body = move || {
        let outcome = call();
        if let Slot::Awaited(waker) = filled.replace(Slot::Full(outcome)) {
            waker.wake();
        }
    };
    let builder = Builder::new().name("file call").stack_size(STACK);
    let spawned = builder.essential().spawn(body);
    spawned.map_err(|_| FileError::OutOfMemory)?;
    poll_fn(|context| {
        let waiting = Slot::Awaited(context.waker().clone());
        match slot.replace(waiting) {
            Slot::Full(outcome) => Poll::Ready(outcome),
            Slot::Empty | Slot::Awaited(_) => Poll::Pending,
        }
    })
    .await
}

/// Where the outcome of a call is left.
enum Slot<T> {
    Empty,
    Awaited(Waker),
    Full(T),
}

/// Opens the file at `path` for reading.
///
/// # Errors
/// As [`File::open`](crate::File::open) and [`run`].
pub async fn open(path: &str) -> Result<File, FileError> {
    open_with(*OpenOptions::new().read(true), path).await
}

/// Opens or creates the file at `path` as `options` say.
///
/// # Errors
/// As [`OpenOptions::open`] and [`run`].
pub async fn open_with(options: OpenOptions, path: &str) -> Result<File, FileError> {
    let path = String::from(path);
    let file = run(move || options.open(&path)).await?;
    Ok(File(Some(Rc::new(file))))
}

/// Reads the whole file at `path`.
///
/// # Errors
/// As [`read`](crate::read) and [`run`].
pub async fn read(path: &str) -> Result<Vec<u8>, FileError> {
    let path = String::from(path);
    run(move || crate::read(&path)).await
}

/// Makes `bytes` the whole file at `path`, which is created if there is none.
///
/// # Errors
/// As [`write`](crate::write()) and [`run`].
pub async fn write(path: &str, bytes: Vec<u8>) -> Result<(), FileError> {
    let path = String::from(path);
    run(move || crate::write(&path, &bytes)).await
}

/// An open file for tasks, without a position. A buffer belongs to the call until it completes.
///
/// When it is dropped, the file is closed on a thread of its own.
pub struct File(Option<Rc<crate::File>>);

impl File {
    /// Reads into `buf` from `offset` on; completes with the buffer and the number of bytes, 0 at and behind the end.
    ///
    /// Completes at once if the bytes are in memory. A future that is dropped takes the buffer with it.
    ///
    /// # Errors
    /// In the second part, as [`File::read_at`](crate::File::read_at) and [`run`].
    pub async fn read_at(
        &self,
        mut buf: Vec<u8>,
        offset: u64,
    ) -> (Vec<u8>, Result<usize, FileError>) {
        match self.file().try_read_at(&mut buf, offset) {
            Err(FileError::WouldBlock) => {}
            outcome => return (buf, outcome),
        }
        self.lend(buf, move |file, buf| file.read_at(buf, offset))
            .await
    }

    /// Writes `buf` at `offset`; completes with the buffer and the number of bytes.
    ///
    /// # Errors
    /// In the second part, as [`File::write_at`](crate::File::write_at) and [`run`].
    pub async fn write_at(&self, buf: Vec<u8>, offset: u64) -> (Vec<u8>, Result<usize, FileError>) {
        self.lend(buf, move |file, buf| file.write_at(buf, offset))
            .await
    }

    /// Tells what is known of the file.
    ///
    /// # Errors
    /// As [`File::metadata`](crate::File::metadata) and [`run`].
    pub async fn metadata(&self) -> Result<Metadata, FileError> {
        self.call(crate::File::metadata).await
    }

    /// Cuts the file to `len` bytes, or fills it with zeros up to there.
    ///
    /// # Errors
    /// As [`File::set_len`](crate::File::set_len) and [`run`].
    pub async fn set_len(&self, len: u64) -> Result<(), FileError> {
        self.call(move |file| file.set_len(len)).await
    }

    /// Completes when the file and all that is known of it is on stable storage.
    ///
    /// # Errors
    /// As [`File::sync_all`](crate::File::sync_all) and [`run`].
    pub async fn sync_all(&self) -> Result<(), FileError> {
        self.call(crate::File::sync_all).await
    }

    /// Completes when the bytes of the file are on stable storage and can be found there again.
    ///
    /// # Errors
    /// As [`File::sync_data`](crate::File::sync_data) and [`run`].
    pub async fn sync_data(&self) -> Result<(), FileError> {
        self.call(crate::File::sync_data).await
    }

    fn file(&self) -> &Rc<crate::File> {
        self.0.as_ref().expect("it is there until it is dropped")
    }

    async fn call<T: 'static>(
        &self,
        call: impl FnOnce(&crate::File) -> Result<T, FileError> + 'static,
    ) -> Result<T, FileError> {
        let file = Rc::clone(self.file());
        run(move || call(&file)).await
    }

    /// Lends `buf` to a call.
    async fn lend(
        &self,
        mut buf: Vec<u8>,
        call: impl FnOnce(&crate::File, &mut [u8]) -> Result<usize, FileError> + 'static,
    ) -> (Vec<u8>, Result<usize, FileError>) {
        let lent = self.call(move |file| {
            let outcome = call(file, &mut buf);
            Ok((buf, outcome))
        });
        match lent.await {
            Ok(back) => back,
            Err(error) => (Vec::new(), Err(error)),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let file = self.0.take();
        let close = Builder::new().name("file close").stack_size(STACK);
        // Without memory for a stack it is closed here, while the other tasks wait: the closure is dropped.
        drop(close.essential().spawn(move || drop(file)));
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file().fmt(f)
    }
}
