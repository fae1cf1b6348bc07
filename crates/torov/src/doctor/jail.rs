//! What of the jail this host has, and what brings what it lacks.

use std::io;

/// Prints a line for each part. The process has one thread, and can do little afterwards.
pub(super) fn examine() {
    tell("no_new_privs", torov_jail::give_up_privileges(), "is set");
    tell("seccomp", torov_jail::probe_seccomp(), "filters can be set");
    let landlock = torov_jail::probe_landlock();
    let version = landlock.as_ref().map_or(0, |version| *version);
    let works = format!("version {version} of its interface");
    tell("Landlock", landlock.map(drop), &works);
    for (what, result) in torov_jail::probe_namespaces() {
        tell("namespaces", result, &format!("of {what} can be left"));
    }
}

fn tell(what: &str, result: io::Result<()>, works: &str) {
    match result {
        Ok(()) => super::line(what, works),
        Err(error) => {
            let code = error.raw_os_error().unwrap_or(0);
            let not = format!("NOT: {works}: {error}; {}", remedy(what, code));
            super::line(what, &not);
        }
    }
}

/// What to do about an error of the host.
fn remedy(what: &str, error: i32) -> &'static str {
    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    const ENOSPC: i32 = 28;
    const EOPNOTSUPP: i32 = 95;
    match (what, error) {
        ("Landlock", EOPNOTSUPP) => {
            "start Linux with `lsm=landlock,` before the others of its list"
        }
        ("Landlock", EPERM | EACCES) => "let the container make Landlock's calls",
        ("Landlock", _) => "it takes Linux 5.13 with CONFIG_SECURITY_LANDLOCK",
        ("seccomp", EPERM | EACCES) => "let the container make the call `seccomp`",
        ("seccomp", _) => "it takes Linux 4.14 with CONFIG_SECCOMP_FILTER",
        ("namespaces", ENOSPC) => "raise `sysctl user.max_user_namespaces` and its like",
        ("namespaces", EPERM | EACCES) => {
            "try `sysctl kernel.unprivileged_userns_clone=1` (Debian) or \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu), or let the container make the call `unshare`"
        }
        ("namespaces", _) => "it takes a Linux with CONFIG_NAMESPACES, CONFIG_USER_NS and theirs",
        _ => "it takes a newer Linux",
    }
}

#[cfg(test)]
mod tests {
    use super::remedy;

    #[test]
    fn each_error_has_its_remedy() {
        for (what, error, piece) in [
            ("Landlock", 95, "lsm=landlock"),
            ("Landlock", 38, "5.13"),
            ("seccomp", 38, "CONFIG_SECCOMP_FILTER"),
            ("namespaces", 1, "unprivileged_userns_clone"),
            ("namespaces", 28, "max_user_namespaces"),
        ] {
            assert!(remedy(what, error).contains(piece), "{what} {error}");
        }
    }
}
