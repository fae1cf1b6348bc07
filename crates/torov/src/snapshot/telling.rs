//! Words, texts and lists one behind the other, and a frozen program as such.

use torov_abi::PAGE;
use torov_abi::word::{size, wide};
use torov_calls::{Frozen, KeptTimer, Open, Still, What};
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
        self.words(&[frozen.states, number(frozen.next_tid)]);
        self.word(wide(frozen.threads.len()));
        for still in &frozen.threads {
            self.still(still);
        }
        self.rows(&frozen.actions);
        self.rows(&frozen.waiting);
        self.word(wide(frozen.timers.len()));
        for timer in &frozen.timers {
            let [value, interval] = timer.nanos;
            let words = [number(timer.number), number(timer.clock), value, interval];
            self.words(&words);
            self.words(&[timer.overrun, timer.sends.is_some().into()]);
            self.words(&timer.sends.unwrap_or_default());
        }
        self.words(&[frozen.vdso.is_some().into(), frozen.vdso.unwrap_or(0)]);
        self.word(frozen.umask.into());
        self.text(&frozen.cwd);
        self.text(&frozen.executable);
        self.word(wide(frozen.pipes.len()));
        for bytes in &frozen.pipes {
            self.bytes(bytes);
        }
        self.word(wide(frozen.open.len()));
        for open in &frozen.open {
            self.words(&[open.number, open.on_exec.into()]);
            self.what(&open.what);
        }
    }

    fn rows<const N: usize>(&mut self, rows: &[[u64; N]]) {
        self.word(wide(rows.len()));
        for row in rows {
            self.words(row);
        }
    }

    fn still(&mut self, still: &Still) {
        for (_, value) in still.registers.named() {
            self.word(value);
        }
        self.bytes(&still.extended);
        let (start, len, disarms) = still.stack;
        self.words(&[number(still.tid), still.fs_base]);
        self.words(&still.at_end);
        self.words(&[still.mask, start, len, disarms.into()]);
        self.bytes(&still.name);
    }

    fn what(&mut self, what: &What) {
        match what {
            What::Same(first) => self.words(&[0, *first]),
            What::Stream(number) => self.words(&[1, *number]),
            What::File(path, flags, offset) => {
                self.words(&[2, number(*flags), *offset]);
                self.text(path);
            }
            What::Listener(address, flags) => {
                self.words(&[3, number(*flags)]);
                self.bytes(address);
            }
            What::Pipe(index, writes, flags) => {
                self.words(&[4, *index, (*writes).into(), number(*flags)]);
            }
            What::Counter(value, takes_one, flags) => {
                self.words(&[5, *value, (*takes_one).into(), number(*flags)]);
            }
            What::Timer(clock, setting, flags) => {
                self.words(&[6, number(*clock), number(*flags)]);
                self.words(setting);
            }
            What::Signals(mask, flags) => self.words(&[8, *mask, number(*flags)]),
            What::Set(members) => {
                self.words(&[7, wide(members.len())]);
                for (number, events, own) in members {
                    self.words(&[*number, (*events).into(), *own]);
                }
            }
        }
    }
}

/// A number that may be negative.
fn number(number: i32) -> u64 {
    number.cast_unsigned().into()
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
        let (states, next_tid) = (self.word()?, self.int()?);
        let mut threads = Vec::new();
        for _ in 0..self.count(28)? {
            threads.push(self.still()?);
        }
        let (actions, waiting) = (self.rows()?, self.rows()?);
        let mut timers = Vec::new();
        for _ in 0..self.count(11)? {
            let (number, clock, nanos) = (self.int()?, self.int()?, self.words()?);
            let [overrun, sends] = self.words()?;
            let info = self.words()?;
            timers.push(KeptTimer {
                number,
                clock,
                nanos,
                overrun,
                sends: (sends != 0).then_some(info),
            });
        }
        let [has_vdso, vdso] = self.words()?;
        let umask = self.int()?.cast_unsigned();
        let (cwd, executable) = (self.text()?, self.text()?);
        let mut pipes = Vec::new();
        for _ in 0..self.count(1)? {
            pipes.push(self.bytes()?.to_vec());
        }
        let mut open = Vec::new();
        for _ in 0..self.count(4)? {
            let [number, on_exec] = self.words()?;
            open.push(Open {
                number,
                on_exec: on_exec != 0,
                what: self.what()?,
            });
        }
        Ok(Frozen {
            states,
            threads,
            next_tid,
            actions,
            waiting,
            timers,
            vdso: (has_vdso != 0).then_some(vdso),
            umask,
            cwd,
            executable,
            pipes,
            open,
        })
    }

    fn rows<const N: usize>(&mut self) -> Result<Vec<[u64; N]>, SnapshotError> {
        let count = self.count(N)?;
        (0..count).map(|_| self.words()).collect()
    }

    fn still(&mut self) -> Result<Still, SnapshotError> {
        let registers = self.registers()?;
        let extended = self.bytes()?.to_vec();
        if extended.len() > size(PAGE) {
            return Err(damaged("the registers"));
        }
        let (tid, fs_base, at_end) = (self.int()?, self.word()?, self.words()?);
        let [mask, start, len, disarms] = self.words()?;
        let name = self.bytes()?;
        Ok(Still {
            tid,
            registers,
            extended,
            fs_base,
            at_end,
            mask,
            stack: (start, len, disarms != 0),
            name: name
                .try_into()
                .map_err(|_| damaged("the name of a thread"))?,
        })
    }

    fn what(&mut self) -> Result<What, SnapshotError> {
        Ok(match self.word()? {
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
            4 => What::Pipe(self.word()?, self.word()? != 0, self.int()?),
            5 => What::Counter(self.word()?, self.word()? != 0, self.int()?),
            6 => {
                let (clock, flags) = (self.int()?, self.int()?);
                What::Timer(clock, self.words()?, flags)
            }
            7 => {
                let mut members = Vec::new();
                for _ in 0..self.count(3)? {
                    let [number, events, own] = self.words()?;
                    let events = u32::try_from(events).map_err(|_| damaged("a set"))?;
                    members.push((number, events, own));
                }
                What::Set(members)
            }
            8 => What::Signals(self.word()?, self.int()?),
            _ => return Err(damaged("a descriptor")),
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
