//! Random operations against the model, and what `fsck.fat` and mtools say afterwards.

use std::rc::Rc;

use crate::disk::{FORMATS, Image, NOW, assert_clean, formatted, mounted, open, run};
use toro_cache::{MemoryStore, ReadOnly};
use toro_fsx::Plan;
use toro_vfs::{FileError, FileSystem, Mounts};

fn random(seed: u64, operations: u64) {
    for (name, options, len) in FORMATS {
        let Some(image) = formatted(options, len) else {
            return;
        };
        println!("{name}, seed {seed}");
        let store = Rc::new(MemoryStore::new(image));
        let (mounts, file_system) = mounted(store.clone());
        let free = file_system.free_bytes();
        let deep = Plan {
            root: "",
            seed,
            operations,
            max_len: 40_000,
            max_io: 9_000,
            crowd: 0,
        };
        // So many that the directory gets an index, as far as the root has room.
        let wide = Plan {
            max_len: 3_000,
            max_io: 2_000,
            crowd: 220,
            ..deep
        };
        for plan in [deep, wide] {
            toro_fsx::run(|path| mounts.resolve(path), plan);
        }
        file_system.sync_all().expect("the store works");
        let root_grew = if name == "fat32" { 64 << 10 } else { 0 };
        let lost =
            free.expect("it can be read") - file_system.free_bytes().expect("it can be read");
        assert!(lost <= root_grew, "{lost} bytes are lost");
        assert_clean(&store.to_vec());
    }
}

#[test]
fn random_operations_match_the_model() {
    random(1, 4_000);
    random(2, 4_000);
}

#[test]
#[ignore = "long: 1,000,000 operations on each kind"]
fn a_million_operations_match_the_model() {
    (10..20).for_each(|seed| random(seed, 100_000));
}

/// Runs `test` on a volume of each kind, and checks it afterwards.
fn on_each(test: impl Fn(&Mounts)) {
    for (name, options, len) in FORMATS {
        let Some(image) = formatted(options, len) else {
            return;
        };
        println!("{name}");
        let store = Rc::new(MemoryStore::new(image));
        let (mounts, file_system) = mounted(store.clone());
        test(&mounts);
        file_system.sync_all().expect("the store works");
        assert_clean(&store.to_vec());
    }
}

#[test]
fn a_thousand_long_names_fit_into_a_directory() {
    on_each(|mounts| {
        let place = mounts.resolve("/many").expect("the root is mounted");
        place.create_dir().expect("there is room");
        for number in 0..1000 {
            open(mounts, &format!("/many/A long file name {number}.txt")).expect("there is room");
        }
        let listed = mounts.resolve("/many").expect("the root is mounted");
        let listed = listed.read_dir().expect("it is a directory");
        let names = listed.map(|entry| entry.expect("it can be read").name().to_owned());
        let expected = (0..1000).map(|number| format!("A long file name {number}.txt"));
        assert!(names.eq(expected));
        for number in (0..1000).step_by(2) {
            let path = format!("/many/a LONG file name {number}.txt");
            let place = mounts.resolve(&path).expect("the root is mounted");
            place.remove_file().expect("it is there");
        }
        let listed = mounts.resolve("/many").expect("the root is mounted");
        assert_eq!(listed.read_dir().expect("it is a directory").count(), 500);
    });
}

#[test]
fn names_of_255_letters_and_of_any_script_come_back() {
    on_each(|mounts| {
        let names = [
            "x".repeat(255),
            "\u{e4}".repeat(127),
            "\u{65e5}\u{672c}\u{8a9e}".repeat(28),
            "\u{1f980}.crab".to_owned(),
            ".hidden".to_owned(),
            "README.TXT".to_owned(),
            "readme2.txt".to_owned(),
        ];
        for name in &names {
            let path = format!("/{name}");
            let file = open(mounts, &path).expect("there is room");
            file.write_at(name.as_bytes(), 0).expect("there is room");
        }
        let listed = mounts.resolve("/").and_then(|place| place.read_dir());
        let listed = listed.expect("it is a directory");
        let found = listed.map(|entry| entry.expect("it can be read").name().to_owned());
        assert!(found.eq(names.iter().cloned()));
        let long = format!("/{}", "x".repeat(256));
        assert_eq!(open(mounts, &long).err(), Some(FileError::InvalidPath));
    });
}

#[test]
fn a_full_disk_is_an_error_and_recovers() {
    on_each(|mounts| {
        let mut file = open(mounts, "/full").expect("there is room");
        let chunk = vec![7; 1 << 20];
        let error = loop {
            if let Err(error) = file.write_all(&chunk) {
                break error;
            }
        };
        assert_eq!(error, FileError::NoSpace);
        let len = file.metadata().expect("it is open").len();
        assert!(len > 1 << 20);
        let other = open(mounts, "/other").expect("the root has slots");
        assert_eq!(other.write_at(b"x", 0), Err(FileError::NoSpace));
        assert_eq!(other.metadata().map(|other| other.len()), Ok(0));
        let directory = mounts.resolve("/dir").expect("the root is mounted");
        assert_eq!(directory.create_dir(), Err(FileError::NoSpace));
        file.set_len(len - 100_000).expect("a file can be cut");
        other.write_at(&chunk[..90_000], 0).expect("there is room");
        drop(file);
        let place = mounts.resolve("/full").expect("the root is mounted");
        place.remove_file().expect("it is there");
        other.write_at(&chunk, 0).expect("there is room");
    });
}

#[test]
fn a_file_ends_below_four_gibibytes() {
    on_each(|mounts| {
        let file = open(mounts, "/file").expect("there is room");
        assert_eq!(file.set_len(1 << 32), Err(FileError::TooLarge));
        assert_eq!(
            file.write_at(b"x", u64::from(u32::MAX)),
            Err(FileError::TooLarge)
        );
        assert_eq!(file.set_len(u64::from(u32::MAX)), Err(FileError::NoSpace));
        assert_eq!(file.metadata().map(|file| file.len()), Ok(0));
    });
}

#[test]
fn what_mtools_wrote_is_read_and_the_other_way_round() {
    for (_, options, len) in FORMATS {
        let Some(disk) = formatted(options, len) else {
            return;
        };
        let image = Image::of(&disk);
        let text = Image::of(b"written by mtools");
        let from = text.path().to_str().expect("the name is plain");
        let copy = ["-i", "IMAGE", from, "::/D\u{e4}ten/Ein langer Name.txt"];
        let made = run("mmd", &["-i", "IMAGE", "::/D\u{e4}ten"], image.path());
        let Some(made) = made else { return };
        assert!(made.status.success(), "{made:?}");
        let copied = run("mcopy", &copy, image.path()).expect("mtools are there");
        assert!(copied.status.success(), "{copied:?}");

        let disk = std::fs::read(image.path()).expect("it is there");
        let store = Rc::new(MemoryStore::new(disk));
        let (mounts, file_system) = mounted(store.clone());
        let path = "/d\u{c4}TEN/ein LANGER name.TXT";
        let read = mounts.resolve(path).and_then(|place| place.open());
        let read = read.and_then(|mut file| file.read_to_end());
        assert_eq!(read.as_deref(), Ok(&b"written by mtools"[..]));
        let canonical = mounts.resolve(path).and_then(|place| place.canonicalize());
        assert_eq!(canonical.as_deref(), Ok("/D\u{e4}ten/Ein langer Name.txt"));

        let mut file = open(&mounts, "/D\u{e4}ten/Antwort \u{20ac}.txt").expect("there is room");
        file.write_all(b"written by us").expect("there is room");
        let modified = file.metadata().expect("it is open").modified();
        assert_eq!(modified, NOW);
        file_system.sync_all().expect("the store works");
        let image = Image::of(&store.to_vec());
        let typed = ["-i", "IMAGE", "::/D\u{e4}ten/Antwort \u{20ac}.txt"];
        let typed = run("mtype", &typed, image.path()).expect("mtools are there");
        assert_eq!(typed.stdout, b"written by us", "{typed:?}");
        let listed = run("mdir", &["-i", "IMAGE", "-b", "-/", "::/"], image.path());
        let listed = listed.expect("mtools are there");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("Antwort \u{20ac}.txt"), "{listed}");
    }
}

#[test]
fn a_read_only_disk_is_read_and_not_written() {
    for (_, options, len) in FORMATS {
        let Some(disk) = formatted(options, len) else {
            return;
        };
        let store = Rc::new(ReadOnly::new(MemoryStore::new(disk)));
        let (mounts, file_system) = mounted(store);
        assert_eq!(open(&mounts, "/file").err(), Some(FileError::ReadOnly));
        let place = mounts.resolve("/").expect("the root is mounted");
        assert_eq!(place.read_dir().expect("it is a directory").count(), 0);
        assert_eq!(file_system.sync_all(), Ok(()));
    }
}

#[test]
fn only_the_case_of_a_name_can_change() {
    on_each(|mounts| {
        open(mounts, "/name.txt").expect("there is room");
        let place = |path| mounts.resolve(path).expect("the root is mounted");
        assert_eq!(place("/name.txt").rename(place("/Name.TXT")), Ok(()));
        assert_eq!(
            place("/NAME.txt").canonicalize().as_deref(),
            Ok("/Name.TXT")
        );
        assert_eq!(place("/").read_dir().expect("it is a directory").count(), 1);
    });
}

#[test]
fn ten_thousand_opens_leave_nothing_behind() {
    on_each(|mounts| {
        open(mounts, "/file").expect("there is room");
        for _ in 0..10_000 {
            let place = mounts.resolve("/file").expect("the root is mounted");
            drop(place.open().expect("it is there"));
        }
        let place = mounts.resolve("/file").expect("the root is mounted");
        assert_eq!(place.remove_file(), Ok(()));
    });
}
