//! Everything that is left to chance, drawn from one seed.

use std::time::Duration;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// A generator whose algorithm is fixed, so that a seed means the same run on every machine.
#[derive(Clone)]
pub(super) struct Chance(Pcg64Mcg);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(Pcg64Mcg::seed_from_u64(seed))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 up to `limit`, which is left out.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number from `least` to `most`, both included.
    pub(super) fn whole(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() {
            return None;
        }
        all.get(self.below(all.len() as u64) as usize)
    }

    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        Duration::from_nanos(self.whole(least.as_nanos() as u64, most.as_nanos() as u64))
    }

    /// As likely to be short as to be long: even on a logarithmic scale.
    pub(super) fn any_scale(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (least.as_secs_f64(), most.as_secs_f64());
        Duration::from_secs_f64(least * (most / least).powf(self.unit()))
    }

    /// A heavy tail: at least `least`, twice that in the median, and ten thousand times that once in
    /// ten thousand times.
    pub(super) fn heavy(&mut self, least: Duration, most: Duration) -> Duration {
        let stretched = least.as_secs_f64() / (1.0 - self.unit());
        Duration::from_secs_f64(stretched.min(most.as_secs_f64()))
    }

    /// From 0 up to 1, which is left out.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
