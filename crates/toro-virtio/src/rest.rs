//! [`Rest`]: the while for which interrupts are masked that come without work.

use core::task::Waker;
use core::time::Duration;

use toro_time::Instant;

/// How long it is.
const REST: Duration = Duration::from_millis(10);

/// Until when interrupts are masked, if they are.
#[derive(Debug, Default)]
pub(crate) struct Rest(Option<Instant>);

/// How a while stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is none.
    None,
    /// It goes on.
    Going,
    /// It has just ended: whoever began it unmasks now.
    Over,
}

impl Rest {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Begins one. `waker` is woken at its end.
    #[inline(never)]
    pub(crate) fn begin(&mut self, waker: &Waker) {
        let end = Instant::now() + REST;
        self.0 = Some(end);
        toro_time::wake_at(end, waker);
    }

    /// Looks at the clock. The end is told once.
    #[inline(never)]
    pub(crate) fn stage(&mut self) -> Stage {
        match self.0 {
            None => Stage::None,
            Some(end) if Instant::now() < end => Stage::Going,
            Some(_) => {
                self.0 = None;
                Stage::Over
            }
        }
    }
}
