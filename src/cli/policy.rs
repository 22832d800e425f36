//! Options of a tenant's policy and the message made of them. Checks what the server would, so that a slip is told before any call.

use std::str::FromStr;

use clap::ValueEnum;

use crate::client::api;
use crate::client::api::policy::ThresholdRule;
use crate::model::policy::{IDLE_DAYS_MAX, MARGIN_MAX};
use crate::model::principal::Role;

use super::capture::LinkKindOption;
use super::error::CliError;

/// The rule of a tenant that asks for none.
pub const FPIR_OF_A_NEW_TENANT: api::TargetFpir = api::TargetFpir {
    fpir: 0.001,
    gallery_size: 1_000_000,
};

/// What a tenant decides for itself. What is not given is as it was, or as (in brackets) with a new tenant.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Policy")]
pub struct PolicyOptions {
    /// Cosine from which on a candidate counts
    #[arg(long, value_name = "SCORE", conflicts_with_all = ["target_fpir", "gallery_size"])]
    pub threshold: Option<f32>,
    /// Wanted false positive identification rate, for a gallery of --gallery-size (0.001)
    #[arg(long, value_name = "RATE")]
    pub target_fpir: Option<f64>,
    /// References in the gallery that --target-fpir is stated for (1,000,000)
    #[arg(long, value_name = "COUNT")]
    pub gallery_size: Option<u64>,
    /// Two subjects above the threshold closer than this are ambiguous (0.02)
    #[arg(long, value_name = "SCORE", value_parser = margin)]
    pub margin: Option<f32>,
    /// Captures below this quality are neither searched nor enrolled, 0 to 100 (0)
    #[arg(long, value_name = "0-100", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub quality_min: Option<u32>,
    /// Require that devices look for presentation attacks (false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub pad_required: Option<bool>,
    /// Prove every answer: never skip a reference with a probability, however small (false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub deterministic: Option<bool>,
    /// Erase who was neither enrolled nor recognised for so many days; 0: nobody (0)
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=i64::from(IDLE_DAYS_MAX)))]
    pub idle_days_max: Option<u32>,
    /// Erase whose consent has ended (false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub consent_end: Option<bool>,
    /// Take sealed probes alone (false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sealed_probes: Option<bool>,
    /// Links that Identify hands to a role, as scanner=badge-id,loyalty-id, in the place of its former ones; scanner= for none; may be given again
    #[arg(long = "grant", value_name = "ROLE=KIND,…")]
    pub grants: Vec<GrantOption>,
}

/// The policy of a new tenant, but for what is asked for.
fn of_a_new_tenant() -> api::Policy {
    api::Policy {
        margin: 0.02,
        quality_min: 0,
        pad_required: false,
        link_grants: Vec::new(),
        threshold_rule: Some(ThresholdRule::TargetFpir(FPIR_OF_A_NEW_TENANT)),
        deterministic: false,
        retention: None,
        sealed_probes: false,
    }
}

impl PolicyOptions {
    /// A new tenant's policy as it goes over the wire.
    pub fn message(&self) -> Result<api::Policy, CliError> {
        self.over(of_a_new_tenant())
    }

    /// This policy with what is asked for changed.
    pub fn over(&self, present: api::Policy) -> Result<api::Policy, CliError> {
        let retention = present.retention.unwrap_or_default();
        let retention = api::Retention {
            idle_days_max: self.idle_days_max.unwrap_or(retention.idle_days_max),
            consent_end: self.consent_end.unwrap_or(retention.consent_end),
        };
        let mut link_grants = present.link_grants;
        for grant in &self.grants {
            link_grants.retain(|present| present.role != grant.role.as_str());
            link_grants.extend(grant.message());
        }
        Ok(api::Policy {
            margin: self.margin.unwrap_or(present.margin),
            quality_min: self.quality_min.unwrap_or(present.quality_min),
            pad_required: self.pad_required.unwrap_or(present.pad_required),
            link_grants,
            threshold_rule: self.rule(present.threshold_rule)?,
            deterministic: self.deterministic.unwrap_or(present.deterministic),
            retention: (retention != api::Retention::default()).then_some(retention),
            sealed_probes: self.sealed_probes.unwrap_or(present.sealed_probes),
        })
    }

    fn rule(&self, present: Option<ThresholdRule>) -> Result<Option<ThresholdRule>, CliError> {
        let refused = |option: &str, value: &dyn std::fmt::Display, limit: &str| {
            Err(CliError::Usage(format!(
                "--{option} {value} is not above 0 and up to {limit}"
            )))
        };
        if let Some(score) = self.threshold {
            if !(score > 0.0 && score <= 1.0) {
                return refused("threshold", &score, "1");
            }
            return Ok(Some(ThresholdRule::Threshold(score)));
        }
        if self.target_fpir.is_none() && self.gallery_size.is_none() {
            return Ok(present);
        }
        let mut target = match present {
            Some(ThresholdRule::TargetFpir(target)) => target,
            _ => FPIR_OF_A_NEW_TENANT,
        };
        target.fpir = self.target_fpir.unwrap_or(target.fpir);
        target.gallery_size = self.gallery_size.unwrap_or(target.gallery_size);
        if !(target.fpir > 0.0 && target.fpir <= 0.5) {
            return refused("target-fpir", &target.fpir, "0.5");
        }
        Ok(Some(ThresholdRule::TargetFpir(target)))
    }
}

fn margin(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(margin) if (0.0..=MARGIN_MAX).contains(&margin) => Ok(margin),
        _ => Err(format!("a number from 0 to {MARGIN_MAX} is expected")),
    }
}

/// Kinds of links for one role.
#[derive(Debug, Clone)]
pub struct GrantOption {
    role: Role,
    kinds: Vec<LinkKindOption>,
}

impl FromStr for GrantOption {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (role, kinds) = text
            .split_once('=')
            .ok_or("ROLE=KIND,… is expected, as scanner=badge-id")?;
        let role: Role = role.parse().map_err(|e| format!("{e}"))?;
        let kinds = kinds
            .split(',')
            .filter(|_| !kinds.is_empty())
            .map(|kind| {
                LinkKindOption::from_str(kind, false).map_err(|_| format!("{kind:?} is no kind of link"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { role, kinds })
    }
}

impl GrantOption {
    /// `None` where nothing is granted.
    fn message(&self) -> Option<api::LinkGrant> {
        (!self.kinds.is_empty()).then(|| api::LinkGrant {
            role: self.role.as_str().to_owned(),
            kinds: self.kinds.iter().map(|kind| kind.message().into()).collect(),
        })
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
