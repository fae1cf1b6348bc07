//! Tests of [`PageAllocator`] against a list of the runs that are out.

extern crate std;

use std::vec::Vec;

use super::*;
use crate::fixture::{XorShift, reserve, touched};

const MIB: usize = 1 << 20;

fn with_regions(lens: &[usize]) -> PageAllocator {
    let mut pages = PageAllocator::new();
    let gap = 8 * MIB;
    let mut start = reserve(lens.iter().map(|len| len + gap).sum());
    for len in lens {
        // SAFETY: 1. and 2. the memory was just reserved, for this region alone.
        assert!(unsafe { pages.add_region(start, start + len) });
        start += len + gap;
    }
    pages
}

/// A run that is out, all its pages marked.
struct Run {
    start: NonNull<u8>,
    pages: usize,
    mark: u8,
}

impl Run {
    fn new(start: NonNull<u8>, pages: usize, mark: u8) -> Self {
        let run = Self { start, pages, mark };
        run.mark_from(0);
        run
    }

    fn mark_from(&self, page: usize) {
        for page in page..self.pages {
            // SAFETY: the run's pages belong to the test.
            unsafe { self.page(page).write(self.mark) };
        }
    }

    fn check(&self) {
        for page in 0..self.pages {
            // SAFETY: the run's pages belong to the test, and were marked.
            assert_eq!(unsafe { self.page(page).read() }, self.mark);
        }
    }

    fn page(&self, index: usize) -> NonNull<u8> {
        // SAFETY: callers stay within the run.
        unsafe { self.start.add(index * PAGE) }
    }
}

fn stress(pages: &mut PageAllocator, seed: u64, steps: usize, largest: usize) {
    let mut random = XorShift(seed);
    let mut runs: Vec<Run> = Vec::new();
    let mut out = 0;
    for step in 0..steps {
        let mark = u8::try_from(step % 251).unwrap();
        let choice = random.below(8);
        if choice < 4 || runs.is_empty() {
            let limit = 1 + random.below(largest);
            let count = 1 + random.below(limit);
            let align = 1 << random.below(5);
            let Some(start) = pages.allocate(count, align) else {
                continue;
            };
            assert_eq!(start.addr().get() % (align * PAGE), 0);
            runs.push(Run::new(start, count, mark));
            out += count;
        } else if choice < 6 {
            let index = random.below(runs.len());
            let run = &mut runs[index];
            let count = 1 + random.below(run.pages * 2);
            // SAFETY: the run is out with its pages, and the test gives up those beyond `count`.
            if unsafe { pages.resize(run.start, run.pages, count) } {
                out = out - run.pages + count;
                let old = core::mem::replace(&mut run.pages, count);
                run.mark_from(old);
            }
            run.check();
        } else {
            let index = random.below(runs.len());
            let run = runs.swap_remove(index);
            run.check();
            out -= run.pages;
            // SAFETY: the run is out with its pages, and the test gives it up.
            unsafe { pages.free(run.start, run.pages) };
        }
        assert_eq!(pages.free_count(), pages.total() - out);
    }
    for run in runs {
        run.check();
        // SAFETY: as above.
        unsafe { pages.free(run.start, run.pages) };
    }
    assert_eq!(pages.free_count(), pages.total());
}

#[test]
fn survives_random_use() {
    for seed in 1..=4 {
        let mut pages = with_regions(&[8 * MIB]);
        stress(&mut pages, seed, 20_000, 64);
        let all = pages.allocate(pages.total(), 1);
        assert!(all.is_some(), "what has come back is one piece again");
    }
}

#[test]
fn survives_random_use_of_several_regions() {
    let mut pages = with_regions(&[600 << 10, 4 * MIB, 20 << 10, 2 * MIB + 12 * 1024]);
    stress(&mut pages, 99, 30_000, 200);
    assert!(pages.spans(pages.span().0));
    assert!(!pages.spans(pages.span().0 - 1));
    assert!(!pages.spans(pages.span().0 + pages.span().1));
}

#[test]
fn a_tiny_region_is_nearly_all_usable() {
    let mut pages = with_regions(&[600 << 10]);
    assert_eq!(pages.total(), 149);
    let run = pages.allocate(149, 1).unwrap();
    assert_eq!(pages.allocate(1, 1), None);
    // SAFETY: the run was handed out just now.
    unsafe { pages.free(run, 149) };
    assert!(pages.allocate(149, 1).is_some());
}

#[test]
fn exhaustion_is_an_error_and_passes() {
    let mut pages = with_regions(&[MIB]);
    let singles: Vec<_> = core::iter::from_fn(|| pages.allocate(1, 1)).collect();
    assert_eq!(singles.len(), pages.total());
    assert_eq!(pages.high_water(), pages.total());
    for &page in &singles {
        // SAFETY: each page was handed out once.
        unsafe { pages.free(page, 1) };
    }
    assert_eq!(pages.free_count(), pages.total());
    assert!(pages.allocate(pages.total(), 1).is_some());
}

#[test]
fn a_region_of_16_gib_is_ready_untouched() {
    let len = 16 << 30;
    let start = reserve(len);
    let mut pages = PageAllocator::new();
    // SAFETY: 1. and 2. the memory was just reserved, for this region alone.
    assert!(unsafe { pages.add_region(start + PAGE, start + len) });
    assert_eq!(touched(start, start + len), 0);
    let one = pages.allocate(1, 1).unwrap();
    // SAFETY: the page was handed out just now.
    unsafe { one.write(1) };
    assert_eq!(touched(start, start + len), 2, "the page and its entry");
    let most = pages.allocate(pages.free_count() - 512, 1).unwrap();
    assert_eq!(pages.allocate(1024, 1), None);
    // SAFETY: both were handed out just now.
    unsafe { pages.free(most, pages.total() - 513) };
    assert!(pages.allocate(3 << 18, 512).is_some());
}

#[test]
fn refuses_what_is_too_small_or_impossible() {
    let mut pages = PageAllocator::new();
    for (start, end) in [(0, 0), (0, 4 * PAGE), (8 * PAGE, PAGE), (100, 4 * PAGE)] {
        // SAFETY: pieces of less than four pages, page 0 not counted, are never touched.
        assert!(!unsafe { pages.add_region(start, end) });
    }
    assert_eq!(pages.allocate(1, 1), None);
    let mut pages = with_regions(&[MIB]);
    assert_eq!(pages.allocate(usize::MAX, 1), None);
    assert_eq!(pages.allocate(1, 1 << 51), None);
}

#[test]
fn resizes_in_place_where_it_can() {
    let mut pages = with_regions(&[MIB]);
    let run = pages.allocate(3, 1).unwrap();
    // SAFETY: 1. the run is out with the pages that the last call left it; 2. nothing uses them.
    let mut resize = |old, new| unsafe { pages.resize(run, old, new) };
    assert!(resize(3, 200));
    assert!(!resize(200, 10_000));
    assert!(!resize(200, usize::MAX / PAGE));
    assert!(resize(200, 1));
    assert!(resize(1, 100));
    assert_eq!(pages.free_count(), pages.total() - 100);
    let next = pages.allocate(1, 1).unwrap();
    assert_eq!(next.addr().get(), run.addr().get() + 100 * PAGE);
    // SAFETY: 1. 100 pages are out; nothing is cut off.
    assert!(!unsafe { pages.resize(run, 100, 101) });
}

#[test]
fn a_run_of_several_blocks_is_found_when_nothing_else_is_left() {
    let mut pages = with_regions(&[4 * MIB]);
    let all: Vec<_> = core::iter::from_fn(|| pages.allocate(1, 1)).collect();
    let number = |page: &NonNull<u8>| page.addr().get() / PAGE;
    // 30 pages around a multiple of 32, of which none is a block of 32 itself.
    let middle = all
        .iter()
        .position(|page| number(page) % 32 == 0 && number(page) > number(&all[0]) + 32);
    let middle = middle.expect("there are a thousand pages");
    for page in &all[middle - 15..middle + 15] {
        // SAFETY: 1. and 2. it was handed out above, and nobody uses it.
        unsafe { pages.free(*page, 1) };
    }
    assert!(pages.allocate(31, 1).is_none());
    let run = pages.allocate(25, 1).expect("30 pages in a row are free");
    assert!((number(&all[middle - 15])..=number(&all[middle - 10])).contains(&number(&run)));
    assert!(pages.allocate(5, 1).is_some());
    assert_eq!(pages.free_count(), 0);
}
