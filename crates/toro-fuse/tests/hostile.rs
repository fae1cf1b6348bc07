//! Servers that lie: the saved corpus of the fuzz target, and a slice of what it would try, the same each time.

use std::fs;
use std::path::Path;

use toro_fake::Random;

mod script;

#[test]
fn the_corpus_ends_well() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/fuse");
    let mut count = 0;
    for seed in fs::read_dir(corpus).expect("the corpus is there") {
        let path = seed.expect("it can be listed").path();
        script::run(&fs::read(path).expect("a seed can be read"));
        count += 1;
    }
    assert!(count >= 4, "only {count} seeds");
}

#[test]
fn random_lies_end_well() {
    for seed in 0..600 {
        let mut random = Random::new(seed);
        // Mostly honest, so that the later calls are reached too.
        let density = 1 + random.below(60);
        let len = random.index(4000);
        let script: Vec<u8> = (0..len)
            .map(|_| match random.below(density) {
                0 => random.next_u8(),
                _ => 0,
            })
            .collect();
        script::run(&script);
    }
}
