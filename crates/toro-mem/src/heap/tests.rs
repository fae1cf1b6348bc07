//! Tests of [`CoreHeap`] against a list of the objects that are out.

extern crate std;

use std::boxed::Box;
use std::vec::Vec;

use super::*;
use crate::fixture::{XorShift, reserve};

const MIB: usize = 1 << 20;

fn heap(len: usize) -> CoreHeap {
    let mut heap = CoreHeap::new();
    let start = reserve(len);
    // SAFETY: the memory was just reserved, for this heap alone.
    assert!(unsafe { heap.add_region(start, start + len) });
    heap
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// An object that is out, all its bytes marked.
struct Object {
    at: NonNull<u8>,
    layout: Layout,
    mark: u8,
}

impl Object {
    fn new(at: NonNull<u8>, layout: Layout, mark: u8) -> Self {
        assert_eq!(at.addr().get() % layout.align(), 0);
        // SAFETY: the object's bytes belong to the test.
        unsafe { at.write_bytes(mark, layout.size()) };
        Self { at, layout, mark }
    }

    fn check(&self, len: usize) {
        // SAFETY: `len` is at most the length of the object, whose bytes were all written.
        let bytes = unsafe { core::slice::from_raw_parts(self.at.as_ptr(), len) };
        assert!(bytes.iter().all(|&byte| byte == self.mark));
    }

    fn in_use(&self) -> usize {
        match class_of(rounded(self.layout)) {
            Some(class) => SIZES[class],
            None => pages_of(self.layout) * PAGE,
        }
    }
}

/// Mostly small, now and then some pages.
fn random_size(random: &mut XorShift) -> usize {
    let limit = [64, 256, 2100, 40_000][random.below(4)];
    1 + random.below(limit)
}

/// Returns how often there was not enough memory.
fn stress(heap: &mut CoreHeap, seed: u64, steps: usize) -> usize {
    let mut random = XorShift(seed);
    let mut objects: Vec<Object> = Vec::new();
    let mut refused = 0;
    for step in 0..steps {
        let mark = u8::try_from(step % 251).unwrap();
        match random.below(16) {
            0..8 => {
                let align = 1 << [0, 3, 4, 6, 7, 12, 13][random.below(7)];
                let layout = layout(random_size(&mut random), align);
                match heap.allocate(layout) {
                    Some(at) => objects.push(Object::new(at, layout, mark)),
                    None => refused += 1,
                }
            }
            8..10 if !objects.is_empty() => {
                let index = random.below(objects.len());
                let object = &mut objects[index];
                let new = layout(random_size(&mut random), object.layout.align());
                // SAFETY: the object is out with this layout, the size is in range, and the test gives up the rest.
                if unsafe { heap.resize(object.at, object.layout, new.size()) } {
                    object.check(object.layout.size().min(new.size()));
                    *object = Object::new(object.at, new, mark);
                }
            }
            _ if !objects.is_empty() => {
                let object = objects.swap_remove(random.below(objects.len()));
                object.check(object.layout.size());
                // SAFETY: the object is out with this layout, and the test gives it up.
                unsafe { heap.free(object.at, object.layout) };
            }
            _ => {}
        }
        if step % 64 == 0 {
            let in_use = objects.iter().map(Object::in_use).sum();
            assert_eq!(heap.stats().in_use, in_use);
        }
    }
    for object in objects {
        object.check(object.layout.size());
        // SAFETY: as above.
        unsafe { heap.free(object.at, object.layout) };
    }
    refused
}

/// Checks that nothing is in use, and that all pages can be had in one piece.
fn check_all_returned(heap: &mut CoreHeap) {
    let stats = heap.stats();
    assert_eq!(stats.in_use, 0);
    assert_eq!(stats.allocations, stats.frees);
    let kept: usize = (0..CLASSES).map(class::slab_bytes).sum();
    assert!(stats.free + kept >= stats.total);
    let all = layout(stats.total, 1);
    let object = heap.allocate(all).expect("all memory has come back");
    // SAFETY: the object was handed out just now.
    unsafe { heap.free(object, all) };
    assert_eq!(heap.stats().free, stats.total);
}

#[test]
fn survives_random_use() {
    for seed in 1..=4 {
        let mut heap = heap(64 * MIB);
        assert_eq!(stress(&mut heap, seed, 40_000), 0);
        check_all_returned(&mut heap);
    }
}

#[test]
fn survives_random_use_with_hardly_any_memory() {
    let mut heap = heap(600 << 10);
    assert!(stress(&mut heap, 7, 60_000) > 0, "memory did run out");
    check_all_returned(&mut heap);
}

#[test]
fn exhaustion_is_an_error_and_passes() {
    for size in [1, 16, 100, 2048, 2049, 9000] {
        let mut heap = heap(600 << 10);
        let layout = layout(size, 8);
        let objects: Vec<_> = core::iter::from_fn(|| heap.allocate(layout)).collect();
        let taken = objects.len() * size.max(16);
        assert!(taken >= heap.stats().total * 2 / 5, "{size}: {taken} bytes");
        for object in objects {
            // SAFETY: each object was handed out once.
            unsafe { heap.free(object, layout) };
        }
        check_all_returned(&mut heap);
    }
}

#[test]
fn objects_of_a_class_do_not_overlap() {
    let mut heap = heap(16 * MIB);
    for size in SIZES {
        let layout = layout(size, 16);
        let objects: Vec<_> = (0..600)
            .map(|i| {
                Object::new(
                    heap.allocate(layout).unwrap(),
                    layout,
                    u8::try_from(i % 256).unwrap(),
                )
            })
            .collect();
        for object in objects {
            object.check(layout.size());
            // SAFETY: each object was handed out once.
            unsafe { heap.free(object.at, layout) };
        }
    }
    check_all_returned(&mut heap);
}

#[test]
fn one_object_that_comes_and_goes_moves_no_pages() {
    let mut heap = heap(MIB);
    let layout = layout(64, 8);
    let first = heap.allocate(layout).unwrap();
    let free = heap.stats().free;
    for _ in 0..10 {
        // SAFETY: the object was handed out, here or below, and not freed since.
        unsafe { heap.free(first, layout) };
        assert_eq!(heap.stats().free, free);
        assert_eq!(heap.allocate(layout), Some(first));
    }
}

#[test]
fn a_run_that_comes_and_goes_stays_where_it_is() {
    let mut heap = heap(MIB);
    let layout = layout(18 * PAGE, 8);
    let others = [
        heap.allocate(layout).unwrap(),
        heap.allocate(layout).unwrap(),
    ];
    let first = others[0];
    let free = heap.stats().free;
    for _ in 0..10 {
        // SAFETY: the object was handed out, here or below, and not freed since.
        unsafe { heap.free(first, layout) };
        assert_eq!(heap.stats().free, free + layout.size());
        assert_eq!(heap.allocate(layout), Some(first));
    }
}

#[test]
fn a_kept_run_keeps_its_alignment_and_makes_room_for_others() {
    let mut heap = heap(MIB);
    let odd = heap.allocate(layout(PAGE, PAGE)).unwrap();
    let run = heap.allocate(layout(8 * PAGE, PAGE)).unwrap();
    let wide = layout(8 * PAGE, 8 * PAGE);
    // SAFETY: the run was handed out with that layout.
    unsafe { heap.free(run, layout(8 * PAGE, PAGE)) };
    let aligned = heap.allocate(wide).unwrap();
    assert_eq!(aligned.addr().get() % wide.align(), 0);
    // SAFETY: both were handed out with these layouts.
    unsafe { heap.free(aligned, wide) };
    // SAFETY: as above.
    unsafe { heap.free(odd, layout(PAGE, PAGE)) };
    check_all_returned(&mut heap);
}

#[test]
fn resizes_in_place_within_a_class_and_into_free_pages() {
    let check = |from, to, expected| {
        let mut heap = heap(MIB);
        let old = layout(from, 8);
        let object = heap.allocate(old).unwrap();
        // SAFETY: the object was handed out with this layout.
        let resized = unsafe { heap.resize(object, old, to) };
        assert_eq!(resized, expected, "{from} to {to}");
        let size = if resized { to } else { from };
        // SAFETY: the object has this size now.
        unsafe { heap.free(object, layout(size, 8)) };
        check_all_returned(&mut heap);
    };
    check(129, 160, true);
    check(160, 129, true);
    check(160, 161, false);
    check(2048, 2049, false);
    check(2049, 2048, false);
    check(5000, 8000, true);
    check(5000, 100_000, true);
    check(100_000, 5000, true);
    check(100_000, 100, false);
    check(5000, 2 * MIB, false);
}

#[test]
fn what_another_core_freed_comes_back() {
    let remote = Box::leak(Box::new(RemoteFrees::new()));
    // SAFETY: only objects of this heap are pushed below.
    let mut heap = unsafe { CoreHeap::with_remote(remote) };
    let start = reserve(MIB);
    // SAFETY: the memory was just reserved, for this heap alone.
    assert!(unsafe { heap.add_region(start, start + MIB) });
    for layout in [layout(24, 8), layout(10_000, 64)] {
        let objects: Vec<_> = core::iter::from_fn(|| heap.allocate(layout)).collect();
        let addresses: Vec<_> = objects.iter().map(|object| object.addr().get()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for address in addresses {
                    let object = core::ptr::with_exposed_provenance_mut(address);
                    let object = NonNull::new(object).unwrap();
                    // SAFETY: the object was handed out with this layout, and the test gives it up.
                    unsafe { remote.push(object, layout) };
                }
            });
        });
        assert!(heap.allocate(layout).is_some_and(|object| {
            // SAFETY: it was handed out just now.
            unsafe { heap.free(object, layout) };
            true
        }));
    }
    heap.collect();
    check_all_returned(&mut heap);
}
