//! Allocating and freeing, with whatever allocator is to be measured.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::hint::black_box;
use core::ptr;

use crate::Meter;
use crate::copy::Size;

/// The sizes that are measured, in bytes.
const SIZES: [usize; 9] = [
    16,
    64,
    200,
    256,
    1 << 10,
    2 << 10,
    16 << 10,
    64 << 10,
    72 << 10,
];
/// How many objects live at a time in a batch.
const BATCH: usize = 1000;
/// How many objects live at a time, half of them on average, in the mix.
const SLOTS: usize = 1024;

/// For each size an object that comes and goes and batches of 1000, and last random sizes in random order.
pub fn run(meter: &Meter, heap: &impl GlobalAlloc) {
    for bytes in SIZES {
        let layout = layout(bytes);
        meter.measure(
            format_args!("malloc + free, {}", Size(bytes)),
            2_000_000,
            |count| {
                for _ in 0..count {
                    let object = take(heap, layout);
                    give(heap, object, layout);
                }
            },
        );
    }
    for bytes in SIZES {
        batches(meter, heap, bytes);
    }
    mix(meter, heap);
}

/// A thousand objects are allocated, then freed in the order of their allocation.
fn batches(meter: &Meter, heap: &impl GlobalAlloc, bytes: usize) {
    let layout = layout(bytes);
    let size = Size(bytes);
    let name = format_args!("malloc + free, {size}, in batches of {BATCH}");
    let mut objects = Vec::with_capacity(BATCH);
    meter.measure(name, 200_000, |count| {
        for _ in 0..count.div_ceil(BATCH as u64) {
            objects.extend((0..BATCH).map(|_| take(heap, layout)));
            for object in objects.drain(..) {
                give(heap, object, layout);
            }
        }
    });
}

/// Small objects mostly, up to 2 KiB, and one in 64 of up to 64 KiB.
fn mix(meter: &Meter, heap: &impl GlobalAlloc) {
    let mut slots = [(ptr::null_mut::<u8>(), layout(1)); SLOTS];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    meter.measure("malloc + free, random sizes", 1_000_000, |count| {
        // A step is an allocation or a free, so an operation takes two.
        for _ in 0..count * 2 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let bits = usize::try_from(random >> 8).expect("a word has 64 bits");
            let (object, layout) = &mut slots[bits % SLOTS];
            if object.is_null() {
                *layout = self::layout(random_size(bits >> 10));
                *object = take(heap, *layout);
            } else {
                give(heap, *object, *layout);
                *object = ptr::null_mut();
            }
        }
    });
    for (object, layout) in slots.into_iter().filter(|(object, _)| !object.is_null()) {
        give(heap, object, layout);
    }
}

/// A size below a random power of two.
fn random_size(bits: usize) -> usize {
    let power = if bits.is_multiple_of(64) {
        16
    } else {
        4 + (bits >> 6) % 8
    };
    1 + (bits >> 9) % (1 << power)
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 16).expect("sixteen is a power of two")
}

/// Allocates an object and writes to it: memory that is never touched is not what a program wants.
#[inline(always)]
fn take(heap: &impl GlobalAlloc, layout: Layout) -> *mut u8 {
    // SAFETY: the layouts of this file have a size above 0.
    let object = black_box(unsafe { heap.alloc(layout) });
    assert!(!object.is_null(), "there is memory for the benchmark");
    // SAFETY: the object has at least one byte.
    unsafe { object.write(1) };
    object
}

#[inline(always)]
fn give(heap: &impl GlobalAlloc, object: *mut u8, layout: Layout) {
    // SAFETY: callers pass what `take` returned for the same layout, once.
    unsafe { heap.dealloc(black_box(object), layout) };
}
