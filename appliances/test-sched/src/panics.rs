//! What a panic ends, and what it does not. The reports on the console are part of the cases.

use alloc::rc::Rc;
use core::cell::Cell;
use core::hint::black_box;

use toro::task;
use toro::thread::{self, Builder, NoResult};

pub(crate) fn a_panic_is_reported_through_join() {
    let others = Rc::new(Cell::new(0));
    let other = Rc::clone(&others);
    let thread = thread::spawn("unlucky", || fail_on_purpose("a thread"));
    let bystander = thread::spawn("bystander", move || other.set(1));
    assert_eq!(thread.join(), Err(NoResult));
    assert_eq!(bystander.join(), Ok(()));
    assert_eq!(others.get(), 1);
    assert_eq!(thread::spawn("next", || 7).join(), Ok(7));
}

pub(crate) fn a_panic_in_a_task_ends_that_task_alone() {
    let before = task::spawn(async {
        task::yield_now().await;
        task::yield_now().await;
        1
    });
    let unlucky = task::spawn(async { fail_on_purpose("a task") });
    let after = task::spawn(async { 2 });
    assert_eq!(unlucky.join(), Err(NoResult));
    assert_eq!((before.join(), after.join()), (Ok(1), Ok(2)));
}

pub(crate) fn a_panic_on_another_core_is_reported_here() {
    let core = thread::cores() - 1;
    let thread = Builder::new()
        .name("far")
        .spawn_on(core, || fail_on_purpose("a thread of another core"));
    assert_eq!(thread.expect("it began").join(), Err(NoResult));
    let task = task::spawn_on(core, async { fail_on_purpose("a task of another core") });
    assert_eq!(task.expect("it began").join(), Err(NoResult));
    let task = task::spawn_on(core, async { 7 });
    assert_eq!(task.expect("it began").join(), Ok(7));
}

/// Its name is in the backtrace.
#[inline(never)]
fn fail_on_purpose(who: &str) {
    assert!(black_box(who).is_empty(), "{who} fails on purpose");
}
