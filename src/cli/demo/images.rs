//! The act on images: palms are drawn, encoded as a scanner would, enrolled and asked for in a tenant of their own. Measures no encoder; `thenar eval` does.

use futures::future::try_join_all;
use rayon::prelude::*;

use crate::client::api::policy::ThresholdRule;
use crate::client::{Client, api};
use crate::encode::{self, Encoded, PalmEncoder, Picture};
use crate::model::id::TenantId;
use crate::model::principal::Role;
use crate::model::signature::Dimension;
use crate::palms::{self, Palms, Side, preset};

use super::super::capture::{encoder_message, new_request_id};
use super::super::error::CliError;
use super::super::simulated::oracle::{self, Answer, Asker, Verdict};
use super::super::simulated::{self, Palm, SEED, subject_id};
use super::host::Host;
use super::plan::FPIR;
use super::report::Check;
use super::{DemoError, check};

/// People who are enrolled from a drawn image.
const PEOPLE: u64 = 60;
/// Drawn palms that are not enrolled.
const STRANGERS: u64 = 20;
/// Scanners that take pictures.
const SCANNERS: usize = 4;
/// Far above what two palms score, and below most captures of one.
const THRESHOLD: f32 = 0.4;
/// Share of the people that have to be found: nothing is wrong with the service where a drawn capture is too bad.
const FOUND_MIN: f64 = 0.9;

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Images {
    /// People who were asked for.
    pub(super) mated: u64,
    /// Those who were found.
    pub(super) found: u64,
    /// Strangers who were taken for somebody.
    pub(super) taken: u64,
    /// Answers that the scores contradict.
    pub(super) wrong: u64,
}

/// A picture that was encoded, and who shows it.
struct Probe {
    message: api::Signature,
    asker: Asker,
}

/// Draws, enrols and asks.
pub(super) async fn run(host: &Host) -> Result<Images, CliError> {
    let dim = Dimension::new(256).map_err(|error| DemoError::Broken(error.to_string()))?;
    let drawn = tokio::task::spawn_blocking(move || draw(dim));
    let (references, probes) = drawn
        .await
        .map_err(|error| DemoError::Broken(error.to_string()))??;
    let tenant: TenantId = "clinic".parse()?;
    let admin = host.admin().await?;
    admin.admin().create_tenant(tenant_request(&tenant, dim)).await?;
    enrol(host, &tenant, references).await?;
    let mut scanners = Vec::new();
    for number in 0..SCANNERS {
        let name = format!("camera-{number}");
        scanners.push(host.member(tenant.clone(), Role::Scanner, &name).await?);
    }
    let asked = (0..).zip(&scanners).map(|(first, scanner)| {
        let shown = probes.iter().skip(first).step_by(SCANNERS);
        ask(scanner, shown)
    });
    let parts = try_join_all(asked).await?;
    Ok(parts.into_iter().fold(Images::default(), Images::and))
}

async fn enrol(host: &Host, tenant: &TenantId, references: Vec<api::Signature>) -> Result<(), CliError> {
    let desk = host.member(tenant.clone(), Role::Enroller, "desk-1").await?;
    for (subject, reference) in (0..).zip(references) {
        let request = api::EnrollRequest {
            request_id: new_request_id(),
            subject_id: subject_id(subject),
            signatures: vec![reference],
            consent: Some(simulated::consent()),
            ..api::EnrollRequest::default()
        };
        desk.enrollment().enroll(request).await?;
    }
    Ok(())
}

/// What enrols, and what asks: people by another capture of the palm, and strangers.
fn draw(dim: Dimension) -> Result<(Vec<api::Signature>, Vec<Probe>), DemoError> {
    let encoder = PalmEncoder::new(dim).map_err(|error| DemoError::Broken(error.to_string()))?;
    let palms = Palms::new(SEED, preset::test());
    let capture = |number: u64, sample: u64| encoded(&encoder, &palms, number, sample, dim);
    let people: Vec<[(Palm, api::Signature); 2]> = (0..PEOPLE)
        .into_par_iter()
        .map(|number| Ok([capture(number, 0)?, capture(number, 1)?]))
        .collect::<Result<_, DemoError>>()?;
    let strangers: Vec<(Palm, api::Signature)> = (PEOPLE..PEOPLE + STRANGERS)
        .into_par_iter()
        .map(|number| capture(number, 0))
        .collect::<Result<_, _>>()?;
    let mut references = Vec::new();
    let mut probes = Vec::new();
    for (subject, [(enrolled, reference), (shown, message)]) in (0..).zip(people) {
        let score = shown.score(&enrolled);
        references.push(reference);
        let asker = Asker::Mate { subject, score };
        probes.push(Probe { message, asker });
    }
    let asker = Asker::Stranger;
    probes.extend(strangers.into_iter().map(|(_, message)| Probe { message, asker }));
    Ok((references, probes))
}

/// One capture on its way from the picture's file to what is sent.
fn encoded(
    encoder: &PalmEncoder,
    palms: &Palms,
    number: u64,
    sample: u64,
    dim: Dimension,
) -> Result<(Palm, api::Signature), DemoError> {
    let file = palms::png(&palms.palm(number, Side::Left).region(sample));
    let Encoded { signature, quality } = encoder
        .encode(&file, Picture::Region)
        .map_err(|reason| DemoError::Broken(format!("the picture of a drawn palm: {reason}")))?;
    let palm = Palm::new(&signature, dim);
    let message = api::Signature {
        encoder: Some(encoder_message(&encode::encoder())),
        hand: api::Hand::Left.into(),
        quality: quality.into(),
        ..palm.message()
    };
    Ok((palm, message))
}

fn tenant_request(tenant: &TenantId, dim: Dimension) -> api::CreateTenantRequest {
    let mut request = simulated::tenant_request(tenant, format!("create-{tenant}"), dim, FPIR, PEOPLE);
    request.encoder = Some(encoder_message(&encode::encoder()));
    if let Some(policy) = &mut request.policy {
        policy.threshold_rule = Some(ThresholdRule::Threshold(THRESHOLD));
        policy.quality_min = 0;
    }
    request
}

async fn ask(scanner: &Client, probes: impl Iterator<Item = &Probe>) -> Result<Images, CliError> {
    let mut images = Images::default();
    for probe in probes {
        let request = api::IdentifyRequest {
            request_id: new_request_id(),
            probe: Some(probe.message.clone()),
            ..api::IdentifyRequest::default()
        };
        let response = scanner.identity().identify(request).await?.into_inner();
        images.count(probe.asker, Answer::of(&response));
    }
    Ok(images)
}

impl Images {
    fn count(&mut self, asker: Asker, answer: Answer) {
        match asker {
            Asker::Mate { subject, .. } => {
                self.mated += 1;
                self.found += u64::from(answer.names(subject));
            }
            Asker::Stranger => self.taken += u64::from(answer.is_positive()),
        }
        self.wrong += u64::from(oracle::judge(asker, answer, f64::from(THRESHOLD)) == Verdict::Wrong);
    }

    fn and(self, other: Self) -> Self {
        Self {
            mated: self.mated + other.mated,
            found: self.found + other.found,
            taken: self.taken + other.taken,
            wrong: self.wrong + other.wrong,
        }
    }

    /// What must hold.
    pub(super) fn checks(&self) -> Vec<Check> {
        #[expect(clippy::cast_precision_loss, reason = "some dozens of people")]
        let enough = self.found as f64 >= FOUND_MIN * self.mated as f64;
        vec![check(
            "people are found by pictures of their palms",
            self.mated > 0 && enough && self.taken == 0 && self.wrong == 0,
            format!(
                "{} of {} drawn palms, and {} of {STRANGERS} strangers; {} answers against their scores",
                self.found, self.mated, self.taken, self.wrong
            ),
        )]
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
