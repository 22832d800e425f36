//! Admission of captures: what comes in is the tenant's, well formed, good enough and alive. Pure; changes and searches nothing.

use std::time::Instant;

use super::command::RawSignature;
use super::error::FrontError;
use crate::matcher::node::NodeError;
use crate::model::decision::RetakeReason;
use crate::model::policy::{Policy, QUALITY_MAX};
use crate::model::reject::Rejected;
use crate::model::signature::{Encoder, Signature};
use crate::model::subject::{Capture, PadVerdict};
use crate::model::tenant::TenantSpec;

/// A capture that is well formed.
pub(super) enum Admitted {
    /// Good enough: the signature, not yet protected.
    Good(Signature),
    /// To be captured again.
    Retake(RetakeReason),
}

/// Admits one capture. `field` is its place in the request, for refusals.
pub(super) fn capture(raw: &RawSignature, spec: &TenantSpec, field: &str) -> Result<Admitted, Rejected> {
    encoder(&raw.encoder, spec).map_err(|refusal| refusal.within(field))?;
    quality(raw.capture.quality).map_err(|refusal| refusal.within(field))?;
    let signature =
        Signature::parse(&raw.data, raw.element, spec.dimension).map_err(|refusal| refusal.within(field))?;
    Ok(match retake(&raw.capture, &spec.policy) {
        Some(reason) => Admitted::Retake(reason),
        None => Admitted::Good(signature),
    })
}

/// Refuses signatures of another encoder: they would score at random.
pub(super) fn encoder(found: &Encoder, spec: &TenantSpec) -> Result<(), Rejected> {
    if *found == spec.encoder {
        return Ok(());
    }
    Err(Rejected::new(
        "encoder",
        format!(
            "is {found}; the tenant's encoder is {}, and signatures of different encoders don't compare",
            spec.encoder
        ),
    ))
}

/// Refuses a quality out of range.
pub(super) fn quality(quality: u8) -> Result<(), Rejected> {
    if quality <= QUALITY_MAX {
        return Ok(());
    }
    Err(Rejected::new(
        "quality",
        format!("{quality} is not from 0 to {QUALITY_MAX}"),
    ))
}

/// Refuses work that nobody waits for any more.
pub(super) fn deadline(deadline: Option<Instant>) -> Result<(), FrontError> {
    match deadline {
        Some(deadline) if deadline <= Instant::now() => Err(NodeError::DeadlineExceeded.into()),
        _ => Ok(()),
    }
}

/// Why to capture again, an attack before a bad picture of one.
fn retake(capture: &Capture, policy: &Policy) -> Option<RetakeReason> {
    let pad_failed = match capture.pad {
        PadVerdict::Attack => true,
        PadVerdict::NotPerformed => policy.pad_required,
        PadVerdict::BonaFide => false,
    };
    if pad_failed {
        Some(RetakeReason::PadFailed)
    } else if capture.quality < policy.quality_min {
        Some(RetakeReason::LowQuality)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "admit_tests.rs"]
mod tests;
