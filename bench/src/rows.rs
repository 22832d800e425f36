//! Seeded rows and probes: isotropic unit vectors, each a pure function of the seed and its number. Keeps none of them.

use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use thenar::engine::canonical;
use thenar::model::signature::Dimension;

/// Rows one task makes.
const TASK_ROWS: usize = 256;
/// Cosine between a mated probe and its row, but for its spread of about 0.7/√D.
pub const MATED_SCORE: f32 = 0.7;
/// One probe in so many is a stranger.
const STRANGER_EVERY: u64 = 4;

/// What a stream of random numbers is for; part of its key, so that streams never overlap.
#[derive(Clone, Copy)]
enum Purpose {
    Row = 1,
    Mate = 2,
    Noise = 3,
    Stranger = 4,
}

/// A gallery that is not kept: any row can be made again.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    seed: u64,
    dim: Dimension,
}

/// A probe and the row it was made from.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Of unit norm.
    pub values: Arc<[f32]>,
    /// Number of the mated row; none for a stranger.
    pub mate: Option<u64>,
}

impl Rows {
    /// Rows of `dim` coordinates.
    pub fn new(seed: u64, dim: Dimension) -> Self {
        Self { seed, dim }
    }

    /// Coordinates of a row.
    pub fn dimension(&self) -> Dimension {
        self.dim
    }

    /// One row, rounded to half precision.
    pub fn row(&self, number: u64) -> Vec<f16> {
        let mut row = vec![f16::ZERO; self.dim.get()];
        self.fill(number, &mut row);
        row
    }

    /// Fills `out` with whole rows from number `first` on, on all threads of the current rayon pool.
    pub fn fill(&self, first: u64, out: &mut [f16]) {
        let dim = self.dim.get();
        out.par_chunks_mut(TASK_ROWS * dim)
            .enumerate()
            .for_each(|(task, rows)| {
                let mut values = vec![0.0; dim];
                let first = first + as_u64(task * TASK_ROWS);
                for (row, number) in rows.chunks_exact_mut(dim).zip(first..) {
                    self.direction(Purpose::Row, number, &mut values);
                    row.convert_from_f32_slice(&values);
                }
            });
    }

    /// Probe `number` of a gallery of `rows` rows: three of four are a noisy copy of a random row, the fourth is a stranger.
    pub fn probe(&self, number: u64, rows: u64) -> Probe {
        if number % STRANGER_EVERY == STRANGER_EVERY - 1 || rows == 0 {
            self.stranger(number)
        } else {
            self.mated(number, self.rng(Purpose::Mate, number).next_u64() % rows)
        }
    }

    /// Probe `number`, made from row `mate`.
    pub fn mated(&self, number: u64, mate: u64) -> Probe {
        let (mut values, mut noise) = (vec![0.0; self.dim.get()], vec![0.0; self.dim.get()]);
        self.direction(Purpose::Row, mate, &mut values);
        self.direction(Purpose::Noise, number, &mut noise);
        let off = (1.0 - MATED_SCORE * MATED_SCORE).sqrt();
        for (value, noise) in values.iter_mut().zip(&noise) {
            *value = MATED_SCORE * *value + off * noise;
        }
        normalize(&mut values);
        Probe {
            values: Arc::from(values),
            mate: Some(mate),
        }
    }

    /// Probe `number`, made from no row.
    pub fn stranger(&self, number: u64) -> Probe {
        let mut values = vec![0.0; self.dim.get()];
        self.direction(Purpose::Stranger, number, &mut values);
        Probe {
            values: Arc::from(values),
            mate: None,
        }
    }

    /// The first `count` probes of a gallery of `rows` rows.
    pub fn probes(&self, count: usize, rows: u64) -> Vec<Probe> {
        (0..count)
            .into_par_iter()
            .map(|number| self.probe(as_u64(number), rows))
            .collect()
    }

    /// Whether a probe has a mate whose canonical score reaches a threshold.
    pub fn reaches(&self, probe: &Probe, threshold: f32) -> bool {
        probe
            .mate
            .is_some_and(|mate| canonical::score(&probe.values, &self.row(mate)) >= threshold)
    }

    fn direction(&self, purpose: Purpose, number: u64, out: &mut [f32]) {
        let mut rng = self.rng(purpose, number);
        for value in out.iter_mut() {
            *value = StandardNormal.sample(&mut rng);
        }
        normalize(out);
    }

    fn rng(&self, purpose: Purpose, number: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        let words = [self.seed, purpose as u64, number];
        for (bytes, word) in key.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// A number of things that are in memory, as a stream's number.
pub fn as_u64(count: usize) -> u64 {
    u64::try_from(count).expect("usize fits in 64 bits")
}

fn normalize(values: &mut [f32]) {
    let squared: f32 = values.iter().map(|v| v * v).sum();
    let scale = squared.sqrt().recip();
    for value in values {
        *value *= scale;
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
