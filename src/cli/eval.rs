//! `thenar eval`: labelled images or signatures in, the figures of ISO/IEC 19795-1 out. Asks no server; keeps no picture.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use crate::encode::{self, PalmEncoder, Picture};
use crate::eval::identify::Plan;
use crate::eval::report::Report;
use crate::eval::set::{Capture, Set, SetError, check_count};
use crate::model::signature::{Dimension, Signature};

use super::capture::EncoderOption;
use super::error::CliError;
use super::npy::Matrix;
use super::{image, output, progress};

mod folder;
mod html;
mod labels;
pub mod text;

use folder::{Image, Pattern};

/// Name of the report for machines in its folder.
pub const REPORT_FILE: &str = "report.json";
/// Name of the report for people.
const PAGE_FILE: &str = "report.html";
/// Name of the list of images without a signature.
const FAILED_FILE: &str = "failed.csv";
/// Reason of an image of which the encoder made what is no signature, as zeros alone.
const NO_SIGNATURE: &str = "no-signature";

/// Options of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of images, and of folders of them
    #[arg(
        value_name = "DIR",
        required_unless_present = "signatures",
        requires = "pattern"
    )]
    images: Option<PathBuf>,
    /// Regular expression found in an image's path below DIR. Its groups say what the image is: `(?<palm>…)`, with `(?<hand>…)` a part of the
    /// palm's name; `(?<sample>…)`, with `(?<session>…)` before it in order; or `(?<index>…)`, a number that runs through the palms, with --per-palm
    #[arg(long, value_name = "REGEX", requires = "images")]
    pattern: Option<Pattern>,
    /// Images of each palm, in order, where they have a running number
    #[arg(long, value_name = "COUNT", requires = "pattern", value_parser = clap::value_parser!(u64).range(1..))]
    per_palm: Option<u64>,
    /// The images are regions of interest already, not whole hands
    #[arg(long, requires = "images")]
    roi: bool,
    /// Coordinates of the signatures to make, 256 or 512
    #[arg(long, value_name = "256|512", default_value = "512", value_parser = encoder_dimension, conflicts_with = "signatures")]
    dim: Dimension,
    /// Signatures to take in the place of images, a `NumPy` file
    #[arg(long, value_name = "FILE", requires = "labels", conflicts_with = "images")]
    signatures: Option<PathBuf>,
    /// Labels of the signatures, one a line: PALM or PALM,SAMPLE
    #[arg(long, value_name = "FILE", requires = "signatures")]
    labels: Option<PathBuf>,
    /// Who made the signatures, so that calibrate can tell whether a threshold is for a tenant
    #[arg(long, value_name = "NAME/VERSION", requires = "signatures")]
    encoder: Option<EncoderOption>,
    /// Captures that enrol a palm, averaged; the others are searched for
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    enrol: u16,
    /// Seed of the palms that are left out of galleries and of the intervals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to write report.json and report.html to, made where it is not there
    #[arg(long, value_name = "OUT")]
    report: Option<PathBuf>,
    /// End with one JSON object as the last line of standard output
    #[arg(long)]
    json: bool,
}

/// The dimensions of the encoder.
fn encoder_dimension(text: &str) -> Result<Dimension, String> {
    match super::tenant::dimension(text) {
        Ok(dim) if matches!(dim.get(), 256 | 512) => Ok(dim),
        _ => Err("256 or 512 is expected".to_owned()),
    }
}

/// Why nothing was evaluated.
#[derive(Debug, Error)]
pub enum EvalError {
    /// No image at all.
    #[error("{}: no file is in it or below", .0.display())]
    NoFile(PathBuf),
    /// No image that the pattern fits.
    #[error("{}: --pattern {pattern} is found in none of {files} paths, as {first}", dir.display())]
    NoMatch {
        /// The folder.
        dir: PathBuf,
        /// The pattern.
        pattern: String,
        /// Files in the folder.
        files: usize,
        /// One of them.
        first: String,
    },
    /// Two images with one label.
    #[error("{first} and {second} are both palm {palm:?}, sample {sample:?} by --pattern")]
    SameLabel {
        /// One of them.
        first: String,
        /// The other one.
        second: String,
        /// Their palm.
        palm: String,
        /// Their sample.
        sample: String,
    },
    /// A running number out of range.
    #[error("{path}: {number:?} is no running number from 1 on")]
    Index {
        /// The image.
        path: String,
        /// What stands there.
        number: String,
    },
    /// An image that the pattern gives an empty label.
    #[error("{path}: the palm's label by --pattern is empty")]
    NoLabel {
        /// The image.
        path: String,
    },
    /// A label that is none.
    #[error("{}: line {line}: {problem}", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Not one label a row.
    #[error("{}: holds {labels} labels for {rows} rows; one a row is expected", path.display())]
    LabelCount {
        /// The file.
        path: PathBuf,
        /// Labels in it.
        labels: usize,
        /// Signatures.
        rows: u64,
    },
    /// Captures that can't be compared.
    #[error(transparent)]
    Set(#[from] SetError),
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    if let Some(dir) = &args.report {
        prepare(dir).map_err(|error| CliError::file(dir, error))?;
    }
    let (captures, failed, encoder) = if args.signatures.is_some() {
        let encoder = args
            .encoder
            .as_ref()
            .map(|EncoderOption(encoder)| encoder.clone());
        (signatures(args)?, Vec::new(), encoder)
    } else {
        let (captures, failed) = images(args)?;
        (captures, failed, Some(encode::encoder()))
    };
    // First, since it says why there may be nothing to compare.
    if let Some(dir) = &args.report {
        list(dir, &failed)?;
    }
    let set = Set::new(captures).map_err(EvalError::from)?;
    let plan = Plan {
        enrol: usize::from(args.enrol),
        seed: args.seed,
    };
    let report = Report::new(&set, plan, encoder);
    output::line(text::report(&report).trim_end())?;
    if let Some(dir) = &args.report {
        write(dir, &report)?;
    }
    if args.json {
        let summary = serde_json::to_string(&report.summary).expect("numbers are JSON");
        output::line(&summary)?;
    }
    Ok(())
}

/// An image without a signature, and why.
type Failed = (String, &'static str);

/// Encodes every image of the folder.
fn images(args: &Args) -> Result<(Vec<Capture>, Vec<Failed>), CliError> {
    let (Some(dir), Some(pattern)) = (&args.images, &args.pattern) else {
        return Err(CliError::Usage("DIR and --pattern are needed".to_owned()));
    };
    let found = folder::find(dir, pattern, args.per_palm)?;
    for (count, what) in [
        (found.skipped, "files whose path the pattern is not found in"),
        (
            found.not_followed,
            "links to folders or to nothing, and what else is no file,",
        ),
    ] {
        if count > 0 {
            eprintln!("· {count} {what} are left out");
        }
    }
    let encoder = PalmEncoder::new(args.dim).expect("the projection that is built in has 512 coordinates");
    let picture = if args.roi { Picture::Region } else { Picture::Hand };
    let bar = progress::rows("encoding", found.images.len() as u64);
    let encoded: Result<Vec<_>, CliError> = found
        .images
        .into_par_iter()
        .map(|image| {
            let file = image::read(&image.path)?;
            let encoded = file.and_then(|file| encoder.encode(&file, picture));
            let outcome = encoded.map_err(|failure| failure.reason());
            bar.inc(1);
            Ok(capture(image, outcome.map(|encoded| encoded.signature), args.dim))
        })
        .collect();
    bar.finish_and_clear();
    let (captures, failed): (Vec<_>, Vec<Option<Failed>>) = encoded?.into_iter().unzip();
    let failed: Vec<Failed> = failed.into_iter().flatten().collect();
    if let Some(told) = told(&failed) {
        eprintln!("· {told}");
    }
    Ok((captures, failed))
}

/// How many images gave no signature, and why.
fn told(failed: &[Failed]) -> Option<String> {
    let (name, reason) = failed.first()?;
    let mut counts = BTreeMap::<&str, usize>::new();
    for (_, reason) in failed {
        *counts.entry(reason).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let (count, counts) = (failed.len(), counts.join(", "));
    Some(format!(
        "{count} images gave no signature ({counts}), the first is {name}: {reason}"
    ))
}

fn capture(
    image: Image,
    outcome: Result<Vec<f32>, &'static str>,
    dim: Dimension,
) -> (Capture, Option<Failed>) {
    let outcome = outcome.and_then(|values| Signature::new(values, dim).map_err(|_| NO_SIGNATURE));
    let failed = outcome.as_ref().err().map(|reason| (image.name, *reason));
    let capture = Capture {
        palm: image.palm,
        sample: image.sample,
        outcome: outcome.map_err(str::to_owned),
    };
    (capture, failed)
}

/// Reads every row of a file.
fn signatures(args: &Args) -> Result<Vec<Capture>, CliError> {
    let (Some(path), Some(labels)) = (&args.signatures, &args.labels) else {
        return Err(CliError::Usage("--labels is needed".to_owned()));
    };
    let matrix = Matrix::open(path)?;
    check_count(matrix.rows).map_err(EvalError::from)?;
    let mut labels = labels::read(labels, matrix.rows)?.into_iter();
    let mut captures = Vec::new();
    matrix.for_each_signature(|signature| {
        let (palm, sample) = labels.next().expect("as many labels as rows");
        captures.push(Capture {
            palm,
            sample,
            outcome: Ok(signature),
        });
    })?;
    Ok(captures)
}

/// Makes the folder of a report and sees that a file can be written there, before anything takes long.
fn prepare(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    tempfile::tempfile_in(dir)?;
    Ok(())
}

/// Writes a report to a folder that is there.
fn write(dir: &Path, report: &Report) -> Result<(), CliError> {
    let json = serde_json::to_string(report).expect("numbers and text are JSON");
    put(&dir.join(REPORT_FILE), json + "\n")?;
    put(&dir.join(PAGE_FILE), html::page(report))
}

/// Lists the images without a signature in that folder, and removes what an earlier run left there.
fn list(dir: &Path, failed: &[Failed]) -> Result<(), CliError> {
    for name in [REPORT_FILE, PAGE_FILE, FAILED_FILE] {
        remove(&dir.join(name))?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let quoted = |name: &str| name.replace('"', "\"\"");
    let lines = failed
        .iter()
        .map(|(name, reason)| format!("{reason},\"{}\"\n", quoted(name)));
    let text = std::iter::once("reason,file\n".to_owned()).chain(lines).collect();
    put(&dir.join(FAILED_FILE), text)
}

fn put(path: &Path, text: String) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|error| CliError::file(path, error))
}

/// Removes a file that may be there.
fn remove(path: &Path) -> Result<(), CliError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::file(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "eval_tests.rs"]
pub(super) mod tests;
