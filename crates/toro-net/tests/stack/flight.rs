//! The wire between two stations: frames on their way, and the weather they fly through.

use std::collections::BTreeMap;
use std::time::Duration;

use toro_time::Instant;

use crate::wire::Rng;

/// How the wire treats frames, each in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) lose: u64,
    pub(crate) repeat: u64,
    pub(crate) corrupt: u64,
    /// Longest delay; frames that got different ones change places.
    pub(crate) delay: Duration,
    /// What every frame takes besides.
    pub(crate) way: Duration,
}

/// Frames on their way.
pub(crate) struct Flight {
    pub(crate) weather: Weather,
    pub(crate) rng: Rng,
    /// By arrival, marked with where they go.
    frames: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    /// How many there were, copies included.
    pub(crate) launched: u64,
}

impl Flight {
    /// A wire in good weather.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            weather: Weather::default(),
            rng: Rng::new(seed),
            frames: BTreeMap::new(),
            launched: 0,
        }
    }

    /// Sends a frame off.
    pub(crate) fn launch(&mut self, now: Instant, mark: bool, mut frame: Vec<u8>) {
        self.launched += 1;
        let weather = self.weather;
        if self.rng.chance(weather.lose) {
            return;
        }
        if self.rng.chance(weather.corrupt) {
            let at = self.rng.below(frame.len());
            frame[at] ^= 1 << self.rng.below(8);
        }
        let copies = 1 + usize::from(self.rng.chance(weather.repeat));
        for _ in 0..copies {
            let longest = weather.delay.as_micros() as usize;
            let delay = if longest == 0 {
                0
            } else {
                self.rng.below(longest)
            };
            self.launched += 1;
            let arrival = now + weather.way + Duration::from_micros(delay as u64);
            self.frames
                .insert((arrival, self.launched), (mark, frame.clone()));
        }
    }

    /// Takes a frame that has arrived.
    pub(crate) fn land(&mut self, now: Instant) -> Option<(bool, Vec<u8>)> {
        let entry = self.frames.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// When the next frame arrives.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.frames.first_key_value().map(|(key, _)| key.0)
    }
}
