//! Tests the file calls: over an archive beside the image, at `/`, the same one inside it, at `/inside`, and over what the
//! command line mounts: FAT and ext on disks, and memory.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod cores;
mod failures;
mod mounts;
mod random;
mod tasks;
mod volumes;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use toro::fs::{self, File, FileError};

/// The folder `files`, as the build script has archived it.
static INSIDE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/files.tar"));

const LARGE: usize = 70_000;

toro::main!(main);

fn main() {
    toro_test::run(toro_test::cases![
        an_embedded_archive_mounts_once,
        both_archives_hold_the_same_bytes,
        reads_in_pieces_and_from_anywhere,
        lists_a_folder,
        tells_a_folder_from_a_file,
        says_what_is_not_there,
        ten_thousand_opens_leave_no_memory_behind,
        mounts::what_mke2fs_wrote_is_read,
        mounts::a_mount_that_is_optional_may_be_missing,
        mounts::mounts_at_run_time_say_what_is_wrong,
        mounts::a_read_only_disk_refuses_to_be_written,
        mounts::a_mount_goes_and_comes_back_with_its_files,
        volumes::what_was_written_is_read_back,
        volumes::a_thousand_files_fit_into_a_directory,
        volumes::names_of_255_bytes_and_of_any_script_come_back,
        volumes::a_full_disk_is_an_error_and_recovers,
        volumes::files_end_where_the_file_system_does,
        volumes::ten_thousand_opens_leave_no_memory_behind,
        random::random_operations_match_the_model,
        tasks::what_is_in_memory_is_read_at_once,
        tasks::what_is_on_a_disk_is_read_at_once_when_it_was_read_before,
        tasks::tasks_go_on_while_files_are_used,
        failures::a_read_that_fails_reaches_the_caller,
        failures::a_write_that_fails_reaches_the_caller_and_stays,
        failures::a_flush_that_fails_reaches_the_caller_and_stays,
        cores::every_core_uses_every_mount,
        cores::what_cores_append_lies_together,
        cores::files_of_a_panicked_thread_are_closed,
    ]);
}

fn an_embedded_archive_mounts_once() {
    // Files and folders: the root, deep, deep/er and four files.
    assert_eq!(fs::mount_archive("/inside", INSIDE), Ok(7));
    assert!(fs::mount_archive("/inside", INSIDE).is_err());
    assert!(fs::mount_archive("/broken", b"this is not an archive").is_err());
}

fn both_archives_hold_the_same_bytes() {
    for name in ["one.txt", "deep/er/down.txt", "large.txt", "empty"] {
        let beside = fs::read(&alloc::format!("/{name}")).expect("the file is beside the image");
        let inside = fs::read(&alloc::format!("/inside/{name}")).expect("and inside");
        assert!(beside == inside, "{name} differs");
    }
    assert_eq!(
        fs::read("/inside/deep/er/down.txt").expect("it is there"),
        b"deep down\n"
    );
    let large = fs::read("/large.txt").expect("it is there");
    assert!(large.len() == LARGE && large.iter().all(|&byte| byte == b'x'));
}

fn reads_in_pieces_and_from_anywhere() {
    let mut file = File::open("/large.txt").expect("it is there");
    let (mut total, mut piece) = (0, [0; 999]);
    loop {
        match file
            .read(&mut piece)
            .expect("an archive has no read errors")
        {
            0 => break,
            len => total += len,
        }
    }
    assert_eq!(total, LARGE);
    let mut end = [0; 10];
    assert_eq!(file.read_at(&mut end, LARGE as u64 - 4), Ok(4));
    assert_eq!(file.read_at(&mut end, u64::MAX), Ok(0));
    let whole = file.as_static_slice().expect("an archive lies in memory");
    assert_eq!(whole.len(), LARGE);
}

fn lists_a_folder() {
    let names = |path| -> Vec<String> {
        let entries = fs::read_dir(path).expect("the folder is there");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an archive lists all").name().to_string())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("/inside"), ["deep", "empty", "large.txt", "one.txt"]);
    assert_eq!(names("/inside/deep//er/../er/"), ["down.txt"]);
}

fn tells_a_folder_from_a_file() {
    let folder = fs::metadata("/deep").expect("the folder is there");
    let file = fs::metadata("/large.txt").expect("the file is there");
    assert!(folder.is_dir() && !file.is_dir());
    assert_eq!(file.len(), LARGE as u64);
    assert!(
        file.modified() > 1_700_000_000,
        "the archive keeps the time of the file"
    );
}

fn says_what_is_not_there() {
    let error = |path| File::open(path).err();
    assert_eq!(error("/nothing"), Some(FileError::NotFound));
    assert_eq!(error("/one.txt/more"), Some(FileError::NotADirectory));
    // Above the root is the root.
    assert!(File::open("/../../one.txt").is_ok());
}

fn ten_thousand_opens_leave_no_memory_behind() {
    let round = || drop(File::open("/inside/one.txt").expect("it is there"));
    round();
    let before = toro::mem::stats().in_use;
    (0..10_000).for_each(|_| round());
    assert_eq!(toro::mem::stats().in_use, before);
}
