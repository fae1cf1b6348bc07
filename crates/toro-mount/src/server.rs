//! [`serve`]: threads of the owner that do what other cores ask for.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt;

use toro_sched::channel::{Receiver, Sender, channel};
use toro_sched::{Builder, SpawnError};
use toro_vfs::FileSystem;
use toro_wait::Mutex;

/// Jobs that wait for a worker; who has one more waits for room.
const WAITING: usize = 64;

/// The stack of a worker, in bytes: the deepest calls of a file system run on it.
const STACK: usize = 64 << 10;

/// A call, with all that it needs and the way back for the answer.
pub(crate) type Job = Box<dyn FnOnce(&dyn FileSystem) + Send>;

/// The way to a file system that another core owns.
#[derive(Clone)]
pub struct Port(Sender<Job>);

/// Serves `file_system`, of which the running core is the owner, to other cores: with that many calls at a time.
///
/// The threads end when the last [`Port`] is gone and all was done. A panic in one of them ends the image: the caller would wait for
/// an answer for ever.
///
/// # Errors
/// Fails if there is no memory for a thread.
pub fn serve(file_system: &Rc<dyn FileSystem>, workers: usize) -> Result<Port, SpawnError> {
    let (sender, receiver) = channel(WAITING);
    let receiver = Rc::new(Mutex::new(receiver));
    for _ in 0..workers.max(1) {
        let (file_system, receiver) = (Rc::clone(file_system), Rc::clone(&receiver));
        Builder::new()
            .name("files")
            .stack_size(STACK)
            .essential()
            .spawn(move || work(&*file_system, &receiver))?;
    }
    Ok(Port(sender))
}

fn work(file_system: &dyn FileSystem, receiver: &Mutex<Receiver<Job>>) {
    loop {
        // One worker waits for a job, the others wait for their turn to do so.
        let job = receiver.lock().recv();
        let Some(job) = job else { return };
        job(file_system);
    }
}

impl Port {
    /// Hands a job over; `false` if nobody works there any more.
    pub(crate) fn post(&self, job: Job) -> bool {
        self.0.send(job).is_ok()
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").finish_non_exhaustive()
    }
}
