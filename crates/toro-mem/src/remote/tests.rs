//! Tests of [`RemoteFrees`]; under `--cfg loom` in every order that the memory model allows.

extern crate std;

use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use super::*;

/// The memory of one object.
type Object = Box<[u64; 2]>;

fn layout() -> Layout {
    Layout::new::<[u64; 2]>()
}

fn push(frees: &RemoteFrees, object: Object) {
    let object = NonNull::from(Box::leak(object)).cast();
    // SAFETY: the box was given up, and has two words.
    unsafe { frees.push(object, layout()) };
}

/// Takes all objects back as boxes, so that one that came twice or never shows.
fn take(frees: &RemoteFrees) -> Vec<Object> {
    frees
        .take_all()
        .map(|(object, taken)| {
            assert_eq!(taken, layout());
            // SAFETY: `push` made the pointer from a box.
            unsafe { Box::from_raw(object.cast().as_ptr()) }
        })
        .collect()
}

#[cfg(not(loom))]
mod host {
    use super::*;

    #[test]
    fn layouts_survive_the_way() {
        for (size, align) in [(0, 1), (1, 1), (16, 8), (1 << 40, 4096), (7, 1 << 30)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            assert_eq!(unpack(pack(layout)), layout);
        }
    }

    #[test]
    fn takes_what_was_pushed_and_nothing_twice() {
        let frees = RemoteFrees::new();
        assert_eq!(take(&frees).len(), 0);
        push(&frees, Box::default());
        push(&frees, Box::default());
        assert_eq!(take(&frees).len(), 2);
        assert_eq!(take(&frees).len(), 0);
    }

    #[test]
    fn loses_nothing_between_threads() {
        const EACH: usize = 10_000;
        let frees = Arc::new(RemoteFrees::new());
        let pushers: Vec<_> = (0..4)
            .map(|_| {
                let frees = Arc::clone(&frees);
                std::thread::spawn(move || (0..EACH).for_each(|_| push(&frees, Box::default())))
            })
            .collect();
        let mut taken = 0;
        while pushers.iter().any(|pusher| !pusher.is_finished()) {
            taken += take(&frees).len();
        }
        for pusher in pushers {
            pusher.join().expect("a pusher does not panic");
        }
        assert_eq!(taken + take(&frees).len(), 4 * EACH);
    }
}

#[cfg(loom)]
mod model {
    use loom::cell::UnsafeCell;
    use loom::thread;

    use super::*;

    /// Two cores each use something and then free an object; the owner uses what belongs to each object that has arrived.
    #[test]
    fn a_free_ends_every_use_before_it() {
        loom::model(|| {
            let frees = Arc::new(RemoteFrees::new());
            let uses = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
            let objects = [Object::default(), Object::default()];
            let addresses = objects.each_ref().map(|object| &raw const **object);
            let use_again = |object: Object| {
                let address = &raw const *object;
                let core = addresses.iter().position(|&known| known == address);
                // SAFETY: loom checks that nobody else uses it at the same time.
                uses[core.expect("what comes was sent")].with_mut(|used| unsafe { *used += 1 });
            };
            let mut core = 0;
            let pushers = objects.map(|object| {
                let (frees, uses, index) = (Arc::clone(&frees), Arc::clone(&uses), core);
                core += 1;
                thread::spawn(move || {
                    // SAFETY: as above.
                    uses[index].with_mut(|used| unsafe { *used += 1 });
                    push(&frees, object);
                })
            });
            // The pushers may go first, or not.
            thread::yield_now();
            take(&frees).into_iter().for_each(use_again);
            for pusher in pushers {
                pusher.join().expect("a pusher does not panic");
            }
            take(&frees).into_iter().for_each(use_again);
            for used in uses.iter() {
                // SAFETY: as above.
                assert_eq!(used.with(|used| unsafe { *used }), 2);
            }
        });
    }

    /// The owner reuses an object as soon as it arrives, while another core still pushes.
    #[test]
    fn an_object_that_arrived_is_the_owners() {
        loom::model(|| {
            let frees = Arc::new(RemoteFrees::new());
            let used = Arc::new(UnsafeCell::new(0));
            let user = {
                let (frees, used) = (Arc::clone(&frees), Arc::clone(&used));
                thread::spawn(move || {
                    // SAFETY: loom checks that nobody else uses it at the same time.
                    used.with_mut(|used| unsafe { *used += 1 });
                    push(&frees, Box::new([7, 7]));
                })
            };
            let other = {
                let frees = Arc::clone(&frees);
                thread::spawn(move || push(&frees, Box::default()))
            };
            let mut taken = 0;
            while taken < 2 {
                taken += take(&frees).len();
                thread::yield_now();
            }
            // SAFETY: loom checks that nobody else uses it at the same time: both objects are here.
            used.with_mut(|used| unsafe { *used += 1 });
            user.join().expect("the user does not panic");
            other.join().expect("the other core does not panic");
        });
    }
}
