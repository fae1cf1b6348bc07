//! [`DeviceError`]: the rules of a queue that a device can break.

use core::fmt;

/// What a device has done against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// It claims to have used more chains than it was given.
    UsedTooMany {
        /// How many it claims.
        claimed: u16,
        /// How many it had.
        outstanding: u16,
    },
    /// It returns a chain that it does not have.
    NotOutstanding(u32),
    /// It claims to have written more than fits.
    WrittenTooMuch {
        /// How many bytes it claims.
        claimed: u32,
        /// How many bytes the chain has.
        capacity: u64,
    },
    /// It says that a packet lies in several buffers and does not return as many with it.
    Merged {
        /// How many it says.
        claimed: u16,
        /// How many there were.
        found: u16,
    },
    /// It was reset, or asks for it.
    Reset,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsedTooMany {
                claimed,
                outstanding,
            } => {
                write!(f, "the device claims {claimed} chains of {outstanding}")
            }
            Self::NotOutstanding(id) => {
                write!(f, "the device returns chain {id}, which it has not")
            }
            Self::WrittenTooMuch { claimed, capacity } => {
                write!(f, "the device claims {claimed} bytes written of {capacity}")
            }
            Self::Merged { claimed, found } => {
                write!(
                    f,
                    "the device claims a packet in {claimed} buffers of {found}"
                )
            }
            Self::Reset => f.write_str("the device was reset or has to be"),
        }
    }
}

impl core::error::Error for DeviceError {}
