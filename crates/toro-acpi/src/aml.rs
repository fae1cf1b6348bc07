//! What can be read from AML without interpreting it: [`sleep_type`], [`virtio_mmio`] and [`power_events`].
//!
//! Firmware writes them as constants. A scan finds the name, and the bytes around it must have exactly the
//! shape of the declaration (ACPI 6.5, 20.2); anything else is passed over.

use crate::field;

const NAME_OP: u8 = 0x08;
const DEVICE_OP: [u8; 2] = [0x5B, 0x82];

/// How far before the `_HID` the declaration of its device is searched, and how far behind it the `_CRS`.
const DEVICE_REACH: usize = 512;

/// The values that select S5, "soft off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepType {
    /// For PM1a control, or for sleep control on hardware-reduced machines.
    pub a: u8,
    /// For PM1b control.
    pub b: u8,
}

/// A virtio device with its registers in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioMmio {
    /// Physical address of the registers.
    pub base: u32,
    /// Length of the registers in bytes.
    pub len: u32,
    /// The global system interrupt of the device.
    pub gsi: u32,
}

/// The power button of a machine without fixed hardware: a bit of its generic event device (ACPI 6.5, 5.6.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerEvents {
    /// Physical address of the 32-bit register that tells what has happened; reading clears it.
    pub register: u32,
    /// The bit of the power button.
    pub button: u32,
    /// The global system interrupt of the device.
    pub gsi: u32,
}

/// Finds `Name (_S5, Package () { a, b, … })`.
pub fn sleep_type(aml: &[u8]) -> Option<SleepType> {
    // The name and the opcode of a package; NameOp comes before, perhaps with a root prefix between.
    occurrences(aml, b"_S5_\x12").find_map(|at| {
        let before = aml.get(..at)?;
        if !before.ends_with(&[NAME_OP]) && !before.ends_with(&[NAME_OP, b'\\']) {
            return None;
        }
        // The elements start behind their count.
        let (&count, mut elements) = body(&aml[at + 5..])?.split_first()?;
        let mut next = || {
            let (value, after) = integer(elements)?;
            elements = after;
            u8::try_from(value).ok().filter(|&value| value < 8)
        };
        let a = next()?;
        let b = if count > 1 { next()? } else { 0 };
        Some(SleepType { a, b })
    })
}

/// The devices with the `_HID` "LNRO0005" and constant resources, in the firmware's order.
///
/// QEMU's microvm lists its last slot first.
pub fn virtio_mmio(aml: &[u8]) -> impl Iterator<Item = VirtioMmio> {
    // NameOp, name, string: the whole declaration is one pattern.
    occurrences(aml, b"\x08_HID\x0DLNRO0005\0").filter_map(move |hid| {
        let device = device_around(aml, hid)?;
        let device = &device[..device.len().min(2 * DEVICE_REACH)];
        // NameOp, name, opcode of a buffer.
        let pattern = b"\x08_CRS\x11";
        occurrences(device, pattern).find_map(|crs| resources(&device[crs + pattern.len()..]))
    })
}

/// Finds the generic event device whose `_EVT` tells the device `PWRB`, and its register.
pub fn power_events(aml: &[u8]) -> Option<PowerEvents> {
    occurrences(aml, b"\x08_HID\x0DACPI0013\0").find_map(|hid| {
        let device = device_around(aml, hid)?;
        // `If (events & mask == mask) { Notify (PWRB, …) }`: the constant stands right before the opcode of `Notify`.
        let notify = occurrences(device, b"\x86PWRB").next()?;
        let &[0x0A, button] = device.get(notify.checked_sub(2)?..notify)? else {
            return None;
        };
        // OpRegionOp, name, SystemMemory, address, length.
        let register = occurrences(device, b"\x5B\x80").find_map(|at| {
            let (&space, place) = device.get(at + 6..)?.split_first()?;
            let (address, rest) = integer(place)?;
            let (len, _) = integer(rest)?;
            (space == 0 && len == 4).then_some(address)
        })?;
        let crs = occurrences(device, b"\x08_CRS\x11").next()?;
        let (_, gsi) = places(&device[crs + 6..])?;
        let button = u32::from(button);
        gsi.map(|gsi| PowerEvents {
            register,
            button,
            gsi,
        })
    })
}

/// The body of the innermost device declaration that holds the byte `inside`.
fn device_around(aml: &[u8], inside: usize) -> Option<&[u8]> {
    let nearest_first = (inside.saturating_sub(DEVICE_REACH)..inside).rev();
    nearest_first
        .filter(|&at| aml[at..].starts_with(&DEVICE_OP))
        .find_map(|at| {
            let start = at + DEVICE_OP.len();
            let body = body(&aml[start..])?;
            (start + body_end(&aml[start..])? > inside).then_some(body)
        })
}

/// Reads one memory range and one interrupt from a buffer of resource descriptors; `bytes` starts behind its opcode.
fn resources(bytes: &[u8]) -> Option<VirtioMmio> {
    let (memory, gsi) = places(bytes)?;
    let (base, len) = memory.filter(|&(base, len)| base.checked_add(len).is_some())?;
    Some(VirtioMmio {
        base,
        len,
        gsi: gsi?,
    })
}

/// A memory range, its address and length.
type Span = (u32, u32);

/// The first memory range and the first interrupt in a buffer of resource descriptors (6.4), if it is one.
fn places(bytes: &[u8]) -> Option<(Option<Span>, Option<u32>)> {
    let (_size, mut rest) = integer(body(bytes)?)?;
    let (mut memory, mut gsi) = (None, None);
    while let Some((kind, data, after)) = split_descriptor(rest) {
        match kind {
            // Memory32Fixed: writable, base, length.
            0x86 => memory = memory.or(field::u32_at(data, 1).zip(field::u32_at(data, 5))),
            // Extended interrupt: flags, count, the first number.
            0x89 => gsi = gsi.or(field::u32_at(data, 2)),
            _ => {}
        }
        rest = after;
    }
    Some((memory, gsi))
}

/// Cuts a resource descriptor off: its tag, its data, what follows. `None` at the end tag.
fn split_descriptor(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    // Bit 7 tells the two layouts apart; a small item has its length in the low bits of the tag.
    if tag & 0x80 != 0 {
        let len = usize::from(field::u16_at(rest, 0)?);
        let (data, after) = rest.get(2..)?.split_at_checked(len)?;
        return Some((tag, data, after));
    }
    let (data, after) = rest.split_at_checked(usize::from(tag & 7))?;
    (tag >> 3 != 0x0F).then_some((tag, data, after))
}

/// The bytes that the package length at the start of `bytes` covers, without the length itself.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let lead = usize::from(*bytes.first()? >> 6);
    bytes.get(1 + lead..body_end(bytes)?)
}

/// Decodes the package length at the start of `bytes` (20.2.4), which counts itself.
fn body_end(bytes: &[u8]) -> Option<usize> {
    let (&lead, rest) = bytes.split_first()?;
    let following = rest.get(..usize::from(lead >> 6))?;
    if following.is_empty() {
        return Some(usize::from(lead & 0x3F));
    }
    let low = usize::from(lead & 0x0F);
    Some(
        following
            .iter()
            .rev()
            .fold(0, |len, &byte| len << 8 | usize::from(byte))
            << 4
            | low,
    )
}

/// Reads an integer constant and hands out what follows.
fn integer(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&op, rest) = bytes.split_first()?;
    match op {
        0x00 | 0x01 => Some((u32::from(op), rest)),
        0x0A => Some((u32::from(field::u8_at(rest, 0)?), &rest[1..])),
        0x0B => Some((u32::from(field::u16_at(rest, 0)?), &rest[2..])),
        0x0C => Some((field::u32_at(rest, 0)?, &rest[4..])),
        _ => None,
    }
}

fn occurrences<'b>(bytes: &'b [u8], pattern: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    bytes
        .windows(pattern.len())
        .enumerate()
        .filter_map(move |(at, window)| (window == pattern).then_some(at))
}
