//! The do-nothing image: what QEMU and its firmware cost before a kernel has done anything.
//!
//! A boot time means little by itself, for most of it is QEMU's. So every run also boots this image: an
//! ELF of one page that QEMU starts by its PVH note, that writes a line of one character to the serial
//! port and leaves through isa-debug-exit. The times of real images are given as differences to it.

/// Where the image is loaded, and where it is entered.
const LOAD_ADDRESS: u64 = 0x10_0000;
const CODE_OFFSET: u64 = 0x100;
const NOTE_OFFSET: u64 = 0xe0;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const ET_EXEC: u16 = 2;
const EM_X86_64: u16 = 62;
const ELF_HEADER_LEN: u16 = 64;
const PROGRAM_HEADER_LEN: u16 = 56;
/// `XEN_ELFNOTE_PHYS32_ENTRY`: the note that names the 32-bit entry point.
const PHYS32_ENTRY: u32 = 18;

/// 32-bit code; PVH enters it in protected mode without paging and with flat segments.
const CODE: [u8; 24] = [
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8    the first serial port's data register
    0xb0, b'.', //             mov al, '.'
    0xee, //                   out dx, al
    0xb0, b'\n', //            mov al, '\n'
    0xee,  //                   out dx, al
    0x66, 0xba, 0xf4, 0x00, // mov dx, 0xf4     isa-debug-exit
    0xb0, 0x10, //             mov al, 0x10
    0xee, //                   out dx, al
    0x90, 0x90, 0x90, //       nop
    0xfa, //                   cli
    0xf4, //                   hlt
    0xeb, 0xfd, //             jmp hlt
];

/// The bytes of the image's ELF file.
pub(crate) fn image() -> Vec<u8> {
    let mut elf = elf_header();
    let whole = CODE_OFFSET + CODE.len() as u64;
    elf.extend(program_header(PT_LOAD, 0, whole, 0x1000));
    elf.extend(program_header(PT_NOTE, NOTE_OFFSET, note().len() as u64, 4));
    pad_to(&mut elf, NOTE_OFFSET);
    elf.extend(note());
    pad_to(&mut elf, CODE_OFFSET);
    elf.extend(CODE);
    elf
}

fn elf_header() -> Vec<u8> {
    // 64 bit, little endian, version 1: what QEMU expects of an x86-64 kernel.
    let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend(ET_EXEC.to_le_bytes());
    header.extend(EM_X86_64.to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header.extend((LOAD_ADDRESS + CODE_OFFSET).to_le_bytes());
    header.extend(u64::from(ELF_HEADER_LEN).to_le_bytes()); // the program headers follow
    header.extend(0_u64.to_le_bytes()); // no sections
    header.extend(0_u32.to_le_bytes());
    for half in [ELF_HEADER_LEN, PROGRAM_HEADER_LEN, 2, 0, 0, 0] {
        header.extend(half.to_le_bytes());
    }
    header
}

/// A program header for `len` bytes at `offset` of the file, readable and executable.
fn program_header(kind: u32, offset: u64, len: u64, align: u64) -> Vec<u8> {
    const READ_EXECUTE: u32 = 5;
    let address = LOAD_ADDRESS + offset;
    let mut header = Vec::new();
    header.extend(kind.to_le_bytes());
    header.extend(READ_EXECUTE.to_le_bytes());
    for field in [offset, address, address, len, len, align] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn note() -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4_u32, 8, PHYS32_ENTRY] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend((LOAD_ADDRESS + CODE_OFFSET).to_le_bytes());
    note
}

fn pad_to(bytes: &mut Vec<u8>, offset: u64) {
    let offset = usize::try_from(offset).expect("offsets of this image are small");
    assert!(
        bytes.len() <= offset,
        "the parts before {offset:#x} overlap it"
    );
    bytes.resize(offset, 0);
}

#[cfg(test)]
mod tests {
    use object::read::elf::{ElfFile64, ProgramHeader};
    use object::{Endianness, Object};

    use super::{CODE, LOAD_ADDRESS, PT_NOTE, image};

    #[test]
    fn is_an_elf_whose_note_names_its_entry() {
        let bytes = image();
        let elf = ElfFile64::<Endianness>::parse(&*bytes).expect("a valid ELF");
        assert_eq!(elf.entry(), LOAD_ADDRESS + 0x100);
        assert_eq!(bytes[0x100..], CODE);
        let headers = elf.elf_program_headers();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[1].p_type(Endianness::Little), PT_NOTE);
        let mut notes = headers[1]
            .notes(Endianness::Little, &*bytes)
            .expect("the note header is in the file")
            .expect("it is a note header");
        let note = notes
            .next()
            .expect("the note parses")
            .expect("there is one note");
        assert_eq!(note.name(), b"Xen");
        assert_eq!(note.desc(), (LOAD_ADDRESS + 0x100).to_le_bytes());
    }
}
