//! Memory that comes from a file.

use std::fs::{self, File};
use std::os::fd::AsFd as _;

use torov_abi::Errno;
use torov_memory::{Layout, Memory, Place, Rights, Slots};

/// Takes whatever it is given.
struct NoMachine;

impl Slots for NoMachine {
    fn add(&mut self, _: u64, _: u64, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}

const AT: u64 = 0x40_0000;
const PAGES: [u64; 3] = [AT, AT + 0x1000, AT + 0x3000];

fn memory(limit: u64) -> Memory {
    let layout = Layout {
        limit,
        mmap_top: 0x7f00_0000_0000,
    };
    Memory::try_new(layout, Box::new(NoMachine)).expect("the host has the memory")
}

/// A file of a page of zeros, and `count` pages that hold their number from 1 on.
fn file(name: &str, count: u8) -> File {
    let path = std::env::temp_dir().join(format!("torov-{name}-{}", std::process::id()));
    let bytes: Vec<u8> = (0..=count).flat_map(|page| [page; 4096]).collect();
    fs::write(&path, bytes).expect("there is room for a file");
    let file = File::open(&path).expect("it is there");
    fs::remove_file(&path).expect("it is ours");
    file
}

/// Memory with an area of 4 pages, the third of which is not in the file.
fn adopted(file: &File) -> Memory {
    let memory = memory(8 << 20);
    let range = (AT, AT + 0x4000);
    memory
        .map_empty(range, Rights::READ_WRITE, "test")
        .expect("the place is free");
    memory
        .adopt(file.as_fd(), 0x1000, &PAGES)
        .expect("they have an area");
    memory
}

fn byte(memory: &Memory, at: u64) -> u8 {
    memory.read_array::<1>(at).expect("it is mapped")[0]
}

#[test]
fn pages_are_where_they_were_and_private() {
    let file = file("private", 3);
    let [one, other] = [adopted(&file), adopted(&file)];
    assert_eq!(one.filled_pages(), PAGES);
    one.write(AT, b"changed").unwrap();
    for (page, value) in [(0, 1), (1, 2), (2, 0), (3, 3)] {
        assert_eq!(byte(&other, AT + page * 0x1000), value, "page {page}");
    }
    assert_eq!(&one.read_array::<7>(AT).unwrap(), b"changed");
}

#[test]
fn what_is_given_back_is_clear_when_it_comes_again() {
    let file = file("clear", 3);
    let memory = adopted(&file);
    memory.clear(AT, 0x1000).unwrap();
    assert_eq!((byte(&memory, AT), byte(&memory, AT + 0x1000)), (0, 2));
    memory.protect(AT + 0x1000, 0x1000, Rights::READ).unwrap();
    assert_eq!(byte(&memory, AT + 0x1000), 2);
    memory.unmap(AT, 0x4000).unwrap();
    // All frames there are, those of the file among them.
    let len = 8 << 20;
    let again = memory.map(Place::Anywhere(0), len, Rights::READ_WRITE, "test");
    let again = again.unwrap();
    let mut bytes = vec![1; 8 << 20];
    memory.read(again, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn pages_that_make_no_sense_are_refused() {
    let file = file("senseless", 3);
    for pages in [
        [AT, AT, AT + 0x1000],
        [AT, AT + 1, AT + 0x2000],
        [AT, AT + 0x4000, AT + 0x5000],
        [0, AT, AT + 0x1000],
        [AT, AT + 0x1000, u64::MAX - 4095],
    ] {
        let memory = memory(8 << 20);
        let range = (AT, AT + 0x4000);
        memory.map_empty(range, Rights::READ_WRITE, "test").unwrap();
        let done = memory.adopt(file.as_fd(), 0x1000, &pages);
        assert_eq!(done, Err(Errno::EINVAL), "{pages:x?}");
    }
    let both = Rights {
        read: true,
        write: true,
        execute: true,
    };
    let memory = memory(8 << 20);
    for (start, end, rights) in [
        (AT, AT + 0x1000, both),
        (AT, AT - 0x1000, Rights::READ),
        (0, 0x1000, Rights::READ),
        (AT + 1, AT + 0x1000, Rights::READ),
        (AT, u64::MAX, Rights::READ),
    ] {
        let made = memory.map_empty((start, end), rights, "test");
        assert_eq!(made, Err(Errno::EINVAL), "{start:x} {end:x}");
    }
    assert_eq!(memory.restore_heap((AT, AT - 1)), Err(Errno::EINVAL));
}

#[test]
fn the_limit_holds_for_pages_of_a_file() {
    let file = file("limit", 3);
    let memory = memory(1 << 20);
    let count = (1 << 20) / 4096 + 1;
    let range = (AT, AT + count * 4096);
    memory.map_empty(range, Rights::READ_WRITE, "test").unwrap();
    let pages: Vec<u64> = (0..count).map(|page| AT + page * 4096).collect();
    let done = memory.adopt(file.as_fd(), 0, &pages);
    assert_eq!(done, Err(Errno::ENOMEM));
}
