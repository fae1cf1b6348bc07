//! The life of a device: reset, negotiation, start, failure (VIRTIO 1.3, 3.1.1 and 2.4).

use core::fmt;

use toro_pci::Register;

use crate::feature::VERSION_1;
use crate::transport::{Transport, status};

/// How often a device is asked whether it has finished its reset: some 100 ms, as each costs an exit.
const RESET_POLLS: u32 = 100_000;
/// How often a configuration that keeps changing is read again.
const CONFIG_TRIES: u32 = 16;

/// Why a device and its driver did not come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NegotiateError {
    /// The device does not come out of its reset.
    NoReset,
    /// The device lacks these features.
    Missing(u64),
    /// The device does not take the features it offered.
    Refused(u64),
}

impl fmt::Display for NegotiateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReset => f.write_str("the device does not come out of its reset"),
            Self::Missing(VERSION_1) => {
                f.write_str("the device is a legacy one (before virtio 1.0)")
            }
            Self::Missing(features) => write!(f, "the device lacks features {features:#x}"),
            Self::Refused(features) => write!(f, "the device refuses features {features:#x}"),
        }
    }
}

impl core::error::Error for NegotiateError {}

/// Proof that a device has been reset: it touches no memory any more.
#[derive(Debug)]
pub struct Reset(());

/// Resets the device and waits until it says that it has done so, but not for ever.
///
/// # Errors
/// Fails if it does not say so: then it may go on using the memory that it knows of.
pub fn reset(transport: &mut dyn Transport) -> Result<Reset, NegotiateError> {
    transport.set_status(0);
    for _ in 0..RESET_POLLS {
        if transport.status() == 0 {
            return Ok(Reset(()));
        }
        core::hint::spin_loop();
    }
    Err(NegotiateError::NoReset)
}

/// Resets the device and agrees on features: those of `wanted` that it offers, all of `required`, and version 1.
///
/// # Errors
/// Fails if the device lacks a required feature or refuses what it has offered; it is then marked as failed.
pub fn negotiate(
    transport: &mut dyn Transport,
    wanted: u64,
    required: u64,
) -> Result<u64, NegotiateError> {
    negotiate_chosen(transport, &|offered| offered & wanted, required)
}

/// As [`negotiate`], but `choose` says which of the features that the device offers are wanted, where one goes only with another.
///
/// # Errors
/// As [`negotiate`].
pub fn negotiate_chosen(
    transport: &mut dyn Transport,
    choose: &dyn Fn(u64) -> u64,
    required: u64,
) -> Result<u64, NegotiateError> {
    reset(transport)?;
    transport.set_status(status::ACKNOWLEDGE);
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
    let required = required | VERSION_1;
    let offered = transport.offered();
    if required & !offered != 0 {
        fail(transport);
        return Err(NegotiateError::Missing(required & !offered));
    }
    let features = offered & (choose(offered) | required);
    transport.accept(features);
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
    // 3.1.1, step 6: the device withdraws the bit if it does not like the subset.
    if transport.status() & status::FEATURES_OK == 0 {
        fail(transport);
        return Err(NegotiateError::Refused(features));
    }
    Ok(features)
}

/// Lets the device run, once its queues are set up.
pub fn start(transport: &mut dyn Transport) {
    let ready = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
    transport.set_status(ready | status::DRIVER_OK);
}

/// Gives the device up, and tells it so.
pub fn fail(transport: &mut dyn Transport) {
    let before = transport.status();
    transport.set_status(before | status::FAILED);
}

/// Reads the configuration field at `offset`; `None` if the configuration ends before it.
pub fn field<T: Register>(transport: &dyn Transport, offset: usize) -> Option<T> {
    Some(transport.config().part(offset, size_of::<T>())?.read(0))
}

/// Reads several configuration fields that belong together.
///
/// Returns `None` if `read` does, or if the device changes them faster than they can be read.
pub fn consistent<T>(
    transport: &dyn Transport,
    read: impl Fn(&dyn Transport) -> Option<T>,
) -> Option<T> {
    for _ in 0..CONFIG_TRIES {
        let before = transport.config_generation();
        let fields = read(transport)?;
        if transport.config_generation() == before {
            return Some(fields);
        }
    }
    None
}
