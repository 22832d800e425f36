//! Enroll: palms in, with consent. All captures of a request or none.

use std::sync::Arc;

use super::Front;
use super::admit::{self, Admitted};
use super::authorize::{Member, Method};
use super::command::{Enroll, Enrollment, RawSignature};
use super::error::FrontError;
use super::identity::Caller;
use super::tenants::Tenant;
use crate::matcher::node::{self, NewReference};
use crate::model::consent::Consent;
use crate::model::decision::RetakeReason;
use crate::model::link::{Link, LinkKind};
use crate::model::reject::Rejected;
use crate::model::signature::Signature;
use crate::model::subject::{Hand, REFERENCES_PER_PALM_MAX};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent, UsageKind};
use crate::telemetry::traces::{self, Stage};

/// Most signatures of one request: both palms, full.
pub const SIGNATURES_MAX: usize = 2 * REFERENCES_PER_PALM_MAX;

/// A capture that may be enrolled, or the first that may not.
enum Captures {
    Good(Vec<(Signature, Hand)>),
    Retake(RetakeReason),
}

impl Front {
    /// Enrols a subject's palms; durable and searchable when it returns.
    pub async fn enroll(&self, caller: &Caller, request: Enroll) -> Result<Enrollment, FrontError> {
        // First of all who asks, so that nobody learns anything about another tenant.
        let member = self.enter(caller, Method::Enroll, request.tenant.as_ref())?;
        // Without consent nothing of the palm is so much as looked at.
        let consent = check_consent(request.consent.as_ref())?;
        check_links(&request.links)?;
        let tenant = self.tenant_of(&member).await?;
        match self.enroll_with(&tenant, &member, &consent, &request).await {
            Err(error) if error.is_stale() => {
                let anew = self.tenant_of(&member).await?;
                self.enroll_with(&anew, &member, &consent, &request).await
            }
            answer => answer,
        }
    }

    /// The steps that hang on the tenant's spec and keys.
    async fn enroll_with(
        &self,
        tenant: &Arc<Tenant>,
        member: &Member,
        consent: &Consent,
        request: &Enroll,
    ) -> Result<Enrollment, FrontError> {
        let captures = match captures(&request.signatures, tenant)? {
            Captures::Good(captures) => captures,
            Captures::Retake(reason) => return Ok(Enrollment::Retake(reason)),
        };
        traces::lap(Stage::Admission);
        // Of what was asked in the clear: sealed links and protected signatures would never be the same twice.
        let request_digest = tenant.digests.enroll(request);
        let subject_id = request
            .subject_id
            .clone()
            .unwrap_or_else(|| tenant.digests.subject_id(&request.request_id, &request_digest, 0));
        let references = self.references(tenant, request, captures).await?;
        let enrollment = node::Enrollment {
            tenant: tenant.id().clone(),
            transform: tenant.spec.transform.clone(),
            request_digest,
            references,
            consent: consent.clone(),
            links: request.links.iter().map(|link| tenant.links.seal(link)).collect(),
            usage: UsageEvent {
                at: Timestamp::now(),
                kind: UsageKind::Enroll,
                outcome: Outcome::Done,
                subject_id: Some(subject_id.clone()),
                site: request.site.clone(),
                principal: member.name.clone(),
                request_id: request.request_id.clone(),
            },
            request_id: request.request_id.clone(),
            subject_id,
        };
        // The event goes with the enrolment, in one durable change.
        let answer = self.routes.node(tenant.id())?.enroll(enrollment).await;
        Ok(Enrollment::Done(self.heard(tenant, answer)?))
    }

    async fn references(
        &self,
        tenant: &Arc<Tenant>,
        request: &Enroll,
        captures: Vec<(Signature, Hand)>,
    ) -> Result<Vec<NewReference>, FrontError> {
        let mut references = Vec::with_capacity(captures.len());
        for (raw, (signature, hand)) in request.signatures.iter().zip(captures) {
            references.push(NewReference {
                signature: self.protect(tenant, signature).await?,
                hand,
                capture: raw.capture,
            });
        }
        Ok(references)
    }
}

/// Enrolment and import need the same: a consent that is complete and holds now.
pub(super) fn check_consent(consent: Option<&Consent>) -> Result<Consent, Rejected> {
    let consent = consent.ok_or_else(|| {
        Rejected::new(
            "consent",
            "is required: no palm is taken in without the person's consent (policy version, purpose, term, method)",
        )
    })?;
    consent.check(Timestamp::now())?;
    Ok(consent.clone())
}

fn check_links(links: &[Link]) -> Result<(), Rejected> {
    let kinds_max = LinkKind::ALL.len();
    if links.len() > kinds_max {
        return Err(Rejected::new(
            "links",
            format!(
                "has {} entries; up to {kinds_max}, one of a kind, are allowed",
                links.len()
            ),
        ));
    }
    for (at, link) in links.iter().enumerate() {
        if links.iter().take(at).any(|earlier| earlier.kind == link.kind) {
            return Err(Rejected::new(
                format!("links[{at}].kind"),
                format!("{:?} is there twice; a subject has one link of a kind", link.kind),
            ));
        }
    }
    Ok(())
}

/// Refuses none and too many. Whoever makes a request of a message looks before it makes anything of the entries.
pub fn check_count(signatures: usize) -> Result<(), Rejected> {
    if (1..=SIGNATURES_MAX).contains(&signatures) {
        return Ok(());
    }
    Err(Rejected::new(
        "signatures",
        format!("has {signatures} entries; 1 to {SIGNATURES_MAX} are allowed"),
    ))
}

/// Admits every capture; a malformed one comes before one that is not good enough.
fn captures(raw: &[RawSignature], tenant: &Tenant) -> Result<Captures, Rejected> {
    check_count(raw.len())?;
    let (mut good, mut retake) = (Vec::with_capacity(raw.len()), None);
    for (at, raw) in raw.iter().enumerate() {
        let field = format!("signatures[{at}]");
        let hand = raw
            .capture
            .hand
            .ok_or_else(|| Rejected::new(format!("{field}.hand"), "is required: left or right"))?;
        match admit::capture(raw, &tenant.spec, &field)? {
            Admitted::Good(signature) => good.push((signature, hand)),
            Admitted::Retake(reason) => retake = retake.or(Some(reason)),
        }
    }
    Ok(match retake {
        Some(reason) => Captures::Retake(reason),
        None => Captures::Good(good),
    })
}

#[cfg(test)]
#[path = "enroll_tests.rs"]
mod tests;
