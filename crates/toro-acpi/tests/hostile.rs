//! Tables that lie: errors, never a panic, never an endless loop.

mod everything;
mod records;

use everything::{read_everything, read_tables};
use records::Records;
use toro_acpi::{TableError, Tables, aml};

const RSDP: u64 = 0xE_0000;

/// A table with the header filled in and the checksum set.
fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 36];
    bytes[..4].copy_from_slice(signature);
    bytes[8] = 4;
    bytes.extend_from_slice(body);
    let len = u32::try_from(bytes.len()).expect("tables of tests are short");
    bytes[4..8].copy_from_slice(&len.to_le_bytes());
    fix_checksum(&mut bytes, 9);
    bytes
}

fn fix_checksum(bytes: &mut [u8], at: usize) {
    if at < bytes.len() {
        bytes[at] = 0;
        bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }
}

/// A machine whose RSDT names just `tables`, at 0x1000, 0x2000, ...
fn machine(tables: &[Vec<u8>]) -> Records {
    let mut rsdp = b"RSD PTR \0hand\0\0\0\0\0\0\0".to_vec();
    rsdp.truncate(20);
    rsdp[16..20].copy_from_slice(&0x800u32.to_le_bytes());
    fix_checksum(&mut rsdp, 8);
    let addresses: Vec<u64> = (1..).map(|n| n * 0x1000).take(tables.len()).collect();
    let pointers: Vec<u8> = addresses
        .iter()
        .flat_map(|&a| u32::try_from(a).expect("small").to_le_bytes())
        .collect();
    let mut records = vec![(RSDP, rsdp), (0x800, table(b"RSDT", &pointers))];
    records.extend(addresses.into_iter().zip(tables.iter().cloned()));
    Records(records)
}

fn madt_error(madt: Vec<u8>) -> Option<TableError> {
    let memory = machine(&[madt]);
    Tables::find(&memory, None)
        .expect("the root is good")
        .madt()
        .err()
}

#[test]
fn madt_of_acpi_2_lists_x2apic_processors() {
    let mut body = vec![0; 8];
    body.extend_from_slice(&[9, 16, 0, 0, 0x00, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    body.extend_from_slice(&[9, 16, 0, 0, 0x01, 0x01, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    body.extend_from_slice(&[0, 8, 0, 0xFF, 0, 0, 0, 0]);
    body.extend_from_slice(&[5, 12, 0, 0, 0, 0, 0xE0, 0xFE, 1, 0, 0, 0]);
    let memory = machine(&[table(b"APIC", &body)]);
    let madt = Tables::find(&memory, None)
        .and_then(|tables| tables.madt())
        .expect("it is good");
    let listed: Vec<_> = madt
        .processors()
        .map(|p| (p.apic_id, p.enabled, p.online_capable))
        .collect();
    assert_eq!(listed, [(256, true, false), (257, false, true)]);
    assert_eq!(madt.local_apic_address(), 0x1_FEE0_0000);
}

#[test]
fn madt_records_must_lie_inside() {
    let with_record = |record: &[u8]| table(b"APIC", &[&[0; 8], record].concat());
    assert_eq!(madt_error(with_record(&[0, 8, 0, 0, 1, 0, 0, 0])), None);
    assert_eq!(
        madt_error(with_record(&[0, 0])),
        Some(TableError::Malformed)
    );
    assert_eq!(
        madt_error(with_record(&[0, 1, 0])),
        Some(TableError::Malformed)
    );
    assert_eq!(
        madt_error(with_record(&[0, 9, 0, 0, 1, 0, 0, 0])),
        Some(TableError::Malformed)
    );
    assert_eq!(madt_error(with_record(&[0])), Some(TableError::Malformed));
    assert_eq!(madt_error(table(b"APIC", &[])), Some(TableError::Malformed));
}

#[test]
fn wrong_headers_are_errors() {
    let good = table(b"APIC", &[0; 8]);
    let mut checksum = good.clone();
    checksum[20] ^= 1;
    assert_eq!(madt_error(checksum), Some(TableError::BadChecksum));
    let mut short = good.clone();
    short[4] = 35;
    assert_eq!(madt_error(short), Some(TableError::BadLength));
    let mut long = good.clone();
    long[7] = 0xFF;
    assert_eq!(madt_error(long), Some(TableError::BadLength));
    let mut beyond = good;
    beyond[5] = 1;
    assert_eq!(madt_error(beyond), Some(TableError::Unreadable));
    assert_eq!(madt_error(table(b"XXXX", &[])), Some(TableError::Missing));
}

#[test]
fn a_good_table_is_taken_after_a_bad_one() {
    let mut bad = table(b"APIC", &[0; 8]);
    bad[20] ^= 1;
    let memory = machine(&[bad, table(b"APIC", &[0; 8])]);
    assert!(
        Tables::find(&memory, None)
            .expect("the root is good")
            .madt()
            .is_ok()
    );
}

#[test]
fn mcfg_windows_must_make_sense() {
    let window = |base: u64, first, last| {
        let mut body = vec![0; 8];
        body.extend_from_slice(&base.to_le_bytes());
        body.extend_from_slice(&[0, 0, first, last, 0, 0, 0, 0]);
        let memory = machine(&[table(b"MCFG", &body)]);
        let tables = Tables::find(&memory, None).expect("the root is good");
        tables
            .mcfg()
            .expect("its length is right")
            .windows()
            .count()
    };
    assert_eq!(window(0xE000_0000, 0, 255), 1);
    assert_eq!(window(0, 0, 255), 0);
    assert_eq!(window(0xE000_1000, 0, 255), 0);
    assert_eq!(window(0xE000_0000, 2, 1), 0);
    assert_eq!(window(0xFFFF_FFFF_FFF0_0000, 0, 1), 0);
}

#[test]
fn root_that_names_itself_ends() {
    let mut memory = machine(&[table(b"APIC", &[0; 8])]);
    let mut root = table(b"RSDT", &0x800u32.to_le_bytes().repeat(10_000));
    fix_checksum(&mut root, 9);
    memory.0[1].1 = root;
    assert!(read_everything(&memory, None) == 0);
}

#[test]
fn sleep_type_needs_the_whole_declaration() {
    let check = |aml: &[u8], expected: Option<(u8, u8)>| {
        assert_eq!(
            aml::sleep_type(aml).map(|s| (s.a, s.b)),
            expected,
            "{aml:02X?}"
        );
    };
    check(b"\x08_S5_\x12\x06\x04\x01\x00\x00\x00", Some((1, 0)));
    check(
        b"\x08\\_S5_\x12\x08\x04\x0A\x05\x0A\x07\x00\x00",
        Some((5, 7)),
    );
    check(b"\x08_S5_\x12\x03\x01\x01", Some((1, 0)));
    check(b"\x09_S5_\x12\x06\x04\x01\x00\x00\x00", None);
    check(b"\x08_S5_\x12\x06\x04\x0A\x08\x00\x00\x00", None);
    check(b"\x08_S5_\x12\x06\x04\x01", None);
    check(b"\x08_S5_\x12", None);
    check(b"\x08_S5_\x12\xFF\xFF\xFF\xFF", None);
    check(b"_S5_\x12", None);
    check(
        b"A Name \x08_S5_! then \x08_S5_\x12\x07\x04\x0A\x02\x00\x00\x00",
        Some((2, 0)),
    );
}

#[test]
fn devices_without_resources_are_passed_over() {
    let hid = b"\x08_HID\x0DLNRO0005\0";
    assert_eq!(aml::virtio_mmio(hid).count(), 0);
    // A declaration that ends before its id.
    assert_eq!(
        aml::virtio_mmio(&[b"\x5B\x82\x05VR00", &hid[..]].concat()).count(),
        0
    );
    // Ten thousand ids without a device stay quick.
    assert_eq!(aml::virtio_mmio(&hid.repeat(10_000)).count(), 0);
}

#[test]
fn mutated_tables_cause_no_panic() {
    let machines = [
        Records::parse(include_bytes!("data/microvm.tables")),
        Records::parse(include_bytes!("data/microvm-pcie.tables")),
        Records::parse(include_bytes!("data/pc.tables")),
        Records::parse(include_bytes!("data/q35.tables")),
    ];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut facts = 0;
    for round in 0..100_000 {
        // The machines with long tables, and the search of all low memory for the MP table, take a while.
        let machine = if round % 20 == 0 { round / 20 % 4 } else { 0 };
        let mut memory = machines[machine].clone();
        for _ in 0..=random.below(4) {
            let victim = random.below(memory.0.len());
            // A broken RSDP is searched for in all low memory: enough if that happens now and then.
            if victim > 0 || random.below(20) == 0 {
                mutate(&mut memory.0[victim].1, &mut random);
            }
        }
        let rsdp = memory.0[0].0;
        if let Ok(tables) = Tables::find(&memory, Some(rsdp)) {
            facts += read_tables(&tables);
        }
        if round % 500 == 1 {
            facts += read_everything(&memory, None);
        }
    }
    assert!(
        facts > 100_000,
        "the mutations leave enough to be read: {facts}"
    );
}

/// Changes a few bytes or cuts the end off, and mostly repairs the checksum so that the table is looked into.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        bytes[at] = match random.below(4) {
            0 => 0,
            1 => 0xFF,
            2 => bytes[at] ^ (1 << random.below(8)),
            _ => u8::try_from(random.below(256)).expect("below 256"),
        };
    }
    if random.below(8) == 0 {
        let len = 1 + random.below(bytes.len());
        bytes.truncate(len);
        if len > 8 {
            let len = u32::try_from(len).expect("tables are short");
            bytes[4..8].copy_from_slice(&len.to_le_bytes());
        }
    }
    if random.below(8) != 0 {
        let at = match bytes.first_chunk() {
            Some(b"RSD ") => 8,
            Some(b"_MP_") => 10,
            Some(b"PCMP") => 7,
            _ => 9,
        };
        fix_checksum(bytes, at);
    }
}

/// Xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64-bit host") % limit
    }
}
