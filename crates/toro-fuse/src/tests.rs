//! Calls against an honest server: what they do, what they ask for, what they forget.

use std::cell::Cell;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use toro_dev::fuse::{FuseError, Message};
use toro_fake::{FakeFuse, Random};
use toro_ramfs::RamFs;
use toro_time::Instant;
use toro_vfs::{FileError, FileSystem, FileType, IoError, NodeId, Sync};

use crate::channel::Channel;
use crate::file_system::{FuseFs, Options};
use crate::wire::Opcode;

mod link;

/// A server that answers at once, until it is gone.
#[derive(Default)]
struct Direct {
    server: FakeFuse,
    is_gone: Cell<bool>,
}

impl Channel for Direct {
    fn call(&self, mut message: Message) -> Result<(Message, usize), FuseError> {
        if self.is_gone.get() {
            return Err(FuseError::TimedOut);
        }
        let answer = self.server.answer(&message.sent[..message.len]);
        let answer = answer.expect("it is to be answered");
        let (buf, room) = message.answer.as_mut().expect("there is room");
        assert!(answer.len() <= *room, "there is room for all of the answer");
        buf[..answer.len()].copy_from_slice(&answer);
        Ok((message, answer.len()))
    }

    fn cast(&self, message: Message) {
        if !self.is_gone.get() {
            self.server.answer(&message.sent[..message.len]);
        }
    }
}

std::thread_local! {
    static NOW: Cell<u64> = const { Cell::new(1) };
}

/// Time passes: names are believed for a second.
fn tick(nanos: u64) {
    NOW.set(NOW.get() + nanos);
}

const SECOND: u64 = 1_000_000_000;

fn share() -> (Rc<Direct>, FuseFs) {
    let direct = Rc::new(Direct::default());
    let share = mount(&direct, false).expect("it is there");
    (direct, share)
}

fn mount(direct: &Rc<Direct>, read_only: bool) -> Result<FuseFs, FileError> {
    let options = Options {
        read_only,
        clock: || Instant::from_nanos(NOW.get()),
    };
    FuseFs::mount(direct.clone(), options)
}

fn write(share: &impl FileSystem, path: &str, bytes: &[u8]) {
    let node = share.create(path).expect("it is new");
    assert_eq!(share.write_at(node, 0, bytes), Ok(bytes.len()));
    share.close(node);
}

fn read(share: &impl FileSystem, path: &str) -> Result<Vec<u8>, FileError> {
    let node = share.open(path)?;
    let mut buf = vec![0; 1 << 16];
    let len = share.read_at(node, 0, &mut buf);
    share.close(node);
    buf.truncate(len?);
    Ok(buf)
}

fn list(share: &impl FileSystem, path: &str) -> Result<Vec<(String, FileType)>, FileError> {
    let node = share.open(path)?;
    let mut cursor = 0;
    let entries = std::iter::from_fn(|| share.read_dir(node, &mut cursor).transpose());
    let entries: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|entry| (entry.name().to_string(), entry.file_type())))
        .collect();
    share.close(node);
    entries
}

#[test]
fn what_is_written_is_read_back() {
    let (direct, share) = share();
    share.create_dir("a").expect("it is new");
    write(&share, "a/b", b"hello");
    assert_eq!(read(&share, "a/b").as_deref(), Ok(&b"hello"[..]));
    assert_eq!(share.create("a/b"), Err(FileError::AlreadyExists));
    assert_eq!(share.create_dir("a"), Err(FileError::AlreadyExists));
    let node = share.open("a/b").expect("it is there");
    assert_eq!(share.append(node, b", world"), Ok((5, 7)));
    assert_eq!(share.metadata(node).map(|found| found.len()), Ok(12));
    share.set_len(node, 3).expect("it can be cut");
    assert_eq!(share.metadata(node).map(|found| found.len()), Ok(3));
    assert_eq!(share.sync(node, Sync::All), Ok(()));
    assert_eq!(
        share.write_at(node, u64::MAX, b"x"),
        Err(FileError::TooLarge)
    );
    assert_eq!(share.read_at(node, u64::MAX, &mut [0; 4]), Ok(0));
    share.close(node);
    share.rename("a/b", "c").expect("it can move");
    assert_eq!(read(&share, "a/b"), Err(FileError::NotFound));
    assert_eq!(read(&share, "c").as_deref(), Ok(&b"hel"[..]));
    assert_eq!(share.remove_dir("c"), Err(FileError::NotADirectory));
    assert_eq!(share.remove_file("a"), Err(FileError::IsADirectory));
    share.remove_file("c").expect("it can go");
    share.remove_dir("a").expect("it is empty");
    assert_eq!(list(&share, "").as_deref(), Ok(&[][..]));
    assert_eq!(direct.server.open_handles(), 0);
    share.sync_all().expect("it can");
    drop(share);
    assert_eq!(direct.server.named(), 0, "all is forgotten");
}

#[test]
fn a_file_that_was_removed_can_be_used_until_it_is_closed() {
    let (direct, share) = share();
    write(&share, "a", b"old");
    let node = share.open("a").expect("it is there");
    share.remove_file("a").expect("it can go");
    write(&share, "a", b"new");
    let mut buf = [0; 8];
    assert_eq!(share.read_at(node, 0, &mut buf), Ok(3));
    assert_eq!(&buf[..3], b"old");
    assert_eq!(share.write_at(node, 0, b"OLD"), Ok(3));
    share.close(node);
    assert_eq!(read(&share, "a").as_deref(), Ok(&b"new"[..]));
    drop(share);
    assert_eq!(direct.server.named(), 0);
}

#[test]
fn links_lead_nowhere_but_into_the_share() {
    let (direct, share) = share();
    share.create_dir("dir").expect("it is new");
    write(&share, "dir/file", b"inside");
    let server = &direct.server;
    for (name, target) in [
        ("relative", "dir/file"),
        ("absolute", "/dir/./file"),
        ("up", "../../../dir/../dir/file"),
        ("chain", "relative"),
        ("folder", "dir"),
        ("circle", "circle"),
        ("ping", "pong"),
        ("pong", "/ping"),
        ("outside", "/etc/passwd"),
        ("dangling", "dir/missing"),
    ] {
        server.add_link(name.as_bytes(), target);
    }
    for path in ["relative", "absolute", "up", "chain", "folder/file"] {
        assert_eq!(read(&share, path).as_deref(), Ok(&b"inside"[..]), "{path}");
        assert_eq!(share.canonicalize(path).as_deref(), Ok("dir/file"));
    }
    for path in ["circle", "ping", "pong/x"] {
        assert_eq!(read(&share, path), Err(FileError::InvalidPath), "{path}");
    }
    for path in ["outside", "dangling"] {
        assert_eq!(read(&share, path), Err(FileError::NotFound), "{path}");
    }
    assert_eq!(read(&share, "relative/x"), Err(FileError::NotADirectory));
    let listed = list(&share, "").expect("it can be listed");
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["absolute", "chain", "dir", "folder", "relative", "up"]
    );
    let of = |name| {
        listed
            .iter()
            .find(|entry| entry.0 == name)
            .map(|entry| entry.1)
    };
    assert_eq!(of("folder"), Some(FileType::Directory));
    assert_eq!(of("up"), Some(FileType::File));
    // What a link leads to is created if it is missing; the link itself goes when it is removed.
    assert_eq!(share.create("relative"), Err(FileError::AlreadyExists));
    write(&share, "dangling", b"found");
    assert_eq!(read(&share, "dir/missing").as_deref(), Ok(&b"found"[..]));
    share.remove_file("dangling").expect("a link can go");
    share
        .remove_file("folder")
        .expect("also one to a directory");
    assert_eq!(read(&share, "dir/missing").as_deref(), Ok(&b"found"[..]));
    drop(share);
    assert_eq!(direct.server.named(), 0);
}

#[test]
fn what_a_link_leads_to_stays_when_a_tree_is_removed() {
    let (direct, share) = share();
    for path in ["tree", "tree/inner", "kept"] {
        share.create_dir(path).expect("it is new");
    }
    write(&share, "kept/file", b"1");
    write(&share, "tree/inner/file", b"2");
    direct.server.add_link(b"to-move", "/kept");
    direct.server.add_link(b"link", "kept");
    share
        .rename("to-move", "tree/inner/link")
        .expect("it can move");
    let mut mounts = toro_vfs::Mounts::new();
    mounts.mount("/", Rc::new(share)).expect("it is free");
    let remove_all = |path| {
        mounts
            .resolve(path)
            .and_then(|place| place.remove_dir_all())
    };
    assert_eq!(remove_all("/tree"), Ok(()));
    assert_eq!(remove_all("/link"), Ok(()));
    assert_eq!(remove_all("/kept/file"), Err(FileError::NotADirectory));
    let metadata = |path| mounts.resolve(path).and_then(|place| place.metadata());
    assert_eq!(metadata("/tree"), Err(FileError::NotFound));
    assert_eq!(metadata("/link"), Err(FileError::NotFound));
    assert_eq!(metadata("/kept/file").map(|found| found.len()), Ok(1));
}

#[test]
fn directories_are_listed_whole() {
    let (direct, share) = share();
    let longest = "ä".repeat(127) + "x";
    let mut expected: Vec<String> = (0..1000)
        .map(|number| std::format!("file {number:04}"))
        .collect();
    expected.extend([longest, "日本".to_string()]);
    for name in &expected {
        direct.server.add_file(name.as_bytes(), b"1");
    }
    direct.server.add_file(b"no \xff text", b"");
    expected.sort();
    let listed = list(&share, "").expect("it can be listed");
    let names: Vec<String> = listed.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, expected);
    assert!(direct.server.asked(Opcode::Readdirplus as u32) < 10);
    // The listing has told all that opening them needs.
    let before = direct.server.asked(Opcode::Lookup as u32);
    for name in &expected {
        let node = share.open(name).expect("it was listed");
        assert_eq!(share.metadata(node).map(|found| found.len()), Ok(1));
        share.close(node);
    }
    assert_eq!(direct.server.asked(Opcode::Lookup as u32), before);
    drop(share);
    assert_eq!(
        (direct.server.named(), direct.server.open_handles()),
        (0, 0)
    );
}

#[test]
fn what_is_remembered_is_asked_for_again_in_time() {
    let (direct, share) = share();
    direct.server.add_file(b"a", b"one");
    let asked = |opcode: Opcode| direct.server.asked(opcode as u32);
    let len = || {
        let node = share.open("a").expect("it is there");
        let found = share.metadata(node).map(|found| found.len());
        share.close(node);
        found
    };
    for _ in 0..10 {
        assert_eq!(len(), Ok(3));
    }
    assert_eq!((asked(Opcode::Lookup), asked(Opcode::Getattr)), (1, 0));
    direct.server.add_file(b"a", b"three");
    assert_eq!(len(), Ok(3));
    tick(SECOND);
    assert_eq!(len(), Ok(5));
    assert_eq!((asked(Opcode::Lookup), asked(Opcode::Getattr)), (2, 0));
    let node = share.open("a").expect("it is there");
    tick(SECOND);
    assert_eq!(share.metadata(node).map(|found| found.len()), Ok(5));
    assert_eq!(asked(Opcode::Getattr), 1);
    share.close(node);
    direct.server.set_valid(0);
    for _ in 0..5 {
        tick(SECOND);
        assert_eq!(len(), Ok(5));
    }
    drop(share);
    assert_eq!(direct.server.named(), 0);
}

#[test]
fn a_large_read_is_one_request() {
    let (direct, share) = share();
    let bytes: Vec<u8> = (0..1usize << 20).map(|at| at.to_le_bytes()[1]).collect();
    direct.server.add_file(b"large", &bytes);
    let node = share.open("large").expect("it is there");
    let mut buf = vec![0; 1 << 20];
    assert_eq!(share.read_at(node, 0, &mut buf), Ok(1 << 20));
    assert!(buf == bytes);
    assert_eq!(direct.server.asked(Opcode::Read as u32), 1);
    assert_eq!(share.write_at(node, 1 << 20, &bytes), Ok(1 << 20));
    assert_eq!(direct.server.asked(Opcode::Write as u32), 1);
    share.close(node);
    assert_eq!(share.request_bytes(), (1 << 20, 1 << 20));
}

#[test]
fn a_read_only_mount_changes_nothing() {
    let direct = Rc::new(Direct::default());
    direct.server.add_file(b"a", b"1");
    let share = mount(&direct, true).expect("it is there");
    let refused = Err(FileError::ReadOnly);
    assert_eq!(share.create("b").map(drop), refused);
    assert_eq!(share.create_dir("b"), refused);
    assert_eq!(share.remove_file("a"), refused);
    assert_eq!(share.remove_dir("a"), refused);
    assert_eq!(share.rename("a", "b"), refused);
    let node = share.open("a").expect("it is there");
    assert_eq!(share.write_at(node, 0, b"2").map(drop), refused);
    assert_eq!(share.set_len(node, 0), refused);
    assert_eq!(share.sync_all(), Ok(()));
    share.close(node);
    assert_eq!(read(&share, "a").as_deref(), Ok(&b"1"[..]));
    assert_eq!(direct.server.asked(Opcode::Syncfs as u32), 0);
}

#[test]
fn a_server_that_is_gone_is_an_error() {
    let (direct, share) = share();
    direct.server.add_file(b"a", b"1");
    let node = share.open("a").expect("it is there");
    direct.is_gone.set(true);
    let gone = FileError::Io(IoError::Gone);
    assert_eq!(share.read_at(node, 0, &mut [0]), Err(gone));
    assert_eq!(share.write_at(node, 0, b"x"), Err(gone));
    assert_eq!(share.open("b"), Err(gone));
    assert_eq!(share.sync_all(), Err(gone));
    share.close(node);
    direct.is_gone.set(false);
    assert_eq!(read(&share, "a").as_deref(), Ok(&b"1"[..]));
    direct.is_gone.set(true);
    assert_eq!(mount(&direct, false).err(), Some(gone));
}

/// One random operation on both, which must have the same outcome.
fn step(random: &mut Random, share: &FuseFs, model: &RamFs) {
    const NAMES: [&str; 6] = ["a", "b", "d", "d/a", "d/e", "d/e/f"];
    let path = NAMES[random.index(NAMES.len())];
    let other = NAMES[random.index(NAMES.len())];
    let on_file = |fs: &dyn FileSystem, call: &dyn Fn(NodeId) -> Result<u64, FileError>| {
        let node = fs.open(path)?;
        let is_dir = fs.metadata(node).is_ok_and(|found| found.is_dir());
        let outcome = if is_dir { Ok(0) } else { call(node) };
        fs.close(node);
        outcome
    };
    let offset = u64::from(random.below(20_000));
    let bytes = vec![random.next_u8(); random.index(9000)];
    let choice = random.below(10);
    let act = |fs: &dyn FileSystem| -> Result<u64, FileError> {
        match choice {
            0 => {
                let node = fs.create(path)?;
                let outcome = fs.write_at(node, 0, &bytes);
                fs.close(node);
                outcome.map(|len| len as u64)
            }
            1 => fs.create_dir(path).map(|()| 0),
            2 => fs.remove_file(path).map(|()| 0),
            3 => fs.remove_dir(path).map(|()| 0),
            4 => {
                let nested = other.starts_with(path) || path.starts_with(other);
                if nested {
                    Ok(0)
                } else {
                    fs.rename(path, other).map(|()| 0)
                }
            }
            5 => on_file(fs, &|node| {
                fs.write_at(node, offset, &bytes).map(|len| len as u64)
            }),
            6 => on_file(fs, &|node| fs.append(node, &bytes).map(|(at, _)| at)),
            7 => on_file(fs, &|node| fs.set_len(node, offset).map(|()| 0)),
            8 => on_file(fs, &|node| {
                let mut buf = vec![0; 30_000];
                let len = fs.read_at(node, offset / 2, &mut buf)?;
                let sum: u64 = buf[..len].iter().map(|byte| u64::from(*byte)).sum();
                Ok(sum * 100_000 + len as u64)
            }),
            _ => on_file(fs, &|node| fs.metadata(node).map(|found| found.len())),
        }
    };
    match (act(share), act(model)) {
        // Which of two things that are wrong is told first is nobody's promise.
        (Err(_), Err(_)) if choice == 4 => {}
        (found, expected) => assert_eq!(found, expected, "{choice} {path} {other}"),
    }
}

#[test]
fn random_work_matches_a_model() {
    for seed in 0..9 {
        let mut random = Random::new(seed);
        let (direct, share) = share();
        direct.server.set_valid(seed % 3);
        let model = RamFs::new(64 << 20, || 0);
        for _ in 0..2_000 {
            step(&mut random, &share, &model);
            if random.below(10) == 0 {
                tick(SECOND / 2);
            }
        }
        for path in ["", "d", "d/e"] {
            let (mut found, mut expected) = (list(&share, path), list(&model, path));
            found
                .iter_mut()
                .chain(&mut expected)
                .for_each(|list| list.sort_by(|a, b| a.0.cmp(&b.0)));
            assert_eq!(found, expected, "{path}");
        }
        assert!(share.tree.known() < 10);
        drop(share);
        assert_eq!(
            (direct.server.named(), direct.server.open_handles()),
            (0, 0)
        );
    }
}
