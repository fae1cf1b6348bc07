//! What is mounted where: by the command line of the manifest, and by calls.

use toro::fs::{self, FileError, FileType, MountError, MountSpecError, OpenOptions};

pub(crate) fn what_mke2fs_wrote_is_read() {
    for root in ["/ext4", "/ext2"] {
        for name in ["one.txt", "deep/er/down.txt", "large.txt", "empty"] {
            let beside =
                fs::read(&alloc::format!("/{name}")).expect("the file is beside the image");
            let path = alloc::format!("{root}/{name}");
            assert!(fs::read(&path) == Ok(beside), "{path} differs");
        }
        let folder = fs::read_dir(&alloc::format!("{root}/deep")).expect("it is a folder");
        let names = folder.map(|entry| entry.expect("it is readable"));
        let found =
            names.map(|entry| (alloc::string::String::from(entry.name()), entry.file_type()));
        assert!(found.eq([("er".into(), FileType::Directory)]));
        let path = alloc::format!("{root}/new");
        assert_eq!(fs::write(&path, b"x"), Err(FileError::ReadOnly));
        assert_eq!(
            fs::remove_file(&alloc::format!("{root}/one.txt")),
            Err(FileError::ReadOnly)
        );
    }
}

pub(crate) fn a_mount_that_is_optional_may_be_missing() {
    // What has that path is the archive at `/`, which has no such file.
    assert_eq!(fs::read("/nowhere/file"), Err(FileError::NotFound));
}

pub(crate) fn mounts_at_run_time_say_what_is_wrong() {
    assert_eq!(fs::mount("/late:ram:64K"), Ok(()));
    fs::write("/late/file", b"in memory").expect("there is room");
    assert_eq!(
        fs::mount("/late:ram:64K"),
        Err(MountError::Files(FileError::AlreadyMounted))
    );
    assert_eq!(fs::read("/late/file").as_deref(), Ok(&b"in memory"[..]));
    assert_eq!(fs::unmount("/late"), Ok(()));
    assert_eq!(fs::unmount("/late"), Err(FileError::NotFound));
    assert_eq!(
        fs::mount("late:ram"),
        Err(MountError::Spec(MountSpecError::Path))
    );
    assert_eq!(fs::mount("/late:zfs:blk0"), Err(MountError::Kind));
    assert_eq!(fs::mount("/late:ram:lots"), Err(MountError::Size));
    assert_eq!(fs::mount("/late:ram::ro"), Err(MountError::EmptyForEver));
    assert_eq!(fs::mount("/late:fat:blk9"), Err(MountError::NoDisk));
    assert_eq!(fs::mount("/late:fat:"), Err(MountError::NoDisk));
    assert!(matches!(
        fs::mount("/late:ext4:blk3p7"),
        Err(MountError::Partition(_))
    ));
    assert_eq!(
        fs::mount("/late:ext4:blk0"),
        Err(MountError::Files(FileError::Corrupt))
    );
}

pub(crate) fn a_read_only_disk_refuses_to_be_written() {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    let path = "/locked/file";
    assert_eq!(options.open(path).err(), Some(FileError::ReadOnly));
    assert_eq!(fs::create_dir("/locked/dir"), Err(FileError::ReadOnly));
    assert_eq!(fs::read_dir("/locked").expect("it is a folder").count(), 0);
}

pub(crate) fn a_mount_goes_and_comes_back_with_its_files() {
    fs::write("/fat16/stays", b"over there and back").expect("there is room");
    assert_eq!(fs::unmount("/fat16"), Ok(()));
    assert_eq!(fs::read("/fat16/stays"), Err(FileError::NotFound));
    assert_eq!(fs::mount("/fat16:fat:blk1:ro"), Ok(()));
    assert_eq!(
        fs::read("/fat16/stays").as_deref(),
        Ok(&b"over there and back"[..])
    );
    assert_eq!(fs::remove_file("/fat16/stays"), Err(FileError::ReadOnly));
    assert_eq!(fs::unmount("/fat16"), Ok(()));
    assert_eq!(fs::mount("/fat16:fat:blk1"), Ok(()));
    assert_eq!(fs::remove_file("/fat16/stays"), Ok(()));
}
