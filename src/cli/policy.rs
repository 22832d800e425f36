//! Options of a tenant's policy and the message made of them. Checks what the server would, so that a slip is told before any call.

use std::str::FromStr;

use clap::ValueEnum;

use crate::client::api;
use crate::client::api::policy::ThresholdRule;
use crate::model::policy::{IDLE_DAYS_MAX, MARGIN_MAX};
use crate::model::principal::Role;

use super::capture::LinkKindOption;
use super::error::CliError;

/// What a tenant decides for itself.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Policy")]
pub struct PolicyOptions {
    /// Cosine from which on a candidate counts
    #[arg(long, value_name = "SCORE", conflicts_with_all = ["target_fpir", "gallery_size"])]
    pub threshold: Option<f32>,
    /// Wanted false positive identification rate, for a gallery of --gallery-size
    #[arg(long, value_name = "RATE", default_value_t = 0.001)]
    pub target_fpir: f64,
    /// References in the gallery that --target-fpir is stated for
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    pub gallery_size: u64,
    /// Two subjects above the threshold closer than this are ambiguous
    #[arg(long, value_name = "SCORE", default_value_t = 0.02, value_parser = margin)]
    pub margin: f32,
    /// Captures below this quality are neither searched nor enrolled, 0 to 100
    #[arg(long, value_name = "0-100", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub quality_min: u32,
    /// Require that devices look for presentation attacks
    #[arg(long)]
    pub pad_required: bool,
    /// Prove every answer: never skip a reference with a probability, however small
    #[arg(long)]
    pub deterministic: bool,
    /// Erase who was neither enrolled nor recognised for so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=i64::from(IDLE_DAYS_MAX)))]
    pub idle_days_max: Option<u32>,
    /// Erase whose consent has ended
    #[arg(long)]
    pub consent_end: bool,
    /// Links that Identify hands to a role, as scanner=badge-id,loyalty-id; may be given again
    #[arg(long = "grant", value_name = "ROLE=KIND,…")]
    pub grants: Vec<GrantOption>,
}

impl PolicyOptions {
    /// As it goes over the wire.
    pub fn message(&self) -> Result<api::Policy, CliError> {
        let rule = match self.threshold {
            Some(score) if score > 0.0 && score <= 1.0 => ThresholdRule::Threshold(score),
            Some(score) => {
                return Err(CliError::Usage(format!(
                    "--threshold {score} is not above 0 and up to 1"
                )));
            }
            None if self.target_fpir > 0.0 && self.target_fpir <= 0.5 => {
                ThresholdRule::TargetFpir(api::TargetFpir {
                    fpir: self.target_fpir,
                    gallery_size: self.gallery_size,
                })
            }
            None => {
                return Err(CliError::Usage(format!(
                    "--target-fpir {} is not above 0 and up to 0.5",
                    self.target_fpir
                )));
            }
        };
        Ok(api::Policy {
            margin: self.margin,
            quality_min: self.quality_min,
            pad_required: self.pad_required,
            link_grants: self.grants.iter().map(GrantOption::message).collect(),
            threshold_rule: Some(rule),
            deterministic: self.deterministic,
            retention: (self.idle_days_max.is_some() || self.consent_end).then(|| api::Retention {
                idle_days_max: self.idle_days_max.unwrap_or_default(),
                consent_end: self.consent_end,
            }),
        })
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
            .map(|kind| {
                LinkKindOption::from_str(kind, false).map_err(|_| format!("{kind:?} is no kind of link"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { role, kinds })
    }
}

impl GrantOption {
    fn message(&self) -> api::LinkGrant {
        api::LinkGrant {
            role: self.role.as_str().to_owned(),
            kinds: self.kinds.iter().map(|kind| kind.message().into()).collect(),
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
