//! Prints a line and powers off: the smallest appliance.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

toro::main!(main);

fn main() {
    toro::println!("hello from Toro");
}
