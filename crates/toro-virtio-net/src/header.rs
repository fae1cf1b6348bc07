//! The header in front of each frame (VIRTIO 1.3, 5.1.6): checksum and segmentation offload.

/// Length of the header: version 1 always has the field for merged buffers.
pub(crate) const LEN: usize = 12;
/// The checksum from `csum_start` on is to be completed.
const NEEDS_CSUM: u8 = 1;
/// The checksum was verified.
const DATA_VALID: u8 = 2;
/// The frame is cut into TCP segments over IPv4, or was put together of them.
const SEGMENT_TCPV4: u8 = 1;
/// The same over IPv6.
const SEGMENT_TCPV6: u8 = 4;
/// Where the checksum lies in a TCP header.
const TCP_CHECKSUM: u8 = 16;
/// Length of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;

/// Why a received frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// There is no full Ethernet header.
    Short,
    /// It is a large segment of a kind that was not agreed on.
    Segment,
    /// The checksum field lies outside the frame.
    Checksum,
}

/// How many buffers a received packet lies in, by the header in the first one.
#[inline]
pub(crate) fn buffers(header: &[u8; LEN]) -> u16 {
    u16::from_le_bytes([header[10], header[11]])
}

/// Judges the header of a received frame of `frame_len` bytes: says whether its checksum is good. `large` allows TCP segments
/// that were put together.
pub(crate) fn judge(header: [u8; LEN], frame_len: usize, large: bool) -> Result<bool, Malformed> {
    let [
        flags,
        segment,
        _,
        _,
        _,
        _,
        start_low,
        start_high,
        field_low,
        field_high,
        _,
        _,
    ] = header;
    if frame_len < ETHERNET {
        return Err(Malformed::Short);
    }
    if segment != 0 && !(large && matches!(segment, SEGMENT_TCPV4 | SEGMENT_TCPV6)) {
        return Err(Malformed::Segment);
    }
    if flags & NEEDS_CSUM != 0 {
        let start = usize::from(u16::from_le_bytes([start_low, start_high]));
        let field = usize::from(u16::from_le_bytes([field_low, field_high]));
        if start < ETHERNET || start + field + 2 > frame_len {
            return Err(Malformed::Checksum);
        }
    }
    Ok(flags & (NEEDS_CSUM | DATA_VALID) != 0)
}

/// The header of a frame to send, whose checksum is complete.
pub(crate) const PLAIN: [u8; LEN] = [0; LEN];

/// The header of `frame`, whose TCP or UDP checksum the device is to complete; `None` if it is neither.
pub(crate) fn with_checksum(frame: &[u8]) -> Option<[u8; LEN]> {
    let (start, protocol) = match *frame.get(12..14)? {
        [0x08, 0x00] => {
            let words = usize::from(frame.get(ETHERNET)? & 0xf);
            (ETHERNET + 4 * words, *frame.get(ETHERNET + 9)?)
        }
        // Our stack sends no extension headers.
        [0x86, 0xdd] => (ETHERNET + 40, *frame.get(ETHERNET + 6)?),
        _ => return None,
    };
    let field: u8 = match protocol {
        6 => TCP_CHECKSUM,
        17 => 6,
        _ => return None,
    };
    if start + usize::from(field) + 2 > frame.len() {
        return None;
    }
    let start = u8::try_from(start).ok()?;
    Some([NEEDS_CSUM, 0, 0, 0, 0, 0, start, 0, field, 0, 0, 0])
}

/// The header of `frame`, which the device is to cut into TCP segments of `size` bytes; `None` if it is no TCP over IPv4.
pub(crate) fn with_segments(frame: &[u8], size: u16) -> Option<[u8; LEN]> {
    let mut header = with_checksum(frame)?;
    let (start, field) = (usize::from(header[6]), header[8]);
    if frame[12] != 0x08 || field != TCP_CHECKSUM {
        return None;
    }
    // 5.1.6.2: the headers that each segment gets.
    let headers = start + usize::from(frame[start + 12] >> 4) * 4;
    if headers > frame.len() {
        return None;
    }
    header[1] = SEGMENT_TCPV4;
    header[2..4].copy_from_slice(&u16::try_from(headers).ok()?.to_le_bytes());
    header[4..6].copy_from_slice(&size.to_le_bytes());
    Some(header)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn header(flags: u8, segment: u8, start: u8, field: u8) -> [u8; LEN] {
        [flags, segment, 0, 0, 0, 0, start, 0, field, 0, 0, 0]
    }

    #[test]
    fn received_checksum_is_good_if_checked_or_never_sent() {
        assert_eq!(judge(PLAIN, 60, false), Ok(false));
        assert_eq!(judge(header(DATA_VALID, 0, 0, 0), 60, false), Ok(true));
        assert_eq!(judge(header(NEEDS_CSUM, 0, 34, 16), 60, false), Ok(true));
    }

    #[test]
    fn malformed_headers_are_named() {
        let judge = |header, len| judge(header, len, false);
        assert_eq!(judge(PLAIN, 13), Err(Malformed::Short));
        assert_eq!(judge(header(0, 1, 0, 0), 60), Err(Malformed::Segment));
        assert_eq!(
            judge(header(NEEDS_CSUM, 0, 34, 25), 60),
            Err(Malformed::Checksum)
        );
        assert_eq!(
            judge(header(NEEDS_CSUM, 0, 0, 16), 60),
            Err(Malformed::Checksum)
        );
        let mut far = header(NEEDS_CSUM, 0, 0xff, 0xff);
        (far[7], far[9]) = (0xff, 0xff);
        assert_eq!(judge(far, 60), Err(Malformed::Checksum));
    }

    #[test]
    fn only_large_segments_that_were_agreed_on_are_taken() {
        for (kind, is_known) in [(1, true), (4, true), (3, false), (0x81, false), (5, false)] {
            let large = judge(header(NEEDS_CSUM, kind, 34, 16), 9000, true);
            assert_eq!(large.is_ok(), is_known, "kind {kind}");
            let usual = judge(header(NEEDS_CSUM, kind, 34, 16), 9000, false);
            assert_eq!(usual, Err(Malformed::Segment), "kind {kind}");
        }
    }

    #[test]
    fn checksum_field_is_found() {
        let mut frame = vec![0; 80];
        let check = |frame: &[u8], start, field| {
            assert_eq!(
                with_checksum(frame),
                Some(header(NEEDS_CSUM, 0, start, field))
            );
        };
        (frame[12], frame[14], frame[23]) = (0x08, 0x45, 6);
        check(&frame, 34, 16);
        (frame[14], frame[23]) = (0x46, 17);
        check(&frame, 38, 6);
        (frame[12], frame[13], frame[20]) = (0x86, 0xdd, 6);
        check(&frame, 54, 16);
    }

    #[test]
    fn frame_to_be_cut_names_its_headers_and_the_size() {
        let mut frame = vec![0; 4000];
        (frame[12], frame[14], frame[23], frame[46]) = (0x08, 0x45, 6, 0x80);
        let expected = [NEEDS_CSUM, 1, 34 + 32, 0, 0xb4, 0x05, 34, 0, 16, 0, 0, 0];
        assert_eq!(with_segments(&frame, 1460), Some(expected));
        assert_eq!(with_segments(&frame[..60], 1460), None, "cut in the header");
        frame[23] = 17;
        assert_eq!(with_segments(&frame, 1460), None, "UDP");
    }

    #[test]
    fn frame_without_checksum_field_has_none() {
        assert_eq!(with_checksum(&[]), None);
        let mut frame = vec![0; 51];
        (frame[12], frame[14], frame[23]) = (0x08, 0x45, 6);
        assert_eq!(with_checksum(&frame), None, "cut before the field");
        frame[23] = 1;
        assert_eq!(with_checksum(&frame), None, "ICMP");
        frame[12] = 0x09;
        assert_eq!(with_checksum(&frame), None, "not IP");
    }
}
