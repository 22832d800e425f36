//! Whether quality foretells failure: captures that were badly taken, each against a good one of its palm, in tenths by their quality.

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

/// A capture fails where its score with the good one is below this.
const FAILED_BELOW: f32 = 0.25;

/// A tenth of the captures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tenth {
    /// Lowest quality in it.
    pub from: u8,
    /// Highest.
    pub to: u8,
    /// Share whose score with the good capture of the palm is below 0.25.
    pub failed: f64,
}

/// Draws captures of the family `ruined`, and compares each with one of the same palm that is of the family `test`.
pub fn measure(plan: Plan) -> Result<Vec<Tenth>, Failure> {
    let [good, ruined] = [preset::test(), preset::ruined()].map(|style| Palms::new(plan.seed, style));
    let extractor = Extractor::new();
    let projection = built_in(Dimension::new(DIM_MAX)?)?;
    let of_palm = |number: u64| {
        let side = Side::by_turns(number);
        let of = |palms: &Palms, sample| {
            let region = Region::of(&Grey::from(&palms.palm(number, side).region(sample)));
            let signature = projection.apply(&extractor.extract(&region));
            (Quality::of(&region).score(), signature)
        };
        let (_, reference) = of(&good, plan.samples);
        let judged = |sample| {
            let (quality, signature) = of(&ruined, sample);
            let score: f32 = reference.iter().zip(&signature).map(|(a, b)| a * b).sum();
            (quality, score < FAILED_BELOW)
        };
        (0..plan.samples).map(judged).collect::<Vec<_>>()
    };
    let captures = (0..plan.palms).into_par_iter().flat_map_iter(of_palm).collect();
    Ok(tenths(captures))
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
