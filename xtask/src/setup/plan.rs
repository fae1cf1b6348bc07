//! [`Plan`]: what to do so that the missing programs are there. A pure function of [`Facts`].
//!
//! The trap: on a machine that has one of QEMU's packages from backports, say `qemu-utils`, the QEMU of the
//! release does not fit it, and a plain install ends with "held broken packages". Then QEMU has to come from
//! backports as well, and apt may not know that suite yet.

use std::path::PathBuf;

use super::facts::Facts;
use super::sources::{has_suite, with_suite};
use super::tools::{Source, Tool};

/// What marks the version of a package from backports.
const BACKPORT: &str = "~bpo";

/// What to do with packages; what cargo builds is no matter of root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// A source file that has to name another suite first.
    pub(crate) edit: Option<Edit>,
    /// Packages from wherever apt takes them.
    plain: Vec<&'static str>,
    /// Packages from another suite.
    from_suite: Option<(String, Vec<&'static str>)>,
}

/// A new text for a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) path: PathBuf,
    pub(crate) codename: String,
    pub(crate) suite: String,
    pub(crate) text: String,
}

impl Plan {
    /// Decides how `missing` are installed on the machine that `facts` describe.
    pub(crate) fn new(facts: &Facts, missing: &[Tool]) -> Self {
        let suite = backports(facts);
        let is_special = |tool: &&Tool| suite.is_some() && **tool == Tool::Qemu;
        let package = |tool: &Tool| match tool.source() {
            Source::Package(name) => Some(name),
            Source::Crate { .. } => None,
        };
        let special = missing.iter().filter(is_special);
        let special: Vec<&str> = special.filter_map(package).collect();
        let plain = missing.iter().filter(|tool| !is_special(tool));
        let plain = plain.filter_map(package).collect();
        let from_suite = suite
            .filter(|_| !special.is_empty())
            .map(|suite| (suite, special));
        let edit = from_suite
            .as_ref()
            .and_then(|(suite, _)| edit(facts, suite));
        Self {
            edit,
            plain,
            from_suite,
        }
    }

    /// The commands to run as root, in order, each as its words; none if no package is missing.
    pub(crate) fn commands(&self) -> Vec<Vec<String>> {
        if self.plain.is_empty() && self.from_suite.is_none() {
            return Vec::new();
        }
        let apt = |words: &[&str], packages: &[&str]| {
            [&["apt-get"], words, packages]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        let install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
        let mut commands: Vec<Vec<String>> = vec![apt(&["update"], &[])];
        if !self.plain.is_empty() {
            commands.push(apt(&install, &self.plain));
        }
        if let Some((suite, packages)) = &self.from_suite {
            commands.push(apt(
                &[&install[..], &["--target-release", suite.as_str()]].concat(),
                packages,
            ));
        }
        commands
    }

    /// The plan as one line to type.
    pub(crate) fn sudo(&self) -> String {
        let mut script = self.shell();
        for special in ['\\', '$', '"', '`'] {
            script = script.replace(special, &format!("\\{special}"));
        }
        format!("sudo sh -c \"{script}\"")
    }

    /// The plan as one line of shell for root.
    pub(crate) fn shell(&self) -> String {
        let edit = self.edit.iter().map(Edit::shell);
        let commands = self.commands().into_iter().map(|words| words.join(" "));
        edit.chain(commands).collect::<Vec<_>>().join(" && ")
    }
}

impl Edit {
    /// The same change in the words of `sed`.
    fn shell(&self) -> String {
        let Self {
            path,
            codename,
            suite,
            ..
        } = self;
        let path = path.display();
        format!(
            "sed -i -e '/^Suites:.* {codename}\\( \\|$\\)/s/$/ {suite}/' \
             -e '/^deb .* {codename} /{{p;s/ {codename} / {suite} /}}' {path}"
        )
    }
}

/// The suite that QEMU has to come from, if it is not the release.
fn backports(facts: &Facts) -> Option<String> {
    let codename = facts.codename.as_ref()?;
    let is_backport = |(_, version): &(String, String)| version.contains(BACKPORT);
    facts
        .qemu_packages
        .iter()
        .any(is_backport)
        .then(|| format!("{codename}-backports"))
}

fn edit(facts: &Facts, suite: &str) -> Option<Edit> {
    if facts.sources.iter().any(|(_, text)| has_suite(text, suite)) {
        return None;
    }
    let codename = facts.codename.clone()?;
    facts.sources.iter().find_map(|(path, text)| {
        let text = with_suite(text, &codename, suite)?;
        let (path, suite) = (path.clone(), suite.to_owned());
        Some(Edit {
            path,
            codename: codename.clone(),
            suite,
            text,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{Facts, Plan, Tool};

    const SOURCES: &str =
        "URIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\nComponents: main\n";

    fn machine(qemu_utils: Option<&str>, sources: &str) -> Facts {
        let package = |version: &str| ("qemu-utils".to_owned(), version.to_owned());
        Facts {
            codename: Some("bookworm".to_owned()),
            qemu_packages: qemu_utils.map(package).into_iter().collect(),
            sources: vec![(
                "/etc/apt/sources.list.d/debian.sources".into(),
                sources.to_owned(),
            )],
        }
    }

    fn check(facts: &Facts, missing: &[Tool], edits: bool, expected: &[&str]) {
        let plan = Plan::new(facts, missing);
        assert_eq!(plan.edit.is_some(), edits);
        let commands: Vec<String> = plan
            .commands()
            .iter()
            .map(|words| words.join(" "))
            .collect();
        let expected: Vec<String> = expected
            .iter()
            .map(|line| {
                line.replace(
                    "INSTALL",
                    "install --yes --no-install-recommends --no-remove",
                )
            })
            .collect();
        assert_eq!(commands, expected);
    }

    #[test]
    fn a_fresh_machine_takes_all_from_its_release() {
        let missing = [Tool::Qemu, Tool::Curl];
        let expected = ["apt-get update", "apt-get INSTALL qemu-system-x86 curl"];
        check(&machine(None, SOURCES), &missing, false, &expected);
        check(
            &machine(Some("1:7.2+dfsg-7"), SOURCES),
            &missing,
            false,
            &expected,
        );
        check(&Facts::default(), &missing, false, &expected);
    }

    #[test]
    fn a_machine_with_backported_qemu_utils_takes_qemu_from_backports() {
        let facts = machine(Some("1:10.0.2+ds-2+deb13u1~bpo12+1"), SOURCES);
        let expected = [
            "apt-get update",
            "apt-get INSTALL curl",
            "apt-get INSTALL --target-release bookworm-backports qemu-system-x86",
        ];
        check(&facts, &[Tool::Qemu, Tool::Curl], true, &expected);
        let edit = Plan::new(&facts, &[Tool::Qemu]).edit.unwrap();
        assert!(
            edit.text
                .contains("Suites: bookworm bookworm-updates bookworm-backports\n")
        );
        assert_eq!(
            edit.path.to_str(),
            Some("/etc/apt/sources.list.d/debian.sources")
        );
    }

    #[test]
    fn a_suite_that_is_there_is_not_added_again() {
        let sources = SOURCES.replace("updates", "updates bookworm-backports");
        let facts = machine(Some("1:10.0.2~bpo12+1"), &sources);
        let expected = [
            "apt-get update",
            "apt-get INSTALL --target-release bookworm-backports qemu-system-x86",
        ];
        check(&facts, &[Tool::Qemu], false, &expected);
    }

    /// What `sh` leaves of the one line when it takes the double quotes off.
    fn unquoted(line: &str) -> String {
        let script = line
            .strip_prefix("sudo sh -c \"")
            .unwrap()
            .strip_suffix('"')
            .unwrap();
        script.replace("\\$", "$").replace("\\\\", "\\")
    }

    #[test]
    fn the_line_to_type_is_the_plan_in_quotes() {
        let facts = machine(Some("1:10.0.2~bpo12+1"), SOURCES);
        let plan = Plan::new(&facts, &[Tool::Qemu]);
        assert_eq!(unquoted(&plan.sudo()), plan.shell());
        assert!(
            plan.shell().starts_with(
                "sed -i -e '/^Suites:.* bookworm\\( \\|$\\)/s/$/ bookworm-backports/'"
            )
        );
        assert!(
            plan.shell()
                .contains(" && apt-get update && apt-get install ")
        );
    }

    #[test]
    fn what_cargo_builds_is_not_asked_of_apt() {
        let facts = machine(None, SOURCES);
        check(&facts, &[Tool::VhostDeviceVsock], false, &[]);
        let expected = ["apt-get update", "apt-get INSTALL curl"];
        check(
            &facts,
            &[Tool::VhostDeviceVsock, Tool::Curl],
            false,
            &expected,
        );
    }

    #[test]
    fn other_tools_leave_the_sources_alone() {
        let facts = machine(Some("1:10.0.2~bpo12+1"), SOURCES);
        check(
            &facts,
            &[Tool::Curl],
            false,
            &["apt-get update", "apt-get INSTALL curl"],
        );
    }
}
