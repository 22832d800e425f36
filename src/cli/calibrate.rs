//! `thenar calibrate`: from the scores of an evaluation to a threshold, and to a tenant's policy where one is named. Compares nothing.

use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::client::api;
use crate::client::api::policy::ThresholdRule as Rule;
use crate::eval::calibrate::{Basis, CalibrateError, Calibration, calibrate};
use crate::eval::report::{Report, ReportError};
use crate::front::threshold;
use crate::model::id::TenantId;
use crate::model::policy::{GALLERY_SIZE_MAX, ThresholdRule, fmr_of_fpir};
use crate::model::signature::Dimension;

use super::connection::Connection;
use super::error::CliError;
use super::eval::REPORT_FILE;
use super::eval::text::{interval, percent};
use super::file;
use super::output::Output;
use super::policy::FPIR_OF_A_NEW_TENANT;
use super::tenant;

/// Fewer than so many scores expected as high as the highest: it does not belong to the rest.
const ODD: f64 = 0.01;
/// How many times more rare than what the scores show a false match may be where a tenant's threshold is set. Farther out the fitted tail says little.
const TIMES_MAX: f64 = 1_000.0;

/// Options of `calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What eval wrote: the folder, or report.json in it
    report: PathBuf,
    /// Wanted false positive identification rate, for a gallery of --gallery-size
    #[arg(long, value_name = "RATE", default_value_t = FPIR_OF_A_NEW_TENANT.fpir, value_parser = rate)]
    target_fpir: f64,
    /// References in the gallery that --target-fpir is stated for
    #[arg(long, value_name = "COUNT", default_value_t = FPIR_OF_A_NEW_TENANT.gallery_size, value_parser = clap::value_parser!(u64).range(1..=GALLERY_SIZE_MAX))]
    gallery_size: u64,
    /// Set the threshold of this tenant; without it none is set
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 0.5 => Ok(rate),
        _ => Err("a number above 0 and up to 0.5 is expected".to_owned()),
    }
}

/// Most bytes of a report that are read; `eval` writes less than a hundredth of it.
const REPORT_BYTES_MAX: u64 = 64 << 20;

/// Why no threshold was found or set.
#[derive(Debug, Error)]
pub enum CalibrationError {
    /// No report, or one that can't be used.
    #[error("{}: {problem}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: ReportError,
    },
    /// No report is so large.
    #[error("{}: has more than {REPORT_BYTES_MAX} bytes, and no report has", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its scores give no threshold.
    #[error(transparent)]
    Scores(#[from] CalibrateError),
    /// A guess.
    #[error(
        "the threshold {threshold:.5} is extrapolated to what is {times:.0} times as rare as what the scores show; up to {TIMES_MAX} times it is set for a tenant. \
         Evaluate on more palms, ask for less, or set a threshold by hand (thenar tenant policy --threshold)"
    )]
    FarOut {
        /// What would have been set.
        threshold: f64,
        /// How far out it lies.
        times: f64,
    },
    /// Beside a false match.
    #[error(
        "the threshold {threshold:.5} comes of a tail that the highest non-mated score, {highest:.4}, does not belong to, and lies below that score. \
         Find out whether one palm is there under two labels, or set a threshold by hand (thenar tenant policy --threshold)"
    )]
    Odd {
        /// What would have been set.
        threshold: f64,
        /// What would have matched.
        highest: f64,
    },
    /// Scores of other signatures than the tenant's.
    #[error("tenant {tenant} has signatures of {theirs}; the scores are of {ours}")]
    OtherSignatures {
        /// The tenant.
        tenant: TenantId,
        /// What it has.
        theirs: String,
        /// What was evaluated.
        ours: String,
    },
}

/// The answer. Scripts rely on these names.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    found: Calibration,
    target_fpir: f64,
    gallery_size: u64,
    /// What the server's own model would set; none for a dimension that no tenant has.
    model_threshold: Option<f32>,
    /// The tenant whose threshold was set.
    tenant: Option<String>,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let report = read(&args.report)?;
    let rates = report.rates().map_err(|problem| CalibrationError::Report {
        path: args.report.clone(),
        problem,
    })?;
    let fmr = fmr_of_fpir(args.target_fpir, args.gallery_size);
    let found = calibrate(&rates, fmr).map_err(CalibrationError::from)?;
    let rule = ThresholdRule::TargetFpir {
        fpir: args.target_fpir,
        gallery_size: args.gallery_size,
    };
    let model = Dimension::new(report.dimension).map(|dim| threshold::score(&rule, dim));
    if let Some(tenant) = &args.tenant {
        refuse_doubtful(&found)?;
        set(&args.connection, tenant, &report, found.threshold).await?;
    }
    let answer = Answer {
        found,
        target_fpir: args.target_fpir,
        gallery_size: args.gallery_size,
        model_threshold: model.ok(),
        tenant: args.tenant.map(|tenant| tenant.to_string()),
    };
    let json = serde_json::to_value(&answer).expect("numbers and text are JSON");
    args.output.print(&text(&answer), &json)
}

fn refuse_doubtful(found: &Calibration) -> Result<(), CalibrationError> {
    let Basis::Extrapolated {
        times,
        highest,
        highest_expected,
        ..
    } = found.basis
    else {
        return Ok(());
    };
    let threshold = found.threshold;
    if times > TIMES_MAX {
        return Err(CalibrationError::FarOut { threshold, times });
    }
    if highest_expected < ODD && highest >= threshold {
        return Err(CalibrationError::Odd { threshold, highest });
    }
    Ok(())
}

fn read(path: &Path) -> Result<Report, CliError> {
    let path = if path.is_dir() {
        path.join(REPORT_FILE)
    } else {
        path.to_owned()
    };
    let read = file::read_up_to(&path, REPORT_BYTES_MAX)?;
    let text = read.ok_or_else(|| CalibrationError::TooLarge { path: path.clone() })?;
    let report = Report::read(&text).map_err(|problem| CalibrationError::Report { path, problem })?;
    Ok(report)
}

async fn set(
    connection: &Connection,
    tenant: &TenantId,
    report: &Report,
    threshold: f64,
) -> Result<(), CliError> {
    let client = connection.connect().await?;
    let change = |present: api::Tenant| {
        same_signatures(tenant, &present, report)?;
        Ok(api::Policy {
            threshold_rule: Some(Rule::Threshold(single(threshold))),
            ..tenant::policy_of(present)?
        })
    };
    tenant::change_policy(&client, tenant, change).await?;
    Ok(())
}

/// Refuses scores of another encoder, where both are known, or of another dimension.
fn same_signatures(
    tenant: &TenantId,
    present: &api::Tenant,
    report: &Report,
) -> Result<(), CalibrationError> {
    let theirs = present
        .encoder
        .as_ref()
        .map(|encoder| format!("{}/{}", encoder.name, encoder.version));
    let ours = report.encoder.as_ref().map(ToString::to_string);
    let other_encoder = theirs.is_some() && ours.is_some() && theirs != ours;
    let other_dimension = usize::try_from(present.dimension).ok() != Some(report.dimension);
    if !other_encoder && !other_dimension {
        return Ok(());
    }
    let told = |encoder: Option<String>, dim: &dyn std::fmt::Display| {
        let encoder = encoder.unwrap_or_else(|| "an unknown encoder".to_owned());
        format!("{encoder} with {dim} dimensions")
    };
    Err(CalibrationError::OtherSignatures {
        tenant: tenant.clone(),
        theirs: told(theirs, &present.dimension),
        ours: told(ours, &report.dimension),
    })
}

/// A threshold of an evaluation is a whole number of steps of 2⁻¹², which single precision holds.
#[expect(clippy::cast_possible_truncation, reason = "exact")]
fn single(threshold: f64) -> f32 {
    threshold as f32
}

fn text(answer: &Answer) -> String {
    let found = &answer.found;
    let [low, high] = found.interval;
    let mut lines = vec![
        format!(
            "threshold {:.5} for an FPIR of {} among {} references (FMR {:.2e})",
            found.threshold,
            percent(answer.target_fpir),
            answer.gallery_size,
            found.fmr
        ),
        format!(
            "  most likely {:.5}; 95 % interval {low:.5} to {high:.5}",
            found.estimate
        ),
    ];
    lines.extend(basis(&found.basis, found.non_mated));
    lines.push(format!(
        "  FNMR there: {} ({}) of {} mated comparisons",
        percent(found.fnmr),
        interval(found.fnmr_interval),
        found.mated
    ));
    if let Some(model) = answer.model_threshold {
        lines.push(format!(
            "  the server's own model sets {model:.5} for this target"
        ));
    }
    lines.push(
        "  intervals take comparisons for independent; those of one palm are not, so that they are too narrow"
            .to_owned(),
    );
    lines.push(match &answer.tenant {
        Some(tenant) => format!("set for tenant {tenant}"),
        None => "not set: no --tenant".to_owned(),
    });
    lines.join("\n")
}

/// How the threshold was found, a line each.
fn basis(basis: &Basis, non_mated: u64) -> Vec<String> {
    let Basis::Extrapolated {
        times,
        scores,
        from,
        highest,
        highest_expected,
        ..
    } = basis
    else {
        return vec![format!("  counted among {non_mated} non-mated comparisons")];
    };
    let mut lines = vec![format!(
        "  EXTRAPOLATED: {times:.0} times as rare as what {non_mated} non-mated comparisons show; a tail fitted to the {scores} scores from {from:.4} on"
    )];
    if *highest_expected < ODD {
        lines.push(format!(
            "  the highest non-mated score, {highest:.4}, does not belong to that tail: is a label wrong, is one palm there under two?"
        ));
    }
    lines
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
