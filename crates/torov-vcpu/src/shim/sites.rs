//! Call sites that can be patched, and the trampolines that they jump to.
//!
//! ```text
//! site         mov eax, NUMBER    becomes    jmp trampoline
//!              instructions                  instructions        (as they were)
//!              syscall                       syscall             (as it was)
//! trampoline   mov eax, NUMBER; instructions; lea rcx, [behind the site]; jmp shim
//! or           mov eax, ANSWER; jmp behind the site
//! ```
//! Only the first instruction, five bytes, becomes a jump: a branch to what is behind it finds that as it was. The instructions between
//! are such as mean the same at any place, and leave `eax` alone.

/// Where the trampolines begin.
pub const FIRST: u64 = 0x100;
/// How long one is.
const LEN: u64 = 32;
/// How many there can be.
pub const MOST: u64 = (torov_abi::PAGE - FIRST) / LEN;

/// How many bytes there may be between the number and the `syscall`.
const BETWEEN: usize = 15;

/// What a site becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It asks by the shim.
    Ring,
    /// The answer is always this.
    Always(u32),
    /// The answer is the word at this place from `gs` on.
    Word(u32),
}

/// A call site that can be patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Behind the `syscall`.
    end: u64,
    number: u32,
    between: [u8; BETWEEN],
    len: usize,
}

/// A trampoline, and what leads there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What takes the place of the site's first instruction.
    pub jump: [u8; 5],
    /// Where the trampoline goes, from the start of the shim.
    pub offset: u64,
    /// The trampoline.
    pub code: Vec<u8>,
}

impl Site {
    /// How many bytes before the end of the `syscall` must be looked at, if so many can be.
    pub const LEN: usize = BETWEEN + 8;

    /// Reads the bytes that end at `end`, where a call of `number` came from.
    #[must_use]
    pub fn read(end: u64, bytes: &[u8], number: u64) -> Option<Self> {
        let number = u32::try_from(number).ok()?;
        let (code, [0x0f, 0x05]) = bytes.split_last_chunk()? else {
            return None;
        };
        (0..=BETWEEN).find_map(|len| {
            let (before, between) = code.split_at_checked(code.len().checked_sub(len)?)?;
            let (before, [0xb8, immediate @ ..]) = before.split_last_chunk::<5>()? else {
                return None;
            };
            // Behind a REX prefix the same bytes load another register.
            let plain = before
                .last()
                .is_some_and(|byte| !(0x40..=0x4f).contains(byte));
            let fits = plain && *immediate == number.to_le_bytes() && can_be_moved(between);
            fits.then(|| {
                let mut place = [0; BETWEEN];
                place[..len].copy_from_slice(between);
                Self {
                    end,
                    number,
                    between: place,
                    len,
                }
            })
        })
    }

    /// Where the patch goes.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.end - 7 - torov_abi::word::wide(self.len)
    }

    /// The patch whose trampoline is the `index`-th behind the shim at `shim`; `None` if that is too far from the site.
    ///
    /// Where there is something between number and call, which may read the number, the way is the ring's.
    #[must_use]
    pub fn patch(&self, way: Way, shim: u64, index: u64) -> Option<Patch> {
        let way = if self.len == 0 { way } else { Way::Ring };
        let offset = FIRST + index * LEN;
        let trampoline = shim + offset;
        let mut code = Vec::new();
        match way {
            Way::Ring => code.extend(load(self.number)),
            Way::Always(answer) => code.extend(load(answer)),
            // mov eax, gs:[word]
            Way::Word(word) => {
                code.extend([0x65, 0x8b, 0x04, 0x25]);
                code.extend(word.to_le_bytes());
            }
        }
        code.extend(&self.between[..self.len]);
        let here = |code: &[u8]| trampoline + torov_abi::word::wide(code.len());
        let target = if way == Way::Ring {
            // lea rcx, [rip + end]
            let back = relative(here(&code) + 7, self.end)?;
            code.extend([0x48, 0x8d, 0x0d]);
            code.extend(back);
            shim
        } else {
            self.end
        };
        let go = relative(here(&code) + 5, target)?;
        code.push(0xe9);
        code.extend(go);
        let mut jump = [0xe9; 5];
        jump[1..].copy_from_slice(&relative(self.place() + 5, trampoline)?);
        Some(Patch { jump, offset, code })
    }
}

/// `mov eax, VALUE`.
fn load(value: u32) -> impl Iterator<Item = u8> {
    std::iter::once(0xb8).chain(value.to_le_bytes())
}

/// Whether all of `code` is instructions of a few kinds between registers: `mov`, `xor`, `lea` from a register and a number, and
/// loads of numbers. None of them writes `rax` or speaks of the place that it is at.
fn can_be_moved(mut code: &[u8]) -> bool {
    while !code.is_empty() {
        let Some(len) = movable(code) else {
            return false;
        };
        let Some(rest) = code.get(len..) else {
            return false;
        };
        code = rest;
    }
    true
}

/// The length of the first instruction, if it is one of those.
fn movable(code: &[u8]) -> Option<usize> {
    const REX_B: u8 = 1;
    const REX_R: u8 = 4;
    const REX_W: u8 = 8;
    let first = *code.first()?;
    let rex = if (0x40..=0x4f).contains(&first) {
        first & 15
    } else {
        0
    };
    let prefix = usize::from((0x40..=0x4f).contains(&first));
    let opcode = *code.get(prefix)?;
    let modrm = || code.get(prefix + 1).copied();
    let (is_rm_rax, is_reg_rax) = (
        |modrm: u8| modrm & 7 == 0 && rex & REX_B == 0,
        |modrm: u8| modrm >> 3 & 7 == 0 && rex & REX_R == 0,
    );
    match opcode {
        // mov and xor, the register that is written named second, then first.
        0x89 | 0x31 => {
            let modrm = modrm()?;
            (modrm >= 0xc0 && !is_rm_rax(modrm)).then_some(prefix + 2)
        }
        0x8b | 0x33 => {
            let modrm = modrm()?;
            (modrm >= 0xc0 && !is_reg_rax(modrm)).then_some(prefix + 2)
        }
        // mov r32, imm32
        0xb9..=0xbf if rex & REX_W == 0 => Some(prefix + 5),
        0xb8 if rex & REX_W == 0 && rex & REX_B != 0 => Some(prefix + 5),
        // mov r, simm32
        0xc7 => {
            let modrm = modrm()?;
            (modrm & 0xf8 == 0xc0 && !is_rm_rax(modrm)).then_some(prefix + 6)
        }
        // lea from a register, or rsp, and eight or 32 bits.
        0x8d => {
            let modrm = modrm()?;
            let base = if modrm & 7 == 4 {
                // A scale, an index and a base: rsp alone.
                (code.get(prefix + 2) == Some(&0x24)).then_some(3)?
            } else {
                2
            };
            let displacement = match modrm >> 6 {
                1 => 1,
                2 => 4,
                _ => return None,
            };
            (!is_reg_rax(modrm)).then_some(prefix + base + displacement)
        }
        _ => None,
    }
}

/// The displacement from `from` to `to`, if 32 bits hold it.
fn relative(from: u64, to: u64) -> Option<[u8; 4]> {
    let distance = to.wrapping_sub(from).cast_signed();
    i32::try_from(distance).ok().map(i32::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::{FIRST, LEN, Site, Way, can_be_moved};

    const END: u64 = 0x40_1020;

    fn site(bytes: &[u8], number: u64) -> Option<Site> {
        Site::read(END, bytes, number)
    }

    #[test]
    fn only_a_load_of_the_number_is_patched() {
        let bytes = |before, opcode| [before, opcode, 1, 0, 0, 0, 0x0f, 0x05];
        assert!(site(&bytes(0x90, 0xb8), 1).is_some());
        assert!(site(&bytes(0x41, 0xb8), 1).is_none(), "r8d");
        assert!(site(&bytes(0x90, 0xb8), 2).is_none());
        assert!(site(&bytes(0x90, 0xb9), 1).is_none());
        assert!(
            site(&bytes(0x90, 0xb8)[1..], 1).is_none(),
            "what is before?"
        );
        assert!(site(&[], 1).is_none() && site(&[0x0f, 0x05], 1).is_none());
    }

    #[test]
    fn moves_between_number_and_call_go_along() {
        // mov eax, 1; mov rdi, rbx; xor edx, edx; syscall
        let bytes = b"\x90\xb8\x01\0\0\0\x48\x89\xdf\x31\xd2\x0f\x05";
        let site = site(bytes, 1).unwrap();
        assert_eq!(site.place(), END - 12);
        let patch = site.patch(Way::Ring, 0x3f_0000, 0).unwrap();
        assert_eq!(patch.code[..10], bytes[1..11]);
        assert!(u64::try_from(patch.code.len()).unwrap() <= LEN);
    }

    #[test]
    fn what_depends_on_its_place_or_writes_the_number_is_not_moved() {
        for code in [
            &b"\x48\x89\xdf"[..],      // mov rdi, rbx
            b"\x4d\x89\xc8",           // mov r8, r9
            b"\x89\xc7",               // mov edi, eax
            b"\x41\xb8\x01\0\0\0",     // mov r8d, 1
            b"\xbf\x01\0\0\0",         // mov edi, 1
            b"\x48\xc7\xc7\x01\0\0\0", // mov rdi, 1
            b"\x48\x8d\x74\x24\x10",   // lea rsi, [rsp + 16]
            b"\x4c\x8d\x53\x08",       // lea r10, [rbx + 8]
            b"\x41\x89\xc0",           // mov r8d, eax
        ] {
            assert!(can_be_moved(code), "{code:x?}");
            assert!(!can_be_moved(&code[..code.len() - 1]), "{code:x?}");
        }
        for code in [
            &b"\x89\xf8"[..],          // mov eax, edi
            b"\x8b\xc7",               // mov eax, edi
            b"\x31\xc0",               // xor eax, eax
            b"\xb8\x01\0\0\0",         // mov eax, 1
            b"\x48\xc7\xc0\x01\0\0\0", // mov rax, 1
            b"\x48\x8d\x35\x01\0\0\0", // lea rsi, [rip + 1]
            b"\x48\x8d\x43\x08",       // lea rax, [rbx + 8]
            b"\x48\x8b\x7b\x08",       // mov rdi, [rbx + 8]
            b"\xeb\x01",               // jmp
            b"\x90",                   // nop
            b"\xe8\0\0\0\0",           // call
        ] {
            assert!(!can_be_moved(code), "{code:x?}");
        }
    }

    #[test]
    fn a_patch_leads_to_the_trampoline_and_back() {
        let site = site(&[0x90, 0xb8, 39, 0, 0, 0, 0x0f, 0x05], 39).unwrap();
        let target = |at: u64, code: &[u8]| {
            let to = i32::from_le_bytes([code[1], code[2], code[3], code[4]]);
            assert_eq!(code[0], 0xe9);
            (at + 5).wrapping_add_signed(to.into())
        };
        for (way, end) in [
            (Way::Ring, 0x3f_0000),
            (Way::Always(2), END),
            (Way::Word(64), END),
        ] {
            let patch = site.patch(way, 0x3f_0000, 1).unwrap();
            assert_eq!(patch.offset, FIRST + LEN);
            let at = 0x3f_0000 + patch.offset;
            assert_eq!(target(site.place(), &patch.jump), at);
            let jump = patch.code.len() - 5;
            let place = at + u64::try_from(jump).unwrap();
            assert_eq!(target(place, &patch.code[jump..]), end);
        }
        assert!(
            site.patch(Way::Ring, 0x7f00_0000_0000, 0).is_none(),
            "too far"
        );
    }
}
