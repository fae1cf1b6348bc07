//! I/O ports: `in` and `out` of one, two and four bytes.
//!
//! Ports are a second address space in which only devices live: an access cannot touch memory that Rust owns, except
//! through a device that was told to, and every such device sits behind a driver. That makes these functions safe.

use x86_64::instructions::port::Port;

/// Reads one byte.
pub fn inb(port: u16) -> u8 {
    // SAFETY: reading a port has effects on its device only; see the module's head.
    unsafe { Port::new(port).read() }
}

/// Writes one byte.
pub fn outb(port: u16, value: u8) {
    // SAFETY: writing a port has effects on its device only; see the module's head.
    unsafe { Port::new(port).write(value) }
}

/// Reads two bytes.
pub fn inw(port: u16) -> u16 {
    // SAFETY: as for `inb`.
    unsafe { Port::new(port).read() }
}

/// Writes two bytes.
pub fn outw(port: u16, value: u16) {
    // SAFETY: as for `outb`.
    unsafe { Port::new(port).write(value) }
}

/// Reads four bytes.
pub fn inl(port: u16) -> u32 {
    // SAFETY: as for `inb`.
    unsafe { Port::new(port).read() }
}

/// Writes four bytes.
pub fn outl(port: u16, value: u32) {
    // SAFETY: as for `outb`.
    unsafe { Port::new(port).write(value) }
}
