//! Groups of cases side by side: images are compiled on one side while machines run on the other.
//!
//! A group runs its cases one after the other, on a side whose files below `target/` are its own ([`Workspace::side`]). Images are the
//! same for both.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::tally::Tally;
use crate::workspace::Workspace;

/// How many groups run at once: a machine of the tests has two cores or more now and then, and so has that of whoever runs them.
const SIDES: usize = 2;

/// Cases that run one after the other.
pub(super) type Group<'a> = Box<dyn FnOnce(&Workspace, &mut Tally) + Send + 'a>;

/// Runs all groups, as many at a time as this machine has processors for.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, groups: Vec<Group<'_>>) {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let groups = Mutex::new(groups.into_iter());
    let sides = thread::scope(|scope| {
        let groups = &groups;
        let begin = |number| {
            let (workspace, mut tally) = (workspace.side(number), tally.side());
            scope.spawn(move || {
                let next = || groups.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(group) = next() {
                    group(&workspace, &mut tally);
                }
                tally
            })
        };
        let sides: Vec<_> = (0..SIDES.min(processors)).map(begin).collect();
        let ended = sides
            .into_iter()
            .map(|side| side.join().expect("no group panics"));
        ended.collect::<Vec<_>>()
    });
    sides.into_iter().for_each(|side| tally.add(side));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Mutex;

    use anyhow::Context as _;

    use super::{Group, run};
    use crate::test::tally::Tally;
    use crate::workspace::Workspace;

    #[test]
    fn every_group_runs_once_and_counts() {
        let workspace = Workspace::load_from(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let folders = Mutex::new(BTreeSet::new());
        let group = |number: usize| -> Group<'_> {
            let folders = &folders;
            Box::new(move |workspace, tally| {
                let folder = workspace.target("sides-test").unwrap();
                folders.lock().unwrap().insert(folder);
                let outcome = (number != 3).then_some(()).context("why");
                tally.record(&format!("group {number}"), outcome);
            })
        };
        let mut tally = Tally::new(None, 0);
        run(&workspace, &mut tally, (0..10).map(group).collect());
        assert_eq!(tally.to_string(), "failed: group 3\n9 passed, 1 failed");
        for folder in folders.into_inner().unwrap() {
            assert_ne!(folder, workspace.target("sides-test").unwrap());
        }
    }
}
