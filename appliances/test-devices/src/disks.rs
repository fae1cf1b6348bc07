//! Disks: every byte that is read is compared with a model, and what is left at the end with the host's file.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use toro::block::{self, BlockError, Disk, DmaBuf, Op, Pending, Request, SECTOR};
use toro::{devices, thread};
use toro_abi::digest::{DiskDigest, EMPTY, digest};

/// Sectors of the disk that is written.
const SECTORS: u64 = 32_768;
/// Random operations, and how many of them are in flight together.
const OPERATIONS: u32 = 10_000;
const DEPTH: usize = 32;

/// Runs `body` with a disk, on the core that owns it.
fn with_disk<T: Send + 'static>(
    name: &'static str,
    body: impl FnOnce(Disk) -> T + Send + 'static,
) -> T {
    let core = devices::owner_of(name).expect("the machine has the disk");
    let builder = thread::Builder::new().name(name).stack_size(64 << 10);
    let handle = builder.spawn_on(core, move || {
        body(block::open(name).expect("it lives here"))
    });
    let result = handle.expect("a thread").join();
    result.expect("the body has returned")
}

pub(crate) fn sizes_and_modes_are_those_of_the_machine() {
    let check = |name, sectors, is_read_only| {
        let info = with_disk(name, |disk| disk.info());
        assert_eq!((info.sectors, info.is_read_only), (sectors, is_read_only));
        assert!(info.can_flush);
    };
    check("blk0", SECTORS, false);
    check("blk1", 2048, true);
    check("blk2", 4096, false);
    assert!(block::open("blk3").is_none());
}

pub(crate) fn long_transfers_arrive_whole() {
    with_disk("blk0", |disk| {
        let mut random = Numbers(1);
        for len in [
            SECTOR,
            3 * SECTOR,
            65_536,
            131_072,
            131_072 + SECTOR,
            3 << 20,
        ] {
            let bytes: Vec<u8> = (0..len).map(|_| random.byte()).collect();
            let sector = u64::from(random.below(1000));
            disk.write(sector, &bytes).expect("it is written");
            let mut read = vec![0; len];
            disk.read(sector, &mut read).expect("it is read");
            assert!(read == bytes, "{len} bytes");
        }
        disk.flush().expect("it is flushed");
        disk.write(5, &[]).expect("nothing is written at once");
    });
}

pub(crate) fn ten_thousand_random_operations_match_the_model() {
    with_disk("blk0", |disk| {
        let mut random = Numbers(2);
        // Wipe what other cases have left: a version of 0 is a sector of zeroes.
        let zeroes = vec![0; 1 << 20];
        for sector in (0..SECTORS).step_by(2048) {
            disk.write(sector, &zeroes).expect("it is wiped");
        }
        let mut versions = vec![0_u32; 32_768];
        let mut busy = VecDeque::new();
        for number in 1..=OPERATIONS {
            if busy.len() == DEPTH {
                settle(busy.pop_front().expect("as many as that"));
            }
            // Two operations on one sector would overtake each other.
            let sector = loop {
                let sector = u64::from(random.below(32_768));
                let is_free = |job: &Job| job.sector != sector;
                if busy.iter().all(is_free) {
                    break sector;
                }
            };
            let version = &mut versions[usize::try_from(sector).expect("small")];
            let mut buf = DmaBuf::try_new(SECTOR).expect("memory");
            let (op, expected) = match random.below(8) {
                0 => (Op::Flush, None),
                1..=3 => (Op::Read(buf), Some(*version)),
                _ => {
                    *version = number;
                    fill(&mut buf, sector, number);
                    (Op::Write(buf), None)
                }
            };
            busy.push_back(Job {
                sector,
                expected,
                pending: disk.submit(Request { sector, op }),
            });
        }
        busy.into_iter().for_each(settle);
        disk.flush().expect("it is flushed");
    });
}

/// A request in flight, and the version of the sector that a read must find.
struct Job {
    sector: u64,
    expected: Option<u32>,
    pending: Pending,
}

fn settle(job: Job) {
    let (buf, result) = thread::block_on(job.pending);
    result.expect("the disk did it");
    if let Some(version) = job.expected {
        let mut expected = [0; SECTOR];
        fill(&mut expected, job.sector, version);
        assert!(*buf.expect("data") == expected, "sector {}", job.sector);
    }
}

/// What a sector holds in a version: itself in its first words, and then numbers that follow from them.
fn fill(bytes: &mut [u8], sector: u64, version: u32) {
    if version == 0 {
        return bytes.fill(0);
    }
    let mut numbers = Numbers(sector << 32 | u64::from(version));
    bytes[..8].copy_from_slice(&sector.to_le_bytes());
    bytes[8..16].copy_from_slice(&u64::from(version).to_le_bytes());
    for word in bytes[16..].chunks_exact_mut(8) {
        word.copy_from_slice(&numbers.next().to_le_bytes());
    }
}

pub(crate) fn zeroes_and_discards_are_carried_out() {
    with_disk("blk2", |disk| {
        disk.write(0, &[7; 16 * SECTOR]).expect("it is written");
        disk.write_zeroes(4, 8).expect("it can");
        let mut read = [1; 16 * SECTOR];
        disk.read(0, &mut read).expect("it is read");
        let sector = |number: usize| read[number * SECTOR..][..SECTOR].iter().all(|b| *b == 0);
        assert!((0..16).all(|number| sector(number) == (4..12).contains(&number)));
        disk.discard(0, 16).expect("it can");
    });
}

pub(crate) fn a_read_only_disk_refuses_to_be_written() {
    with_disk("blk1", |disk| {
        assert_eq!(disk.write(0, &[1; SECTOR]), Err(BlockError::ReadOnly));
        assert_eq!(disk.discard(0, 1), Err(BlockError::ReadOnly));
        let mut sector = [1; SECTOR];
        disk.read(2047, &mut sector).expect("it can be read");
        assert_eq!(sector, [0; SECTOR]);
    });
}

pub(crate) fn what_does_not_suit_the_disk_is_refused() {
    with_disk("blk0", |disk| {
        let mut bytes = [0; 2 * SECTOR];
        let range = Err(BlockError::OutOfRange);
        assert_eq!(disk.read(SECTORS - 1, &mut bytes), range);
        assert_eq!(disk.read(u64::MAX, &mut bytes), range);
        assert_eq!(disk.write(u64::MAX / 512, &bytes), range);
        let odd = Err(BlockError::Misaligned);
        assert_eq!(disk.read(0, &mut bytes[..100]), odd);
        assert_eq!(disk.read(SECTORS - 2, &mut bytes), Ok(()));
    });
}

pub(crate) fn threads_share_a_disk() {
    with_disk("blk2", |disk| {
        let handles: Vec<_> = (0..8_u8)
            .map(|number| {
                let disk = disk.clone();
                thread::spawn("sharer", move || {
                    for round in 0..20_u8 {
                        let sector = 100 + 20 * u64::from(number) + u64::from(round);
                        let bytes = [number ^ round; SECTOR];
                        disk.write(sector, &bytes).expect("it is written");
                        let mut read = [0; SECTOR];
                        disk.read(sector, &mut read).expect("it is read");
                        assert_eq!(read, bytes);
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.join().expect("the thread is done");
        }
    });
}

pub(crate) fn a_request_that_is_dropped_harms_nobody() {
    with_disk("blk2", |disk| {
        for sector in 0..200 {
            let op = Op::Write(DmaBuf::try_new(4096).expect("memory"));
            drop(disk.submit(Request { sector, op }));
        }
        disk.flush().expect("the disk works");
    });
}

/// Tells the host what each disk holds: it compares that with its files.
pub(crate) fn what_is_left_is_told_to_the_host() {
    for (number, name) in ["blk0", "blk1", "blk2"].into_iter().enumerate() {
        let digest = with_disk(name, |disk| {
            let mut bytes = vec![0; 1 << 20];
            let mut so_far = EMPTY;
            for sector in (0..disk.info().sectors).step_by(bytes.len() / SECTOR) {
                disk.read(sector, &mut bytes).expect("it is read");
                so_far = digest(so_far, &bytes);
            }
            so_far
        });
        toro::println!("{}", DiskDigest { number, digest });
    }
}

/// Numbers that repeat by their seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound)).expect("below a u32")
    }
}
