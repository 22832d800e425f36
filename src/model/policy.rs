//! A tenant's policy: threshold, margin, admission of captures and who may see which link. Values only; the front applies them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::link::LinkKind;
use super::principal::Role;
use super::reject::Rejected;

/// Largest margin between two subjects, in score.
pub const MARGIN_MAX: f32 = 0.5;
/// Largest quality.
pub const QUALITY_MAX: u8 = 100;
/// Largest gallery a false positive target may be stated for, in references.
pub const GALLERY_SIZE_MAX: u64 = 1_000_000_000_000;

/// From which score on a candidate counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdRule {
    /// The score itself, above 0 up to 1.
    Score(f32),
    /// The score at which an identification by somebody not enrolled returns anyone with at most this probability.
    TargetFpir {
        /// FPIR (ISO/IEC 19795-1), above 0 up to 0.5.
        fpir: f64,
        /// References in the gallery that the target is stated for.
        gallery_size: u64,
    },
}

/// The FMR of one comparison that an identification in a gallery of this size may have so that its FPIR is `fpir`: 1 − (1 − FPIR)^(1/N),
/// without the cancellation. Comparisons are taken for independent.
pub fn fmr_of_fpir(fpir: f64, gallery_size: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a gallery's size needs no 53 bits")]
    let references = gallery_size as f64;
    -f64::exp_m1(f64::ln_1p(-fpir) / references)
}

/// Longest time without a use that may be asked for, in days.
pub const IDLE_DAYS_MAX: u32 = 36_500;

/// When the server erases a subject by itself. Nothing of it by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// So many days after the last interaction: an enrolment, or a use that matched the person; 1 to 36,500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_days_max: Option<u32>,
    /// When the term of the consent has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub consent_end: bool,
}

impl Retention {
    /// Whether nobody is ever due.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

/// What a tenant decides for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// From which score on a candidate counts.
    pub threshold: ThresholdRule,
    /// Two subjects above the threshold closer than this in score are ambiguous; 0 to 0.5.
    pub margin: f32,
    /// Captures below this quality are not searched and not enrolled; 0 to 100.
    pub quality_min: u8,
    /// Whether a device must have looked for presentation attacks.
    pub pad_required: bool,
    /// Which links Identify hands out, by role.
    pub links: BTreeMap<Role, Vec<LinkKind>>,
    /// Whether every answer must be proved, so that no row is ever dismissed with a probability. Tenants of before it was there, and
    /// those who don't ask for it, have none stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deterministic: bool,
    /// When subjects are erased without being asked for. Stored as `deterministic` is.
    #[serde(default, skip_serializing_if = "Retention::is_off")]
    pub retention: Retention,
    /// Whether Identify and Verify take sealed probes alone. Stored as `deterministic` is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed_probes: bool,
}

impl Policy {
    /// Checks every limit.
    pub fn check(&self) -> Result<(), Rejected> {
        match self.threshold {
            ThresholdRule::Score(score) if !(score > 0.0 && score <= 1.0) => {
                return Err(Rejected::new(
                    "policy.threshold",
                    format!("{score} is not above 0 and up to 1"),
                ));
            }
            ThresholdRule::TargetFpir { fpir, .. } if !(fpir > 0.0 && fpir <= 0.5) => {
                return Err(Rejected::new(
                    "policy.target_fpir.fpir",
                    format!("{fpir} is not above 0 and up to 0.5"),
                ));
            }
            ThresholdRule::TargetFpir { gallery_size, .. }
                if !(1..=GALLERY_SIZE_MAX).contains(&gallery_size) =>
            {
                return Err(Rejected::new(
                    "policy.target_fpir.gallery_size",
                    format!("{gallery_size} is not from 1 to {GALLERY_SIZE_MAX}"),
                ));
            }
            _ => {}
        }
        if !(0.0..=MARGIN_MAX).contains(&self.margin) {
            return Err(Rejected::new(
                "policy.margin",
                format!("{} is not from 0 to {MARGIN_MAX}", self.margin),
            ));
        }
        for (role, kinds) in &self.links {
            let distinct: BTreeSet<&LinkKind> = kinds.iter().collect();
            let twice = distinct.len() < kinds.len();
            if *role == Role::Admin || twice {
                return Err(Rejected::new(
                    "policy.link_grants",
                    format!("{role}: links are granted to scanner, enroller or operator, each kind once"),
                ));
            }
        }
        if let Some(days) = self.retention.idle_days_max
            && !(1..=IDLE_DAYS_MAX).contains(&days)
        {
            return Err(Rejected::new(
                "policy.retention.idle_days_max",
                format!("{days} is not from 1 to {IDLE_DAYS_MAX}"),
            ));
        }
        if self.quality_min > QUALITY_MAX {
            return Err(Rejected::new(
                "policy.quality_min",
                format!("{} is not from 0 to {QUALITY_MAX}", self.quality_min),
            ));
        }
        Ok(())
    }

    /// Links that a role is handed out.
    pub fn links_for(&self, role: Role) -> &[LinkKind] {
        self.links.get(&role).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
