//! [`Registers`]: what a program has in its registers.

/// The general registers at privilege level 3.
#[expect(missing_docs, reason = "the names are the processor's")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}

/// Flags that a program may change: arithmetic, trap, direction, nested task off, alignment check, identification.
const USER_FLAGS: u64 = 0x0024_0dd5;

/// Flags that are always set: the reserved bit 1 and interrupts on.
const FIXED_FLAGS: u64 = 0x202;

impl Registers {
    /// The registers of a program at its first instruction.
    #[must_use]
    pub fn at_start(rip: u64, rsp: u64) -> Self {
        Self {
            rip,
            rsp,
            rflags: FIXED_FLAGS,
            ..Self::default()
        }
    }

    /// The call that they ask for.
    #[must_use]
    pub fn call(&self) -> torov_abi::Call {
        torov_abi::Call {
            number: self.rax,
            args: [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9],
        }
    }

    /// The flags with all that a program has no say in put right.
    #[must_use]
    pub fn user_flags(&self) -> u64 {
        self.rflags & USER_FLAGS | FIXED_FLAGS
    }

    /// Names and values, as a report shows them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 18] {
        [
            ("rax", self.rax),
            ("rbx", self.rbx),
            ("rcx", self.rcx),
            ("rdx", self.rdx),
            ("rsi", self.rsi),
            ("rdi", self.rdi),
            ("rbp", self.rbp),
            ("rsp", self.rsp),
            ("r8", self.r8),
            ("r9", self.r9),
            ("r10", self.r10),
            ("r11", self.r11),
            ("r12", self.r12),
            ("r13", self.r13),
            ("r14", self.r14),
            ("r15", self.r15),
            ("rip", self.rip),
            ("rflags", self.rflags),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::Registers;

    #[test]
    fn a_program_has_no_say_in_the_flags_of_the_machine() {
        let registers = Registers {
            rflags: u64::MAX,
            ..Registers::default()
        };
        assert_eq!(registers.user_flags() & 0x3000, 0, "no port rights");
        assert_eq!(registers.user_flags() & 0x20000, 0, "no virtual 8086 mode");
        assert_eq!(Registers::default().user_flags(), 0x202);
    }

    #[test]
    fn arguments_are_where_linux_has_them() {
        let registers = Registers {
            rax: 9,
            rdi: 1,
            rsi: 2,
            rdx: 3,
            r10: 4,
            r8: 5,
            r9: 6,
            ..Registers::default()
        };
        assert_eq!(registers.call().args, [1, 2, 3, 4, 5, 6]);
        assert_eq!(registers.call().number, 9);
    }
}
