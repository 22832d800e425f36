//! A simulated population of palms whose scores look like a biometric system's. Shared by the demo and the benches; claims nothing about real palms.
//!
//! A palm is a direction drawn from an anisotropic Gaussian ([`spectrum`]), so that non-mated
//! scores spread wider than the 1/√D of isotropic noise. A capture is the palm plus an error
//! drawn from the same spectrum: `x = (p + e·n) / ‖p + e·n‖`. Its size `e` is log-normal, in part
//! a trait of the subject and in part of the capture, and a few captures are spoiled ([`noise`]).
//! Two captures of one palm then score about `1/√((1+e₁²)(1+e₂²))`.
//!
//! The parameters were fitted to quantiles measured on real contactless palm regions (100 palms,
//! 3,816 mated and 407,055 non-mated pairs); the tests hold them there at 256 and 512 dimensions.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::model::signature::Dimension;

pub mod noise;
pub mod spectrum;

use noise::CaptureNoise;

/// Squared length of the part that all palms have in common. Captures shrink it, so that the mean
/// non-mated score comes to 0.01.
const COMMON_SQUARED: f64 = 0.013;

/// What a stream of random numbers is for; part of its key, so that streams never overlap.
#[derive(Clone, Copy)]
enum Purpose {
    Palm = 1,
    Habit = 2,
    Capture = 3,
    StrangerPalm = 4,
    StrangerHabit = 5,
    StrangerCapture = 6,
}

/// Streams of a subject and of a stranger: the palm, the habit, the capture.
const SUBJECT: [Purpose; 3] = [Purpose::Palm, Purpose::Habit, Purpose::Capture];
const STRANGER: [Purpose; 3] = [
    Purpose::StrangerPalm,
    Purpose::StrangerHabit,
    Purpose::StrangerCapture,
];

/// Capture number of the enrolled signature.
const ENROLLED: u64 = u64::MAX;

/// A population: every signature is a pure function of the seed, the dimension and its own
/// numbers, whatever the order, thread or machine (up to the last bit of the platform's `exp`).
#[derive(Debug, Clone)]
pub struct Population {
    seed: u64,
    dim: Dimension,
    /// Standard deviation of each coordinate; squares sum to 1.
    deviations: Vec<f32>,
    /// What all palms have in common, on each coordinate.
    common: f32,
    noise: CaptureNoise,
}

impl Population {
    /// A population of signatures of `dim` coordinates.
    pub fn new(seed: u64, dim: Dimension) -> Self {
        Self {
            seed,
            dim,
            deviations: spectrum::deviations(dim),
            common: to_f32((COMMON_SQUARED / dim_f64(dim)).sqrt()),
            noise: CaptureNoise::new(dim),
        }
    }

    /// Coordinates of a signature.
    pub fn dimension(&self) -> Dimension {
        self.dim
    }

    /// The enrolled capture of a subject, of unit norm.
    pub fn reference(&self, subject: u64) -> Vec<f32> {
        self.probe(subject, ENROLLED)
    }

    /// A later capture of the same palm, of unit norm. Captures of one subject differ by `capture`.
    pub fn probe(&self, subject: u64, capture: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.dim.get()];
        self.fill_capture(SUBJECT, subject, capture, &mut values);
        values
    }

    /// A capture of a palm that belongs to no subject number, of unit norm.
    pub fn stranger(&self, number: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.dim.get()];
        self.fill_capture(STRANGER, number, 0, &mut values);
        values
    }

    /// The enrolled captures of many subjects, row after row, made on all cores.
    pub fn references(&self, subjects: Range<u64>) -> Vec<f32> {
        let rows = usize::try_from(subjects.end.saturating_sub(subjects.start))
            .expect("rows that fit in memory fit in usize");
        let mut values = vec![0.0; rows * self.dim.get()];
        values
            .par_chunks_mut(self.dim.get())
            .enumerate()
            .for_each(|(row, out)| {
                let subject = subjects.start + u64::try_from(row).expect("usize fits in 64 bits");
                self.fill_capture(SUBJECT, subject, ENROLLED, out);
            });
        values
    }

    fn fill_capture(&self, [palm, habit, capture]: [Purpose; 3], who: u64, number: u64, out: &mut [f32]) {
        let mut rng = self.rng(palm, who, 0);
        self.fill_direction(&mut rng, self.common, out);
        let habit = self.noise.habit(&mut self.rng(habit, who, 0));
        let mut rng = self.rng(capture, who, number);
        let error = to_f32(self.noise.error(habit, &mut rng));
        let mut direction = vec![0.0; out.len()];
        self.fill_direction(&mut rng, 0.0, &mut direction);
        for (value, step) in out.iter_mut().zip(&direction) {
            *value += error * step;
        }
        normalize(out);
    }

    fn fill_direction(&self, rng: &mut ChaCha8Rng, common: f32, out: &mut [f32]) {
        for (value, deviation) in out.iter_mut().zip(&self.deviations) {
            let normal: f32 = StandardNormal.sample(rng);
            *value = common + deviation * normal;
        }
        normalize(out);
    }

    fn rng(&self, purpose: Purpose, who: u64, number: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        let words = [self.seed, purpose as u64, who, number];
        for (bytes, word) in key.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        ChaCha8Rng::from_seed(key)
    }
}

fn normalize(values: &mut [f32]) {
    let squared: f64 = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    let scale = to_f32(squared.sqrt().recip());
    for value in values {
        *value *= scale;
    }
}

fn dim_f64(dim: Dimension) -> f64 {
    f64::from(u16::try_from(dim.get()).expect("a dimension fits in 16 bits"))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded to single precision on purpose"
)]
fn to_f32(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
#[path = "population_tests.rs"]
mod tests;
