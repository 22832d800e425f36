//! What the parts of the encoder are worth: its features alone, the projection that is built in, and others that are learned on the spot.

use clap::ValueEnum;
use image::imageops;
use rayon::prelude::*;
use serde::Serialize;
use thenar::cli::palm::{PresetOption, train};
use thenar::encode::features::Extractor;
use thenar::encode::grey::Grey;
use thenar::encode::projection::Projection;
use thenar::encode::region::Region;
use thenar::encode::{DIM_MAX, built_in};
use thenar::model::signature::Dimension;
use thenar::palms::{Palms, Side};

use super::Plan;
use crate::{Failure, progress};

/// What is made of features.
struct Way {
    name: String,
    projection: Option<Projection>,
}

/// The figures of a family, shares between 0 and 1.
#[derive(Debug, Clone, Serialize)]
pub struct Accuracy {
    /// Name of the family; `turned` is `test` with the fingers to the side.
    pub family: String,
    /// What was made of the features.
    pub way: String,
    /// Equal error rate.
    pub eer: f64,
    /// TAR at an FMR of 1e-4; none where the pairs are too few.
    pub tar_at_fmr_1e4: Option<f64>,
    /// Share of the searches whose own reference comes first.
    pub rank1: Option<f64>,
}

/// Draws families, takes their features and evaluates them in each way.
pub fn measure(
    plan: Plan,
    families: &[PresetOption],
    powers: &[f64],
    learn: u64,
) -> Result<Vec<Accuracy>, Failure> {
    let ways = ways(powers, learn)?;
    let mut all = Vec::new();
    let drawn = families.iter().map(|family| (*family, false));
    let turned = families
        .contains(&PresetOption::Test)
        .then_some((PresetOption::Test, true));
    for (family, turned) in drawn.chain(turned) {
        let name = if turned { "turned".to_owned() } else { name(family) };
        progress(format!("accuracy on {name}"));
        let features = features(plan, family, turned);
        for way in &ways {
            let vectors = match &way.projection {
                None => features.clone(),
                Some(projection) => features.par_iter().map(|f| projection.apply(f)).collect(),
            };
            let figures = super::figures(vectors, plan.samples)?;
            all.push(Accuracy {
                family: name.clone(),
                way: way.name.clone(),
                eer: figures.eer,
                tar_at_fmr_1e4: figures.tar_at_fmr_1e4,
                rank1: figures.rank1,
            });
        }
    }
    Ok(all)
}

fn ways(powers: &[f64], learn: u64) -> Result<Vec<Way>, Failure> {
    let mut ways = vec![Way {
        name: "features alone".to_owned(),
        projection: None,
    }];
    for dim in [DIM_MAX, 256] {
        ways.push(Way {
            name: format!("built in, {dim}"),
            projection: Some(built_in(Dimension::new(dim)?)?),
        });
    }
    if !powers.is_empty() {
        let training = train::learn(train::SEED, learn, train::SAMPLES);
        for power in powers {
            ways.push(Way {
                name: format!("power {power}, {DIM_MAX}"),
                projection: Some(training.projection(DIM_MAX, *power)?),
            });
        }
    }
    Ok(ways)
}

/// The features of all captures, palm by palm.
fn features(plan: Plan, family: PresetOption, turned: bool) -> Vec<Vec<f32>> {
    let palms = Palms::new(plan.seed, family.style());
    let extractor = Extractor::new();
    let of_palm = |number: u64| {
        let palm = palms.palm(number, Side::by_turns(number));
        let of = |sample| {
            let region = palm.region(sample);
            let region = if turned {
                imageops::rotate90(&region)
            } else {
                region
            };
            extractor.extract(&Region::of(&Grey::from(&region)))
        };
        (0..plan.samples).map(of).collect::<Vec<_>>()
    };
    (0..plan.palms).into_par_iter().flat_map_iter(of_palm).collect()
}

fn name(family: PresetOption) -> String {
    let value = family.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}
