//! [`Slot`]: a value of images that pick a part of RFC 7323.

use core::marker::PhantomData;

/// A value of an image with timestamps or large windows; in others it takes no room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<T> {
    #[cfg(any(feature = "timestamps", feature = "large-windows"))]
    value: Option<T>,
    kind: PhantomData<T>,
}

impl<T: Copy> Slot<T> {
    pub(crate) const EMPTY: Self = Self::new(None);

    /// Keeps `value`, where there is room for it.
    #[cfg_attr(
        not(any(feature = "timestamps", feature = "large-windows")),
        expect(unused_variables, reason = "no room")
    )]
    pub(crate) const fn new(value: Option<T>) -> Self {
        Self {
            #[cfg(any(feature = "timestamps", feature = "large-windows"))]
            value,
            kind: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<T> {
        #[cfg(any(feature = "timestamps", feature = "large-windows"))]
        return self.value;
        #[cfg(not(any(feature = "timestamps", feature = "large-windows")))]
        None
    }
}

impl<T: Copy> Default for Slot<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}
