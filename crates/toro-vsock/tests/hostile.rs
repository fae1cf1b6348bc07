//! A slice of what the fuzzer does, and its seeds.

#[path = "hostile/mod.rs"]
mod play;

use std::fs;

use toro_fake::Random;

#[test]
fn random_hosts_do_no_harm() {
    for seed in 0..1500 {
        let mut random = Random::new(seed);
        let len = random.index(1000);
        let data: Vec<u8> = (0..len).map(|_| random.next_u8()).collect();
        play::play(&data);
    }
}

#[test]
fn the_seeds_of_the_fuzzer_do_no_harm() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/vsock");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the seeds are there") {
        play::play(&fs::read(entry.expect("an entry").path()).expect("a file"));
        count += 1;
    }
    assert!(count > 0);
}
