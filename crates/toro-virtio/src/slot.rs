//! [`MmioSlot`]: where devices with memory-mapped registers may be, as ACPI or the command line names it.

use core::fmt;

/// A place where a device may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioSlot {
    /// Physical address of its registers.
    pub base: u64,
    /// Their length in bytes.
    pub len: u64,
    /// Its interrupt line (GSI).
    pub irq: u32,
}

/// A `virtio_mmio.device=` argument that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSlot<'a>(pub &'a str);

impl fmt::Display for BadSlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtio_mmio.device={} is not SIZE@BASE:IRQ", self.0)
    }
}

impl core::error::Error for BadSlot<'_> {}

/// The slots that a command line names, as Linux takes them: `virtio_mmio.device=SIZE@BASE:IRQ[:ID]`.
pub fn slots(command_line: &str) -> impl Iterator<Item = Result<MmioSlot, BadSlot<'_>>> {
    command_line
        .split_ascii_whitespace()
        // What follows is for the service.
        .take_while(|word| *word != "--")
        .filter_map(|word| word.strip_prefix("virtio_mmio.device="))
        .map(|value| slot(value).ok_or(BadSlot(value)))
}

fn slot(value: &str) -> Option<MmioSlot> {
    let (len, rest) = value.split_once('@')?;
    let mut fields = rest.split(':');
    let base = number(fields.next()?)?;
    let irq = u32::try_from(number(fields.next()?)?).ok()?;
    if let Some(id) = fields.next() {
        number(id)?;
    }
    let len = size(len)?;
    (fields.next().is_none() && len > 0).then_some(MmioSlot { base, len, irq })
}

/// A number with an optional unit: `512`, `0x200`, `4K`.
fn size(text: &str) -> Option<u64> {
    let units = [("Kk", 10), ("Mm", 20), ("Gg", 30)];
    let unit = units
        .iter()
        .find(|(letters, _)| text.ends_with(|c| letters.contains(c)));
    match unit {
        Some((_, bits)) => number(text.get(..text.len() - 1)?)?.checked_mul(1 << bits),
        None => number(text),
    }
}

fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // `from_str_radix` takes a sign; a size has none.
    let is_plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn check(line: &str, expected: &[Result<MmioSlot, BadSlot<'_>>]) {
        assert_eq!(slots(line).collect::<Vec<_>>(), expected, "{line}");
    }

    fn ok<'a>(base: u64, len: u64, irq: u32) -> Result<MmioSlot, BadSlot<'a>> {
        Ok(MmioSlot { base, len, irq })
    }

    #[test]
    fn command_line_names_several_slots() {
        check("", &[]);
        check(
            "quiet virtio_mmio.device=4K@0xd0000000:5",
            &[ok(0xd000_0000, 4096, 5)],
        );
        check(
            "virtio_mmio.device=512@0xfeb02e00:12 ip=dhcp virtio_mmio.device=0x200@4273999872:0x0b:3",
            &[ok(0xfeb0_2e00, 512, 12), ok(4_273_999_872, 512, 11)],
        );
        check("a -- virtio_mmio.device=4K@0xd0000000:5", &[]);
    }

    #[test]
    fn nonsense_is_named() {
        for value in [
            "",
            "4K",
            "4K@",
            "4K@1",
            "4K@1:",
            "4K@1:x",
            "K@1:1",
            "0@1:1",
            "4K@1:1:1:1",
            "4K@1:1:",
            "-4@1:1",
            "4@+1:1",
            "4é@1:1",
            "99999999999999999999@1:1",
            "18014398509481984K@1:1",
            "4K@1:4294967296",
        ] {
            let line = alloc::format!("virtio_mmio.device={value}");
            assert_eq!(
                slots(&line).collect::<Vec<_>>(),
                [Err(BadSlot(value))],
                "{value}"
            );
        }
    }
}
