//! [`Header`]: the 44 bytes in front of each packet (VIRTIO 1.2, 5.10.6).

use core::fmt;

use super::VsockAddr;

/// Bytes of a header.
pub const HEADER: usize = 44;
/// The kind of socket that carries a stream (5.10.6).
pub const STREAM: u16 = 1;

/// Flags of [`Op::Shutdown`] (5.10.6.5): both are for ever.
pub mod shut {
    /// The sender takes no more data.
    pub const RECEIVE: u32 = 1;
    /// The sender sends no more data.
    pub const SEND: u32 = 2;
    /// Both.
    pub const BOTH: u32 = RECEIVE | SEND;
}

/// What a packet is for (5.10.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    /// Nothing; but as every packet it says how much room there is.
    Nothing = 0,
    /// Asks for a connection.
    Request = 1,
    /// Accepts one.
    Response = 2,
    /// Ends one, or refuses it.
    Reset = 3,
    /// Says that one half of a connection, or both, is done.
    Shutdown = 4,
    /// Carries data.
    Data = 5,
    /// Says how much room there is.
    CreditUpdate = 6,
    /// Asks how much room there is.
    CreditRequest = 7,
}

impl Op {
    const ALL: [Self; 8] = [
        Self::Nothing,
        Self::Request,
        Self::Response,
        Self::Reset,
        Self::Shutdown,
        Self::Data,
        Self::CreditUpdate,
        Self::CreditRequest,
    ];
}

/// A header whose fields make sense each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who sends.
    pub src: VsockAddr,
    /// Who is to receive.
    pub dst: VsockAddr,
    /// Bytes of payload: none unless `op` is [`Op::Data`].
    pub len: u32,
    /// [`STREAM`], or something that we have not.
    pub kind: u16,
    /// What the packet is for.
    pub op: Op,
    /// [`shut`] flags; 0 for other ops.
    pub flags: u32,
    /// How much room for this connection the sender has in all.
    pub buf_alloc: u32,
    /// How many bytes of this connection have left that room, modulo 2^32.
    pub fwd_cnt: u32,
}

/// Why some bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// There are fewer bytes than a header has.
    TooShort,
    /// The length in the header is not that of the payload, or there is payload where none belongs.
    Length,
    /// A context id has more than 32 bits (5.10.4: the upper ones are reserved).
    Cid,
    /// Nobody knows such an op.
    Op(u16),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("shorter than a header"),
            Self::Length => f.write_str("another length than the header says"),
            Self::Cid => f.write_str("a context id of more than 32 bits"),
            Self::Op(op) => write!(f, "op {op} is not known"),
        }
    }
}

impl core::error::Error for HeaderError {}

impl Header {
    /// Reads the header of `packet`, which holds all that was received and nothing else.
    ///
    /// # Errors
    /// Fails if a field makes no sense by itself.
    pub fn parse(packet: &[u8]) -> Result<Self, HeaderError> {
        let (bytes, payload) = packet
            .split_first_chunk::<HEADER>()
            .ok_or(HeaderError::TooShort)?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        if word(4) != 0 || word(12) != 0 {
            return Err(HeaderError::Cid);
        }
        let number = half(30);
        let op = Op::ALL.get(usize::from(number));
        let op = *op.ok_or(HeaderError::Op(number))?;
        let len = word(24);
        if len as usize != payload.len() || (len != 0 && op != Op::Data) {
            return Err(HeaderError::Length);
        }
        let address = |cid: usize, port: usize| VsockAddr {
            cid: word(cid),
            port: word(port),
        };
        Ok(Self {
            src: address(0, 16),
            dst: address(8, 20),
            len,
            kind: half(28),
            op,
            // 5.10.6.5: what is not defined is ignored.
            flags: match op {
                Op::Shutdown => word(32) & shut::BOTH,
                _ => 0,
            },
            buf_alloc: word(36),
            fwd_cnt: word(40),
        })
    }

    /// The header as it lies in memory.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &self.src.cid.to_le_bytes());
        put(8, &self.dst.cid.to_le_bytes());
        put(16, &self.src.port.to_le_bytes());
        put(20, &self.dst.port.to_le_bytes());
        put(24, &self.len.to_le_bytes());
        put(28, &self.kind.to_le_bytes());
        put(30, &(self.op as u16).to_le_bytes());
        put(32, &self.flags.to_le_bytes());
        put(36, &self.buf_alloc.to_le_bytes());
        put(40, &self.fwd_cnt.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn header() -> Header {
        Header {
            src: VsockAddr::host(7),
            dst: VsockAddr { cid: 3, port: 9 },
            len: 0,
            kind: STREAM,
            op: Op::Shutdown,
            flags: shut::SEND,
            buf_alloc: 0x0001_0002,
            fwd_cnt: 0xffff_fffe,
        }
    }

    fn check(change: impl Fn(&mut Vec<u8>), expected: Result<Header, HeaderError>) {
        let mut bytes = Vec::from(header().to_bytes());
        change(&mut bytes);
        assert_eq!(Header::parse(&bytes), expected);
    }

    #[test]
    fn headers_are_read_as_they_are_written() {
        check(|_| {}, Ok(header()));
        for op in Op::ALL {
            let mut header = header();
            (header.op, header.flags) = (op, 0);
            assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
        }
    }

    #[test]
    fn fields_without_sense_are_refused() {
        check(|bytes| bytes.truncate(43), Err(HeaderError::TooShort));
        check(|bytes| bytes.clear(), Err(HeaderError::TooShort));
        check(|bytes| bytes[4] = 1, Err(HeaderError::Cid));
        check(|bytes| bytes[15] = 1, Err(HeaderError::Cid));
        check(|bytes| bytes[30] = 8, Err(HeaderError::Op(8)));
        check(|bytes| bytes[31] = 1, Err(HeaderError::Op(0x104)));
        check(|bytes| bytes[24] = 1, Err(HeaderError::Length));
        check(|bytes| bytes.push(0), Err(HeaderError::Length));
    }

    #[test]
    fn only_data_has_payload() {
        let with_payload = |bytes: &mut Vec<u8>| {
            bytes[24] = 1;
            bytes.push(0);
        };
        check(with_payload, Err(HeaderError::Length));
        let data = Header {
            len: 1,
            op: Op::Data,
            flags: 0,
            ..header()
        };
        let make = |bytes: &mut Vec<u8>| {
            with_payload(bytes);
            bytes[30] = 5;
        };
        check(make, Ok(data));
    }
}
