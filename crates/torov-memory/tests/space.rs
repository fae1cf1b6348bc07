//! The address space as a program sees it, without a virtual machine.

use torov_abi::{Errno, USER_END};
use torov_memory::{Access, Layout, Memory, MemoryFault, Place, Rights, Slots};

/// Takes whatever it is given.
struct NoMachine;

impl Slots for NoMachine {
    fn add(&mut self, _: u64, _: u64, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}

const TOP: u64 = 0x7f00_0000_0000;

fn memory(limit: u64) -> Memory {
    let layout = Layout {
        limit,
        mmap_top: TOP,
    };
    Memory::try_new(layout, Box::new(NoMachine)).expect("the host has the memory")
}

fn map(memory: &Memory, len: u64, rights: Rights) -> u64 {
    memory
        .map(Place::Anywhere(0), len, rights, "test")
        .expect("there is room")
}

#[test]
fn memory_reads_as_zero_and_keeps_what_is_written() {
    let memory = memory(8 << 20);
    let at = map(&memory, 0x3000, Rights::READ_WRITE);
    assert_eq!(memory.read_array::<8>(at + 0xffc), Ok([0; 8]));
    memory.write(at + 0xffc, b"crossing").unwrap();
    assert_eq!(&memory.read_array::<8>(at + 0xffc).unwrap(), b"crossing");
    assert_eq!(memory.read_text(at + 0xffc, 100).unwrap(), b"crossing");
    assert_eq!(memory.read_text(at + 0xffc, 8), Err(Errno::ENAMETOOLONG));
}

#[test]
fn pointers_at_every_edge_fault() {
    let memory = memory(8 << 20);
    let at = map(&memory, 0x2000, Rights::READ_WRITE);
    let end = at + 0x2000;
    for (address, len) in [
        (0, 1),
        (0xfff, 1),
        (end, 1),
        (end - 1, 2),
        (at - 1, 1),
        (at - 1, 4),
        (USER_END, 1),
        (USER_END - 1, 2),
        (0x8000_0000_0000, 8),
        (0xffff_8000_0000_0000, 8),
        (u64::MAX, 1),
        (u64::MAX - 3, 8),
        (at, u64::MAX),
    ] {
        let spans = memory.spans(address, len, Access::Read);
        assert_eq!(
            spans.map(|_| ()),
            Err(Errno::EFAULT),
            "{address:#x}+{len:#x}"
        );
    }
    assert_eq!(memory.write(end - 4, b"12345"), Err(Errno::EFAULT));
    memory.write(end - 4, b"1234").unwrap();
}

#[test]
fn pieces_of_many_ranges_end_where_one_is_not_the_program_s() {
    let memory = memory(8 << 20);
    let at = map(&memory, 0x3000, Rights::READ_WRITE);
    let end = at + 0x3000;
    memory.write(at, b"abcdef").unwrap();
    let check = |ranges: &[(u64, u64)], lens: &[usize], count| {
        let (spans, found) = memory.spans_of(ranges, Access::Read);
        let found_lens: Vec<usize> = spans.iter().map(|span| span.len()).collect();
        assert_eq!((found_lens.as_slice(), found), (lens, count), "{ranges:?}");
    };
    check(&[], &[], 0);
    // Ranges keep to themselves even where one goes on behind the other.
    check(&[(at, 2), (at + 2, 3), (at, 1)], &[2, 3, 1], 3);
    check(&[(at, 2), (end, 1), (at, 1)], &[2], 1);
    check(&[(u64::MAX, 2)], &[], 0);
    // What was found of the one that fails is given up.
    check(&[(at, 4), (at + 0x2ffe, 4)], &[4], 1);
}

#[test]
fn rights_bind_the_monitor_too() {
    let memory = memory(8 << 20);
    let at = map(&memory, 0x1000, Rights::READ);
    assert_eq!(memory.write(at, b"x"), Err(Errno::EFAULT));
    memory.load(at, b"x").unwrap();
    assert_eq!(&memory.read_array::<1>(at).unwrap(), b"x");
    memory.protect(at, 0x1000, Rights::NONE).unwrap();
    assert_eq!(memory.read_array::<1>(at), Err(Errno::EFAULT));
    memory.protect(at, 0x1000, Rights::READ_WRITE).unwrap();
    assert_eq!(&memory.read_array::<1>(at).unwrap(), b"x");
}

#[test]
fn what_was_unmapped_is_gone_and_its_memory_comes_back_clean() {
    let memory = memory(4 << 20);
    for round in 0..20 {
        let at = map(&memory, 3 << 20, Rights::READ_WRITE);
        for page in 0..768 {
            assert_eq!(memory.read_u64(at + page * 4096), Ok(0), "round {round}");
            memory.write(at + page * 4096, b"rubbish!").unwrap();
        }
        assert_eq!(memory.used(), 3 << 20);
        memory.unmap(at, 3 << 20).unwrap();
        assert_eq!(memory.read_u64(at), Err(Errno::EFAULT));
        assert_eq!(memory.used(), 0);
    }
}

#[test]
fn the_limit_holds() {
    let memory = memory(4 << 20);
    let at = map(&memory, 1 << 40, Rights::READ_WRITE);
    let mut touched = 0;
    while memory.write(at + touched, b"x").is_ok() {
        touched += 4096;
    }
    assert_eq!(touched, 4 << 20);
    let fault = memory.fault(at + touched, Access::Write);
    assert_eq!(fault, Err(MemoryFault::OutOfMemory));
    memory.unmap(at, 1 << 20).unwrap();
    memory.write(at + touched, b"x").unwrap();
}

#[test]
fn sparse_addresses_cannot_use_up_the_host() {
    let memory = memory(4 << 20);
    let mut made = 0;
    for at in 1..5000_u64 {
        let place = Place::Exactly(at << 30);
        match memory.map(place, 4096, Rights::READ_WRITE, "test") {
            Ok(_) => made += 1,
            Err(error) => {
                assert_eq!(error, Errno::ENOMEM);
                break;
            }
        }
    }
    assert!((100..1024).contains(&made), "{made}");
    assert!(memory.ram().len() < 16 << 20);
}

#[test]
fn faults_are_told_apart() {
    let memory = memory(8 << 20);
    let at = map(&memory, 1 << 20, Rights::READ);
    assert_eq!(memory.fault(at + 5, Access::Read), Ok(()));
    let refused = Err(MemoryFault::NoRight(Rights::READ));
    assert_eq!(memory.fault(at, Access::Write), refused);
    assert_eq!(memory.fault(at, Access::Execute), refused);
    assert_eq!(memory.fault(8, Access::Read), Err(MemoryFault::Unmapped));
    assert_eq!(
        memory.fault(u64::MAX, Access::Read),
        Err(MemoryFault::Unmapped)
    );
}

#[test]
fn the_heap_grows_and_shrinks() {
    let memory = memory(8 << 20);
    memory.set_heap(0x60_0000);
    assert_eq!(memory.brk(0), 0x60_0000);
    assert_eq!(memory.brk(0x60_1234), 0x60_1234);
    memory.write(0x60_1fff, b"x").unwrap();
    assert_eq!(memory.brk(0x70_0000), 0x70_0000);
    assert_eq!(memory.brk(u64::MAX), 0x70_0000);
    assert_eq!(memory.brk(0x5f_ffff), 0x70_0000);
    assert_eq!(memory.brk(0x60_0000), 0x60_0000);
    assert_eq!(memory.read_u64(0x60_1000), Err(Errno::EFAULT));
}

#[test]
fn places_are_kept() {
    let memory = memory(8 << 20);
    let taken = memory.map(Place::Exactly(0x50_0000), 0x1000, Rights::READ, "test");
    assert_eq!(taken, Ok(0x50_0000));
    let free = |place| memory.map(place, 0x1000, Rights::READ, "test");
    assert_eq!(free(Place::IfFree(0x50_0000)), Err(Errno::EEXIST));
    assert_eq!(free(Place::Anywhere(0x60_0000)), Ok(0x60_0000));
    assert_eq!(free(Place::Anywhere(0x50_0000)), Ok(TOP - 0x2000));
    assert_eq!(free(Place::Exactly(0x1000)), Err(Errno::EINVAL));
    assert_eq!(free(Place::Exactly(USER_END)), Err(Errno::EINVAL));
    assert_eq!(free(Place::Exactly(0x50_0001)), Err(Errno::EINVAL));
    let wrap = memory.map(Place::Anywhere(0), u64::MAX, Rights::READ, "test");
    assert_eq!(wrap, Err(Errno::EINVAL));
    memory.load(0x50_0000, b"old").unwrap();
    memory.clear(0x50_0000, 0x1000).unwrap();
    assert_eq!(memory.read_array::<3>(0x50_0000), Ok([0; 3]));
}

#[test]
fn what_moves_takes_its_pages_along() {
    let memory = memory(8 << 20);
    let at = map(&memory, 0x3000, Rights::READ_WRITE);
    // Something behind it, so that it cannot grow where it is.
    let behind = Place::Exactly(at + 0x3000);
    memory.map(behind, 0x1000, Rights::READ, "wall").unwrap();
    memory.write(at + 0x2ff8, b"the end.").unwrap();
    let used = memory.used();
    assert_eq!(
        memory.resize(at, 0x3000, 0x5000, None),
        Err(Errno::ENOMEM),
        "it may not move"
    );
    let moved = memory
        .resize(at, 0x3000, 0x5000, Some(Place::Anywhere(0)))
        .unwrap();
    assert_ne!(moved, at);
    assert_eq!(
        &memory.read_array::<8>(moved + 0x2ff8).unwrap(),
        b"the end."
    );
    assert_eq!(memory.read_array::<8>(moved + 0x4000), Ok([0; 8]));
    assert_eq!(memory.read_array::<1>(at), Err(Errno::EFAULT));
    assert_eq!(memory.used(), used + 0x2000);
    // Onto another area, which is gone then; pages without rights keep what they hold.
    let target = map(&memory, 0x4000, Rights::READ_WRITE);
    memory.protect(moved, 0x5000, Rights::NONE).unwrap();
    let place = Some(Place::Exactly(target));
    assert_eq!(memory.resize(moved, 0x5000, 0x3000, place), Ok(target));
    memory.protect(target, 0x3000, Rights::READ).unwrap();
    assert_eq!(
        &memory.read_array::<8>(target + 0x2ff8).unwrap(),
        b"the end."
    );
    assert_eq!(memory.read_array::<1>(moved), Err(Errno::EFAULT));
    assert_eq!(
        memory.resize(
            target,
            0x3000,
            0x3000,
            Some(Place::Exactly(target + 0x1000))
        ),
        Err(Errno::EINVAL),
        "onto itself"
    );
    assert_eq!(
        memory.resize(target, 0x5000, 0x6000, None),
        Err(Errno::EFAULT),
        "more than one area"
    );
}
