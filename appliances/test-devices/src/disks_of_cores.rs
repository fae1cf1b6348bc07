//! A disk with a queue for each core. `queues=N` says how many cores have one on this machine.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use toro::block::{self, Disk, DmaBuf, Op, Request, SECTOR};
use toro::{devices, thread};

use crate::disks::Numbers;

const NAME: &str = "blk0";
/// Sectors that each core writes, from its place on.
const PLACE: u64 = 1000;
/// Sectors of a request and their bytes, how many a core writes, and how many of them are in flight together.
const PIECE: usize = 4;
const BYTES: usize = PIECE * SECTOR;
const PIECES: usize = 200;
const DEPTH: usize = 16;

/// Runs `body` on each of `cores` at the same time, with the disk if that core has it.
fn on<T: Send + 'static>(
    cores: impl IntoIterator<Item = usize>,
    body: impl Fn(usize, Option<Disk>) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let spawn = |core| {
        let body = body.clone();
        let builder = thread::Builder::new().name("core").stack_size(64 << 10);
        let handle = builder.spawn_on(core, move || body(core, block::open(NAME)));
        handle.expect("a thread")
    };
    let handles: Vec<_> = cores.into_iter().map(spawn).collect();
    let join = |handle: thread::JoinHandle<T>| handle.join().expect("the body has returned");
    handles.into_iter().map(join).collect()
}

/// The cores that have the disk.
fn served() -> Vec<usize> {
    let has = on(0..thread::cores(), |core, disk| disk.map(|_| core));
    has.into_iter().flatten().collect()
}

pub(crate) fn as_many_cores_have_a_queue_as_the_machine_lets() {
    let served = served();
    let owner = devices::owner_of(NAME).expect("the machine has the disk");
    assert!(served.contains(&owner));
    let words = toro::env::args().filter_map(|word| word.strip_prefix("queues="));
    if let Some(expected) = words.last() {
        assert_eq!(expected.parse(), Ok(served.len()));
    }
}

pub(crate) fn cores_write_and_read_one_disk_each_by_its_queue() {
    let cores = served();
    for round in 0..4 {
        on(cores.clone(), move |core, disk| {
            write(&disk.expect("it has a queue"), core, round);
        });
        // What one core has written, the next one reads.
        let count = thread::cores();
        let all = cores.clone();
        on(cores.clone(), move |core, disk| {
            let disk = disk.expect("it has a queue");
            let mut others = (1..=count).map(|step| (core + step) % count);
            let next = others.find(|core| all.contains(core));
            read(&disk, next.expect("itself at least"), round);
        });
    }
}

fn start_of(core: usize) -> u64 {
    PLACE * (1 + core as u64)
}

fn content(sector: u64, core: usize, round: u64) -> DmaBuf {
    let mut buf = DmaBuf::try_new(BYTES).expect("memory");
    let mut numbers = Numbers(sector << 16 | round << 8 | core as u64);
    for word in buf.chunks_exact_mut(8) {
        word.copy_from_slice(&numbers.next().to_le_bytes());
    }
    buf
}

fn write(disk: &Disk, core: usize, round: u64) {
    let mut going = VecDeque::new();
    for sector in (start_of(core)..).step_by(PIECE).take(PIECES) {
        if going.len() == DEPTH {
            let pending = going.pop_front().expect("as many as that");
            thread::block_on::<block::Pending>(pending)
                .1
                .expect("it is written");
        }
        let op = Op::Write(content(sector, core, round));
        going.push_back(disk.submit(Request { sector, op }));
    }
    for pending in going {
        thread::block_on(pending).1.expect("it is written");
    }
    disk.flush().expect("it is flushed");
}

fn read(disk: &Disk, core: usize, round: u64) {
    let mut bytes = vec![0; BYTES];
    for sector in (start_of(core)..).step_by(PIECE).take(PIECES) {
        disk.read(sector, &mut bytes).expect("it is read");
        assert!(
            bytes[..] == content(sector, core, round)[..],
            "sector {sector} of core {core}"
        );
    }
}
