//! Rules for the documents: each link leads to a file, and each decision has a number of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Finding;

/// Where documents lie.
const FOLDERS: &[&str] = &["", "docs", "docs/guide", "docs/decisions"];

/// Holds the documents of the workspace at `root` against the rules.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for folder in FOLDERS {
        let pages = pages(&root.join(folder))?;
        if *folder == "docs/decisions" {
            findings.extend(numbers(&pages));
        }
        for page in pages {
            let text = fs::read_to_string(&page)
                .with_context(|| format!("cannot read {}", page.display()))?;
            let folder = page.parent().unwrap_or(root);
            let is_dead = |link: &&str| !folder.join(link).exists();
            findings.extend(links(&text).filter(is_dead).map(|link| {
                Finding {
                    place: page
                        .strip_prefix(root)
                        .unwrap_or(&page)
                        .display()
                        .to_string(),
                    message: format!("a link leads to {link}, which is not there"),
                }
            }));
        }
    }
    Ok(findings)
}

/// The documents in a folder, by name.
fn pages(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut pages = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

/// The files that a document links to, from its own folder. Links of Rust's documentation, in examples, name no files.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    let files = targets.map(|(target, _)| target.split('#').next().unwrap_or(target));
    files.filter(|file| {
        !file.is_empty()
            && !file.contains("::")
            && !file.contains("://")
            && !file.contains(char::is_whitespace)
    })
}

/// Decisions that share their number.
fn numbers(pages: &[PathBuf]) -> Vec<Finding> {
    let mut taken = BTreeMap::new();
    let mut findings = Vec::new();
    for page in pages {
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        let number = name.split('-').next().unwrap_or_default().to_owned();
        if let Some(other) = taken.insert(number, name.clone().into_owned()) {
            findings.push(Finding {
                place: format!("docs/decisions/{name}"),
                message: format!("the number is that of {other}"),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found() {
        let text = "[a](a.md) [b](guide/b.md#part) [c](https://c.example/) [here](#part) [`d`](Self::d) `x[0](y z)`";
        assert_eq!(links(text).collect::<Vec<_>>(), ["a.md", "guide/b.md"]);
    }

    #[test]
    fn decisions_have_numbers_of_their_own() {
        let pages = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert!(numbers(&pages(&["0001-a.md", "0002-b.md"])).is_empty());
        let found = numbers(&pages(&["0001-a.md", "0002-b.md", "0002-c.md"]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "docs/decisions/0002-c.md");
    }
}
