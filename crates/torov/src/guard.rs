//! Binds the monitor before the program runs, as far as the host knows how.

use std::io;

use torov_calls::Mounts;
use torov_jail::{Filter, Grant, Right};
use torov_policy::{Mode, Namespaces, Policy, Profile};

use crate::failure::Failure;

/// The calls for which the monitor starts a thread: a timer has one too.
const CALLS_WITH_THREADS: [&str; 4] = ["clone", "alarm", "setitimer", "timer_settime"];

/// The filter that a policy implies, with `more` calls of the host. The ring's poller is a thread.
pub(crate) fn filter(policy: &Policy, has_ring: bool, more: &[u32]) -> Filter {
    let allowed = |name: &str| {
        let number = torov_abi::number_of(name);
        number.is_some_and(|number| policy.knows(number.into()))
    };
    let mut calls = torov_jail::implied_calls(allowed);
    calls.extend(more);
    Filter::new(
        &calls,
        has_ring || CALLS_WITH_THREADS.iter().any(|name| allowed(name)),
    )
}

/// Gives up names of the host, as the profile says. The monitor has one thread yet.
pub(crate) fn leave_namespaces(profile: &Profile, policy: &Policy) -> Result<(), Failure> {
    let also = match profile.jail.namespaces {
        Namespaces::Off => return Ok(()),
        Namespaces::Quick => torov_jail::Namespaces {
            network: false,
            mounts: false,
        },
        Namespaces::All => torov_jail::Namespaces {
            // A program that may have a socket wants the host's network.
            network: torov_abi::number_of("socket").is_none_or(|call| !policy.knows(call.into())),
            mounts: true,
        },
    };
    told(
        "namespaces for this user",
        "the monitor sees the host's users, queues and name",
        torov_jail::leave_namespaces(also),
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
    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    const ENOSPC: i32 = 28;
    const ENOSYS: i32 = 38;
    const EINVAL: i32 = 22;
    const EOPNOTSUPP: i32 = 95;
    let lacks = [EPERM, EACCES, ENOSPC, ENOSYS, EINVAL, EOPNOTSUPP];
    match done {
        Err(error) if lacks.iter().any(|lack| error.raw_os_error() == Some(*lack)) => {
            eprintln!(
                "torov: warning: this host has no {what} ({error}): {consequence}; `torov doctor` says what to do"
            );
            Ok(())
        }
        done => done
            .map_err(|error| Failure::own(format!("{what}: {error}; --no-jail runs without it"))),
    }
}
