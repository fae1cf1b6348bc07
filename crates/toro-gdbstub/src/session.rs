//! [`Session`]: does what gdb asks for, while the machine stands still.

use core::fmt::{self, Write as _};

use crate::command::{self, Command};
use crate::hex;
use crate::machine::{Machine, Stop, StopKind};
use crate::packet::{PACKET_MAX, Reply};
use crate::points::PointKind;
use crate::registers::{self, Registers};
use crate::resume::Resume;
use crate::threads::{self, Window};

/// What comes after a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Its answer is sent, and the next one awaited.
    Answer,
    /// Threads go on; the answer is sent when one stops.
    Resume(Resume),
    /// The answer is sent, and everything goes on without gdb.
    Detach,
    /// The machine ends.
    Kill,
}

/// What lasts from packet to packet.
#[derive(Debug)]
pub struct Session {
    reply: Reply,
    /// The thread whose registers are meant.
    selected: u64,
    stop: Stop,
    acks: bool,
}

impl Session {
    /// A machine that nobody has asked anything yet.
    pub const fn new() -> Self {
        Self {
            reply: Reply::new(),
            selected: 0,
            stop: Stop {
                thread: 0,
                kind: StopKind::Signal(0),
            },
            acks: true,
        }
    }

    /// Whether packets are answered by `+` and `-` as yet.
    pub fn acks(&self) -> bool {
        self.acks
    }

    /// The answer to the last packet.
    pub fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Notes why the machine stands still now, and makes that the answer to the packet that let it go.
    pub fn stopped(&mut self, stop: Stop) {
        self.stop = stop;
        self.selected = stop.thread;
        self.say_why();
    }

    /// Does what the packet with this text asks for.
    pub fn handle(&mut self, text: &[u8], machine: &mut dyn Machine) -> Next {
        self.reply.clear();
        let Some(command) = Command::parse(text) else {
            self.reply.set("E01");
            return Next::Answer;
        };
        match command {
            Command::Resume(resume) => return self.resume(resume, machine),
            Command::Detach => {
                self.reply.set("OK");
                self.acks = true;
                return Next::Detach;
            }
            Command::Kill => return Next::Kill,
            Command::WhyStopped => self.say_why(),
            Command::Features => {
                self.acks = true;
                let _ = write!(
                    self.reply,
                    "PacketSize={PACKET_MAX:x};QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;\
                     qXfer:features:read+;qXfer:threads:read+"
                );
            }
            Command::NoAcks => {
                self.acks = false;
                self.reply.set("OK");
            }
            Command::Ways => self.reply.set("vCont;c;C;s;S;r"),
            Command::Select(thread) => self.select(thread, machine),
            Command::SelectForResume => self.reply.set("OK"),
            Command::Selected => {
                let _ = write!(self.reply, "QC{:x}", self.selected);
            }
            Command::IsAlive(thread) => self.done(machine.registers(thread).is_some()),
            Command::Registers => self.registers(machine),
            Command::Register(number) => self.register(number, machine),
            Command::SetRegisters(digits) => self.set_registers(digits, machine),
            Command::SetRegister(number, digits) => self.set_register(number, digits, machine),
            Command::Read(addr, len) => self.read(addr, len, machine),
            Command::Write(addr, len, digits) => {
                let mut room = [0; PACKET_MAX / 2];
                let bytes = hex::bytes(digits, &mut room);
                let bytes = bytes.filter(|bytes| bytes.len() as u64 == len);
                self.done(bytes.is_some_and(|bytes| machine.write(addr, bytes)));
            }
            Command::WriteBinary(addr, len, text) => {
                let mut room = [0; PACKET_MAX];
                let count = command::unescaped(text)
                    .zip(&mut room)
                    .map(|(byte, free)| *free = byte)
                    .count();
                self.done(count as u64 == len && machine.write(addr, &room[..count]));
            }
            Command::Insert(point) => self.done(machine.insert(point)),
            Command::Remove(point) => self.done(machine.remove(point)),
            Command::Description(offset, len) => {
                let mut window = Window::new(&mut self.reply, offset, len);
                for piece in registers::description(machine.has_avx()) {
                    let _ = window.write_str(piece);
                }
                window.finish();
            }
            Command::Threads(offset, len) => {
                let mut window = Window::new(&mut self.reply, offset, len);
                threads::list(machine, &mut window);
                window.finish();
            }
            Command::Monitor(digits) => self.monitor(digits, machine),
            Command::WasThere => self.reply.set("1"),
            Command::Unknown => {}
        }
        Next::Answer
    }

    fn done(&mut self, is_done: bool) {
        self.reply.set(if is_done { "OK" } else { "E01" });
    }

    /// Only threads that run can go on: if none of those may, that is an error.
    fn resume(&mut self, resume: Resume, machine: &mut dyn Machine) -> Next {
        let mut any = false;
        machine.threads(&mut |thread| any |= thread.on_core && resume.action(thread.id).is_some());
        if any {
            return Next::Resume(resume);
        }
        self.reply.set("E02");
        Next::Answer
    }

    fn say_why(&mut self) {
        let Stop { thread, kind } = self.stop;
        let signal = match kind {
            StopKind::Signal(signal) => signal,
            StopKind::Point(_) => 5,
        };
        self.reply.clear();
        let _ = write!(self.reply, "T{signal:02x}thread:{thread:x};");
        if let StopKind::Point(point) = kind {
            let word = point.kind.word();
            let _ = match point.kind {
                PointKind::Software | PointKind::Hardware => write!(self.reply, "{word}:;"),
                _ => write!(self.reply, "{word}:{:x};", point.addr),
            };
        }
    }

    fn select(&mut self, thread: Option<u64>, machine: &mut dyn Machine) {
        let thread = thread.unwrap_or(self.stop.thread);
        let is_there = machine.registers(thread).is_some();
        if is_there {
            self.selected = thread;
        }
        self.done(is_there);
    }

    fn registers(&mut self, machine: &mut dyn Machine) {
        let Some(registers) = machine.registers(self.selected) else {
            return self.done(false);
        };
        let count = registers::count(machine.has_avx());
        (0..count).for_each(|number| self.append(number, &registers));
    }

    fn register(&mut self, number: usize, machine: &mut dyn Machine) {
        match machine.registers(self.selected) {
            Some(registers) if number < registers::count(machine.has_avx()) => {
                self.append(number, &registers);
            }
            _ => self.done(false),
        }
    }

    fn append(&mut self, number: usize, registers: &Registers) {
        match registers.get(number) {
            Some(bytes) => self.reply.hex(bytes),
            None => (0..registers::size(number)).for_each(|_| self.reply.bytes(b"xx")),
        }
    }

    fn set_registers(&mut self, digits: &[u8], machine: &mut dyn Machine) {
        let Some(mut registers) = machine.registers(self.selected) else {
            return self.done(false);
        };
        let mut rest = digits;
        let mut is_whole = true;
        for number in 0..registers::count(machine.has_avx()) {
            let len = 2 * registers::size(number);
            let Some((value, behind)) = rest.split_at_checked(len) else {
                is_whole = false;
                break;
            };
            rest = behind;
            // What was not known comes back as it went out.
            if !value.starts_with(b"x") {
                is_whole &= set(&mut registers, number, value);
            }
        }
        self.done(is_whole && machine.set_registers(self.selected, &registers));
    }

    fn set_register(&mut self, number: usize, digits: &[u8], machine: &mut dyn Machine) {
        let registers = machine.registers(self.selected);
        let changed = registers
            .and_then(|mut registers| set(&mut registers, number, digits).then_some(registers));
        let selected = self.selected;
        self.done(changed.is_some_and(|registers| machine.set_registers(selected, &registers)));
    }

    fn read(&mut self, addr: u64, len: u64, machine: &mut dyn Machine) {
        let mut bytes = [0; PACKET_MAX / 2];
        let len = usize::try_from(len).map_or(bytes.len(), |len| len.min(bytes.len()));
        let found = machine.read(addr, &mut bytes[..len]);
        if found == 0 && len > 0 {
            return self.done(false);
        }
        self.reply.hex(&bytes[..found]);
    }

    fn monitor(&mut self, digits: &[u8], machine: &mut dyn Machine) {
        let mut room = [0; 64];
        let count = command::characters(digits)
            .zip(&mut room)
            .map(|(byte, free)| *free = byte)
            .count();
        let command = core::str::from_utf8(&room[..count]).unwrap_or("");
        let mut console = Console {
            reply: &mut self.reply,
            is_cut: false,
        };
        machine.monitor(command.trim(), &mut console);
        if console.is_cut {
            self.reply.hex(CUT.as_bytes());
        }
        if self.reply.text().is_empty() {
            self.reply.set("OK");
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

/// Sets a register from digits.
fn set(registers: &mut Registers, number: usize, digits: &[u8]) -> bool {
    let mut room = [0; 16];
    hex::bytes(digits, &mut room).is_some_and(|bytes| registers.set(number, bytes))
}

/// What a command prints: digits in the answer, as much as fits beside [`CUT`].
struct Console<'a> {
    reply: &'a mut Reply,
    is_cut: bool,
}

/// What stands for more than fits.
const CUT: &str = "\n... and more\n";

impl fmt::Write for Console<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = (self.reply.room() / 2).saturating_sub(CUT.len());
        self.is_cut |= text.len() > room;
        if !self.is_cut {
            self.reply.hex(text.as_bytes());
        }
        Ok(())
    }
}
