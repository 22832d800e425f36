//! The reference encoder on drawn palms. Judges nothing, and knows no real palm.

use thenar::eval::identify;
use thenar::eval::report::{Report, Summary};
use thenar::eval::set::{Capture, Set};
use thenar::model::signature::{Dimension, Signature};

use crate::Failure;

pub mod accuracy;
pub mod hands;
pub mod quality;
pub mod speed;
pub mod table;

/// What is drawn of each family.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Palms.
    pub palms: u64,
    /// Captures of each.
    pub samples: u64,
    /// Which ones.
    pub seed: u64,
}

/// The figures of `thenar eval`, of vectors of palms one after the other, `samples` of each.
fn figures(vectors: Vec<Vec<f32>>, samples: u64) -> Result<Summary, Failure> {
    let capture = |(number, values): (u64, Vec<f32>)| -> Result<Capture, Failure> {
        let dim = Dimension::new(values.len())?;
        Ok(Capture {
            palm: (number / samples).to_string(),
            sample: (number % samples).to_string(),
            outcome: Ok(Signature::new(values, dim)?),
        })
    };
    let captures: Vec<Capture> = (0..).zip(vectors).map(capture).collect::<Result<_, _>>()?;
    let plan = identify::Plan { enrol: 1, seed: 1 };
    Ok(Report::new(&Set::new(captures)?, plan, None).summary)
}
