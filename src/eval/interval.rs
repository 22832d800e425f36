//! Confidence intervals of shares and the least number of comparisons a rate may be stated from. Knows no scores.

use statrs::function::beta::beta_reg;

use super::as_f64;

/// How often an interval holds the true value, where its assumptions hold.
pub const CONFIDENCE: f64 = 0.95;
/// Comparisons without an error that bound a rate: with n of them and no error it is below 3/n at 95 % (ISO/IEC 19795-1, "rule of 3").
pub const RULE_OF_THREE: f64 = 3.0;
/// Errors from which on a rate is known to within 30 % at 90 % (Doddington et al. 2000; ISO/IEC 19795-1, "rule of 30").
pub const RULE_OF_THIRTY: f64 = 30.0;

/// Whether so many comparisons can show a rate this small at all.
pub fn shows(rate: f64, comparisons: u64) -> bool {
    // Against a product that comes out just below 3.
    rate * as_f64(comparisons) * (1.0 + 1e-12) >= RULE_OF_THREE
}

/// Halvings of the interval 0 to 1 that an end is found in; beyond the precision of a binary64.
const BISECTIONS: u32 = 80;

/// The exact interval of Clopper and Pearson (1934) for `errors` in `trials` independent trials; from 0 to 1 for no trial.
pub fn clopper_pearson(errors: u64, trials: u64) -> [f64; 2] {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let others = trials.saturating_sub(errors);
    let low = match errors {
        0 => 0.0,
        _ if others == 0 => tail.powf(1.0 / as_f64(trials)),
        _ => quantile(errors, others + 1, tail),
    };
    let high = match others {
        0 => 1.0,
        _ if errors == 0 => -f64::exp_m1(tail.ln() / as_f64(trials)),
        _ => quantile(errors + 1, others, 1.0 - tail),
    };
    [low, high]
}

/// The quantile of a beta distribution. Bisected: `statrs` inverts by Newton's method, which doesn't end for shares near 0 of many trials.
fn quantile(a: u64, b: u64, at: f64) -> f64 {
    let (mut below, mut above) = (0.0, 1.0);
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(below, above);
        if beta_reg(as_f64(a), as_f64(b), middle) < at {
            below = middle;
        } else {
            above = middle;
        }
    }
    f64::midpoint(below, above)
}

#[cfg(test)]
#[path = "interval_tests.rs"]
mod tests;
