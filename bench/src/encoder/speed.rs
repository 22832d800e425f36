//! How fast image files become signatures, on one thread. Draws a few palms; compares nothing.

use image::GrayImage;
use serde::Serialize;
use thenar::encode::{DIM_MAX, PalmEncoder, Picture};
use thenar::model::signature::Dimension;
use thenar::palms::{self, Palm, Palms, Side, preset};

use crate::Failure;
use crate::timing::{Samples, Summary};

/// Palms that are drawn.
const PALMS: u64 = 20;
/// Rounds over all of them.
const ROUNDS: usize = 9;

/// Milliseconds from PNG to signature.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Speed {
    /// Of a region, the mean of a round.
    pub region: Summary,
    /// Of a whole hand.
    pub hand: Summary,
    /// Regions a second and core, by the median.
    pub regions_per_s: f64,
}

/// Encodes files in memory.
pub fn measure(seed: u64) -> Result<Speed, Failure> {
    let palms = Palms::new(seed, preset::test());
    let palm = |number| palms.palm(number, Side::by_turns(number));
    let files = |draw: fn(&Palm<'_>) -> GrayImage| -> Vec<Vec<u8>> {
        (0..PALMS)
            .map(|number| palms::png(&draw(&palm(number))))
            .collect()
    };
    let regions = files(|palm| palm.region(0));
    let hands = files(|palm| palm.hand(0, false).image);
    let encoder = PalmEncoder::new(Dimension::new(DIM_MAX)?)?;
    let region = time(&encoder, &regions, Picture::Region)?;
    Ok(Speed {
        region,
        hand: time(&encoder, &hands, Picture::Hand)?,
        regions_per_s: (1e3 / region.ms).round(),
    })
}

fn time(encoder: &PalmEncoder, files: &[Vec<u8>], picture: Picture) -> Result<Summary, Failure> {
    let mut rounds = Samples::default();
    for _ in 0..ROUNDS {
        let mut round = Samples::default();
        round.time(|| {
            for file in files {
                // A hand that is not found takes its time too.
                let _ = std::hint::black_box(encoder.encode(std::hint::black_box(file), picture));
            }
        });
        #[expect(clippy::cast_precision_loss, reason = "some dozens")]
        let each = round.quantile(1.0).ok_or("no round")? / files.len() as f64;
        rounds.push(each);
    }
    rounds.summary().ok_or_else(|| "no round".into())
}
