//! Whether quality foretells failure: captures that were badly taken, in tenths by their quality.

use rayon::prelude::*;
use serde::Serialize;
use thenar::encode::features::Extractor;
use thenar::encode::grey::Grey;
use thenar::encode::quality::Quality;
use thenar::encode::region::Region;
use thenar::encode::{DIM_MAX, built_in};
use thenar::model::signature::Dimension;
use thenar::palms::{Palms, Side, preset};

use super::Plan;
use crate::Failure;

/// A capture fails where it has a mated score below this one.
const FAILED_BELOW: f32 = 0.25;

/// A tenth of the captures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tenth {
    /// Lowest quality in it.
    pub from: u8,
    /// Highest.
    pub to: u8,
    /// Share that has a mated score below 0.25 with any other capture of its palm.
    pub failed: f64,
}

/// Draws captures of the family `ruined`, and compares those of each palm.
pub fn measure(plan: Plan) -> Result<Vec<Tenth>, Failure> {
    let palms = Palms::new(plan.seed, preset::ruined());
    let extractor = Extractor::new();
    let projection = built_in(Dimension::new(DIM_MAX)?)?;
    let of_palm = |number: u64| {
        let palm = palms.palm(number, Side::by_turns(number));
        let of = |sample| {
            let region = Region::of(&Grey::from(&palm.region(sample)));
            let signature = projection.apply(&extractor.extract(&region));
            (Quality::of(&region).score(), signature)
        };
        judged(&(0..plan.samples).map(of).collect::<Vec<_>>())
    };
    let captures = (0..plan.palms).into_par_iter().flat_map_iter(of_palm).collect();
    Ok(tenths(captures))
}

/// The quality of each capture of a palm, and whether it fails.
fn judged(captures: &[(u8, Vec<f32>)]) -> Vec<(u8, bool)> {
    let score = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let fails = |at: usize| {
        let mates = captures.iter().enumerate().filter(|(other, _)| *other != at);
        mates
            .map(|(_, (_, mate))| score(mate, &captures[at].1))
            .any(|score| score < FAILED_BELOW)
    };
    (0..captures.len())
        .map(|at| (captures[at].0, fails(at)))
        .collect()
}

fn tenths(mut captures: Vec<(u8, bool)>) -> Vec<Tenth> {
    captures.sort_by_key(|(quality, _)| *quality);
    let tenth = |part: &[(u8, bool)]| {
        let failed = part.iter().filter(|(_, failed)| *failed).count();
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let failed = failed as f64 / part.len() as f64;
        Some(Tenth {
            from: part.first()?.0,
            to: part.last()?.0,
            failed,
        })
    };
    let each = captures.len().div_ceil(10).max(1);
    captures.chunks(each).filter_map(tenth).collect()
}

#[cfg(test)]
#[path = "quality_tests.rs"]
mod tests;
