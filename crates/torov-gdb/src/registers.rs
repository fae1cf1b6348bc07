//! The registers in the order in which gdb numbers them, and the description that says so.

use std::fmt::Write as _;

use torov_calls::debug::Halted;
use torov_vcpu::Registers;
use torov_vcpu::extended::{UPPER, has_avx};

/// Finds one of the general registers.
type General = fn(&mut Registers) -> &mut u64;

/// Where a register lies.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the general ones.
    General(General),
    /// In the image of the others: offset and length.
    Image(usize, usize),
    /// The abridged tag word of the image, made whole.
    Tags,
    /// A base: of `fs` or of `gs`.
    Base(usize),
    /// It is always this.
    Fixed(u32),
    /// The number of the call, which nobody keeps.
    Call,
}

/// Name, length in bytes, type and place of every register.
fn all(avx: bool) -> Vec<(String, usize, &'static str, Place)> {
    use Place::{Base, Call, Fixed, Image, Tags};
    let mut all: Vec<(String, usize, &'static str, Place)> = Vec::new();
    let general: [(&str, &'static str, General); 17] = [
        ("rax", "int64", |r| &mut r.rax),
        ("rbx", "int64", |r| &mut r.rbx),
        ("rcx", "int64", |r| &mut r.rcx),
        ("rdx", "int64", |r| &mut r.rdx),
        ("rsi", "int64", |r| &mut r.rsi),
        ("rdi", "int64", |r| &mut r.rdi),
        ("rbp", "data_ptr", |r| &mut r.rbp),
        ("rsp", "data_ptr", |r| &mut r.rsp),
        ("r8", "int64", |r| &mut r.r8),
        ("r9", "int64", |r| &mut r.r9),
        ("r10", "int64", |r| &mut r.r10),
        ("r11", "int64", |r| &mut r.r11),
        ("r12", "int64", |r| &mut r.r12),
        ("r13", "int64", |r| &mut r.r13),
        ("r14", "int64", |r| &mut r.r14),
        ("r15", "int64", |r| &mut r.r15),
        ("rip", "code_ptr", |r| &mut r.rip),
    ];
    let mut add = |name: &str, len, kind, place| all.push((name.to_owned(), len, kind, place));
    for (name, kind, place) in general {
        add(name, 8, kind, Place::General(place));
    }
    add("eflags", 4, "int32", Place::General(|r| &mut r.rflags));
    for (name, value) in [
        ("cs", 0x33),
        ("ss", 0x2b),
        ("ds", 0),
        ("es", 0),
        ("fs", 0),
        ("gs", 0),
    ] {
        add(name, 4, "int32", Fixed(value));
    }
    for at in 0..8 {
        add(&format!("st{at}"), 10, "i387_ext", Image(32 + 16 * at, 10));
    }
    for (name, place) in [
        ("fctrl", Image(0, 2)),
        ("fstat", Image(2, 2)),
        ("ftag", Tags),
        ("fiseg", Image(12, 2)),
        ("fioff", Image(8, 4)),
        ("foseg", Image(20, 2)),
        ("fooff", Image(16, 4)),
        ("fop", Image(6, 2)),
    ] {
        add(name, 4, "int", place);
    }
    for at in 0..16 {
        add(&format!("xmm{at}"), 16, "vec128", Image(160 + 16 * at, 16));
    }
    add("mxcsr", 4, "int", Image(24, 4));
    add("orig_rax", 8, "int64", Call);
    add("fs_base", 8, "int64", Base(0));
    add("gs_base", 8, "int64", Base(1));
    for at in (0..16).filter(|_| avx) {
        add(
            &format!("ymm{at}h"),
            16,
            "uint128",
            Image(UPPER + 16 * at, 16),
        );
    }
    all
}

/// The features of the description, with how many registers each has. The last is for processors that have it.
const FEATURES: [(&str, usize); 5] = [
    ("org.gnu.gdb.i386.core", 40),
    ("org.gnu.gdb.i386.sse", 17),
    ("org.gnu.gdb.i386.linux", 1),
    ("org.gnu.gdb.i386.segments", 2),
    ("org.gnu.gdb.i386.avx", 16),
];

/// What the SSE registers can be seen as.
const VECTORS: &str = "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\
    <vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\
    <vector id=\"v16i8\" type=\"int8\" count=\"16\"/>\
    <vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\
    <vector id=\"v4i32\" type=\"int32\" count=\"4\"/>\
    <vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\
    <union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>\
    <field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>\
    <field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>\
    <field name=\"uint128\" type=\"uint128\"/></union>";

/// The description that gdb asks for (GDB manual, G).
pub(crate) fn description() -> String {
    describe(has_avx())
}

fn describe(avx: bool) -> String {
    let mut text = "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>\
                    <architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>"
        .to_owned();
    let registers = all(avx);
    let mut rest = registers.as_slice();
    let count = FEATURES.len() - usize::from(!avx);
    for (name, count) in FEATURES.into_iter().take(count) {
        // Writing to a text cannot fail.
        let _ = write!(text, "<feature name=\"{name}\">");
        if name.ends_with("sse") {
            text.push_str(VECTORS);
        }
        let (own, behind) = rest.split_at(count);
        for (name, len, kind, _) in own {
            let bits = 8 * len;
            let _ = write!(
                text,
                "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"/>"
            );
        }
        text.push_str("</feature>");
        rest = behind;
    }
    text.push_str("</target>");
    text
}

/// All registers, one behind the other.
pub(crate) fn read_all(halted: &mut Halted) -> Vec<u8> {
    let all = all(has_avx());
    all.iter()
        .flat_map(|(_, len, _, place)| read(halted, *len, *place))
        .collect()
}

/// One of them, by its number.
pub(crate) fn read_one(halted: &mut Halted, number: usize) -> Option<Vec<u8>> {
    let all = all(has_avx());
    let (_, len, _, place) = all.get(number)?;
    Some(read(halted, *len, *place))
}

/// Changes all of them.
pub(crate) fn write_all(halted: &mut Halted, mut bytes: &[u8]) {
    for (_, len, _, place) in all(has_avx()) {
        let Some((own, behind)) = bytes.split_at_checked(len) else {
            return;
        };
        write(halted, own, place);
        bytes = behind;
    }
}

/// Changes one; false if there is none of that number, or it has another length.
pub(crate) fn write_one(halted: &mut Halted, number: usize, bytes: &[u8]) -> bool {
    let all = all(has_avx());
    match all.get(number) {
        Some((_, len, _, place)) if *len == bytes.len() => {
            write(halted, bytes, *place);
            true
        }
        _ => false,
    }
}

fn read(halted: &mut Halted, len: usize, place: Place) -> Vec<u8> {
    let mut bytes = match place {
        Place::General(register) => register(&mut halted.registers).to_le_bytes().to_vec(),
        Place::Image(at, len) => halted.extended.get(at..at + len).unwrap_or(&[]).to_vec(),
        Place::Tags => tags(halted.extended.get(4).copied().unwrap_or(0))
            .to_le_bytes()
            .to_vec(),
        Place::Base(which) => halted.bases[which].to_le_bytes().to_vec(),
        Place::Fixed(value) => value.to_le_bytes().to_vec(),
        Place::Call => u64::MAX.to_le_bytes().to_vec(),
    };
    bytes.resize(len, 0);
    bytes
}

fn write(halted: &mut Halted, bytes: &[u8], place: Place) {
    let mut word = [0; 8];
    let len = bytes.len().min(8);
    word[..len].copy_from_slice(&bytes[..len]);
    let word = u64::from_le_bytes(word);
    match place {
        Place::General(register) => *register(&mut halted.registers) = word,
        Place::Base(which) => halted.bases[which] = word,
        Place::Image(at, len) => {
            if let Some(place) = halted.extended.get_mut(at..at + len) {
                place.copy_from_slice(&bytes[..len]);
                // Whoever writes to them wants them to be there: x87 and SSE, or AVX.
                halted.extended[512] |= if at < UPPER { 3 } else { 4 };
            }
        }
        // Tags follow from what the registers hold; selectors are the monitor's.
        Place::Tags | Place::Fixed(_) | Place::Call => {}
    }
}

/// A bit for each x87 register as two: 0 where there is something, 3 where not.
fn tags(abridged: u8) -> u16 {
    let empty = (0..8).filter(|at| abridged >> at & 1 == 0);
    empty.fold(0, |tags, at| tags | 3 << (2 * at))
}

#[cfg(test)]
mod tests {
    use torov_calls::debug::Halted;

    use super::{FEATURES, all, describe, has_avx, read_all, read_one, tags, write_all, write_one};

    fn halted(len: usize) -> Halted {
        Halted {
            extended: (0..=255).cycle().take(len).collect(),
            ..Halted::default()
        }
    }

    #[test]
    fn every_register_belongs_to_a_feature() {
        for (avx, image) in [(false, 576), (true, 832)] {
            let count: usize = FEATURES.iter().map(|(_, count)| count).sum();
            let count = if avx { count } else { count - 16 };
            assert_eq!(all(avx).len(), count);
            let text = describe(avx);
            assert_eq!(text.matches("<reg ").count(), count);
            let len: usize = all(avx).iter().map(|(_, len, ..)| len).sum();
            if avx == has_avx() {
                assert_eq!(read_all(&mut halted(image)).len(), len);
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut halted = halted(832);
        let mut bytes = read_all(&mut halted);
        bytes[16 * 8] = 0x42;
        write_all(&mut halted, &bytes);
        assert_eq!(halted.registers.rip, 0x42);
        let xmm1 = 41;
        assert!(write_one(&mut halted, xmm1, &[7; 16]) && !write_one(&mut halted, xmm1, &[7; 8]));
        assert_eq!(read_one(&mut halted, xmm1), Some(vec![7; 16]));
        assert_eq!(halted.extended[176..192], [7; 16]);
        let ymm2h = 62;
        halted.extended[512] = 3;
        assert_eq!(write_one(&mut halted, ymm2h, &[8; 16]), has_avx());
        if has_avx() {
            assert_eq!(halted.extended[512], 7);
            assert_eq!(halted.extended[608..624], [8; 16]);
        }
        assert_eq!(read_one(&mut halted, 99), None);
        write_all(&mut halted, &[1, 2]);
    }

    #[test]
    fn an_empty_register_is_tagged() {
        assert_eq!(tags(0xff), 0);
        assert_eq!(tags(0), 0xffff);
        assert_eq!(tags(0b1000_0000), 0x3fff);
    }
}
