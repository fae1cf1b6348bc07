//! A slice of what the fuzzer does.

#[path = "hostile/mod.rs"]
mod play;

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
