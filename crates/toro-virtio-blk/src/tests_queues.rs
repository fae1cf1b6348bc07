//! Disks with several queues on a fake device, which lies about how many there are and about what they return.

extern crate std;

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use core::task::Waker;

use toro_dev::block::{BlockDevice, BlockError, Op, Refused, Request};
use toro_fake::{FakeBlk, Random};
use toro_mem::DmaBuf;
use toro_virtio::feature::INDIRECT_DESC;
use toro_virtio::{CoreInterrupts, DeviceError, Message};

use crate::{Config, VirtioBlk};

const FEATURES: u64 = FakeBlk::FEATURES | FakeBlk::SEVERAL_QUEUES;
const SECTORS: usize = 256;

/// What so many other cores lend.
fn lent(cores: u8) -> Vec<Message> {
    let message = |core| Message {
        apic_id: core,
        vector: 40,
    };
    (1..=u32::from(cores)).map(message).collect()
}

/// The disk by each of its queues: those of the other cores after the first.
fn start(fake: &FakeBlk, cores: u8, queue: u16) -> Vec<VirtioBlk> {
    let transport = fake.device.transport();
    let (first, further) = VirtioBlk::probe_queues(transport, Config { queue }, &lent(cores))
        .expect("the disk starts");
    let further = further.into_iter();
    let further = further.map(|queue| queue.open(Box::new(CoreInterrupts::new())));
    core::iter::once(first).chain(further).collect()
}

fn buf(len: usize, byte: u8) -> DmaBuf {
    let mut buf = DmaBuf::try_new(len).expect("memory");
    buf.fill(byte);
    buf
}

fn submit(disk: &mut VirtioBlk, sector: u64, op: Op) {
    disk.submit(Request { sector, op }).expect("room");
    disk.kick();
}

#[test]
fn each_core_has_a_queue_of_one_disk() {
    let fake = FakeBlk::with_queues(FEATURES, SECTORS, 256, 4);
    let mut disks = start(&fake, 3, 16);
    assert_eq!(disks.len(), 4);
    assert_eq!(fake.device.accepted(), FEATURES);
    for (number, disk) in (0..).zip(&mut disks) {
        submit(disk, number, Op::Write(buf(512, 7)));
    }
    for (queue, disk) in disks.iter_mut().enumerate() {
        assert_eq!(fake.device.waiting(queue), 1, "it went by its own queue");
        assert!(disk.complete().is_none(), "nobody has served that queue");
        assert!(fake.serve_queue(queue));
        assert_eq!(disk.complete().expect("done").result, Ok(()));
    }
    assert!(fake.bytes()[..4 * 512].iter().all(|byte| *byte == 7));
}

#[test]
fn as_many_queues_are_used_as_device_and_cores_have() {
    let count = |features, queues, cores| {
        let fake = FakeBlk::with_queues(features, SECTORS, 256, queues);
        start(&fake, cores, 16).len()
    };
    assert_eq!(count(FEATURES, 4, 1), 2);
    assert_eq!(count(FEATURES, 2, 3), 2);
    assert_eq!(count(FEATURES, 1, 3), 1);
    assert_eq!(count(FakeBlk::FEATURES, 4, 3), 1, "it does not say so");
    let fake = FakeBlk::with_queues(FEATURES, SECTORS, 256, 4);
    fake.device.set_messages(1);
    assert_eq!(start(&fake, 3, 16).len(), 2, "it has one more interrupt");
}

#[test]
fn a_disk_for_one_core_is_not_asked_for_more_queues() {
    let fake = FakeBlk::with_queues(FEATURES, SECTORS, 256, 4);
    assert_eq!(start(&fake, 0, 16).len(), 1);
    assert_eq!(fake.device.accepted(), FakeBlk::FEATURES);
}

#[test]
fn nonsense_about_the_number_of_queues_is_bounded() {
    for (named, used) in [(0, 1), (1, 1), (3, 3), (5, 4), (u16::MAX, 4)] {
        let fake = FakeBlk::with_queues(FEATURES, SECTORS, 256, 4);
        fake.device.set_messages(100);
        fake.device.set_config(34, &u16::to_le_bytes(named));
        let mut disks = start(&fake, 100, 16);
        assert_eq!(disks.len(), used, "{named} are named");
        for (queue, disk) in disks.iter_mut().enumerate() {
            submit(disk, 0, Op::Flush);
            assert!(fake.serve_queue(queue));
            assert!(disk.complete().is_some());
        }
    }
}

#[test]
fn a_new_size_is_seen_by_every_queue() {
    let fake = FakeBlk::with_queues(FEATURES, SECTORS, 256, 2);
    let mut disks = start(&fake, 1, 16);
    fake.device.set_config(0, &8u64.to_le_bytes());
    fake.device.announce_config();
    disks[0].arm(Waker::noop());
    for disk in &mut disks {
        assert_eq!(disk.info().sectors, 8);
        let beyond = disk.submit(Request {
            sector: 8,
            op: Op::Write(buf(512, 1)),
        });
        assert!(matches!(
            beyond,
            Err(Refused::Never(_, BlockError::OutOfRange))
        ));
    }
}

#[test]
fn a_lie_to_one_queue_gives_the_disk_up_for_all() {
    for liar in 0..3 {
        let fake = FakeBlk::with_queues(FEATURES, SECTORS, 256, 3);
        let mut disks = start(&fake, 2, 16);
        for disk in &mut disks {
            submit(disk, 0, Op::Read(buf(512, 0)));
        }
        fake.device.put_used(liar, 99, 1);
        let first = disks[liar].complete().expect("it failed");
        assert_eq!(first.result, Err(BlockError::Failed));
        assert_eq!(disks[liar].error(), Some(DeviceError::NotOutstanding(99)));
        for (queue, disk) in disks.iter_mut().enumerate() {
            if queue != liar {
                assert!(!disk.arm(Waker::noop()), "there is a completion");
                let done = disk.complete().expect("it failed");
                assert_eq!(done.result, Err(BlockError::Failed));
                assert!(done.buf.is_none(), "the device may still write to it");
            }
            assert!(disk.complete().is_none());
            assert!(disk.arm(Waker::noop()), "there is nothing to wait for");
            let later = disk.submit(Request {
                sector: 0,
                op: Op::Flush,
            });
            assert!(matches!(later, Err(Refused::Never(_, BlockError::Failed))));
        }
    }
}

#[test]
fn random_work_on_many_queues_matches_a_model_of_the_disk() {
    let mut random = Random::new(4);
    for (queues, indirect) in [(1, INDIRECT_DESC), (2, 0), (4, INDIRECT_DESC)] {
        let features = FEATURES & !INDIRECT_DESC | indirect;
        let fake = FakeBlk::with_queues(features, SECTORS, 256, queues);
        let mut disks = start(&fake, 3, 16);
        assert_eq!(disks.len(), usize::from(queues));
        let mut model = vec![0u8; SECTORS];
        for _ in 0..toro_fake::steps(50_000) {
            let queue = random.index(disks.len());
            let disk = &mut disks[queue];
            let sector = random.index(SECTORS);
            let byte = random.next_u8();
            let is_write = random.below(2) == 0;
            let op = match is_write {
                true => Op::Write(buf(512, byte)),
                false => Op::Read(buf(512, byte)),
            };
            submit(disk, sector as u64, op);
            assert!(fake.serve_queue(queue));
            let done = disk.complete().expect("it was served");
            assert_eq!(done.result, Ok(()));
            if is_write {
                model[sector] = byte;
            } else {
                assert_eq!(*done.buf.expect("its buffer"), [model[sector]; 512]);
            }
        }
    }
}
