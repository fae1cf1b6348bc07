//! Archives that lie: an error with its place, never a panic.

use toro_initrd::{Cause, Index};

/// A member of a ustar archive, padded.
fn tar(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000001");
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut header);
    header.extend_from_slice(data);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

/// Writes the checksum of the first header.
fn sum(member: &mut [u8]) {
    member[148..156].fill(b' ');
    let sum: u32 = member[..512].iter().map(|&byte| u32::from(byte)).sum();
    member[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// `change` applied to a good member, with the checksum made right again.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut member = tar("file", b'0', b"data");
    change(&mut member);
    if member.len() >= 512 {
        sum(&mut member);
    }
    member
}

/// A member of a newc archive, padded.
fn cpio(name: &str, mode: u32, links: u32, data: &[u8]) -> Vec<u8> {
    let (data_len, name_len) = (data.len(), name.len() + 1);
    let mut member = format!(
        "070701{:08X}{mode:08X}{:08X}{:08X}{links:08X}{:08X}{data_len:08X}{:08X}{:08X}{:08X}{:08X}{name_len:08X}{:08X}{name}\0",
        7, 0, 0, 1, 0, 0, 0, 0, 0
    )
    .into_bytes();
    member.resize(member.len().next_multiple_of(4), 0);
    member.extend_from_slice(data);
    member.resize(member.len().next_multiple_of(4), 0);
    member
}

fn error(archive: &[u8]) -> Option<(Cause, usize)> {
    Index::new(archive)
        .err()
        .map(|error| (error.cause, error.offset))
}

fn paths(archive: &[u8]) -> Vec<String> {
    let index = Index::new(archive).expect("the archive is good");
    index.entries().map(|(path, _)| path.to_owned()).collect()
}

#[test]
fn nothing_is_an_empty_tree() {
    assert_eq!(paths(&[]), [""]);
    assert_eq!(paths(&[0; 1024]), [""]);
}

#[test]
fn directories_are_implied() {
    let archive = [tar("a/b/c", b'0', b"1"), tar("a/d", b'0', b"2")].concat();
    assert_eq!(paths(&archive), ["", "a", "a/b", "a/d", "a/b/c"]);
}

#[test]
fn the_later_file_counts() {
    let archive = [
        tar("a", b'0', b"1"),
        tar("./a", b'0', b"2"),
        cpio("a", 0o100_644, 1, b"3"),
    ];
    let archive = archive.concat();
    let index = Index::new(&archive).expect("the archive is good");
    assert_eq!((index.file("a"), index.len()), (Some(&b"3"[..]), 2));
}

#[test]
fn prefix_and_name_are_joined() {
    let archive = changed(|member| member[345..348].copy_from_slice(b"x/y"));
    assert_eq!(paths(&archive), ["", "x", "x/y", "x/y/file"]);
}

#[test]
fn cpio_names_share_the_data_that_come_last() {
    let empty = cpio("first", 0o100_644, 2, b"");
    let archive = [empty, cpio("second", 0o100_644, 2, b"data")].concat();
    let index = Index::new(&archive).expect("the archive is good");
    assert_eq!(index.file("first"), Some(&b"data"[..]));
    assert_eq!(index.file("second"), Some(&b"data"[..]));
}

#[test]
fn bad_names_are_refused() {
    let check = |name: &str| {
        assert_eq!(
            error(&tar(name, b'0', b"")),
            Some((Cause::BadName, 0)),
            "{name:?}"
        );
        assert_eq!(
            error(&cpio(name, 0o100_644, 1, b"")),
            Some((Cause::BadName, 0)),
            "{name:?}"
        );
    };
    check("..");
    check("../a");
    check("a/../b");
    check("/..");
    check(".");
    let deep = "a/".repeat(65) + "b";
    assert_eq!(
        error(&cpio(&deep, 0o100_644, 1, b"")),
        Some((Cause::BadName, 0))
    );
    assert_eq!(
        error(&cpio("", 0o100_644, 1, b"")),
        Some((Cause::BadName, 0))
    );
    assert_eq!(
        error(&cpio("a\0b", 0o100_644, 1, b"")),
        Some((Cause::BadName, 0))
    );
    assert_eq!(
        error(&changed(|member| member[0] = 0xFF)),
        Some((Cause::BadName, 0))
    );
}

#[test]
fn bad_headers_are_refused() {
    let good = tar("good", b'0', b"data");
    let after_good = |bad: Vec<u8>| error(&[&good[..], &bad].concat());
    assert_eq!(
        after_good(vec![b'x'; 512]),
        Some((Cause::UnknownFormat, 1024))
    );
    let mut wrong_sum = good.clone();
    wrong_sum[0] ^= 1;
    assert_eq!(after_good(wrong_sum), Some((Cause::BadChecksum, 1024)));
    assert_eq!(
        after_good(good[..500].to_vec()),
        Some((Cause::Truncated, 1024))
    );
    assert_eq!(
        after_good(good[..514].to_vec()),
        Some((Cause::Truncated, 1024))
    );
    let size = |field: &'static [u8]| {
        changed(move |member| member[124..124 + field.len()].copy_from_slice(field))
    };
    assert_eq!(error(&size(b"0000000999\0")), Some((Cause::BadNumber, 0)));
    assert_eq!(error(&size(b"77777777777")), Some((Cause::Truncated, 0)));
    assert_eq!(
        error(&size(b"\x80\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")),
        Some((Cause::Truncated, 0))
    );
    assert_eq!(
        error(&size(b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")),
        Some((Cause::BadNumber, 0))
    );
    assert_eq!(error(&tar("sparse", b'S', b"")), Some((Cause::Sparse, 0)));
    assert_eq!(
        error(&cpio("a", 0o100_644, 1, b"data")[..112]),
        Some((Cause::Truncated, 0))
    );
    assert_eq!(
        error(&cpio("a", 0o100_644, 1, b"data")[..114]),
        Some((Cause::Truncated, 0))
    );
    assert_eq!(error(b"070701000000"), Some((Cause::Truncated, 0)));
    assert_eq!(
        error(&[b"070701", &[b'G'; 104][..]].concat()),
        Some((Cause::BadNumber, 0))
    );
}

#[test]
fn pax_records_are_checked() {
    let with_record =
        |record: &[u8]| [tar("pax", b'x', record), tar("file", b'0', b"1234")].concat();
    assert_eq!(paths(&with_record(b"12 path=new\n")), ["", "new"]);
    let shorter = with_record(b"9 size=2\n");
    assert_eq!(
        Index::new(&shorter).expect("good").file("file"),
        Some(&b"12"[..])
    );
    let bad = Some((Cause::BadPaxRecord, 0));
    assert_eq!(error(&with_record(b"13 path=new\n")), bad);
    assert_eq!(error(&with_record(b"11 path=new\n")), bad);
    assert_eq!(error(&with_record(b"0 path=new\n")), bad);
    assert_eq!(error(&with_record(b"99999999999999999999 path=new\n")), bad);
    assert_eq!(error(&with_record(b"path")), bad);
    assert_eq!(error(&with_record(b"8 path\n")), bad);
    assert_eq!(
        error(&with_record(b"12 size=abc\n")),
        Some((Cause::BadNumber, 0))
    );
    assert_eq!(error(&with_record(b"12 path=a/..\n")), bad);
    assert_eq!(
        error(&with_record(b"13 path=a/..\n")),
        Some((Cause::BadName, 1024))
    );
    assert_eq!(
        error(&with_record(b"22 GNU.sparse.major=1\n")),
        Some((Cause::Sparse, 0))
    );
}

#[test]
fn a_file_is_no_directory() {
    let archive = [tar("a", b'0', b""), tar("a/b", b'0', b"")].concat();
    assert_eq!(error(&archive), Some((Cause::FileAsDirectory, 512)));
}

#[test]
fn links_in_a_ring_are_left_out() {
    let link = |name: &str, target: &str| {
        let mut member = tar(name, b'2', b"");
        member[157..157 + target.len()].copy_from_slice(target.as_bytes());
        sum(&mut member);
        member
    };
    let archive = [
        link("a", "b"),
        link("b", "a"),
        link("c", "../../../file"),
        link("d", "/c"),
    ];
    let archive = [archive.concat(), tar("file", b'0', b"data")].concat();
    assert_eq!(paths(&archive), ["", "c", "d", "file"]);
}

#[test]
fn a_tar_member_may_be_called_like_a_cpio_header() {
    assert_eq!(paths(&tar("070701", b'0', b"x")), ["", "070701"]);
}

#[test]
fn mutated_archives_cause_no_panic() {
    let archives: [&[u8]; 4] = [
        &include_bytes!("data/ustar.tar")[..],
        &include_bytes!("data/gnu.tar")[..],
        &include_bytes!("data/pax.tar")[..],
        &include_bytes!("data/newc.cpio")[..],
    ];
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut entries = 0;
    for round in 0..20_000 {
        // The cpio archive is small, and has no checksums.
        let mut archive = archives[if round % 8 == 0 { round / 8 % 3 } else { 3 }].to_vec();
        for _ in 0..=random.below(4) {
            mutate(&mut archive, &mut random);
        }
        if let Ok(index) = Index::new(&archive) {
            entries += index
                .entries()
                .filter(|(path, _)| !path.contains(".."))
                .count();
        }
    }
    assert!(
        entries > 20_000,
        "the mutations leave enough to be read: {entries}"
    );
}

/// Changes a byte, and if it lies in a header of a tar archive makes the checksum right again; or cuts the end off.
fn mutate(archive: &mut Vec<u8>, random: &mut Random) {
    if archive.is_empty() {
        return;
    }
    if random.below(50) == 0 {
        archive.truncate(random.below(archive.len()));
        return;
    }
    let at = random.below(archive.len());
    archive[at] = match random.below(4) {
        0 => 0,
        1 => 0xFF,
        2 => b"0123456789abcdefLKxg12S/. "[random.below(26)],
        _ => archive[at] ^ (1 << random.below(8)),
    };
    let block = at / 512 * 512;
    if archive.get(block + 257..block + 262) == Some(b"ustar") && archive.len() >= block + 512 {
        sum(&mut archive[block..]);
    }
}

/// Xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64-bit host") % limit
    }
}
