//! Tables made by `sfdisk`, damaged tables, and sectors that are none.

use std::io::Write;
use std::process::{Command, Stdio};
use std::rc::Rc;

use toro_cache::{BlockStore, MemoryStore, SECTOR};
use toro_fsx::Random;
use toro_partition::{Kind, Partition, PartitionError, read};

const LEN: usize = 8 << 20;

/// A disk with the table that `script` describes; `None` if `sfdisk` is not installed.
fn disk(name: &str, script: &str) -> Option<Vec<u8>> {
    let name = format!("toro-partition-{}-{name}.img", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, vec![0; LEN]).expect("there is room for temporary files");
    let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let child = Command::new("sfdisk")
        .env("PATH", paths)
        .arg("-q")
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: sfdisk is not installed (fdisk)");
        return None;
    };
    let mut input = child.stdin.take().expect("it is a pipe");
    input.write_all(script.as_bytes()).expect("sfdisk reads");
    drop(input);
    assert!(child.wait().expect("it ends").success());
    let bytes = std::fs::read(&path).expect("it is there");
    std::fs::remove_file(path).expect("it is there");
    Some(bytes)
}

fn partitions(bytes: &[u8]) -> Result<Vec<Partition>, PartitionError> {
    read(&MemoryStore::new(bytes.to_vec()))
}

fn places(found: &[Partition]) -> Vec<(u32, u64, u64)> {
    let place = |found: &Partition| (found.number, found.start, found.sectors);
    found.iter().map(place).collect()
}

const GPT: &str = "label: gpt\nstart=2048, size=4096, name=\"D\u{e4}ten\"\nstart=6144, size=2048\n";
const MBR: &str = "label: dos\n1: start=2048, size=2048, type=c\n\
                   2: start=4096, size=10240, type=5\n\
                   5: start=6144, size=1024, type=83\n\
                   6: size=1024, type=83\n";

#[test]
fn gpt_is_read_and_its_copy_stands_in() {
    let Some(mut bytes) = disk("gpt", GPT) else {
        return;
    };
    let found = partitions(&bytes).expect("sfdisk made it");
    assert_eq!(places(&found), [(1, 2048, 4096), (2, 6144, 2048)]);
    assert_eq!(found[0].name, "D\u{e4}ten");
    assert!(matches!(found[0].kind, Kind::Gpt(_)));
    // In the header, and in the entries.
    for at in [SECTOR + 60, 2 * SECTOR + 40] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(partitions(&damaged).as_ref(), Ok(&found));
    }
    bytes[SECTOR + 60] ^= 1;
    bytes[LEN - SECTOR + 60] ^= 1;
    assert_eq!(partitions(&bytes), Err(PartitionError::Corrupt));
}

#[test]
fn mbr_is_read_with_its_logical_partitions() {
    let Some(bytes) = disk("mbr", MBR) else {
        return;
    };
    let found = partitions(&bytes).expect("sfdisk made it");
    assert_eq!(
        places(&found),
        [(1, 2048, 2048), (5, 6144, 1024), (6, 10240, 1024)]
    );
    assert_eq!(found[0].kind, Kind::Mbr(0x0c));
    let store = Rc::new(MemoryStore::new(bytes));
    let window = found[1].open(store).expect("it fits");
    assert_eq!(window.sectors(), 1024);
}

#[test]
fn a_disk_without_table_says_so() {
    for bytes in [vec![], vec![0; 4096], vec![0xff; 4096]] {
        assert_eq!(partitions(&bytes), Err(PartitionError::NoTable));
    }
}

#[test]
fn a_circle_of_logical_partitions_ends() {
    let mut bytes = vec![0; 100 * SECTOR];
    let mut table = |at: usize, entry: usize, kind: u8, start: u8| {
        let from = at * SECTOR + 446 + entry * 16;
        bytes[from + 4] = kind;
        bytes[from + 8] = start;
        bytes[from + 12] = 10;
        bytes[at * SECTOR + 510..][..2].copy_from_slice(&[0x55, 0xaa]);
    };
    table(0, 0, 5, 10);
    table(10, 0, 0x83, 1);
    table(10, 1, 5, 0);
    assert_eq!(partitions(&bytes), Err(PartitionError::Corrupt));
}

#[test]
fn mutated_tables_never_panic_and_stay_on_the_disk() {
    let mut random = Random::new(3);
    for (name, script) in [("gpt-mutated", GPT), ("mbr-mutated", MBR)] {
        let Some(good) = disk(name, script) else {
            return;
        };
        for _ in 0..150 {
            let mut bytes = good.clone();
            for _ in 0..1 + random.index(4) {
                let table = [0, SECTOR, 2 * SECTOR, 4096 * SECTOR][random.index(4)];
                let at = table + [446, 0][random.index(2)] + random.index(64);
                bytes[at] = random.next_u64().to_le_bytes()[0];
            }
            for found in partitions(&bytes).unwrap_or_default() {
                assert!(found.start > 0 && found.start + found.sectors <= (LEN / SECTOR) as u64);
            }
        }
    }
}
