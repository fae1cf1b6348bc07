//! Fails on purpose, in the way that its argument names. What the console must then show stands in the manifest.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;
use core::hint::black_box;
use core::mem;
use core::ptr;

use toro::thread::{self, Builder, JoinHandle, SpawnError};
use toro_arch::debug::Beyond;

toro::main!(main);

fn main() {
    match toro::env::args().next().unwrap_or("") {
        "write-text" => write_text(),
        "write-rodata" => write_rodata(),
        "execute-data" => execute(DATA.as_ptr()),
        "execute-heap" => execute(Vec::from(DATA).as_ptr()),
        "read-null" => read_null(),
        "overflow" => join(deep().spawn(recurse)),
        "overflow-far" => join(deep().spawn_on(1, recurse)),
        "large-frame" => join(deep().spawn(leap)),
        "memory" => drop(exhaust()),
        "divide" => divide(black_box(0)),
        "panic" => fail(),
        "essential" => join(Builder::new().name("needed").essential().spawn(fail)),
        "thread" => join(Builder::new().name("thread").spawn(fail)),
        "nested" => panic!("{}", FailsToo),
        other => toro::println!("test-fault: no such way to fail: {other}"),
    }
}

/// A function that returns, for those who may execute it.
static DATA: [u8; 16] = [0xC3; 16];

#[inline(never)]
fn write_text() {
    let code = main as *const () as *mut u8;
    // SAFETY: faults, which is the purpose.
    unsafe { black_box(code).write_volatile(0xC3) };
}

#[inline(never)]
fn write_rodata() {
    let constant = ptr::from_ref("constant").cast::<u8>().cast_mut();
    // SAFETY: faults, which is the purpose.
    unsafe { black_box(constant).write_volatile(0) };
}

fn execute(data: *const u8) {
    // SAFETY: the bytes are a function that returns; calling it faults, which is the purpose.
    let function = unsafe { mem::transmute::<*const u8, extern "C" fn()>(black_box(data)) };
    function();
}

/// Makes the upper halves of the AVX registers known, if there are any: byte `n` of register `r` is `16 * r + n`.
fn mark_registers() {
    let mut beyond = Beyond::read();
    for (index, byte) in (0..=u8::MAX).zip(beyond.upper.iter_mut().flatten().flatten()) {
        *byte = index;
    }
    beyond.write_upper();
}

#[inline(never)]
fn read_null() {
    mark_registers();
    let null = black_box(ptr::null::<u64>()).wrapping_add(1);
    // SAFETY: faults, which is the purpose.
    let value = unsafe { null.read_volatile() };
    black_box(value);
}

fn deep() -> Builder {
    Builder::new().name("deep")
}

fn recurse() {
    black_box(overflow(&[0; 64]));
}

fn leap() {
    black_box(large_frame(1));
}

/// Calls itself until the stack ends.
#[inline(never)]
#[expect(
    unconditional_recursion,
    reason = "the guard page below the stack ends it"
)]
fn overflow(frame: &[u64; 64]) -> [u64; 64] {
    let mut next = *black_box(frame);
    next[0] += 1;
    black_box(overflow(&next))
}

/// Has a frame of more than the stack and the guard page.
#[inline(never)]
fn large_frame(number: u8) -> u8 {
    let frame = black_box([number; 256 * 1024]);
    frame[usize::from(number)]
}

/// Asks for memory until there is no more.
#[inline(never)]
fn exhaust() -> Vec<Vec<u8>> {
    let mut blocks = Vec::<Vec<u8>>::new();
    for _ in 0..u32::MAX {
        blocks.push(Vec::with_capacity(64 << 10));
        black_box(&blocks);
    }
    blocks
}

#[inline(never)]
fn divide(by: u32) {
    black_box(1 / by);
}

#[inline(never)]
fn fail() {
    assert!(black_box(false), "failed on purpose");
}

/// Panics while it is being reported.
struct FailsToo;

impl fmt::Display for FailsToo {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("a failure inside a failure");
    }
}

fn join(spawned: Result<JoinHandle<()>, SpawnError>) {
    let ended = spawned.expect("it began").join();
    toro::println!("test-fault: the image went on: {ended:?}");
    thread::yield_now();
}
