//! Content types by the extension of a file name.

/// What is sent for a name that says nothing.
const UNKNOWN: &str = "application/octet-stream";

/// Extensions in lower case and their types.
const TYPES: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("bin", UNKNOWN),
    ("bmp", "image/bmp"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// The content type for the file at `path`.
pub(crate) fn of_path(path: &str) -> &'static str {
    let bytes = path.as_bytes();
    // Pages are most of what is asked for; the table is in the order of the alphabet, not of use.
    if bytes.ends_with(b".html") {
        return "text/html; charset=utf-8";
    }
    let start = bytes.iter().rposition(|byte| matches!(byte, b'.' | b'/'));
    let Some(start) = start.filter(|at| bytes[*at] == b'.') else {
        return UNKNOWN;
    };
    let extension = &bytes[start + 1..];
    let found = TYPES
        .iter()
        .find(|(name, _)| extension.eq_ignore_ascii_case(name.as_bytes()));
    found.map_or(UNKNOWN, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: &str) {
        assert_eq!(of_path(path), expected, "{path}");
    }

    #[test]
    fn the_extension_decides_in_any_case() {
        check("/index.html", "text/html; charset=utf-8");
        check("/INDEX.HTM", "text/html; charset=utf-8");
        check("/a/b.c/logo.svg", "image/svg+xml");
        check("/x.tar.gz", "application/gzip");
        check("/font.woff2", "font/woff2");
    }

    #[test]
    fn a_name_without_a_known_extension_is_bytes() {
        for path in ["/", "/README", "/dir.css/file", "/x.", "/x.unheard", ""] {
            check(path, UNKNOWN);
        }
    }
}
