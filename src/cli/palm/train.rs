//! `thenar palm train`: learns the encoder's projection from synthetic palms alone. Reads no images.

use std::path::PathBuf;

use image::{GrayImage, imageops};
use rayon::prelude::*;
use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::progress;
use crate::encode::DIM_MAX;
use crate::encode::features::Extractor;
use crate::encode::grey::Grey;
use crate::encode::region::Region;
use crate::encode::train::{Training, WHITENING};
use crate::palms::preset;
use crate::palms::{Palms, Side};

/// Palms whose features are taken in together; part of what decides the last bits.
const BATCH: u64 = 100;

/// Seed of the palms that the built-in file was learned from.
pub const SEED: u64 = 1;
/// How many palms these were.
pub const PALMS: u64 = 6_000;
/// Captures of each.
pub const SAMPLES: u64 = 4;

/// Options of `palm train`. The defaults make the file that is built in.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Another seed gives other palms
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Palms to learn from
    #[arg(long, value_name = "COUNT", default_value_t = PALMS, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    palms: u64,
    /// Captures of each
    #[arg(long, value_name = "COUNT", default_value_t = SAMPLES, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    samples: u64,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    let training = learn(args.seed, args.palms, args.samples);
    let projection = training
        .projection(DIM_MAX, WHITENING)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    std::fs::write(&args.out, projection.file()).map_err(|e| CliError::file(&args.out, e))?;
    let text = format!(
        "learned {DIM_MAX} dimensions from {} palms, {} captures each",
        args.palms, args.samples
    );
    args.output.print(
        &text,
        &json!({ "palms": args.palms, "samples": args.samples, "seed": args.seed, "dimensions": DIM_MAX }),
    )
}

/// Takes in `samples` captures of each of `count` palms that are drawn for it.
pub fn learn(seed: u64, count: u64, samples: u64) -> Training {
    let palms = Palms::new(seed, preset::train());
    let extractor = Extractor::new();
    let mut training = Training::new();
    let bar = progress::rows("learning", count);
    for first in (0..count).step_by(usize::try_from(BATCH).expect("small")) {
        let batch = first..count.min(first + BATCH);
        let features: Vec<Vec<f32>> = batch
            .clone()
            .into_par_iter()
            .map(|number| features(&palms, &extractor, number, samples))
            .collect();
        training.add(&features.concat());
        bar.inc(batch.end - batch.start);
    }
    bar.finish_and_clear();
    training
}

/// The features of a palm's captures, one after the other.
fn features(palms: &Palms, extractor: &Extractor, number: u64, samples: u64) -> Vec<f32> {
    let palm = palms.palm(number, Side::by_turns(number));
    (0..samples)
        .flat_map(|sample| {
            let region = turned(&palm.region(sample), number / 2);
            extractor.extract(&Region::of(&Grey::from(&region)))
        })
        .collect()
}

/// Half of the palms upright, the others with their fingers to each of the other sides by turns:
/// regions of other make have theirs elsewhere, and must not fare worse for what was learned.
fn turned(region: &GrayImage, number: u64) -> GrayImage {
    match number % 6 {
        3 => imageops::rotate90(region),
        4 => imageops::rotate180(region),
        5 => imageops::rotate270(region),
        _ => region.clone(),
    }
}
