//! The files that both servers serve while they are measured.

/// One file.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its path below the root of the server.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) content: Vec<u8>,
}

/// Length of the small page: that of nginx' welcome page, on which many comparisons stand.
const SMALL_LEN: usize = 612;
/// Length of the large file.
const LARGE_LEN: usize = 1 << 20;

/// The small page at `/` and the large file at `/1m.bin`.
pub(crate) fn all() -> [Page; 2] {
    let large = (0..LARGE_LEN)
        .map(|i| u8::try_from(i % 256).expect("below 256"))
        .collect();
    [
        Page {
            name: "index.html".to_owned(),
            content: small(),
        },
        Page {
            name: "1m.bin".to_owned(),
            content: large,
        },
    ]
}

fn small() -> Vec<u8> {
    let (head, tail) = (
        "<!DOCTYPE html>\n<html><body>\n<p>",
        "</p>\n</body></html>\n",
    );
    let filling = "This page is served to be measured. ".chars().cycle();
    let room = SMALL_LEN - head.len() - tail.len();
    head.chars()
        .chain(filling.take(room))
        .chain(tail.chars())
        .collect::<String>()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn pages_have_the_lengths_that_figures_are_compared_at() {
        let [small, large] = all();
        assert_eq!((small.content.len(), large.content.len()), (612, 1_048_576));
        assert!(small.content.ends_with(b"</html>\n"));
    }
}
