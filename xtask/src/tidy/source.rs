//! [`Source`]: one file, with its code and its comments told apart.

use std::path::Path;

use crate::workspace::Package;

/// What kind of crate a file belongs to: that decides which rules it obeys.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// The name of the crate.
    pub(super) package: String,
    /// Whether its manifest says `unsafe = true`.
    pub(super) holds_unsafe: bool,
    /// Whether it is an image.
    pub(super) appliance: bool,
}

impl Kind {
    /// Reads it from the manifest.
    pub(super) fn of(package: &Package, root: &Path) -> Self {
        Self {
            package: package.name.clone(),
            holds_unsafe: package.toro().holds_unsafe,
            appliance: package.folder().starts_with(root.join("appliances")),
        }
    }
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    /// The path below the workspace.
    pub(super) path: String,
    /// The first line.
    pub(super) first: String,
    /// The lines with everything but code blanked: no comments, no contents of strings.
    pub(super) code: Vec<String>,
    /// The lines with everything but comments blanked.
    pub(super) comments: Vec<String>,
}

impl Source {
    /// Tells the code from the comments in `text`.
    pub(super) fn new(kind: Kind, path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        let first = text.lines().next().unwrap_or_default().to_owned();
        Self {
            kind,
            path: path.to_owned(),
            first,
            code: lines(&code),
            comments: lines(&comments),
        }
    }

    /// Whether this is where the crate begins.
    pub(super) fn is_root(&self) -> bool {
        self.path.ends_with("src/lib.rs") || self.path.ends_with("src/main.rs")
    }
}

/// What the character at hand belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    LineComment,
    /// With the depth of nesting.
    BlockComment(usize),
    /// With the number of hashes that end it; `None` for a string with escapes.
    Text(Option<usize>),
}

/// The text twice: once only its code, once only its comments, the rest blanked.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut part = Part::Code;
    let mut at = 0;
    while at < chars.len() {
        let (next, len) = step(part, &chars[at..], at > 0 && is_word(chars[at - 1]));
        let shown = if part == Part::Code { next } else { part };
        for &c in &chars[at..at + len] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            let is_comment = matches!(shown, Part::LineComment | Part::BlockComment(_));
            code.push(if shown == Part::Code { c } else { blank });
            comments.push(if is_comment { c } else { blank });
        }
        part = next;
        at += len;
    }
    (code, comments)
}

/// The part that follows, and how many characters lead there.
fn step(part: Part, rest: &[char], after_word: bool) -> (Part, usize) {
    let starts = |text: &str| {
        text.chars()
            .enumerate()
            .all(|(at, c)| rest.get(at) == Some(&c))
    };
    match part {
        Part::Code if starts("//") => (Part::LineComment, 2),
        Part::Code if starts("/*") => (Part::BlockComment(1), 2),
        Part::Code if starts("\"") => (Part::Text(None), 1),
        Part::Code if starts("r") && !after_word => raw_string(rest),
        Part::Code if starts("br") && !after_word && rest.len() > 1 => {
            let (part, len) = raw_string(&rest[1..]);
            (part, len + 1)
        }
        Part::Code if starts("'") => (Part::Code, char_literal(rest)),
        Part::LineComment if starts("\n") => (Part::Code, 1),
        Part::BlockComment(depth) if starts("/*") => (Part::BlockComment(depth + 1), 2),
        Part::BlockComment(1) if starts("*/") => (Part::Code, 2),
        Part::BlockComment(depth) if starts("*/") => (Part::BlockComment(depth - 1), 2),
        Part::Text(None) if starts("\\") => (part, rest.len().min(2)),
        Part::Text(None) if starts("\"") => (Part::Code, 1),
        Part::Text(Some(hashes)) if starts("\"") && hashes_at(&rest[1..]) >= hashes => {
            (Part::Code, 1 + hashes)
        }
        _ => (part, 1),
    }
}

/// `rest` begins with an `r`: the start of a raw string, or of a word.
fn raw_string(rest: &[char]) -> (Part, usize) {
    let hashes = hashes_at(&rest[1..]);
    match rest.get(1 + hashes) {
        Some('"') => (Part::Text(Some(hashes)), 2 + hashes),
        _ => (Part::Code, 1),
    }
}

fn hashes_at(rest: &[char]) -> usize {
    rest.iter().take_while(|&&c| c == '#').count()
}

/// The length of a character literal such as `'"'`, or 1 for a lifetime.
fn char_literal(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => tail
            .iter()
            .position(|&c| c == '\'')
            .map_or(1, |end| end + 4),
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` stands in `line` as a whole word.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_word);
        let after = line[at + word.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::{has_word, split};

    fn check(text: &str, code: &str, comments: &str) {
        let (found_code, found_comments) = split(text);
        assert_eq!(found_code.trim_end(), code, "{text}");
        assert_eq!(found_comments.trim(), comments, "{text}");
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        check("let a = 1; // unsafe", "let a = 1;", "// unsafe");
        check(
            "a /* b /* c */ d */ e",
            "a                   e",
            "/* b /* c */ d */",
        );
        check(r#"f("unsafe \" // x"); g"#, "f(                ); g", "");
        check(r##"f(r#"a " b"#, 1)"##, "f(          , 1)", "");
        check("let c = '\"'; // x", "let c = '\"';", "// x");
        check(r"let c = '\''; // x", r"let c = '\'';", "// x");
        check(
            "fn f<'a>(x: &'a str) {} // x",
            "fn f<'a>(x: &'a str) {}",
            "// x",
        );
        check("for r in attr {}", "for r in attr {}", "");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("unsafe { x }", "unsafe"));
        assert!(has_word("#[unsafe(no_mangle)]", "unsafe"));
        assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
        assert!(!has_word("holds_unsafe", "unsafe"));
    }
}
