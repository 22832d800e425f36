//! From counted scores to the threshold that keeps a false positive rate at a gallery size. Says what was counted and what is extrapolated.
//!
//! An identification compares with N references, so that FPIR = 1 − (1 − FMR)ᴺ where comparisons are independent. Is the FMR that this asks for
//! one that 30 non-mated scores or more reach, the threshold is counted. Beyond, the tail of the highest scores is extrapolated ([`super::tail`]).

use serde::Serialize;
use thiserror::Error;

use super::as_f64;
use super::grid::{self, Counts, UNREACHED};
use super::interval::{RULE_OF_THIRTY, clopper_pearson};
use super::rates::Rates;
use super::tail::Tail;

/// Fewest non-mated scores that a tail can be fitted to: it takes one in a hundred.
pub const NON_MATED_MIN: u64 = 10_000;
/// Most scores that a tail is fitted to, and the share of all.
const TAIL_MAX: u64 = 10_000;
const TAIL_SHARE: f64 = 0.01;

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
        /// Median of all non-mated scores, which distances are taken from.
        center: f64,
        /// Share of these scores above s: exp(−rate·(((s − center) ⁄ (from − center))^shape − 1)).
        rate: f64,
        /// See above; from 1 to 2.
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
    /// The threshold to set: the upper end of the interval. The target holds with 97.5 % confidence where comparisons are independent, which those of one
    /// palm aren't, and where the tail is of the fitted family; of others than were evaluated it says nothing.
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
    /// Too few scores at their upper end, or without any spread.
    #[error(
        "of the highest 1 % of the non-mated scores, from {from:.4} on, nearly all are the same, which is no tail to extrapolate"
    )]
    Degenerate {
        /// From which score on.
        from: f64,
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
    let edge = grid::edge(non_mated.lowest(few));
    let from = grid::score(edge);
    let center = grid::score(grid::edge(non_mated.lowest(|count| count <= total / 2)));
    let highest = non_mated.stretches(edge);
    let scores = non_mated.at_or_above(edge);
    // So few are left where many scores are the same.
    if as_f64(scores) < RULE_OF_THIRTY {
        return Err(CalibrateError::Degenerate { from });
    }
    let tail = Tail::fit(center, from, &highest).ok_or(CalibrateError::Degenerate { from })?;
    // Where the tail begins is known as well as so many of all scores say.
    let [low, high] = clopper_pearson(scores, total);
    let interval = [tail.interval(fmr / low)[0], tail.interval(fmr / high)[1]];
    let highest = highest.last().map_or(from, |(score, _)| *score);
    let basis = Basis::Extrapolated {
        times: RULE_OF_THIRTY / (fmr * as_f64(total)),
        scores,
        from,
        center,
        rate: tail.best().rate,
        shape: tail.best().shape,
        highest,
        highest_expected: tail.share(highest) * as_f64(scores),
    };
    let estimate = tail.quantile(fmr * as_f64(total) / as_f64(scores));
    Ok((estimate, interval, basis))
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
