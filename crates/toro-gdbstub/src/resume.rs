//! [`Resume`]: which threads go on, and how, as the packet `vCont` says.

use core::ops::Range;

/// The most actions that are kept of a packet. GDB sends two or three.
const ACTIONS: usize = 4;

/// How a thread goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Until something stops it.
    Continue,
    /// For one instruction, and on as long as it stays in this range.
    Step(Range<u64>),
}

/// What each thread does next. Threads that it does not name stay where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// For one thread, or for all with `None`. The first that matches counts.
    actions: [Option<(Option<u64>, Action)>; ACTIONS],
}

impl Resume {
    /// All threads go on.
    pub fn all() -> Self {
        let mut resume = Self::default();
        resume.add(None, Action::Continue);
        resume
    }

    /// Adds an action behind the others; `false` if there are too many.
    pub(crate) fn add(&mut self, thread: Option<u64>, action: Action) -> bool {
        let free = self.actions.iter_mut().find(|action| action.is_none());
        free.map(|free| *free = Some((thread, action))).is_some()
    }

    /// How `thread` goes on; `None` if it does not.
    pub fn action(&self, thread: u64) -> Option<&Action> {
        let mut given = self.actions.iter().flatten();
        let (_, action) = given.find(|(whose, _)| whose.is_none_or(|whose| whose == thread))?;
        Some(action)
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Resume};

    #[test]
    fn the_first_action_that_matches_counts() {
        let mut resume = Resume::default();
        assert!(resume.add(Some(2), Action::Step(0..0)));
        assert_eq!(resume.action(1), None);
        assert!(resume.add(None, Action::Continue));
        assert_eq!(resume.action(1), Some(&Action::Continue));
        assert_eq!(resume.action(2), Some(&Action::Step(0..0)));
        while resume.add(Some(3), Action::Continue) {}
        assert_eq!(resume.action(3), Some(&Action::Continue));
    }
}
