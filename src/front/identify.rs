//! Identify and Verify: the request path, one step after the other. Holds no rule of its own; each stands in the step's module.

use std::sync::Arc;
use std::time::Instant;

use super::admit::{self, Admitted};
use super::answers::Question;
use super::authorize::{self, Member, Method};
use super::command::{Identified, Identify, Verified, Verify};
use super::error::FrontError;
use super::identity::Caller;
use super::sealed::{self, Once};
use super::tenants::Tenant;
use super::{Front, blocking, decide};
use crate::keys::transform::Rotation;
use crate::matcher::node::{CompareQuery, NodeError, SearchQuery, SubjectRef};
use crate::model::decision::{CANDIDATES_MAX, Candidate, Decision, RetakeReason, SearchAnswer};
use crate::model::id::{RequestId, SiteId, SubjectId};
use crate::model::link::{Link, SealedLink};
use crate::model::principal::Role;
use crate::model::reject::Rejected;
use crate::model::signature::Signature;
use crate::model::subject::Hand;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent, UsageKind};
use crate::telemetry::traces::Stage;
use crate::telemetry::{self, traces};

/// The decision needs the runner-up too.
const CANDIDATES_MIN: usize = 2;
/// From this dimension on a rotation (D² multiply-adds) takes long enough to hold up other requests.
const PROTECT_INLINE_DIM_MAX: usize = 1_024;

impl Front {
    /// 1:N: who is this?
    pub async fn identify(&self, caller: &Caller, request: Identify) -> Result<Identified, FrontError> {
        let member = self.enter(caller, Method::Identify, request.tenant.as_ref())?;
        check_candidates_max(&member, request.candidates_max)?;
        admit::deadline(request.deadline)?;
        let tenant = self.tenant_of(&member).await?;
        let once = Once::default();
        match self
            .identify_with(&tenant, caller, &member, &request, &once)
            .await
        {
            Err(error) if error.is_stale() => {
                let anew = self.tenant_of(&member).await?;
                self.identify_with(&anew, caller, &member, &request, &once).await
            }
            answer => answer,
        }
    }

    /// The steps that hang on the tenant's spec and keys.
    async fn identify_with(
        &self,
        tenant: &Arc<Tenant>,
        caller: &Caller,
        member: &Member,
        request: &Identify,
        once: &Once,
    ) -> Result<Identified, FrontError> {
        let raw = sealed::open(tenant, caller, &request.request_id, &request.probe)?;
        // Malformed input is refused before anything is remembered, counted or sent.
        let admitted = admit::capture(&raw, &tenant.spec, request.probe.field())?;
        // A repetition is answered as before, without a second entry in the history. The epoch is read before the
        // search, so that an answer which an erasure overtakes is never found again.
        let digest = tenant.digests.identify(request, &raw);
        let question = question(caller, tenant, &request.request_id, digest);
        if let Some(answer) = self.identified.get(&question)
            && self.is_still_true(tenant, &answer.decision).await?
        {
            return Ok(answer);
        }
        // Before a sealed probe is used up and the rotation. Recent matches need no room.
        if matches!(admitted, Admitted::Good(_)) && self.tenants.recents.site(tenant, request).is_none() {
            self.check_room(tenant, request.deadline)?;
        }
        self.take(tenant, caller, &request.probe, once)?;
        traces::lap(Stage::Admission);
        let answer = match admitted {
            Admitted::Retake(reason) => retake(reason),
            Admitted::Good(probe) => {
                let probe = self.protect(tenant, probe).await?;
                let query = self.search_query(tenant, caller, member, request, probe);
                let kept = self.tenants.recents.are_kept().then(|| query.probe.clone());
                let mut found = match self.recall(tenant, request, &query).await? {
                    Some(found) => found,
                    None => self.search(tenant, query).await?,
                };
                if let Some(best) = found.candidates.first() {
                    let near = best.score < tenant.threshold;
                    self.guard.look(&caller.principal, &best.subject_id, near)?;
                }
                found.candidates.retain(|found| found.score >= tenant.threshold);
                let answer = identified(tenant, member, request.candidates_max, found)?;
                if let Some(probe) = kept {
                    self.remember(tenant, question.epoch, request, &answer, probe);
                }
                answer
            }
        };
        // An answer that can't be recorded isn't given: the history would be untrue.
        let event = event(
            member,
            UsageKind::Identify,
            &answer.decision,
            &request.request_id,
            request.site.clone(),
        );
        self.record(tenant, event).await?;
        metrics::counter!(telemetry::DECISIONS, "decision" => decision_name(&answer.decision)).increment(1);
        // Lists of candidates are not kept: one of many may be erased at another front.
        if request.candidates_max == 0 {
            self.identified.put(question, answer.clone());
        }
        Ok(answer)
    }

    /// 1:1: is this that subject?
    pub async fn verify(&self, caller: &Caller, request: Verify) -> Result<Verified, FrontError> {
        // The same steps as in identify, for the same reasons.
        let member = self.enter(caller, Method::Verify, request.tenant.as_ref())?;
        admit::deadline(request.deadline)?;
        let tenant = self.tenant_of(&member).await?;
        let once = Once::default();
        match self.verify_with(&tenant, caller, &member, &request, &once).await {
            Err(error) if error.is_stale() => {
                let anew = self.tenant_of(&member).await?;
                self.verify_with(&anew, caller, &member, &request, &once).await
            }
            answer => answer,
        }
    }

    async fn verify_with(
        &self,
        tenant: &Arc<Tenant>,
        caller: &Caller,
        member: &Member,
        request: &Verify,
        once: &Once,
    ) -> Result<Verified, FrontError> {
        let raw = sealed::open(tenant, caller, &request.request_id, &request.probe)?;
        let admitted = admit::capture(&raw, &tenant.spec, request.probe.field())?;
        let digest = tenant.digests.verify(request, &raw);
        let question = question(caller, tenant, &request.request_id, digest);
        let remembered = self.verified.get(&question);
        // A decision on the palm may be outdated: its subject may have been erased, or have another palm, at another front since. It is compared again.
        if let Some(answer) = &remembered
            && matches!(answer.decision, Decision::Retake(_))
        {
            return Ok(answer.clone());
        }
        if remembered.is_none() {
            self.take(tenant, caller, &request.probe, once)?;
        }
        traces::lap(Stage::Admission);
        let answer = match admitted {
            Admitted::Retake(reason) => Verified {
                decision: Decision::Retake(reason),
                score: None,
            },
            Admitted::Good(probe) => {
                let probe = self.protect(tenant, probe).await?;
                let score = self.compare(tenant, request, probe).await?;
                let claimed = Candidate {
                    subject_id: request.subject_id.clone(),
                    // It is compared again before it is repeated, so that nobody asks for this.
                    subject_since: Timestamp(0),
                    // The comparison is with both palms; the answer to Verify names none.
                    hand: raw.capture.hand.unwrap_or(Hand::Left),
                    score,
                    links: Vec::new(),
                };
                let answer = Verified {
                    decision: decide::verify(claimed, tenant.threshold),
                    score: (member.role == Role::Operator).then_some(score),
                };
                // Where nothing has changed it is the same answer, and no second try.
                if remembered.as_ref() == Some(&answer) {
                    return Ok(answer);
                }
                if score >= tenant.near_threshold {
                    let near = score < tenant.threshold;
                    self.guard.look(&caller.principal, &request.subject_id, near)?;
                }
                answer
            }
        };
        // Another answer than before is one to another question.
        self.take(tenant, caller, &request.probe, once)?;
        let mut event = event(
            member,
            UsageKind::Verify,
            &answer.decision,
            &request.request_id,
            request.site.clone(),
        );
        // Also who was claimed in vain has a right to know.
        event.subject_id = Some(request.subject_id.clone());
        self.record(tenant, event).await?;
        self.verified.put(question, answer.clone());
        Ok(answer)
    }

    /// Rotates a signature into its tenant's space.
    pub(super) async fn protect(
        &self,
        tenant: &Arc<Tenant>,
        signature: Signature,
    ) -> Result<Signature, FrontError> {
        let rotation = self.rotation(tenant).await?;
        if rotation.dimension().get() <= PROTECT_INLINE_DIM_MAX {
            return Ok(rotation.protect(&signature));
        }
        blocking(move || rotation.protect(&signature)).await
    }

    /// The tenant's rotation, derived in the background where it is not at hand.
    pub(super) async fn rotation(&self, tenant: &Arc<Tenant>) -> Result<Arc<Rotation>, FrontError> {
        if let Some(rotation) = self.tenants.resident_rotation(tenant) {
            return Ok(rotation);
        }
        let (tenants, wanted) = (Arc::clone(&self.tenants), Arc::clone(tenant));
        let rotation = blocking(move || tenants.rotation(&wanted)).await?;
        if matches!(rotation, Err(FrontError::TransformMismatch { .. })) {
            self.check_not_made_anew(tenant).await?;
        }
        rotation
    }

    /// Keys that don't fit may be those of a tenant that was made anew at another front; the node knows.
    async fn check_not_made_anew(&self, tenant: &Tenant) -> Result<(), FrontError> {
        let answer = match self.routes.node(tenant.id())?.tenant(tenant.id()).await {
            Ok(status)
                if status
                    .spec
                    .as_ref()
                    .is_some_and(|spec| spec.transform != tenant.spec.transform) =>
            {
                Err(NodeError::TransformStale {
                    tenant: tenant.id().clone(),
                })
            }
            answer => answer.map(drop),
        };
        self.heard(tenant, answer)
    }

    /// Refuses as [`Front::identify`] would for want of room, before the request is read: one that was answered before, or that a bad capture would end, is
    /// refused too. Whoever may not ask is not refused here.
    pub fn room_to_identify(&self, caller: &Caller, deadline: Option<Instant>) -> Result<(), FrontError> {
        let member = authorize::gallery(caller, Method::Identify, None);
        let tenant = member.ok().and_then(|member| self.tenants.get(&member.tenant));
        match tenant {
            Some(tenant) if !self.tenants.recents.are_kept() => self.check_room(&tenant, deadline),
            _ => Ok(()),
        }
    }

    fn check_room(&self, tenant: &Tenant, deadline: Option<Instant>) -> Result<(), FrontError> {
        let node = self.routes.node(tenant.id())?;
        self.heard(tenant, node.check_room(tenant.id(), deadline))
    }

    /// The search of the whole gallery; of near misses too where they are counted.
    fn search_query(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        member: &Member,
        request: &Identify,
        probe: Signature,
    ) -> SearchQuery {
        let threshold = if self.guard.watches(&caller.principal) {
            tenant.near_threshold
        } else {
            tenant.threshold
        };
        SearchQuery {
            tenant: tenant.id().clone(),
            transform: tenant.spec.transform.clone(),
            probe,
            only: None,
            threshold,
            candidates_max: request.candidates_max.max(CANDIDATES_MIN),
            links: tenant.spec.policy.links_for(member.role).to_vec(),
            deterministic: tenant.spec.policy.deterministic,
            deadline: request.deadline,
        }
    }

    pub(super) async fn search(
        &self,
        tenant: &Tenant,
        query: SearchQuery,
    ) -> Result<SearchAnswer, FrontError> {
        let answer = self.routes.node(tenant.id())?.search(query).await;
        self.heard(tenant, answer)
    }

    async fn compare(&self, tenant: &Tenant, request: &Verify, probe: Signature) -> Result<f32, FrontError> {
        let query = CompareQuery {
            tenant: tenant.id().clone(),
            transform: tenant.spec.transform.clone(),
            subject_id: request.subject_id.clone(),
            probe,
            deadline: request.deadline,
        };
        let answer = self.routes.node(tenant.id())?.compare(query).await;
        self.heard(tenant, answer)
    }

    pub(super) async fn record(&self, tenant: &Tenant, event: UsageEvent) -> Result<(), FrontError> {
        let node = self.routes.node(tenant.id())?;
        let answer = node.record_usage(tenant.id(), event.into()).await;
        self.heard(tenant, answer)
    }

    /// Whether a remembered decision may be repeated. Erasures at this front have outdated it already; the subject may
    /// also have been erased, and another palm enrolled under its id, at another one, and only the match node knows.
    async fn is_still_true(&self, tenant: &Tenant, decision: &Decision) -> Result<bool, FrontError> {
        let Decision::Match { candidate, .. } = decision else {
            return Ok(true);
        };
        let subject = SubjectRef::Id(candidate.subject_id.clone());
        match self
            .routes
            .node(tenant.id())?
            .subject(tenant.id(), &subject)
            .await
        {
            Err(NodeError::SubjectUnknown(_)) => Ok(false),
            answer => {
                let record = self.heard(tenant, answer)?;
                Ok(record.created_at == candidate.subject_since)
            }
        }
    }
}

/// Scores are for operators; a limit keeps one request from asking for everybody.
fn check_candidates_max(member: &Member, candidates_max: usize) -> Result<(), Rejected> {
    let problem = if candidates_max > 0 && member.role != Role::Operator {
        format!("is {candidates_max}; candidates with scores are for operators, others send 0")
    } else if candidates_max > CANDIDATES_MAX {
        format!("is {candidates_max}; up to {CANDIDATES_MAX} are allowed")
    } else {
        return Ok(());
    };
    Err(Rejected::new("candidates_max", problem))
}

fn question(caller: &Caller, tenant: &Tenant, request_id: &RequestId, digest: [u8; 32]) -> Question {
    Question {
        epoch: tenant.epoch(),
        principal: caller.principal.path(),
        request_id: request_id.clone(),
        digest,
    }
}

fn retake(reason: RetakeReason) -> Identified {
    Identified {
        decision: Decision::Retake(reason),
        links: Vec::new(),
        certificate: None,
        candidates: Vec::new(),
        backend: String::new(),
    }
}

/// Decides, opens the links that the role may see, and leaves out what only operators are told.
fn identified(
    tenant: &Tenant,
    member: &Member,
    candidates_max: usize,
    mut found: SearchAnswer,
) -> Result<Identified, FrontError> {
    let mut decision = decide::identify(&found.candidates, tenant.threshold, tenant.spec.policy.margin);
    let links = match &mut decision {
        Decision::Match { candidate, .. } => {
            open_links(tenant, member, std::mem::take(&mut candidate.links))?
        }
        _ => Vec::new(),
    };
    found.candidates.truncate(candidates_max);
    for candidate in &mut found.candidates {
        candidate.links = Vec::new();
    }
    Ok(Identified {
        decision,
        links,
        certificate: Some(found.certificate),
        candidates: found.candidates,
        backend: match member.role {
            Role::Operator => found.backend,
            _ => String::new(),
        },
    })
}

/// Opens those links that the tenant's policy hands to the caller's role, whatever the node sent.
pub(super) fn open_links(
    tenant: &Tenant,
    member: &Member,
    sealed: Vec<SealedLink>,
) -> Result<Vec<Link>, FrontError> {
    let allowed = tenant.spec.policy.links_for(member.role);
    open_all_links(
        tenant,
        sealed.into_iter().filter(|link| allowed.contains(&link.kind)),
    )
}

/// Opens links whatever the policy says of roles.
pub(super) fn open_all_links(
    tenant: &Tenant,
    sealed: impl IntoIterator<Item = SealedLink>,
) -> Result<Vec<Link>, FrontError> {
    sealed
        .into_iter()
        .map(|link| {
            tenant
                .links
                .open(&link)
                .map_err(|error| FrontError::Keys(error.to_string()))
        })
        .collect()
}

fn event(
    member: &Member,
    kind: UsageKind,
    decision: &Decision,
    request_id: &RequestId,
    site: Option<SiteId>,
) -> UsageEvent {
    let (outcome, subject_id) = match decision {
        Decision::Match { candidate, .. } => (Outcome::Match, Some(candidate.subject_id.clone())),
        Decision::NoMatch => (Outcome::NoMatch, None::<SubjectId>),
        Decision::Retake(reason) => (Outcome::Retake(*reason), None),
    };
    UsageEvent {
        at: Timestamp::now(),
        kind,
        outcome,
        subject_id,
        site,
        principal: member.name.clone(),
        request_id: request_id.clone(),
    }
}

fn decision_name(decision: &Decision) -> &'static str {
    match decision {
        Decision::Match { .. } => "match",
        Decision::NoMatch => "no_match",
        Decision::Retake(_) => "retake",
    }
}

#[cfg(test)]
#[path = "identify_tests.rs"]
mod tests;
