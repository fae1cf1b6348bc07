//! Adding a suite to the entry of Debian's own archive, in either of the two formats of apt.

/// The text of a source file with `suite` beside `codename`; `None` if it has no such entry.
pub(super) fn with_suite(text: &str, codename: &str, suite: &str) -> Option<String> {
    let mut added = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(suites) = line.strip_prefix("Suites:").filter(|_| !added) {
            added = suites.split_whitespace().any(|word| word == codename);
            lines.push(if added {
                format!("{} {suite}", line.trim_end())
            } else {
                line.to_owned()
            });
            continue;
        }
        lines.push(line.to_owned());
        if !added && let Some(twin) = one_line_twin(line, codename, suite) {
            added = true;
            lines.push(twin);
        }
    }
    added.then(|| lines.join("\n") + "\n")
}

/// Whether any entry of the file names `suite` already.
pub(super) fn has_suite(text: &str, suite: &str) -> bool {
    text.lines()
        .filter(|line| line.starts_with("Suites:") || line.starts_with("deb "))
        .any(|line| line.split_whitespace().any(|word| word == suite))
}

/// `deb [options] URI CODENAME main` with the other suite.
fn one_line_twin(line: &str, codename: &str, suite: &str) -> Option<String> {
    if !line.starts_with("deb ") || !line.contains("debian") {
        return None;
    }
    let twin = line.replace(&format!(" {codename} "), &format!(" {suite} "));
    (twin != line).then_some(twin)
}

#[cfg(test)]
mod tests {
    use super::{has_suite, with_suite};

    const DEB822: &str = "Types: deb\n# a comment\nURIs: http://deb.debian.org/debian\n\
        Suites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\n\
        URIs: http://deb.debian.org/debian-security\nSuites: bookworm-security\nComponents: main\n";

    #[test]
    fn the_suite_joins_the_entry_of_the_release() {
        let text = with_suite(DEB822, "bookworm", "bookworm-backports").unwrap();
        let expected = DEB822.replace("bookworm-updates", "bookworm-updates bookworm-backports");
        assert_eq!(text, expected);
        assert!(has_suite(&text, "bookworm-backports"));
        assert!(!has_suite(DEB822, "bookworm-backports"));
    }

    #[test]
    fn a_one_line_entry_gets_a_twin() {
        let text = "deb http://deb.debian.org/debian bookworm main\n\
                    deb http://security.debian.org/debian-security bookworm-security main\n";
        assert_eq!(
            with_suite(text, "bookworm", "bookworm-backports").unwrap(),
            "deb http://deb.debian.org/debian bookworm main\n\
             deb http://deb.debian.org/debian bookworm-backports main\n\
             deb http://security.debian.org/debian-security bookworm-security main\n"
        );
    }

    #[test]
    fn files_of_other_archives_are_left_alone() {
        let node = "Types: deb\nURIs: https://deb.nodesource.com/node_20.x\nSuites: nodistro\n";
        assert_eq!(with_suite(node, "bookworm", "bookworm-backports"), None);
        let cloud = "deb https://packages.cloud.google.com/apt cloud-sdk-bookworm main\n";
        assert_eq!(with_suite(cloud, "bookworm", "bookworm-backports"), None);
        let comment = "# deb http://deb.debian.org/debian bookworm main\n";
        assert_eq!(with_suite(comment, "bookworm", "bookworm-backports"), None);
    }
}
