//! [`scan`]: which functions are there, from bus 0 down through the bridges.

use alloc::vec::Vec;

use crate::config::{Address, ConfigSpace};
use crate::function::Function;

/// Header type bit: the device has more than one function.
const MULTIFUNCTION: u8 = 0x80;
const BRIDGE: u8 = 1;

/// Lists the functions on bus 0 and behind its bridges, in the order of their addresses on each bus.
pub fn scan(config: &dyn ConfigSpace) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    scan_bus(config, 0, &mut found);
    found
}

fn scan_bus<'a>(config: &'a dyn ConfigSpace, bus: u8, found: &mut Vec<Function<'a>>) {
    for device in 0..32 {
        let first = Address::new(bus, device, 0);
        let Some(function) = Function::at(config, first) else {
            continue;
        };
        let functions = if header_type(&function) & MULTIFUNCTION != 0 {
            8
        } else {
            1
        };
        enter(config, function, found);
        for number in 1..functions {
            if let Some(function) = Function::at(config, Address::new(bus, device, number)) {
                enter(config, function, found);
            }
        }
    }
}

/// Notes a function, and what is behind it if it is a bridge.
fn enter<'a>(config: &'a dyn ConfigSpace, function: Function<'a>, found: &mut Vec<Function<'a>>) {
    let bus = function.address().bus();
    let is_bridge = header_type(&function) & !MULTIFUNCTION == BRIDGE;
    let [_, secondary, ..] = function.read(0x18).to_le_bytes();
    found.push(function);
    // Firmware numbers buses downwards, and a number that always grows cannot lead in a circle; no bus
    // is entered twice, since what was found so far names the buses that were.
    let is_new = secondary > bus && !found.iter().any(|f| f.address().bus() == secondary);
    if is_bridge && is_new {
        scan_bus(config, secondary, found);
    }
}

fn header_type(function: &Function<'_>) -> u8 {
    let [_, _, header_type, _] = function.read(0x0c).to_le_bytes();
    header_type
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::config::Part;

    /// Answers from a list of (address, word 0x0c, word 0x18).
    struct Machine(Vec<(Address, u32, u32)>);

    impl ConfigSpace for Machine {
        fn read(&self, function: Address, offset: u8) -> u32 {
            let Some(entry) = self.0.iter().find(|entry| entry.0 == function) else {
                return u32::MAX;
            };
            match offset {
                0 => 0x1041_1af4,
                0x0c => entry.1,
                0x18 => entry.2,
                _ => 0,
            }
        }

        fn write(&self, _function: Address, _offset: u8, _value: u32) {}

        fn write_part(&self, _function: Address, _offset: u8, _value: Part) {}
    }

    fn check(machine: &[(Address, u32, u32)], expected: &[Address]) {
        let machine = Machine(machine.to_vec());
        let found: Vec<_> = scan(&machine).iter().map(Function::address).collect();
        assert_eq!(found, expected);
    }

    const A: Address = Address::new(0, 0, 0);

    #[test]
    fn functions_above_0_count_only_with_the_bit() {
        let second = Address::new(0, 0, 1);
        check(&[(A, 0, 0), (second, 0, 0)], &[A]);
        check(&[(A, 0x80_0000, 0), (second, 0, 0)], &[A, second]);
    }

    #[test]
    fn bridges_are_followed() {
        let behind = Address::new(3, 9, 0);
        check(&[(A, 0x01_0000, 0x0300), (behind, 0, 0)], &[A, behind]);
    }

    #[test]
    fn bridge_to_itself_ends() {
        check(&[(A, 0x01_0000, 0x0000)], &[A]);
        let behind = Address::new(3, 0, 0);
        check(
            &[(A, 0x01_0000, 0x0300), (behind, 0x01_0000, 0x0300)],
            &[A, behind],
        );
    }

    #[test]
    fn empty_machine_has_nothing() {
        check(&[], &[]);
    }
}
