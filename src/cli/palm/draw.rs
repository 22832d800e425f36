//! `thenar palm draw`: a folder of synthetic palms, or a sheet of them. Encodes nothing.

use std::path::{Path, PathBuf};

use image::{GrayImage, imageops};
use rayon::prelude::*;
use serde_json::json;

use crate::cli::capture::HandOption;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::progress;
use crate::palms::{Palms, Side};

use super::PresetOption;

/// Most palms of a call.
const PALMS_MAX: i64 = 1_000_000;
/// Most captures of a palm.
const SAMPLES_MAX: i64 = 1_000;
/// Largest side of a sheet, in pixels.
const SHEET_SIDE_MAX: u64 = 20_000;
/// Pixels between the images of a sheet.
const GAP: u32 = 4;

/// Options of `palm draw`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the images, `PALM_SAMPLE.png`; made when it is not there
    #[arg(long, value_name = "DIR", required_unless_present = "sheet")]
    out: Option<PathBuf>,
    /// One image with all of them, a palm in each row
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Palms to draw
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=PALMS_MAX as u64))]
    palms: u64,
    /// Captures of each
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=SAMPLES_MAX as u64))]
    samples: u64,
    /// Another seed gives other palms
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// The family
    #[arg(long, value_enum, default_value_t = PresetOption::Test)]
    preset: PresetOption,
    /// The whole hand, not the region of interest alone
    #[arg(long)]
    whole_hand: bool,
    /// Which hand; left and right by turns when not given
    #[arg(long, value_enum)]
    hand: Option<HandOption>,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|e| CliError::file(folder, e))?;
    }
    let style = args.preset.style();
    let palms = Palms::new(args.seed, style);
    let bar = progress::rows("drawing", args.palms);
    let draw = |number: u64| -> Result<Vec<GrayImage>, CliError> {
        let images = captures(args, &palms, number);
        if let Some(folder) = &args.out {
            for (sample, image) in images.iter().enumerate() {
                save(image, &folder.join(format!("{number:05}_{sample:02}.png")))?;
            }
        }
        bar.inc(1);
        // Images are kept for a sheet alone.
        Ok(if args.sheet.is_some() { images } else { Vec::new() })
    };
    let rows = (0..args.palms)
        .into_par_iter()
        .map(draw)
        .collect::<Result<Vec<_>, _>>()?;
    bar.finish_and_clear();
    if let Some(path) = &args.sheet {
        save(&sheet(&rows)?, path)?;
    }
    let text = format!("drew {} palms, {} captures each", args.palms, args.samples);
    args.output.print(
        &text,
        &json!({ "palms": args.palms, "samples": args.samples, "seed": args.seed }),
    )
}

fn captures(args: &Args, palms: &Palms, number: u64) -> Vec<GrayImage> {
    let side = match args.hand {
        Some(HandOption::Left) => Side::Left,
        Some(HandOption::Right) => Side::Right,
        None => Side::by_turns(number),
    };
    let palm = palms.palm(number, side);
    let draw = |sample| {
        if args.whole_hand {
            palm.hand(sample, false).image
        } else {
            palm.region(sample)
        }
    };
    (0..args.samples).map(draw).collect()
}

fn save(image: &GrayImage, path: &Path) -> Result<(), CliError> {
    image
        .save(path)
        .map_err(|error| CliError::file(path, std::io::Error::other(error)))
}

/// All images on one, a row for each palm.
fn sheet(rows: &[Vec<GrayImage>]) -> Result<GrayImage, CliError> {
    let first = rows
        .first()
        .and_then(|row| row.first())
        .map_or((0, 0), GrayImage::dimensions);
    let (wide, high) = (first.0 + GAP, first.1 + GAP);
    let length = |count: usize, each: u32| {
        let length = count as u64 * u64::from(each);
        u32::try_from(length)
            .ok()
            .filter(|length| u64::from(*length) <= SHEET_SIDE_MAX)
            .ok_or_else(|| {
                CliError::Usage(format!(
                    "a sheet of {length} pixels on a side; {SHEET_SIDE_MAX} is the most: draw fewer"
                ))
            })
    };
    let mut sheet = GrayImage::new(
        length(rows.first().map_or(0, Vec::len), wide)?,
        length(rows.len(), high)?,
    );
    for (row, top) in rows.iter().zip((0..).step_by(high as usize)) {
        for (image, left) in row.iter().zip((0..).step_by(wide as usize)) {
            imageops::replace(&mut sheet, image, left, top);
        }
    }
    Ok(sheet)
}
