//! Random operations against a model in memory, as fsx does: the same each time.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use toro::fs::{self, File, OpenOptions};

/// How many files take part, and how long they become.
const FILES: usize = 4;
const LONGEST: usize = 256 << 10;
/// A checkpoint reads every file whole.
const CHECKPOINT: usize = 500;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// A file as it should be; `None` if there should be none.
type Model = Vec<Option<Vec<u8>>>;

pub(crate) fn random_operations_match_a_model() {
    fs::create_dir_all(&crate::path("fsx")).expect("it can be made");
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut model: Model = vec![None; FILES];
    let operations = operations();
    for number in 1..=operations {
        let file = random.below(FILES);
        step(&mut random, &mut model, file);
        if number % CHECKPOINT == 0 || number == operations {
            (0..FILES).for_each(|file| check_whole(&model, file));
        }
    }
}

/// What the last `operations=` says.
fn operations() -> usize {
    let words = toro::env::args().filter_map(|word| word.strip_prefix("operations="));
    words
        .last()
        .and_then(|number| number.parse().ok())
        .unwrap_or(1000)
}

fn name(file: usize) -> String {
    crate::path(&alloc::format!("fsx/{file}"))
}

fn step(random: &mut Random, model: &mut Model, file: usize) {
    let path = name(file);
    let offset = random.below(LONGEST);
    let most = [100, 5000, 70_000][random.below(3)];
    let len = 1 + random.below(most).min(LONGEST - offset - 1);
    let byte = random.below(256).to_le_bytes()[0];
    let choice = random.below(100);
    let Some(bytes) = &mut model[file] else {
        assert!(
            !fs::exists(&path).expect("that can be told"),
            "{path} is there"
        );
        File::create(&path).expect("it can be created");
        model[file] = Some(Vec::new());
        return;
    };
    match choice {
        0..35 => {
            let data: Vec<u8> = (0..len)
                .map(|at| byte.wrapping_add(at.to_le_bytes()[0]))
                .collect();
            let opened = open(&path);
            write_all_at(&opened, &data, offset);
            bytes.resize(bytes.len().max(offset + len), 0);
            bytes[offset..offset + len].copy_from_slice(&data);
        }
        35..45 if bytes.len() + len <= LONGEST => {
            let mut options = OpenOptions::new();
            let mut opened = options.append(true).open(&path).expect("it is there");
            opened.write_all(&vec![byte; len]).expect("there is room");
            bytes.resize(bytes.len() + len, byte);
        }
        35..75 => {
            let opened = open(&path);
            let found = read_at(&opened, offset, len);
            let end = bytes.len().min(offset + len);
            assert!(
                found == bytes[offset.min(end)..end],
                "{path} differs from {offset} on"
            );
        }
        75..85 => {
            open(&path).set_len(offset as u64).expect("it can be cut");
            bytes.resize(offset, 0);
        }
        85..90 => {
            let found = fs::metadata(&path).expect("it is there").len();
            assert_eq!(found, bytes.len() as u64, "{path}");
        }
        90..93 => open(&path)
            .sync_data()
            .expect("it can be brought to the disk"),
        93..97 => {
            let other = (file + 1 + random.below(FILES - 1)) % FILES;
            fs::rename(&path, &name(other)).expect("it can move");
            model[other] = model[file].take();
        }
        _ => {
            fs::remove_file(&path).expect("it can go");
            model[file] = None;
        }
    }
}

fn open(path: &str) -> File {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .open(path)
        .expect("it is there")
}

fn write_all_at(file: &File, mut data: &[u8], mut offset: usize) {
    while !data.is_empty() {
        let count = file.write_at(data, offset as u64).expect("there is room");
        data = &data[count..];
        offset += count;
    }
}

fn read_at(file: &File, offset: usize, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut buf[filled..], (offset + filled) as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => panic!("it can be read: {error}"),
        }
    }
    buf.truncate(filled);
    buf
}

fn check_whole(model: &Model, file: usize) {
    let path = name(file);
    match &model[file] {
        Some(bytes) => assert!(
            fs::read(&path).expect("it is there") == *bytes,
            "{path} differs"
        ),
        None => assert_eq!(fs::exists(&path), Ok(false)),
    }
}
