//! [`Once`] and [`OnceLock`]: what happens once, whoever asks for it first.

use core::fmt;

use toro_sched::block_on_for;

use crate::permits::Permits;

/// A value that the first to ask for it makes, while the others are parked.
pub struct OnceLock<T> {
    gate: Permits,
    value: spin::Once<T>,
}

impl<T> OnceLock<T> {
    /// No value yet.
    pub const fn new() -> Self {
        Self {
            gate: Permits::new(1),
            value: spin::Once::new(),
        }
    }

    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, which `make` makes if there is none. `make` may park, but not ask for the value.
    ///
    /// If `make` panics there will never be a value, and whoever waits waits for ever.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        if !self.gate.try_take(1) {
            block_on_for("once", self.gate.take(1));
        }
        // Nobody spins here: the permit is this thread's alone.
        let value = self.value.call_once(make);
        self.gate.give(1);
        value
    }

    /// Sets the value.
    ///
    /// # Errors
    /// Hands `value` back if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("made once"));
        value.map_or(Ok(()), Err)
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceLock").field(&self.get()).finish()
    }
}

/// Something that is done once.
#[derive(Debug, Default)]
pub struct Once(OnceLock<()>);

impl Once {
    /// Not done yet.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Does it unless it has been done. When this returns it is done, by whomever.
    pub fn call_once(&self, f: impl FnOnce()) {
        self.0.get_or_init(f);
    }
}
