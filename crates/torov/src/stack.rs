//! The first stack of a program: arguments, environment and the auxiliary vector (System V ABI, figure 3.9).

use torov_abi::word::wide;
use torov_abi::{Errno, PAGE};
use torov_memory::{Memory, Place, Rights};

/// How large a stack is.
const STACK: u64 = 8 << 20;

/// What the stack tells the program.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    /// Its name and arguments.
    pub(crate) args: &'a [String],
    /// `NAME=VALUE`.
    pub(crate) env: &'a [String],
    /// Its own path.
    pub(crate) executable: &'a str,
    /// Where it starts.
    pub(crate) entry: u64,
    /// Where its program headers lie, how many, and the length of one.
    pub(crate) headers: (u64, u64, u64),
    /// Features of the processor, as leaf 1 of `cpuid` has them in `edx`.
    pub(crate) features: u32,
    /// 16 bytes of chance.
    pub(crate) random: [u8; 16],
    /// Where the image of the vDSO lies, if there is one.
    pub(crate) vdso: Option<u64>,
}

/// Makes a stack that ends at `top` and returns where its pointer stands.
///
/// # Errors
/// `ENOMEM` if it does not fit, `EINVAL` if arguments take more than a quarter of it.
pub(crate) fn make(memory: &Memory, top: u64, told: &Told<'_>) -> Result<u64, Errno> {
    memory.map(
        Place::IfFree(top - STACK),
        STACK,
        Rights::READ_WRITE,
        "stack",
    )?;
    let mut texts = Texts {
        at: top - 64,
        bytes: Vec::new(),
    };
    let executable = texts.push(told.executable.as_bytes());
    let platform = texts.push(b"x86_64");
    let env: Vec<u64> = told
        .env
        .iter()
        .rev()
        .map(|text| texts.push(text.as_bytes()))
        .collect();
    let args: Vec<u64> = told
        .args
        .iter()
        .rev()
        .map(|text| texts.push(text.as_bytes()))
        .collect();
    let random = texts.push_raw(&told.random);
    if wide(texts.bytes.len()) > STACK / 4 {
        return Err(Errno::E2BIG);
    }
    let mut words = vec![wide(args.len())];
    words.extend(args.iter().rev());
    words.push(0);
    words.extend(env.iter().rev());
    words.push(0);
    words.extend(auxiliary(told, [executable, platform, random]).as_flattened());
    let pointer = (texts.at - 8 * wide(words.len())) & !15;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    memory.write(pointer, &bytes)?;
    texts.bytes.reverse();
    memory.write(texts.at, &texts.bytes)?;
    Ok(pointer)
}

/// The auxiliary vector of a stack that [`make`] has made, as a debugger wants it.
///
/// # Errors
/// `EFAULT` if there is none.
pub(crate) fn auxiliary_of(
    memory: &Memory,
    pointer: u64,
    told: (usize, usize),
) -> Result<Vec<u8>, Errno> {
    let (args, env) = told;
    // Behind the count and two lists, each with a zero at its end.
    let at = pointer + 8 * (wide(args) + wide(env) + 3);
    let mut bytes = vec![0; 16 * ENTRIES];
    memory.read(at, &mut bytes)?;
    Ok(bytes)
}

/// How many entries an auxiliary vector has, with the last one.
const ENTRIES: usize = 20;

/// The auxiliary vector; the numbers are those of `<elf.h>`.
fn auxiliary(told: &Told<'_>, [executable, platform, random]: [u64; 3]) -> [[u64; 2]; ENTRIES] {
    const USER: u64 = 1000;
    let (at, count, len) = told.headers;
    [
        [3, at],
        [4, len],
        [5, count],
        [6, PAGE],
        [7, 0],
        [8, 0],
        [9, told.entry],
        [11, USER],
        [12, USER],
        [13, USER],
        [14, USER],
        [15, platform],
        [16, told.features.into()],
        [17, 100],
        [23, 0],
        [25, random],
        [31, executable],
        // What is not there is an entry to be ignored.
        told.vdso.map_or([1, 0], |vdso| [33, vdso]),
        [51, 4096],
        [0, 0],
    ]
}

/// Texts written downwards; the bytes are kept in that order.
#[derive(Debug)]
struct Texts {
    at: u64,
    bytes: Vec<u8>,
}

impl Texts {
    /// Puts a text of C below the others and returns where it lies.
    fn push(&mut self, text: &[u8]) -> u64 {
        self.push_raw(&[0]);
        self.push_raw(text)
    }

    fn push_raw(&mut self, bytes: &[u8]) -> u64 {
        self.bytes.extend(bytes.iter().rev());
        self.at -= wide(bytes.len());
        self.at
    }
}

#[cfg(test)]
mod tests {
    use torov_abi::Errno;
    use torov_memory::{Layout, Memory, Slots};

    use super::{Told, make};

    struct NoMachine;

    impl Slots for NoMachine {
        fn add(&mut self, _: u64, _: u64, _: u64) -> Result<(), Errno> {
            Ok(())
        }
    }

    #[test]
    fn the_stack_is_as_the_abi_draws_it() {
        let layout = Layout {
            limit: 16 << 20,
            mmap_top: 0x7000_0000_0000,
        };
        let memory = Memory::try_new(layout, Box::new(NoMachine)).unwrap();
        let texts = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let (args, env) = (texts(&["./x", "one"]), texts(&["A=B"]));
        let told = Told {
            args: &args,
            env: &env,
            executable: "/bin/x",
            entry: 0x40_0000,
            headers: (0x40_0040, 3, 56),
            features: 7,
            random: *b"0123456789abcdef",
            vdso: Some(0x7ffe_0000_1000),
        };
        let at = make(&memory, 0x7ffd_0000_0000, &told).unwrap();
        assert_eq!(at % 16, 0);
        let word = |index: u64| memory.read_u64(at + 8 * index).unwrap();
        let text = |index| String::from_utf8(memory.read_text(word(index), 100).unwrap()).unwrap();
        assert_eq!(word(0), 2);
        assert_eq!(
            (text(1), text(2), word(3)),
            ("./x".to_owned(), "one".to_owned(), 0)
        );
        assert_eq!((text(4), word(5)), ("A=B".to_owned(), 0));
        let pairs: Vec<(u64, u64)> = (0..20)
            .map(|at| (word(6 + 2 * at), word(7 + 2 * at)))
            .collect();
        assert_eq!(pairs[0], (3, 0x40_0040));
        assert_eq!(pairs.last(), Some(&(0, 0)));
        assert!(pairs.contains(&(33, 0x7ffe_0000_1000)));
        let random = pairs.iter().find(|(key, _)| *key == 25).unwrap().1;
        assert_eq!(
            &memory.read_array::<16>(random).unwrap(),
            b"0123456789abcdef"
        );
    }
}
