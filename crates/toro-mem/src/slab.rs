//! [`Slab`]: one or four pages of objects of one size.
//!
//! The objects stand from the slab's first byte on, so that they are aligned as their size is; what the heap knows of them
//! stands at its end. A slab is aligned to its own size, which makes the header of an object a matter of one mask. New
//! objects are cut off in batches, so a slab that is hardly used is hardly touched.

use core::cell::Cell;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::class;

/// How many new objects join the free list at a time.
const BATCH: usize = 16;

/// A free object holds the way to the next.
pub(crate) struct FreeObject {
    next: Option<NonNull<FreeObject>>,
}

/// The header of a slab.
pub(crate) struct Slab {
    free: Cell<Option<NonNull<FreeObject>>>,
    /// Objects that are handed out.
    live: Cell<usize>,
    /// Where the objects start that have never been on the free list.
    fresh: Cell<usize>,
    pub(crate) previous: Cell<Option<SlabRef>>,
    pub(crate) next: Cell<Option<SlabRef>>,
    /// Whether the slab is in the list of those that may have free objects.
    pub(crate) listed: Cell<bool>,
}

/// A slab of the heap, by the address of its header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlabRef(NonNull<Slab>);

impl SlabRef {
    /// Makes the memory at `start` an empty slab of `class`.
    ///
    /// # Safety
    /// 1. The memory is [`class::slab_bytes`] long, aligned to that, and the caller's until the slab is released.
    pub(crate) unsafe fn create(start: NonNull<u8>, class: usize) -> Self {
        // SAFETY: the header ends where the slab does, and the slab is longer than a header.
        let header = unsafe { start.add(class::slab_bytes(class) - size_of::<Slab>()) }.cast();
        let slab = Slab {
            free: Cell::new(None),
            live: Cell::new(0),
            fresh: Cell::new(start.as_ptr().expose_provenance()),
            previous: Cell::new(None),
            next: Cell::new(None),
            listed: Cell::new(false),
        };
        // SAFETY: the memory is the caller's by duty 1; its end is aligned, and a header's size is a multiple of its alignment.
        unsafe { header.write(slab) };
        Self(header)
    }

    /// The slab of `class` that `object` is part of.
    ///
    /// # Safety
    /// 1. The object is part of a slab of `class` that has not been released.
    #[inline(always)]
    pub(crate) unsafe fn of(object: NonNull<u8>, class: usize) -> Self {
        let address = object.addr() | (class::slab_bytes(class) - 1);
        let offset = address.get() + 1 - size_of::<Slab>() - object.addr().get();
        // SAFETY: the object lies below the header in the same slab, by duty 1.
        Self(unsafe { object.add(offset) }.cast())
    }

    /// The slab's first byte.
    pub(crate) fn start(self, class: usize) -> NonNull<u8> {
        let offset = class::slab_bytes(class) - size_of::<Slab>();
        // SAFETY: `create` put the header this far behind the start.
        unsafe { self.0.cast::<u8>().sub(offset) }
    }

    /// Takes an object from the free list.
    #[inline(always)]
    pub(crate) fn take(self) -> Option<NonNull<u8>> {
        let object = self.free.get()?;
        // SAFETY: objects on the free list are the slab's, and `put` or `cut` wrote the way to the next into them.
        self.free.set(unsafe { object.as_ref() }.next);
        self.live.set(self.live.get() + 1);
        Some(object.cast())
    }

    /// Puts an object on the free list, and says whether the slab calls for attention: it has become empty, or the list was.
    ///
    /// # Safety
    /// 1. [`take`](Self::take) of this slab returned the object, and nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn put(self, object: NonNull<u8>) -> bool {
        let object = object.cast::<FreeObject>();
        let next = self.free.get();
        // SAFETY: the object is the slab's again by duty 1, is aligned to 16, and has at least 16 bytes.
        unsafe { object.write(FreeObject { next }) };
        self.free.set(Some(object));
        let live = self.live.get() - 1;
        self.live.set(live);
        live == 0 || next.is_none()
    }

    /// Whether no object is handed out.
    pub(crate) fn is_empty(self) -> bool {
        self.live.get() == 0
    }

    /// Puts a batch of new objects on the free list, which is empty; does nothing if the slab is used up.
    pub(crate) fn cut(self, class: usize) {
        let size = class::SIZES[class];
        let header = self.0.addr().get();
        let first = self.fresh.get();
        let count = ((header - first) / size).min(BATCH);
        self.fresh.set(first + count * size);
        let mut next = None;
        // From the last to the first: they are handed out in the order of their addresses.
        for index in (0..count).rev() {
            // SAFETY: the object lies between the start of the slab and its header.
            let object = unsafe { self.0.cast::<u8>().sub(header - first - index * size) };
            let object = object.cast::<FreeObject>();
            // SAFETY: it has never been handed out, so it is the slab's.
            unsafe { object.write(FreeObject { next }) };
            next = Some(object);
        }
        self.free.set(next);
    }
}

impl Deref for SlabRef {
    type Target = Slab;

    #[inline(always)]
    fn deref(&self) -> &Slab {
        // SAFETY: `create` wrote the header, and the heap drops its references before it releases the slab.
        unsafe { self.0.as_ref() }
    }
}
