//! The blocks of pcapng (draft-ietf-opsawg-pcapng-03, section 4). All numbers are little endian, which the first block says.
//!
//! ```text
//! u32 type, u32 length of the block, body padded to 4 bytes, u32 length of the block again
//! ```

use alloc::vec::Vec;

/// Ethernet, in the registry of link types.
const ETHERNET: u16 = 1;

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device.
    Inbound,
    /// To the device.
    Outbound,
}

/// An option: its code and its bytes.
type Choice<'a> = (u16, &'a [u8]);

/// The length of the block around a frame of `len` bytes.
pub const fn packet_len(len: usize) -> usize {
    // Type, lengths, interface, time, two lengths of the frame; then the flags and the end of options.
    32 + len.next_multiple_of(4) + 8 + 4
}

/// Begins a section: `image` is who writes it.
pub fn section(out: &mut Vec<u8>, image: &str) {
    block(out, 0x0A0D_0D0A, |out| {
        out.extend(0x1A2B_3C4D_u32.to_le_bytes());
        out.extend([1, 0, 0, 0]);
        // The length of the section is not known.
        out.extend(u64::MAX.to_le_bytes());
        // shb_userappl.
        options(out, &[(4, image.as_bytes())]);
    });
}

/// Describes the next interface, whose times are nanoseconds since 1970.
pub fn interface(out: &mut Vec<u8>, name: &str) {
    block(out, 1, |out| {
        out.extend(ETHERNET.to_le_bytes());
        out.extend([0; 2]);
        // Frames are kept whole.
        out.extend([0; 4]);
        // if_name, and if_tsresol: units of 10^-9 s.
        options(out, &[(2, name.as_bytes()), (9, &[9])]);
    });
}

/// A frame.
pub fn packet(out: &mut Vec<u8>, interface: u32, nanos: u64, direction: Direction, frame: &[u8]) {
    let flags: u32 = match direction {
        Direction::Inbound => 1,
        Direction::Outbound => 2,
    };
    // No frame has as many bytes as a number of 32 bits cannot hold.
    let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    block(out, 6, |out| {
        out.extend(interface.to_le_bytes());
        time(out, nanos);
        out.extend(len.to_le_bytes());
        out.extend(len.to_le_bytes());
        out.extend(frame);
        pad(out, frame.len());
        // epb_flags.
        options(out, &[(2, &flags.to_le_bytes())]);
    });
}

/// How many frames of an interface were seen so far and how many of them were not kept.
pub fn statistics(out: &mut Vec<u8>, interface: u32, nanos: u64, seen: u64, dropped: u64) {
    block(out, 5, |out| {
        out.extend(interface.to_le_bytes());
        time(out, nanos);
        // isb_ifrecv and isb_ifdrop.
        options(
            out,
            &[(4, &seen.to_le_bytes()), (5, &dropped.to_le_bytes())],
        );
    });
}

/// Writes a block whose body `fill` writes, of a multiple of 4 bytes.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    fill(out);
    let len = u32::try_from(out.len() + 4 - start)
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&len);
    out.extend(len);
}

/// A time: the upper half of the number comes first.
fn time(out: &mut Vec<u8>, nanos: u64) {
    let bytes = nanos.to_le_bytes();
    out.extend(&bytes[4..]);
    out.extend(&bytes[..4]);
}

fn options(out: &mut Vec<u8>, options: &[Choice<'_>]) {
    for (code, bytes) in options {
        out.extend(code.to_le_bytes());
        out.extend(u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
        out.extend(*bytes);
        pad(out, bytes.len());
    }
    // opt_endofopt.
    out.extend([0; 4]);
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.resize(out.len() + len.next_multiple_of(4) - len, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each block says its length twice, in multiples of 4.
    fn check(bytes: &[u8], kinds: &[u32]) {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let (mut at, mut seen) = (0, Vec::new());
        while at < bytes.len() {
            let len = word(at + 4) as usize;
            assert!(len.is_multiple_of(4) && len >= 12, "{len}");
            assert_eq!(word(at + len - 4) as usize, len);
            seen.push(word(at));
            at += len;
        }
        assert_eq!(seen, kinds);
    }

    #[test]
    fn blocks_say_their_lengths() {
        for len in 0..70 {
            let mut out = Vec::new();
            section(&mut out, "toro");
            interface(&mut out, "net0");
            let before = out.len();
            packet(&mut out, 0, 1, Direction::Inbound, &[7; 70][..len]);
            assert_eq!(
                out.len() - before,
                packet_len(len),
                "a frame of {len} bytes"
            );
            statistics(&mut out, 0, 2, 3, 4);
            check(&out, &[0x0A0D_0D0A, 1, 6, 5]);
        }
    }

    /// The example that Wireshark and the draft agree on, byte by byte.
    #[test]
    fn a_packet_is_laid_out_as_the_draft_says() {
        let mut out = Vec::new();
        packet(&mut out, 1, 0x1_0000_0002, Direction::Outbound, b"abcde");
        let expected = [
            &[6, 0, 0, 0, 52, 0, 0, 0, 1, 0, 0, 0][..],
            &[1, 0, 0, 0, 2, 0, 0, 0],
            &[5, 0, 0, 0, 5, 0, 0, 0],
            b"abcde\0\0\0",
            &[2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0],
            &[52, 0, 0, 0],
        ]
        .concat();
        assert_eq!(out, expected);
    }
}
