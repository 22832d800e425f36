//! From counted scores to the threshold that keeps a false positive rate at a gallery size. Says what was counted and what is extrapolated.
//!
//! An identification compares with N references, so that FPIR = 1 − (1 − FMR)ᴺ where comparisons are independent. Is the FMR that this asks for
//! one that 30 non-mated scores or more reach, the threshold is counted. Beyond, the tail is extrapolated: by the theorem of Pickands, Balkema and
//! de Haan what lies above a high score follows a generalised Pareto distribution, which is fitted to the highest scores by probability-weighted
//! moments (Hosking, Wallis 1987). Cosines end at 1, so that its shape is not above 0. The interval comes from fitting samples of the fitted
//! distribution again.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::Serialize;
use thiserror::Error;

use super::grid::{self, Counts, UNREACHED};
use super::interval::{RULE_OF_THIRTY, clopper_pearson};
use super::rates::Rates;
use super::{as_f64, bootstrap};

/// Fewest non-mated scores that a tail can be fitted to: it takes one in a hundred.
pub const NON_MATED_MIN: u64 = 10_000;
/// Most scores that a tail is fitted to, and the share of all.
const TAIL_MAX: u64 = 10_000;
const TAIL_SHARE: f64 = 0.01;
/// Samples of the fitted tail that are fitted again.
const DRAWS: u64 = 500;
const SEED: u64 = 1;
/// Below it a shape is as good as 0, and dividing by it would lose digits.
const SHAPE_MIN: f64 = 1e-9;

/// How the threshold was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "basis")]
pub enum Basis {
    /// Scores at or above it were counted.
    Counted,
    /// There are not enough scores so far out: a fitted tail.
    Extrapolated {
        /// How many times more rare the false match is than the rarest that 30 scores show.
        times: f64,
        /// Scores the tail was fitted to.
        scores: u64,
        /// From which score on.
        from: f64,
        /// Scale of the distribution, in score.
        scale: f64,
        /// Its shape ξ, at most 0.
        shape: f64,
        /// The highest non-mated score, and how many as high or higher the fit lets expect. Far less than one: the fit or a label is wrong.
        highest: f64,
        /// See above.
        highest_expected: f64,
    },
}

/// A threshold and what to expect of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The threshold to set: the upper end of the interval, so that the target holds with 97.5 % confidence.
    pub threshold: f64,
    /// The single most likely one.
    pub estimate: f64,
    /// Where it lies with 95 % confidence, were all comparisons independent.
    pub interval: [f64; 2],
    /// The FMR that the target asks for.
    pub fmr: f64,
    /// How it was found.
    #[serde(flatten)]
    pub basis: Basis,
    /// Share of the mated comparisons below the threshold.
    pub fnmr: f64,
    /// Where that lies with 95 % confidence, were all comparisons independent.
    pub fnmr_interval: [f64; 2],
    /// Mated comparisons.
    pub mated: u64,
    /// Non-mated comparisons.
    pub non_mated: u64,
}

/// Scores that give no threshold.
#[derive(Debug, Error, PartialEq)]
pub enum CalibrateError {
    /// Too few.
    #[error(
        "{found} non-mated comparisons; an FMR of {fmr:.1e} is beyond what they show, and a tail is fitted to {NON_MATED_MIN} or more"
    )]
    TooFew {
        /// How many.
        found: u64,
        /// What was asked for.
        fmr: f64,
    },
    /// No threshold up to 1 keeps the target.
    #[error(
        "an FMR of {fmr:.1e} needs a threshold above 1 by these scores: non-mated ones come too near to 1 (are all labels right?)"
    )]
    OutOfReach {
        /// What was asked for.
        fmr: f64,
    },
    /// Scores without any spread at their upper end.
    #[error("the {found} highest non-mated scores are all the same, which is no tail to extrapolate")]
    Degenerate {
        /// How many.
        found: u64,
    },
}

/// Finds the threshold at which an identification of somebody not enrolled makes a false match with probability `fmr` at each reference.
pub fn calibrate(rates: &Rates, fmr: f64) -> Result<Calibration, CalibrateError> {
    let non_mated = &rates.non_mated;
    let expected = fmr * as_f64(non_mated.total());
    let (estimate, interval, basis) = if expected >= RULE_OF_THIRTY {
        let (estimate, interval) = counted(non_mated, fmr);
        (estimate, interval, Basis::Counted)
    } else {
        extrapolated(non_mated, fmr)?
    };
    // Rounded up to an edge of a report's counts, so that what is said of the threshold was counted at it.
    let step = grid::edge_above(interval[1]);
    if step >= UNREACHED {
        return Err(CalibrateError::OutOfReach { fmr });
    }
    let missed = rates.mated.below(step);
    Ok(Calibration {
        threshold: grid::score(step),
        estimate,
        interval,
        fmr,
        basis,
        fnmr: rates.fnmr(step),
        fnmr_interval: clopper_pearson(missed, rates.mated.total()),
        mated: rates.mated.total(),
        non_mated: non_mated.total(),
    })
}

/// The lowest threshold that few enough reach, and those at which the interval of the rate ends at the target.
fn counted(non_mated: &Counts, fmr: f64) -> (f64, [f64; 2]) {
    let total = non_mated.total();
    let low = non_mated.lowest(|count| clopper_pearson(count, total)[0] <= fmr);
    let high = non_mated.lowest(|count| clopper_pearson(count, total)[1] <= fmr);
    (
        grid::score(non_mated.lowest_at_share(fmr)),
        [low, high].map(grid::score),
    )
}

fn extrapolated(non_mated: &Counts, fmr: f64) -> Result<(f64, [f64; 2], Basis), CalibrateError> {
    let total = non_mated.total();
    if total < NON_MATED_MIN {
        return Err(CalibrateError::TooFew { found: total, fmr });
    }
    let few = |count| count <= TAIL_MAX && as_f64(count) <= TAIL_SHARE * as_f64(total);
    let from = grid::edge(non_mated.lowest(few));
    let excesses = non_mated.excesses(from);
    let scores = excesses.len() as u64;
    let tail = Tail::fit(&excesses).ok_or(CalibrateError::Degenerate { found: scores })?;
    let rest = fmr * as_f64(total) / as_f64(scores);
    let drawn = (0..DRAWS)
        .into_par_iter()
        .filter_map(|draw| Some(tail.drawn_again(scores, draw)?.quantile(rest)));
    let spread = bootstrap::quantiles(drawn.collect()).ok_or(CalibrateError::Degenerate { found: scores })?;
    let start = grid::score(from);
    let highest = excesses.last().copied().unwrap_or(0.0);
    let basis = Basis::Extrapolated {
        times: RULE_OF_THIRTY / (fmr * as_f64(total)),
        scores,
        from: start,
        scale: tail.scale,
        shape: tail.shape,
        highest: start + highest,
        highest_expected: tail.share(highest) * as_f64(scores),
    };
    Ok((
        start + tail.quantile(rest),
        spread.map(|excess| start + excess),
        basis,
    ))
}

/// A generalised Pareto distribution of excesses over a score.
#[derive(Debug, Clone, Copy)]
struct Tail {
    scale: f64,
    shape: f64,
}

impl Tail {
    /// Fits it to excesses in rising order. None when they don't differ.
    fn fit(excesses: &[f64]) -> Option<Self> {
        excesses
            .first()
            .zip(excesses.last())
            .filter(|(first, last)| first < last)?;
        let count = as_f64(excesses.len() as u64);
        let mean = excesses.iter().sum::<f64>() / count;
        // The mean of x·(1 − F(x)), with the plotting positions of Hosking and Wallis.
        let ranked = (1_u32..).zip(excesses);
        let weighted = ranked.map(|(rank, excess)| (1.0 - (f64::from(rank) - 0.35) / count) * excess);
        let weighted = weighted.sum::<f64>() / count;
        let spread = mean - 2.0 * weighted;
        let shape = 2.0 - mean / spread;
        Some(if shape < 0.0 && spread > 0.0 {
            Self {
                scale: 2.0 * mean * weighted / spread,
                shape,
            }
        } else {
            // The best exponential distribution.
            Self {
                scale: mean,
                shape: 0.0,
            }
        })
    }

    /// The share that exceeds an excess.
    fn share(self, excess: f64) -> f64 {
        let scaled = excess / self.scale;
        if self.shape.abs() < SHAPE_MIN {
            (-scaled).exp()
        } else {
            (1.0 + self.shape * scaled).max(0.0).powf(-1.0 / self.shape)
        }
    }

    /// The excess that this share of all exceeds.
    fn quantile(self, share: f64) -> f64 {
        let log = -share.ln();
        if self.shape.abs() < SHAPE_MIN {
            self.scale * log
        } else {
            self.scale * f64::exp_m1(self.shape * log) / self.shape
        }
    }

    /// The fit to so many excesses drawn from this one.
    fn drawn_again(self, count: u64, draw: u64) -> Option<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        rng.set_stream(draw);
        // 1 − u is above 0.
        let mut excesses: Vec<f64> = (0..count)
            .map(|_| self.quantile(1.0 - rng.random::<f64>()))
            .collect();
        excesses.sort_by(f64::total_cmp);
        Self::fit(&excesses)
    }
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
