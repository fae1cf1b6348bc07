//! What a program's memory holds, for those who look at it when it is over.

use torov_abi::PAGE;
use torov_abi::word::size;

use crate::memory::Memory;

impl Memory {
    /// The runs of `start..end` that pages back: first address and length of each. Nothing is backed by asking.
    #[must_use]
    pub fn backed(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        self.lock()
            .each_page(self.ram(), start, end, |_, _, _, address| {
                match runs.last_mut() {
                    Some((at, len)) if *at + *len == address => *len += PAGE,
                    _ => runs.push((address, PAGE)),
                }
            });
        runs
    }

    /// Copies out what the page at `address` holds, whatever the program's rights are; false if nothing backs it.
    pub fn peek(&self, address: u64, page: &mut [u8; 4096]) -> bool {
        debug_assert_eq!(size(PAGE), page.len());
        let frame = self.lock().entry(self.ram(), address).frame();
        match frame {
            Some(frame) => {
                self.ram().read(frame, page);
                true
            }
            None => false,
        }
    }
}
