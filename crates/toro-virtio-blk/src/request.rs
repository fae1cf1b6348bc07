//! What a request looks like to the device (VIRTIO 1.3, 5.2.6): header, data, status.

use toro_dev::block::{BlockError, Op, Request};
use toro_mem::DmaBuf;

/// The header: type, reserved, sector; behind it the range of a discard or of a write of zeroes.
pub(crate) const HEADER: usize = 32;
const PLAIN: usize = 16;

/// What the status byte holds before the device has written it: no status that is known.
pub(crate) const UNWRITTEN: u8 = 0xff;

/// The data of a request.
pub(crate) enum Data {
    None,
    /// For the device to read.
    Out(DmaBuf),
    /// For the device to write.
    In(DmaBuf),
}

/// Writes the header of `request`, and says how long it is and what the data are.
pub(crate) fn encode(request: Request, header: &mut [u8]) -> (usize, Data) {
    // 5.2.6: the type is what the operation is.
    let (kind, sector, range, data) = match request.op {
        Op::Read(buf) => (0, request.sector, None, Data::In(buf)),
        Op::Write(buf) => (1, request.sector, None, Data::Out(buf)),
        Op::Flush => (4, 0, None, Data::None),
        Op::Discard { sectors } => (11, 0, Some(sectors), Data::None),
        Op::WriteZeroes { sectors } => (13, 0, Some(sectors), Data::None),
    };
    header[..4].copy_from_slice(&u32::to_le_bytes(kind));
    header[4..8].fill(0);
    header[8..16].copy_from_slice(&sector.to_le_bytes());
    let Some(sectors) = range else {
        return (PLAIN, data);
    };
    header[16..24].copy_from_slice(&request.sector.to_le_bytes());
    header[24..28].copy_from_slice(&sectors.to_le_bytes());
    // No flags: zeroes need not be unmapped, and a discard has none.
    header[28..32].fill(0);
    (HEADER, data)
}

/// Puts a request together again that was not queued; `None` if `header` is not [`encode`]'s work.
pub(crate) fn decode(header: &[u8], buf: Option<DmaBuf>) -> Option<Request> {
    let (words, _) = header.as_chunks::<8>();
    let (&[kind, ..], &sectors) = (words.first()?, words.get(3)?.first_chunk()?);
    let sectors = u32::from_le_bytes(sectors);
    let op = match kind {
        0 => Op::Read(buf?),
        1 => Op::Write(buf?),
        4 => Op::Flush,
        11 => Op::Discard { sectors },
        13 => Op::WriteZeroes { sectors },
        _ => return None,
    };
    let place = if kind < 11 { 1 } else { 2 };
    let sector = u64::from_le_bytes(words[place]);
    Some(Request { sector, op })
}

/// What the status byte says.
pub(crate) fn result(status: u8) -> Result<(), BlockError> {
    match status {
        0 => Ok(()),
        2 => Err(BlockError::Unsupported),
        _ => Err(BlockError::Io),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: Op, expected: &[u8]) {
        let mut header = [0xee; HEADER];
        let (len, _) = encode(
            Request {
                sector: 0x1_0000_0203,
                op,
            },
            &mut header,
        );
        assert_eq!(&header[..len], expected);
        let again = decode(&header, Some(DmaBuf::try_new(512).expect("memory")));
        let again = again.expect("it was encoded");
        let mut second = [0xee; HEADER];
        let (again_len, _) = encode(again, &mut second);
        assert_eq!(second[..again_len], header[..len]);
    }

    #[test]
    fn headers_are_those_of_the_standard() {
        let buf = || DmaBuf::try_new(512).expect("memory");
        let plain = |kind| [kind, 0, 0, 0, 0, 0, 0, 0, 3, 2, 0, 0, 1, 0, 0, 0];
        check(Op::Read(buf()), &plain(0));
        check(Op::Write(buf()), &plain(1));
        check(Op::Flush, &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let range = |kind| {
            [
                kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, //
                3, 2, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,
            ]
        };
        check(Op::Discard { sectors: 9 }, &range(11));
        check(Op::WriteZeroes { sectors: 9 }, &range(13));
    }

    #[test]
    fn only_zero_is_success() {
        assert_eq!(result(0), Ok(()));
        assert_eq!(result(1), Err(BlockError::Io));
        assert_eq!(result(2), Err(BlockError::Unsupported));
        for status in 3..=u8::MAX {
            assert_eq!(result(status), Err(BlockError::Io));
        }
    }
}
