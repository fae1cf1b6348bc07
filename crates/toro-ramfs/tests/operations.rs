//! Random operations against the model, and the limits.

use std::rc::Rc;

use toro_fsx::Plan;
use toro_ramfs::RamFs;
use toro_vfs::{FileError, FileSystem, Mounts, NodeId, OpenOptions};

fn ram(limit: usize) -> Rc<RamFs> {
    Rc::new(RamFs::new(limit, || 7))
}

fn mounted(limit: usize) -> (Mounts, Rc<RamFs>) {
    let file_system = ram(limit);
    let mut mounts = Mounts::new();
    mounts
        .mount("/", file_system.clone())
        .expect("nothing is mounted");
    (mounts, file_system)
}

fn check(seed: u64, operations: u64) {
    let (mounts, file_system) = mounted(256 << 20);
    let plan = Plan {
        root: "",
        seed,
        operations,
        max_len: 100_000,
        max_io: 9_000,
        crowd: 0,
    };
    toro_fsx::run(|path| mounts.resolve(path), plan);
    assert_eq!(file_system.taken(), 0, "everything was given back");
}

#[test]
fn random_operations_match_the_model() {
    (1..=4).for_each(|seed| check(seed, 10_000));
}

#[test]
#[ignore = "long: 1,000,000 operations"]
fn a_million_operations_match_the_model() {
    (1..=10).for_each(|seed| check(seed, 100_000));
}

#[test]
fn a_full_file_system_is_an_error_and_recovers() {
    let (mounts, file_system) = mounted(1 << 20);
    let resolve = |path| mounts.resolve(path).expect("the root is mounted");
    let mut options = OpenOptions::new();
    let file = resolve("/full").open_with(options.write(true).create(true));
    let mut file = file.expect("there is room");
    assert_eq!(file.write_all(&vec![1; 2 << 20]), Err(FileError::NoSpace));
    let len = file.metadata().expect("it is open").len();
    assert!(len > 900_000 && len < 1 << 20, "{len}");
    assert_eq!(file.write_at(b"x", len + 4096), Err(FileError::NoSpace));
    assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(len));
    file.set_len(0).expect("a file can be cut");
    file.write_at(b"x", 0).expect("there is room again");
    drop(file);
    resolve("/full").remove_file().expect("it is there");
    assert_eq!(file_system.taken(), 0);
}

#[test]
fn names_count_against_the_limit() {
    let (mounts, file_system) = mounted(100_000);
    let mut made = 0;
    let error = loop {
        let path = format!("/{made:0>200}");
        let place = mounts.resolve(&path).expect("the root is mounted");
        match place.create_dir() {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, FileError::NoSpace);
    assert!(made > 50 && file_system.taken() <= 100_000);
}

#[test]
fn sparse_files_are_larger_than_memory() {
    let (mounts, file_system) = mounted(1 << 20);
    let place = mounts.resolve("/sparse").expect("the root is mounted");
    let mut options = OpenOptions::new();
    let file = place.open_with(options.read(true).write(true).create(true));
    let file = file.expect("there is room");
    file.write_at(b"end", 5 << 30).expect("there is room");
    assert_eq!(file.metadata().map(|file| file.len()), Ok((5 << 30) + 3));
    let mut bytes = [1; 8];
    assert_eq!(file.read_at(&mut bytes, (5 << 30) - 5), Ok(8));
    assert_eq!(&bytes, b"\0\0\0\0\0end");
    assert!(file_system.taken() < 10_000);
    assert_eq!(file.set_len(u64::MAX), Err(FileError::TooLarge));
    assert_eq!(file.write_at(b"12", u64::MAX - 1), Err(FileError::TooLarge));
}

#[test]
fn ten_thousand_opens_leave_nothing_behind() {
    let (mounts, file_system) = mounted(1 << 20);
    let resolve = || mounts.resolve("/file").expect("the root is mounted");
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    drop(resolve().open_with(&options).expect("there is room"));
    let taken = file_system.taken();
    for _ in 0..10_000 {
        drop(resolve().open().expect("it is there"));
    }
    assert_eq!(file_system.taken(), taken);
    resolve().remove_file().expect("it is there");
    assert_eq!(file_system.taken(), 0);
}

#[test]
fn names_of_255_bytes_and_a_thousand_files_fit() {
    let (mounts, _) = mounted(16 << 20);
    let resolve = |path| mounts.resolve(path).expect("the root is mounted");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    for number in 0..1000 {
        let path = format!("/{number:0>251}.txt");
        let place = mounts.resolve(&path).expect("the root is mounted");
        place.open_with(&options).expect("there is room");
    }
    let listed = resolve("/").read_dir().expect("it is a directory");
    assert_eq!(listed.count(), 1000);
    let too_long = format!("/{}", "n".repeat(256));
    let opened = resolve(&too_long).open_with(&options);
    assert_eq!(opened.err(), Some(FileError::InvalidPath));
}

#[test]
fn numbers_that_are_no_nodes_are_errors() {
    let file_system = ram(1 << 20);
    let none = NodeId(u64::MAX);
    assert_eq!(file_system.metadata(none), Err(FileError::NotFound));
    assert_eq!(
        file_system.read_at(none, 0, &mut []),
        Err(FileError::NotFound)
    );
    file_system.close(none);
}
