//! Protection as seen from outside: QEMU's monitor walks the page tables of a web server that serves.

use anyhow::{Context as _, Result, ensure};

use super::TIMEOUT;
use crate::qemu::{Machine, Monitor};
use crate::test::cells::{self, Cell};
use crate::test::server::{Server, Setting};
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// CR0: writes of the supervisor respect the tables.
const WRITE_PROTECT: u64 = 1 << 16;
/// EFER: the tables can forbid execution.
const NO_EXECUTE: u64 = 1 << 11;
/// CR4: UMIP, SMEP and SMAP, which the emulated processor has.
const GUARDS: u64 = 1 << 11 | 1 << 20 | 1 << 21;

/// Where it is looked at.
const PLACES: &[(Machine, Cell)] = &[
    (Machine::Pc, Cell::PLAIN),
    (Machine::Pc, cells::TWO_CORES),
    (Machine::Microvm, Cell::PLAIN),
    (Machine::Microvm, cells::TWO_CORES),
];

/// Whether any of the cases is wanted.
pub(super) fn wanted(tally: &Tally) -> bool {
    PLACES
        .iter()
        .any(|(machine, cell)| tally.wants(&name(*machine, *cell)))
}

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, setting: &Setting, tally: &mut Tally) {
    for &(machine, cell) in PLACES {
        let (workspace, setting) = (workspace.clone(), setting.clone());
        tally.case(&name(machine, cell), TIMEOUT, move || {
            let path = Monitor::path(&format!("{}{}", machine.name(), cores(cell)));
            let setting = Setting {
                machine,
                cell,
                monitor: Some(path.clone()),
                ..setting
            };
            let mut server = Server::start(&workspace, &setting)?;
            let seen = Monitor::connect(&path).and_then(|mut monitor| look(&mut monitor, cell));
            // QEMU is killed when the case ends, and leaves its socket behind.
            let _ = std::fs::remove_file(&path);
            seen?;
            server.check_alive()
        });
    }
}

fn name(machine: Machine, cell: Cell) -> String {
    let cores = match cores(cell) {
        1 => "a core".to_owned(),
        more => format!("{more} cores"),
    };
    let machine = machine.name();
    format!("e2e: no page is writable and executable on {machine} with {cores}")
}

fn cores(cell: Cell) -> u32 {
    cell.cores.unwrap_or(1)
}

/// Looks through the eyes of each core.
fn look(monitor: &mut Monitor, cell: Cell) -> Result<()> {
    for core in 0..cores(cell) {
        monitor.ask(&format!("cpu {core}"))?;
        check_registers(&monitor.ask("info registers")?).with_context(|| format!("core {core}"))?;
        let counts = check_mappings(&monitor.ask("info tlb")?)?;
        println!(
            "        core {core}: {} leaves, {} writable, {} executable",
            counts.all, counts.writable, counts.executable
        );
    }
    Ok(())
}

fn check_registers(registers: &str) -> Result<()> {
    let cr0 = register(registers, "CR0=")?;
    ensure!(cr0 & WRITE_PROTECT != 0, "CR0.WP is off: {cr0:#x}");
    let efer = register(registers, "EFER=")?;
    ensure!(efer & NO_EXECUTE != 0, "EFER.NXE is off: {efer:#x}");
    let cr4 = register(registers, "CR4=")?;
    ensure!(
        cr4 & GUARDS == GUARDS,
        "CR4 lacks one of {GUARDS:#x}: {cr4:#x}"
    );
    Ok(())
}

fn register(registers: &str, name: &str) -> Result<u64> {
    let value = registers
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name))
        .with_context(|| format!("`info registers` has no {name}"))?;
    Ok(u64::from_str_radix(value, 16)?)
}

/// A page as `info tlb` prints it: `0000000000100000: 0000000000100000 X--DA---W`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf {
    address: u64,
    is_writable: bool,
    is_executable: bool,
}

impl Leaf {
    /// `None` for a line that is something else.
    fn parse(line: &str) -> Option<Self> {
        let (address, rest) = line.trim().split_once(": ")?;
        let (_, flags) = rest.split_once(' ')?;
        if flags.len() != "XGPDACTUW".len() {
            return None;
        }
        Some(Self {
            address: u64::from_str_radix(address, 16).ok()?,
            is_writable: flags.ends_with('W'),
            // The letter stands for the bit, which forbids.
            is_executable: !flags.starts_with('X'),
        })
    }
}

/// How many pages allow what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    all: usize,
    writable: usize,
    executable: usize,
}

fn check_mappings(text: &str) -> Result<Counts> {
    let leaves: Vec<Leaf> = text.lines().filter_map(Leaf::parse).collect();
    ensure!(!leaves.is_empty(), "`info tlb` shows no page");
    ensure!(
        leaves.iter().all(|leaf| leaf.address != 0),
        "page 0 is mapped"
    );
    let both: Vec<String> = leaves
        .iter()
        .filter(|leaf| leaf.is_writable && leaf.is_executable)
        .map(|leaf| format!("{:#x}", leaf.address))
        .collect();
    ensure!(
        both.is_empty(),
        "{} pages are writable and executable: {}",
        both.len(),
        both[..both.len().min(8)].join(" ")
    );
    let counts = Counts {
        all: leaves.len(),
        writable: leaves.iter().filter(|leaf| leaf.is_writable).count(),
        executable: leaves.iter().filter(|leaf| leaf.is_executable).count(),
    };
    ensure!(counts.executable > 0, "nothing is executable: {counts:?}");
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::{Counts, check_mappings, check_registers};

    const TEXT: &str = "0000000000100000: 0000000000100000 ----A----\r\n";
    const DATA: &str = "0000000000200000: 0000000000200000 X-PDA---W\r\n";

    fn fails(text: &str, why: &str) {
        let error = check_mappings(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn text_and_data_are_counted() {
        let counts = check_mappings(&format!("info tlb\r\n{TEXT}{DATA}(qemu) ")).unwrap();
        let expected = Counts {
            all: 2,
            writable: 1,
            executable: 1,
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn what_must_not_be_mapped_is_found() {
        let both = "0000000000300000: 0000000000300000 ---DA---W\r\n";
        fails(&format!("{TEXT}{both}"), "0x300000");
        let zero = "0000000000000000: 0000000000000000 X---A----\r\n";
        fails(&format!("{TEXT}{zero}"), "page 0");
        fails("", "no page");
    }

    #[test]
    fn protection_must_be_on() {
        let check = |cr0: &str, cr4: &str, efer: &str| {
            check_registers(&format!("CR0={cr0} CR2=0 CR4={cr4}\nEFER={efer}"))
        };
        check("80010033", "00300e20", "0000000000000d00").unwrap();
        assert!(check("80000033", "00300e20", "0000000000000d00").is_err());
        assert!(check("80010033", "00100e20", "0000000000000d00").is_err());
        assert!(check("80010033", "00300e20", "0000000000000500").is_err());
        assert!(check_registers("nothing").is_err());
    }
}
