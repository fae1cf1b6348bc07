//! The closed list of statics: what lives longer than anything else is known by name.

use std::collections::BTreeSet;

use super::Finding;
use super::source::Source;

/// What stands above the table of the closed list in `docs/ARCHITECTURE.md`.
const HEADING: &str = "Statics that hold state";

/// Types that hold no state: constants with an address.
const CONSTANT: &[&str] = &["[u8;", "[u16;", "[u32;", "[u64;", "&", "RawWakerVTable"];

/// The statics that hold state, as `crate::NAME`, sorted.
pub(super) fn list(sources: &[Source]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for source in sources.iter().filter(|source| !is_test(&source.path)) {
        let until_tests = source
            .code
            .iter()
            .take_while(|line| line.trim() != "#[cfg(test)]");
        for name in until_tests.filter_map(|line| declared(line)) {
            found.insert(format!("{}::{name}", source.kind.package));
        }
    }
    found.into_iter().collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The name of a static with state that `line` declares. Symbols of the linker have lower-case names.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let at = if line.starts_with("static ") {
        0
    } else {
        line.find(" static ")? + 1
    };
    let visible = line[..at].trim();
    if !(visible.is_empty() || visible.starts_with("pub")) {
        return None;
    }
    let (name, kind) = line[at..].strip_prefix("static ")?.split_once(':')?;
    let name = name.trim_start_matches("mut ").trim();
    let constant = CONSTANT
        .iter()
        .any(|start| kind.trim_start().starts_with(start));
    (!constant && name.chars().next()?.is_ascii_uppercase()).then_some(name)
}

/// Compares the statics with the table in `architecture`, if there is one.
pub(super) fn compare(found: &[String], architecture: &str) -> Vec<Finding> {
    let Some((_, behind)) = architecture.split_once(HEADING) else {
        return Vec::new();
    };
    let rows = behind
        .lines()
        .skip(1)
        .skip_while(|line| !line.starts_with('|'));
    let listed: Vec<String> = rows
        .take_while(|line| line.starts_with('|'))
        .flat_map(row)
        .collect();
    let finding = |message: String| Finding {
        place: "docs/ARCHITECTURE.md".to_owned(),
        message,
    };
    let missing = found
        .iter()
        .filter(|name| !listed.contains(name))
        .map(|name| {
            finding(format!(
                "the static `{name}` is not in the closed list; it needs a decision record"
            ))
        });
    let gone = listed.iter().filter(|name| !found.contains(name));
    let gone = gone.map(|name| finding(format!("the listed static `{name}` does not exist")));
    missing.chain(gone).collect()
}

/// The statics of a row, whose first cell names the crate and whose second cell names them.
fn row(line: &str) -> Vec<String> {
    let mut cells = line.trim_matches('|').split('|');
    let package = cells.next().and_then(|cell| quoted(cell).next());
    let names = cells.next().unwrap_or_default();
    package
        .into_iter()
        .flat_map(|package| quoted(names).map(move |name| format!("{package}::{name}")))
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::{compare, list};
    use crate::tidy::source::{Kind, Source};

    fn found(text: &str) -> Vec<String> {
        let kind = Kind {
            package: "toro-net".to_owned(),
            holds_unsafe: false,
            appliance: false,
        };
        list(&[Source::new(kind, "src/stack.rs", text)])
    }

    #[test]
    fn statics_with_state_are_found_by_what_they_hold() {
        assert_eq!(
            found("static STACK: PerCore<Stack> = PerCore::new();"),
            ["toro-net::STACK"]
        );
        assert_eq!(
            found("pub(crate) static A: Once<u8> = Once::new();"),
            ["toro-net::A"]
        );
        assert_eq!(
            found("    static NEXT: AtomicU64 = AtomicU64::new(1);"),
            ["toro-net::NEXT"]
        );
        assert_eq!(found("static mut A: u8 = 0;"), ["toro-net::A"]);
        assert!(found("static TABLE: [u8; 4] = [0; 4];\nstatic NAME: &str = \"\";").is_empty());
        assert!(found("    static __image_start: u8;").is_empty());
        assert!(found("fn f(a: &'static A) -> &'static B: C {").is_empty());
        assert!(found("#[cfg(test)]\nmod tests {\nstatic A: Once<u8> = Once::new();").is_empty());
    }

    #[test]
    fn the_list_and_the_code_must_agree() {
        let doc = "# All\nStatics that hold state:\n\n| crate | static | what |\n|---|---|---|\n\
                   | `toro-log` | `LOG`, `RING` | `x` |\n| `toro-net` | `STACK` | y |\n\n| `a` | `B` |\n";
        let all = ["toro-log::LOG", "toro-log::RING", "toro-net::STACK"].map(str::to_owned);
        assert_eq!(compare(&all, doc), []);
        assert!(
            compare(&all[..2], doc)[0]
                .to_string()
                .contains("does not exist")
        );
        let more = [&all[..], &["toro-x::Y".to_owned()]].concat();
        assert!(
            compare(&more, doc)[0]
                .to_string()
                .contains("not in the closed list")
        );
        assert_eq!(compare(&more, "# No such section"), []);
    }
}
