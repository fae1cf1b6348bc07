//! [`Driver`]: the thread of a core that takes random steps.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use toro::sync::Sender;
use toro::thread::{self, Builder, Thread};
use toro::time::Duration;
use toro::{task, thread::JoinHandle};

use crate::random::Random;

/// As many threads and tasks of a driver run at the same time.
pub(crate) const LIVE: usize = 64;

/// Bytes that know what they should be.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    fn new(random: &mut Random) -> Self {
        // Most are small, some take pages.
        let len = match random.below(16) {
            0 => random.below(100_000),
            1..4 => random.below(5000),
            _ => random.below(300),
        };
        let [byte, ..] = len.to_le_bytes();
        Self(alloc::vec![byte; len])
    }

    pub(crate) fn check(&self) {
        let [byte, ..] = self.0.len().to_le_bytes();
        let is_whole = self.0.iter().all(|&other| other == byte);
        assert!(is_whole, "a buffer of {} bytes has changed", self.0.len());
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) steps: u64,
    pub(crate) threads: u64,
    pub(crate) tasks: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Count {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            threads: self.threads + other.threads,
            tasks: self.tasks + other.tasks,
            sent: self.sent + other.sent,
            received: self.received + other.received,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            steps,
            threads,
            tasks,
            sent,
            ..
        } = self;
        write!(
            f,
            "{steps} steps, {threads} threads, {tasks} tasks, {sent} buffers sent"
        )
    }
}

type Senders = Arc<Vec<Sender<Buffer>>>;

/// What a core does.
pub(crate) struct Driver {
    random: Random,
    senders: Senders,
    threads: Vec<JoinHandle<u64>>,
    tasks: Vec<task::JoinHandle<u64>>,
    buffers: Vec<Buffer>,
    count: Count,
}

impl Driver {
    pub(crate) fn new(seed: u64, core: usize, senders: Senders) -> Self {
        let core = u64::try_from(core).expect("images are for 64 bits");
        Self {
            random: Random::new(seed.wrapping_mul(64) + core),
            senders,
            threads: Vec::new(),
            tasks: Vec::new(),
            buffers: Vec::new(),
            count: Count::default(),
        }
    }

    /// Takes so many steps, and waits for what they started.
    pub(crate) fn run(mut self, steps: u64) -> Count {
        for _ in 0..steps {
            self.step();
        }
        self.count.steps = steps;
        while let Some(thread) = self.threads.pop() {
            self.join(thread);
        }
        while let Some(task) = self.tasks.pop() {
            self.count.sent += task.join().expect("the task ended");
        }
        self.count
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0 | 1 => self.spawn_thread(),
            2 | 3 => self.spawn_task(),
            4 | 5 => self.send(),
            6 => self.join_one(),
            7 => self.unpark_one(),
            8 => self.allocate(),
            9 => self.free(),
            10 => thread::yield_now(),
            _ => thread::sleep(Duration::from_micros(self.random.next() % 50)),
        }
    }

    fn core(&mut self) -> usize {
        self.random.below(self.senders.len())
    }

    fn spawn_thread(&mut self) {
        if self.threads.len() >= LIVE {
            return self.join_one();
        }
        let (core, seed) = (self.core(), self.random.next());
        let stack = [4, 16, 16, 20][self.random.below(4)] * 1024;
        let senders = Arc::clone(&self.senders);
        let builder = Builder::new().name("work").stack_size(stack.max(8192));
        let thread = builder.spawn_on(core, move || work(seed, &senders));
        self.threads
            .push(thread.expect("there is memory for its stack"));
        self.count.threads += 1;
    }

    fn spawn_task(&mut self) {
        if self.tasks.len() >= LIVE {
            let task = self.tasks.swap_remove(self.random.below(LIVE));
            self.count.sent += task.join().expect("the task ended");
            return;
        }
        let (core, seed) = (self.core(), self.random.next());
        let senders = Arc::clone(&self.senders);
        let task = task::spawn_on(core, async move { work_async(seed, &senders).await });
        self.tasks.push(task.expect("the core is there"));
        self.count.tasks += 1;
    }

    fn send(&mut self) {
        let buffer = match self.buffers.pop() {
            Some(buffer) => buffer,
            None => Buffer::new(&mut self.random),
        };
        let core = self.core();
        self.senders[core].send(buffer).expect("it is received");
        self.count.sent += 1;
    }

    fn join_one(&mut self) {
        if !self.threads.is_empty() {
            let thread = self
                .threads
                .swap_remove(self.random.below(self.threads.len()));
            self.join(thread);
        }
    }

    fn join(&mut self, thread: JoinHandle<u64>) {
        self.count.sent += thread.join().expect("the thread ended");
    }

    /// Wakes a thread that did not ask for it.
    fn unpark_one(&mut self) {
        if !self.threads.is_empty() {
            let index = self.random.below(self.threads.len());
            self.threads[index].thread().unpark();
        }
    }

    fn allocate(&mut self) {
        if self.buffers.len() < 100 {
            self.buffers.push(Buffer::new(&mut self.random));
        }
    }

    fn free(&mut self) {
        if !self.buffers.is_empty() {
            let index = self.random.below(self.buffers.len());
            self.buffers.swap_remove(index).check();
        }
    }
}

/// What a spawned thread does: a few turns, a sleep, a wake-up of its own, messages. Returns how many it sent.
fn work(seed: u64, senders: &[Sender<Buffer>]) -> u64 {
    let mut random = Random::new(seed);
    let mut sent = 0;
    for _ in 0..random.below(6) {
        match random.below(5) {
            0 => thread::sleep(Duration::from_micros(random.next() % 300)),
            1 => {
                let waker = wake_later(thread::current());
                thread::park();
                waker.join().expect("the task ended");
            }
            2 => {
                let buffer = Buffer::new(&mut random);
                let core = random.below(senders.len());
                senders[core].send(buffer).expect("it is received");
                sent += 1;
            }
            _ => thread::yield_now(),
        }
    }
    sent
}

/// Has a task wake `thread`.
fn wake_later(thread: Thread) -> task::JoinHandle<()> {
    task::spawn(async move {
        task::yield_now().await;
        thread.unpark();
    })
}

/// What a spawned task does.
async fn work_async(seed: u64, senders: &[Sender<Buffer>]) -> u64 {
    let mut random = Random::new(seed);
    let mut sent = 0;
    for _ in 0..random.below(6) {
        match random.below(4) {
            0 => task::sleep(Duration::from_micros(random.next() % 300)).await,
            1 => {
                let long = Duration::from_millis(random.next() % 3);
                task::timeout(long, core::future::pending::<()>()).await;
            }
            2 => {
                let buffer = Buffer::new(&mut random);
                let core = random.below(senders.len());
                let sent_now = senders[core].send_async(buffer).await;
                sent_now.expect("it is received");
                sent += 1;
            }
            _ => task::yield_now().await,
        }
    }
    sent
}
