//! Rules for one file at a time.

use super::Finding;
use super::source::{Source, has_word};

/// The crates that may speak to the processor directly.
const ARCHITECTURE: &[&str] = &[
    "toro-arch",
    "toro-boot",
    "torov-batch",
    "torov-interrupt",
    "torov-vcpu",
];

/// The crates that may have features: the third says with one whether the hooks in all others are there, the fourth whether
/// segments have timestamps.
const FEATURES: &[&str] = &["toro", "toro-rt", "toro-trace", "toro-net"];

/// The facade, whose `main!` gives an appliance's main function its symbol: the one attribute that it may write.
const FACADE: (&str, &str) = ("toro", "#[unsafe(no_mangle)]");

/// Names that say nothing of what a file holds.
const VAGUE: &[&str] = &[
    "utils.rs",
    "util.rs",
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "misc.rs",
];

/// From here on a file is too long, and from the second number on it is refused.
const LONG: usize = 400;
const TOO_LONG: usize = 600;

/// Holds `source` against every rule.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(opening(source));
    findings.extend(name(source));
    findings.extend(length(source));
    findings.extend(unsafe_lint(source));
    findings.extend(lines(source, &source.code, code_line));
    findings.extend(lines(source, &source.comments, comment_line));
    findings
}

/// A warning if the file grows long.
pub(super) fn long(source: &Source) -> Option<Finding> {
    let len = source.code.len();
    let message = format!("{len} lines; what is its second idea?");
    (LONG < len && len <= TOO_LONG).then(|| whole(source, message))
}

fn opening(source: &Source) -> Option<Finding> {
    let message = "the file does not open with `//!` and what it holds";
    (!source.first.starts_with("//!")).then(|| whole(source, message.to_owned()))
}

fn name(source: &Source) -> Option<Finding> {
    let name = source.path.rsplit('/').next()?;
    let message = format!("the name {name} says nothing of what the file holds");
    VAGUE.contains(&name).then(|| whole(source, message))
}

fn length(source: &Source) -> Option<Finding> {
    let len = source.code.len();
    (len > TOO_LONG).then(|| whole(source, format!("{len} lines are more than {TOO_LONG}")))
}

/// A crate without unsafe code says so where it begins.
fn unsafe_lint(source: &Source) -> Option<Finding> {
    let deny = source.kind.appliance || source.kind.package == FACADE.0;
    let wanted = if deny {
        "#![deny(unsafe_code)]"
    } else {
        "#![forbid(unsafe_code)]"
    };
    let forbids = "#![forbid(unsafe_code)]";
    let says = source
        .code
        .iter()
        .any(|line| line.trim() == wanted || line.trim() == forbids);
    let bound = source.is_root() && !source.kind.holds_unsafe;
    (bound && !says).then(|| whole(source, format!("the crate does not say {wanted}")))
}

fn code_line(source: &Source, line: &str) -> Option<String> {
    let package = source.kind.package.as_str();
    let processor = ["asm!", "global_asm!", "naked_asm!"]
        .into_iter()
        .find(|word| line.contains(word));
    let processor = processor.or_else(|| {
        ["core::arch", "std::arch", "target_arch"]
            .into_iter()
            .find(|word| has_word(line, word))
    });
    if let Some(word) = processor.filter(|_| !ARCHITECTURE.contains(&package)) {
        return Some(format!(
            "`{word}` belongs into {}",
            ARCHITECTURE.join(" or ")
        ));
    }
    let named = (package, line.trim()) == FACADE;
    if has_word(line, "unsafe") && !named && !source.kind.holds_unsafe {
        return Some(format!(
            "`unsafe`, but the manifest of {package} does not say `unsafe = true`"
        ));
    }
    let conditional = line.contains("cfg") && has_word(line, "feature");
    (conditional && !FEATURES.contains(&package))
        .then(|| format!("features belong into {}", FEATURES.join(" and ")))
}

fn comment_line(_: &Source, line: &str) -> Option<String> {
    let word = ["TODO", "FIXME"]
        .into_iter()
        .find(|word| has_word(line, word))?;
    let behind = line.split_once(word).map_or("", |(_, behind)| behind);
    let number = behind
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'));
    let named = number.is_some_and(|(digits, _)| digits.parse::<u32>().is_ok());
    (!named).then(|| format!("`{word}` without an issue: write `{word}(#7)`"))
}

/// The findings of a rule for single lines.
fn lines(
    source: &Source,
    lines: &[String],
    rule: fn(&Source, &str) -> Option<String>,
) -> Vec<Finding> {
    let found = |(number, line): (usize, &String)| {
        let message = rule(source, line)?;
        Some(Finding {
            place: format!("{}:{}", source.path, number + 1),
            message,
        })
    };
    lines.iter().enumerate().filter_map(found).collect()
}

fn whole(source: &Source, message: String) -> Finding {
    Finding {
        place: source.path.clone(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::{check, long};
    use crate::tidy::source::{Kind, Source};

    fn source(package: &str, path: &str, text: &str) -> Source {
        let kind = Kind {
            package: package.to_owned(),
            holds_unsafe: package == "toro-arch",
            appliance: package == "hello",
        };
        Source::new(kind, path, text)
    }

    /// Checks a module of `package` that holds `line`; `expected` is a piece of the only finding.
    fn line(package: &str, line: &str, expected: Option<&str>) {
        let found = check(&source(
            package,
            "src/x.rs",
            &format!("//! Holds x.\n\n{line}\n"),
        ));
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        match expected {
            None => assert!(texts.is_empty(), "{line}: {texts:?}"),
            Some(text) => {
                assert!(
                    texts.len() == 1 && texts[0].contains(text),
                    "{line}: {texts:?}"
                );
                assert!(texts[0].starts_with("src/x.rs:3: "), "{texts:?}");
            }
        }
    }

    #[test]
    fn only_architecture_crates_speak_to_the_processor() {
        line(
            "toro-net",
            "core::arch::global_asm!(\"hlt\");",
            Some("asm!"),
        );
        line(
            "toro-net",
            "use core::arch::x86_64::_rdtsc;",
            Some("core::arch"),
        );
        line(
            "toro-net",
            "#[cfg(target_arch = \"x86_64\")]",
            Some("target_arch"),
        );
        line("toro-arch", "core::arch::asm!(\"hlt\");", None);
        line("toro-net", "// asm! would be faster", None);
    }

    #[test]
    fn unsafe_stays_where_the_manifest_says() {
        line("toro-net", "unsafe { x() }", Some("unsafe = true"));
        line("toro-net", "#[unsafe(no_mangle)]", Some("unsafe = true"));
        line("toro-arch", "unsafe { x() }", None);
        line("toro-net", "let text = \"unsafe\";", None);
    }

    #[test]
    fn the_facade_may_name_a_symbol_and_nothing_else() {
        line("toro", "    #[unsafe(no_mangle)]", None);
        line("toro", "unsafe { x() }", Some("unsafe = true"));
    }

    #[test]
    fn features_stay_in_few_crates() {
        line("toro-vfs", "#[cfg(feature = \"tcp\")]", Some("features"));
        line(
            "toro-vfs",
            "if cfg!(feature = \"tcp\") {}",
            Some("features"),
        );
        line("toro-rt", "#[cfg(feature = \"net\")]", None);
        line("toro-net", "#[cfg(test)]", None);
    }

    #[test]
    fn plans_name_an_issue() {
        line("toro-net", "// TODO: later", Some("TODO(#7)"));
        line("toro-net", "/* FIXME(me) */", Some("FIXME(#7)"));
        line("toro-net", "// TODO(#12): later", None);
        line("toro-net", "let text = \"TODO\";", None);
    }

    #[test]
    fn a_file_opens_with_what_it_holds() {
        assert_eq!(check(&source("toro-net", "src/x.rs", "use a;\n")).len(), 1);
        assert_eq!(
            check(&source("toro-net", "src/utils.rs", "//! X.\n")).len(),
            1
        );
    }

    #[test]
    fn a_file_ends_in_time() {
        let with = |lines: usize| source("toro-net", "src/x.rs", &"//! X.\n".repeat(lines));
        assert!(check(&with(600)).is_empty() && long(&with(400)).is_none());
        assert!(long(&with(401)).is_some());
        assert_eq!(check(&with(601)).len(), 1);
    }

    #[test]
    fn a_crate_without_unsafe_code_says_so() {
        let root = |package: &str, lint: &str| {
            check(&source(
                package,
                "p/src/lib.rs",
                &format!("//! X.\n{lint}\n"),
            ))
            .len()
        };
        assert_eq!(root("toro-net", ""), 1);
        assert_eq!(root("toro-net", "#![deny(unsafe_code)]"), 1);
        assert_eq!(root("toro-net", "#![forbid(unsafe_code)]"), 0);
        assert_eq!(root("hello", ""), 1);
        assert_eq!(root("hello", "#![deny(unsafe_code)]"), 0);
        assert_eq!(root("toro-arch", ""), 0);
    }
}
