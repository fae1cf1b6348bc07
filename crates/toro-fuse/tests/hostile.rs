//! Servers that lie: a slice of what the fuzz target would try, the same each time.

use toro_fake::Random;

mod script;

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
