//! The tables of a firmware that lies, in pieces of memory.

#[path = "../../toro-acpi/tests/everything/mod.rs"]
mod everything;
#[path = "../../toro-acpi/tests/records/mod.rs"]
mod records;

use records::Records;

/// Runs the target.
pub(crate) fn run(data: &[u8]) {
    let mut memory = Records::parse(data);
    for (_, bytes) in &mut memory.0 {
        repair_checksum(bytes);
    }
    let rsdp = memory.0.first().map(|&(address, _)| address);
    everything::read_everything(&memory, rsdp);
}

/// Without this, the fuzzer would spend its time on guessing sums.
fn repair_checksum(bytes: &mut [u8]) {
    let at = match bytes.first_chunk() {
        Some(b"RSD ") => 8,
        Some(b"_MP_") => 10,
        Some(b"PCMP") => 7,
        _ => 9,
    };
    if at < bytes.len() {
        bytes[at] = 0;
        bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }
}
