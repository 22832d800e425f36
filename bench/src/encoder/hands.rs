//! How often a hand is found, and how far off its region is. Encodes nothing.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;
use thenar::encode::grey::Grey;
use thenar::encode::hand;
use thenar::palms::{Palms, Side, preset};

use super::Plan;
use crate::timing::Samples;

/// What became of one whole hand each palm.
#[derive(Debug, Clone, Serialize)]
pub struct Hands {
    /// Hands drawn.
    pub drawn: u64,
    /// Those whose region was found.
    pub found: usize,
    /// The others, by reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// How far the farthest corner is from where it was drawn, in sides of the region: half of those found are no farther.
    pub off_median: Option<f64>,
    /// The same of 95 in 100.
    pub off_95: Option<f64>,
    /// Of the worst one.
    pub off_most: Option<f64>,
    /// Fists that were taken for an open hand.
    pub fists_taken: u64,
}

/// Draws a hand, and a fist, of each palm.
pub fn measure(plan: Plan) -> Hands {
    let palms = Palms::new(plan.seed, preset::test());
    let look = |number: u64| {
        let palm = palms.palm(number, Side::by_turns(number));
        let drawn = palm.hand(0, false);
        let fist = hand::square(&Grey::from(&palm.hand(1, true).image)).is_ok();
        let found = hand::square(&Grey::from(&drawn.image));
        let off = found.map(|square| off(square.corners(), drawn.corners));
        (off.map_err(|failure| failure.reason()), fist)
    };
    let seen: Vec<_> = (0..plan.palms).into_par_iter().map(look).collect();
    let mut distances = Samples::default();
    let mut failures = BTreeMap::new();
    for (off, _) in &seen {
        match off {
            Ok(off) => distances.push(*off),
            Err(reason) => *failures.entry(*reason).or_insert(0) += 1,
        }
    }
    Hands {
        drawn: plan.palms,
        found: distances.len(),
        failures,
        off_median: distances.quantile(0.5),
        off_95: distances.quantile(0.95),
        off_most: distances.quantile(1.0),
        fists_taken: seen.iter().map(|(_, fist)| u64::from(*fist)).sum(),
    }
}

/// Distance of the corner that is farthest off, in sides of the drawn region.
fn off(found: [[f32; 2]; 4], drawn: [[f32; 2]; 4]) -> f64 {
    let distance = |a: [f32; 2], b: [f32; 2]| f64::from((a[0] - b[0]).hypot(a[1] - b[1]));
    let farthest = found
        .iter()
        .zip(drawn)
        .map(|(a, b)| distance(*a, b))
        .fold(0.0, f64::max);
    farthest / distance(drawn[0], drawn[1])
}

#[cfg(test)]
#[path = "hands_tests.rs"]
mod tests;
