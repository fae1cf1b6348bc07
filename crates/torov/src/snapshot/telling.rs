//! Words, texts and lists one behind the other, and a frozen program as such.

use torov_abi::PAGE;
use torov_abi::word::{size, wide};
use torov_calls::{Frozen, Open, What};
use torov_vcpu::Registers;

use super::{SnapshotError, damaged};

/// Writes what is told.
pub(super) struct Pen(pub(super) Vec<u8>);

impl Pen {
    pub(super) fn word(&mut self, word: u64) {
        self.0.extend(word.to_le_bytes());
    }

    pub(super) fn words(&mut self, words: &[u64]) {
        words.iter().for_each(|word| self.word(*word));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.word(wide(bytes.len()));
        self.0.extend(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn frozen(&mut self, frozen: &Frozen) {
        for (_, value) in frozen.registers.named() {
            self.word(value);
        }
        self.bytes(&frozen.extended);
        self.word(frozen.states);
        let tids = frozen.tids.map(|tid| u64::from(tid.cast_unsigned()));
        let (start, len, disarms) = frozen.stack;
        let words = [
            frozen.fs_base,
            tids[0],
            tids[1],
            frozen.at_end[0],
            frozen.at_end[1],
            frozen.mask,
        ];
        self.words(&words);
        self.words(&[start, len, disarms.into()]);
        self.word(wide(frozen.actions.len()));
        for action in &frozen.actions {
            self.words(action);
        }
        self.word(frozen.umask.into());
        self.text(&frozen.cwd);
        self.text(&frozen.executable);
        self.word(wide(frozen.open.len()));
        for open in &frozen.open {
            self.words(&[open.number, open.on_exec.into()]);
            let flags = |flags: i32| u64::from(flags.cast_unsigned());
            match &open.what {
                What::Same(first) => {
                    self.words(&[0, *first]);
                }
                What::Stream(number) => {
                    self.words(&[1, *number]);
                }
                What::File(path, mode, offset) => {
                    self.words(&[2, flags(*mode), *offset]);
                    self.text(path);
                }
                What::Listener(address, mode) => {
                    self.words(&[3, flags(*mode)]);
                    self.bytes(address);
                }
            }
        }
    }
}

/// Reads what is told, from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn word(&mut self) -> Result<u64, SnapshotError> {
        let (word, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| damaged("it ends early"))?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*word))
    }

    pub(super) fn words<const N: usize>(&mut self) -> Result<[u64; N], SnapshotError> {
        let mut words = [0; N];
        for place in &mut words {
            *place = self.word()?;
        }
        Ok(words)
    }

    /// How many things follow, each of at least `words` words.
    pub(super) fn count(&mut self, words: usize) -> Result<usize, SnapshotError> {
        let count = self.word()?;
        if count > wide(self.0.len() / (8 * words)) {
            return Err(damaged("a count"));
        }
        Ok(size(count))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], SnapshotError> {
        let len = self.word()?;
        if len > wide(self.0.len()) {
            return Err(damaged("a length"));
        }
        let (bytes, rest) = self.0.split_at(size(len));
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<String, SnapshotError> {
        let bytes = self.bytes()?.to_vec();
        String::from_utf8(bytes).map_err(|_| damaged("a text"))
    }

    pub(super) fn int(&mut self) -> Result<i32, SnapshotError> {
        let word = u32::try_from(self.word()?).map_err(|_| damaged("a number"))?;
        Ok(word.cast_signed())
    }

    pub(super) fn frozen(&mut self) -> Result<Frozen, SnapshotError> {
        let registers = self.registers()?;
        let extended = self.bytes()?.to_vec();
        if extended.len() > size(PAGE) {
            return Err(damaged("the registers"));
        }
        let states = self.word()?;
        let fs_base = self.word()?;
        let tids = [self.int()?, self.int()?];
        let at_end = self.words()?;
        let mask = self.word()?;
        let [start, len, disarms] = self.words()?;
        let mut actions = Vec::new();
        for _ in 0..self.count(4)? {
            actions.push(self.words()?);
        }
        let umask = self.int()?.cast_unsigned();
        let (cwd, executable) = (self.text()?, self.text()?);
        let mut open = Vec::new();
        for _ in 0..self.count(4)? {
            let [number, on_exec] = self.words()?;
            let what = match self.word()? {
                0 => What::Same(self.word()?),
                1 => What::Stream(self.word()?),
                2 => {
                    let (flags, offset) = (self.int()?, self.word()?);
                    What::File(self.text()?, flags, offset)
                }
                3 => {
                    let flags = self.int()?;
                    What::Listener(self.bytes()?.to_vec(), flags)
                }
                _ => return Err(damaged("a descriptor")),
            };
            open.push(Open {
                number,
                on_exec: on_exec != 0,
                what,
            });
        }
        Ok(Frozen {
            registers,
            extended,
            states,
            fs_base,
            tids,
            at_end,
            mask,
            stack: (start, len, disarms != 0),
            actions,
            umask,
            cwd,
            executable,
            open,
        })
    }

    /// In the order of [`Registers::named`].
    fn registers(&mut self) -> Result<Registers, SnapshotError> {
        let mut registers = Registers::default();
        let Registers {
            rax,
            rbx,
            rcx,
            rdx,
            rsi,
            rdi,
            rbp,
            rsp,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rip,
            rflags,
        } = &mut registers;
        for place in [
            rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, rip,
            rflags,
        ] {
            *place = self.word()?;
        }
        Ok(registers)
    }
}
