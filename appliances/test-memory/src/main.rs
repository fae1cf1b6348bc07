//! Tests the heap on a machine.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use toro::mem;

toro::main!(main);

fn main() {
    toro_test::run(toro_test::cases![
        blocks_of_every_size_keep_their_bytes,
        freed_memory_is_handed_out_again,
        a_request_that_cannot_be_met_is_an_error,
        most_of_the_memory_can_be_had_at_once,
        large_blocks_are_aligned_and_zeroed_when_asked,
    ]);
}

fn blocks_of_every_size_keep_their_bytes() {
    let fill = |len: usize| len.to_le_bytes()[0];
    let blocks: Vec<Vec<u8>> = (0..2000)
        .step_by(7)
        .chain([4096, 65_536, 1 << 20])
        .map(|len| alloc::vec![fill(len); len])
        .collect();
    for block in &blocks {
        assert!(
            block.iter().all(|&byte| byte == fill(block.len())),
            "{} bytes",
            block.len()
        );
    }
}

fn freed_memory_is_handed_out_again() {
    let churn = || {
        let strings: Vec<String> = (0..1000_usize).map(|n| "x".repeat(n % 300 + 1)).collect();
        drop(strings);
        drop(Vec::<u8>::with_capacity(1 << 20));
    };
    churn();
    let before = mem::stats().in_use;
    for _ in 0..50 {
        churn();
    }
    assert_eq!(mem::stats().in_use, before);
}

fn a_request_that_cannot_be_met_is_an_error() {
    let mut block = Vec::<u8>::new();
    assert!(block.try_reserve_exact(mem::stats().total + 1).is_err());
    assert!(block.try_reserve_exact(isize::MAX.unsigned_abs()).is_err());
    block
        .try_reserve_exact(1 << 20)
        .expect("a small request is met afterwards");
}

fn most_of_the_memory_can_be_had_at_once() {
    let stats = mem::stats();
    let mut blocks = Vec::new();
    let mut taken = 0;
    while let Ok(block) = block(64 << 10) {
        taken += block.capacity();
        blocks.push(block);
    }
    assert!(
        taken >= stats.free / 10 * 9,
        "{taken} of {} bytes",
        stats.free
    );
    drop(blocks);
    block(1 << 20).expect("it came back");
}

fn large_blocks_are_aligned_and_zeroed_when_asked() {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    drop(alloc::vec![0xff_u8; 1 << 20]);
    let pages: Vec<Box<Page>> = (0..16).map(|_| Box::new(Page([0; 4096]))).collect();
    for page in &pages {
        assert!(core::ptr::from_ref(&**page).addr().is_multiple_of(4096));
        assert!(page.0.iter().all(|&byte| byte == 0));
    }
    assert!(alloc::vec![0_u8; 1 << 20].iter().all(|&byte| byte == 0));
}

fn block(len: usize) -> Result<Vec<u8>, alloc::collections::TryReserveError> {
    let mut block = Vec::new();
    block.try_reserve_exact(len)?;
    Ok(block)
}
