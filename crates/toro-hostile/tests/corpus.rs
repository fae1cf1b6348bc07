//! Every target with the corpus that was saved for it, and that none is without one.

use std::fs;
use std::path::{Path, PathBuf};

use toro_hostile::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

#[test]
fn the_saved_corpus_does_no_harm() {
    for (name, run) in TARGETS {
        let corpus = fs::read_dir(fuzz().join("corpus").join(name));
        let mut count = 0;
        for file in corpus.unwrap_or_else(|error| panic!("the corpus of {name}: {error}")) {
            let path = file.expect("it can be listed").path();
            // The last line before a panic names the file.
            println!("{}", path.display());
            run(&fs::read(path).expect("it can be read"));
            count += 1;
        }
        assert!(count >= 2, "{count} files for {name}");
    }
}

#[test]
fn what_the_fuzzer_runs_is_what_is_listed_here() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("it can be read");
    let bins = manifest.split("[[bin]]").skip(1);
    let names: Vec<_> = bins.filter_map(|bin| bin.split('"').nth(1)).collect();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
}
