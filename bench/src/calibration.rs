//! How strict the thresholds of `thenar calibrate` are where the truth is known: scores are drawn from distributions, and the false match rate at the
//! threshold that their tail gives is computed. Judges nothing, and knows no palms.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{ChiSquared, Distribution, StandardNormal};
use rayon::prelude::*;
use serde::Serialize;
use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;
use thenar::eval::calibrate::calibrate;
use thenar::eval::grid::{self, Counts};
use thenar::eval::interval::RULE_OF_THIRTY;
use thenar::eval::rates::Rates;

use crate::Failure;
use crate::timing::Samples;

/// How many times as rare as what 30 scores show a false match is to be.
pub const TIMES: [f64; 3] = [10.0, 100.0, 1_000.0];
/// Standard deviation of the narrower scores.
const NARROW: f64 = 0.06;
/// Spread of the logarithm of widths.
const SPREAD: f64 = 0.2;
/// Mean of the exponential scores.
const MEAN: f64 = 0.02;

/// A distribution of scores.
pub struct Kind {
    /// In words.
    pub name: &'static str,
    draw: fn(&mut ChaCha8Rng) -> f64,
    above: fn(f64) -> f64,
}

/// What thresholds are worth at one distance.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Strictness {
    /// One of [`TIMES`].
    pub times: f64,
    /// True false match rate at the threshold that is set, divided by the wanted one: exceeded by 95 % of the draws.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// Exceeded by 5 % of the draws.
    pub high: f64,
}

/// What thresholds are worth for one distribution.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The distribution.
    pub name: &'static str,
    /// Nearest first.
    pub strictness: Vec<Strictness>,
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn normal_above(score: f64, deviation: f64) -> f64 {
    0.5 * erfc(score / deviation / 2_f64.sqrt())
}

/// The first coordinate of a random direction.
fn direction(rng: &mut ChaCha8Rng, others: f64) -> f64 {
    let along = normal(rng);
    let across: f64 = ChiSquared::new(others).expect("degrees of freedom").sample(rng);
    along / (along * along + across).sqrt()
}

fn direction_above(score: f64, others: f64) -> f64 {
    let beyond = 0.5 * beta_reg(others / 2.0, 0.5, 1.0 - score * score);
    if score < 0.0 { 1.0 - beyond } else { beyond }
}

/// Normal, and `wider` times as wide for a share of the scores.
fn mixed(rng: &mut ChaCha8Rng, share: f64, wider: f64) -> f64 {
    let is_wide = rand::RngExt::random::<f64>(rng) < share;
    normal(rng) * NARROW * if is_wide { wider } else { 1.0 }
}

fn mixed_above(score: f64, share: f64, wider: f64) -> f64 {
    (1.0 - share) * normal_above(score, NARROW) + share * normal_above(score, wider * NARROW)
}

/// Normal, of widths whose logarithm is normal: the mean over widths, by their density in steps.
fn spread_above(score: f64) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for step in -800..=800 {
        let at = f64::from(step) / 100.0;
        let weight = (-at * at / 2.0).exp();
        sum += weight * normal_above(score, NARROW * (SPREAD * at).exp());
        weights += weight;
    }
    sum / weights
}

/// The distributions.
pub const KINDS: [Kind; 8] = [
    Kind {
        name: "normal",
        draw: |rng| NARROW * normal(rng),
        above: |score| normal_above(score, NARROW),
    },
    Kind {
        name: "cosines of random directions, 64 dimensions",
        draw: |rng| direction(rng, 63.0),
        above: |score| direction_above(score, 63.0),
    },
    Kind {
        name: "the same, 256",
        draw: |rng| direction(rng, 255.0),
        above: |score| direction_above(score, 255.0),
    },
    Kind {
        name: "normal, a half 1.6 times as wide",
        draw: |rng| mixed(rng, 0.5, 1.6),
        above: |score| mixed_above(score, 0.5, 1.6),
    },
    Kind {
        name: "normal, a tenth 1.5 times as wide",
        draw: |rng| mixed(rng, 0.1, 1.5),
        above: |score| mixed_above(score, 0.1, 1.5),
    },
    Kind {
        name: "widths spread by 20 % (log-normal)",
        draw: |rng| NARROW * (SPREAD * normal(rng)).exp() * normal(rng),
        above: spread_above,
    },
    Kind {
        name: "exponential",
        draw: |rng| -MEAN * (1.0 - rand::RngExt::random::<f64>(rng)).ln(),
        above: |score| (-score / MEAN).exp().min(1.0),
    },
    Kind {
        name: "normal, a hundredth 1.5 times as wide",
        draw: |rng| mixed(rng, 0.01, 1.5),
        above: |score| mixed_above(score, 0.01, 1.5),
    },
];

/// Draws `scores` scores of each distribution `draws` times and sets thresholds from them.
pub fn measure(scores: u32, draws: u64, seed: u64) -> Result<Vec<Row>, Failure> {
    let row = |kind: &Kind| {
        let drawn = (0..draws)
            .into_par_iter()
            .map(|draw| ratios(kind, scores, seed + draw))
            .collect::<Result<Vec<_>, String>>()?;
        let strictness = TIMES.iter().enumerate().map(|(at, times)| {
            let mut ratios = Samples::default();
            for draw in &drawn {
                ratios.push(draw[at]);
            }
            let quantile = |share| ratios.quantile(share).ok_or("no draw");
            Ok(Strictness {
                times: *times,
                low: quantile(0.05)?,
                median: quantile(0.5)?,
                high: quantile(0.95)?,
            })
        });
        Ok(Row {
            name: kind.name,
            strictness: strictness.collect::<Result<_, Failure>>()?,
        })
    };
    KINDS.iter().map(row).collect()
}

/// The true false match rate over the wanted one, at each of [`TIMES`].
fn ratios(kind: &Kind, scores: u32, seed: u64) -> Result<[f64; 3], String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a score as it comes from a product"
    )]
    let drawn = (0..scores).map(|_| grid::bin((kind.draw)(&mut rng) as f32));
    let rates = Rates {
        mated: Counts::of([grid::bin(1.0)]),
        non_mated: Counts::of(drawn),
    };
    let mut ratios = [0.0; 3];
    for (ratio, times) in ratios.iter_mut().zip(TIMES) {
        let fmr = RULE_OF_THIRTY / f64::from(scores) / times;
        let found = calibrate(&rates, fmr).map_err(|error| format!("{}: {error}", kind.name))?;
        *ratio = (kind.above)(found.threshold) / fmr;
    }
    Ok(ratios)
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
