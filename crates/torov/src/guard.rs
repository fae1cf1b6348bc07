//! Binds the monitor before the program runs, as far as the host knows how.

use std::io;

use torov_calls::Mounts;
use torov_jail::{Filter, Grant, Right};
use torov_policy::{Mode, Policy, Profile};

use crate::failure::Failure;

/// The calls for which the monitor starts a thread: a timer has one too.
const CALLS_WITH_THREADS: [&str; 4] = ["clone", "alarm", "setitimer", "timer_settime"];

/// The filter that a policy implies. The ring's poller is a thread, and so is what serves a debugger.
pub(crate) fn filter(policy: &Policy, has_ring: bool, has_debugger: bool) -> Filter {
    let allowed = |name: &str| {
        let number = torov_abi::number_of(name);
        number.is_some_and(|number| policy.knows(number.into()))
    };
    let mut calls = torov_jail::implied_calls(allowed);
    if has_debugger {
        calls.extend(torov_jail::debugger_calls());
    }
    Filter::new(
        &calls,
        has_ring || CALLS_WITH_THREADS.iter().any(|name| allowed(name)),
    )
}

/// Takes every file from the monitor but those below the mounts.
pub(crate) fn restrict_files(profile: &Profile, mounts: &Mounts) -> Result<(), Failure> {
    torov_jail::give_up_privileges()
        .map_err(|error| Failure::own(format!("PR_SET_NO_NEW_PRIVS: {error}")))?;
    if !profile.jail.landlock {
        return Ok(());
    }
    let folders = mounts.roots().map(|(place, mode)| Grant {
        place,
        right: match mode {
            Mode::Ro => Right::Read,
            Mode::Rw => Right::Change,
        },
    });
    let devices = mounts.devices();
    let devices = devices.iter().map(|device| Grant {
        place: std::os::fd::AsFd::as_fd(device),
        right: Right::Device,
    });
    let grants: Vec<Grant<'_>> = folders.chain(devices).collect();
    told(
        "Landlock",
        "the mounts are kept by path resolution alone",
        torov_jail::restrict_files(&grants),
    )
}

/// Installs the filter.
pub(crate) fn install(profile: &Profile, filter: Filter) -> Result<(), Failure> {
    if !profile.jail.seccomp {
        return Ok(());
    }
    told("seccomp", "the monitor may make any call", filter.install())
}

/// A host that lacks something is told of, and the program runs; any other error ends the start.
fn told(what: &str, consequence: &str, done: io::Result<()>) -> Result<(), Failure> {
    const ENOSYS: i32 = 38;
    const EINVAL: i32 = 22;
    const EOPNOTSUPP: i32 = 95;
    match done {
        Err(error) if matches!(error.raw_os_error(), Some(ENOSYS | EINVAL | EOPNOTSUPP)) => {
            eprintln!("torov: warning: this host has no {what} ({error}): {consequence}");
            Ok(())
        }
        done => done
            .map_err(|error| Failure::own(format!("{what}: {error}; --no-jail runs without it"))),
    }
}
