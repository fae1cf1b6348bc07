//! The calls of `toro_vfs` that change something, over a file system in memory.

use std::rc::Rc;

use toro_ramfs::RamFs;
use toro_vfs::{File, FileError, Mounts, OpenOptions, SeekFrom};

/// Two file systems, at `/` and at `/other`.
fn mounts() -> Mounts {
    let mut mounts = Mounts::new();
    for path in ["/", "/other"] {
        let file_system = Rc::new(RamFs::new(1 << 20, || 7));
        mounts.mount(path, file_system).expect("it is free");
    }
    mounts
}

fn options(set: fn(&mut OpenOptions) -> &mut OpenOptions) -> OpenOptions {
    let mut options = OpenOptions::new();
    set(&mut options);
    options
}

fn open(mounts: &Mounts, path: &str, options: &OpenOptions) -> Result<File, FileError> {
    mounts.resolve(path)?.open_with(options)
}

fn write(mounts: &Mounts, path: &str, bytes: &[u8]) {
    let options = options(|options| options.write(true).create(true).truncate(true));
    let mut file = open(mounts, path, &options).expect("it can be made");
    file.write_all(bytes).expect("there is room");
}

fn content(mounts: &Mounts, path: &str) -> Result<Vec<u8>, FileError> {
    mounts.resolve(path)?.open()?.read_to_end()
}

#[test]
fn a_mode_is_kept() {
    let mounts = mounts();
    write(&mounts, "/file", b"text");
    let reader = mounts.resolve("/file").and_then(|place| place.open());
    let mut reader = reader.expect("it is there");
    assert_eq!(reader.write(b"x"), Err(FileError::WrongMode));
    assert_eq!(reader.set_len(0), Err(FileError::WrongMode));
    let writer = open(&mounts, "/file", &options(|options| options.write(true)));
    let mut writer = writer.expect("it is there");
    assert_eq!(writer.read(&mut [0]), Err(FileError::WrongMode));
    assert_eq!(content(&mounts, "/file").as_deref(), Ok(&b"text"[..]));
}

#[test]
fn contradicting_options_are_refused() {
    let check = |set| {
        let error = open(&mounts(), "/file", &options(set)).err();
        assert_eq!(error, Some(FileError::WrongMode));
    };
    check(|options| options);
    check(|options| options.read(true).create(true));
    check(|options| options.read(true).truncate(true));
    check(|options| options.append(true).truncate(true).create(true));
}

#[test]
fn appended_bytes_go_behind_the_end() {
    let mounts = mounts();
    let appending = options(|options| options.append(true).create(true));
    let mut one = open(&mounts, "/log", &appending).expect("it can be made");
    let mut other = open(&mounts, "/log", &appending).expect("it is there");
    one.write_all(b"one ").expect("there is room");
    other.write_all(b"two ").expect("there is room");
    one.seek(SeekFrom::Start(0)).expect("it is in the file");
    one.write_all(b"three").expect("there is room");
    assert_eq!(one.seek(SeekFrom::Current(0)), Ok(13));
    assert_eq!(
        content(&mounts, "/log").as_deref(),
        Ok(&b"one two three"[..])
    );
}

#[test]
fn new_files_must_be_new_if_that_was_asked() {
    let mounts = mounts();
    let new = options(|options| options.write(true).create_new(true));
    assert!(open(&mounts, "/file", &new).is_ok());
    assert_eq!(
        open(&mounts, "/file", &new).err(),
        Some(FileError::AlreadyExists)
    );
    let missing = open(&mounts, "/none", &options(|options| options.write(true)));
    assert_eq!(missing.err(), Some(FileError::NotFound));
}

#[test]
fn renaming_stays_in_a_mount_and_out_of_itself() {
    let mounts = mounts();
    let rename = |from: &str, to: &str| mounts.resolve(from)?.rename(mounts.resolve(to)?);
    write(&mounts, "/file", b"text");
    assert_eq!(rename("/file", "/other/file"), Err(FileError::CrossDevice));
    assert_eq!(rename("/other", "/other/x"), Err(FileError::IsMountPoint));
    assert_eq!(rename("/file", "/file/below"), Err(FileError::InvalidPath));
    assert_eq!(rename("/none", "/none"), Err(FileError::NotFound));
    assert_eq!(rename("/file", "/moved"), Ok(()));
    assert_eq!(content(&mounts, "/file"), Err(FileError::NotFound));
    assert_eq!(content(&mounts, "/moved").as_deref(), Ok(&b"text"[..]));
}

#[test]
fn trees_are_made_and_removed() {
    let mounts = mounts();
    let resolve = |path| mounts.resolve(path).expect("the root is mounted");
    assert_eq!(resolve("/a/b/c").create_dir_all(), Ok(()));
    assert_eq!(resolve("/a/b/c").create_dir_all(), Ok(()));
    assert_eq!(resolve("/").create_dir_all(), Ok(()));
    write(&mounts, "/a/b/file", b"text");
    let behind = resolve("/a/b/file/c").create_dir_all();
    assert_eq!(behind, Err(FileError::NotADirectory));
    assert_eq!(
        resolve("/a").remove_dir(),
        Err(FileError::DirectoryNotEmpty)
    );
    assert_eq!(
        resolve("/a/b/file").remove_dir_all(),
        Err(FileError::NotADirectory)
    );
    assert_eq!(resolve("/a").remove_dir_all(), Ok(()));
    assert_eq!(resolve("/a").metadata(), Err(FileError::NotFound));
    assert_eq!(
        resolve("/other").remove_dir_all(),
        Err(FileError::IsMountPoint)
    );
}

#[test]
fn a_removed_file_lives_while_it_is_open() {
    let mounts = mounts();
    write(&mounts, "/file", b"text");
    let mut file = mounts.resolve("/file").and_then(|place| place.open());
    let file = file.as_mut().expect("it is there");
    let removed = mounts
        .resolve("/file")
        .and_then(|place| place.remove_file());
    assert_eq!(removed, Ok(()));
    write(&mounts, "/file", b"another");
    assert_eq!(file.read_to_end().as_deref(), Ok(&b"text"[..]));
}

#[test]
fn canonical_paths_begin_with_a_slash() {
    let mounts = mounts();
    write(&mounts, "/other/file", b"");
    let canonical = |path: &str| mounts.resolve(path)?.canonicalize();
    assert_eq!(
        canonical("other/../other//file").as_deref(),
        Ok("/other/file")
    );
    assert_eq!(canonical("/other").as_deref(), Ok("/other"));
    assert_eq!(canonical("/").as_deref(), Ok("/"));
    assert_eq!(canonical("/none"), Err(FileError::NotFound));
}

#[test]
fn an_unmounted_place_is_the_one_below_again() {
    let mut mounts = mounts();
    write(&mounts, "/other/file", b"");
    assert!(mounts.unmount("/other").is_ok());
    assert!(mounts.unmount("/other").is_err());
    assert_eq!(content(&mounts, "/other/file"), Err(FileError::NotFound));
}
