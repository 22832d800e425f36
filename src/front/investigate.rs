//! Investigate: the nearest subjects with their scores, for operators. The request path, one step after the other; decides nothing.

use std::sync::Arc;

use super::Front;
use super::admit::{self, Admitted};
use super::authorize::{Member, Method};
use super::command::{Investigate, Investigated};
use super::error::FrontError;
use super::identity::Caller;
use super::tenants::Tenant;
use crate::matcher::node::RankQuery;
use crate::model::decision::{CANDIDATES_MAX, SearchAnswer};
use crate::model::reject::Rejected;
use crate::model::signature::Signature;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent, UsageKind};
use crate::telemetry::traces::{self, Stage};

impl Front {
    /// 1:N without a threshold: who is nearest? For operators alone, since with scores a stranger could climb towards somebody's palm.
    pub async fn investigate(
        &self,
        caller: &Caller,
        request: Investigate,
    ) -> Result<Investigated, FrontError> {
        // The same steps as in identify, for the same reasons.
        let member = self.enter(caller, Method::Investigate, request.tenant.as_ref())?;
        check_candidates_max(request.candidates_max)?;
        admit::deadline(request.deadline)?;
        let tenant = self.tenant_of(&member).await?;
        match self.investigate_with(&tenant, &member, &request).await {
            Err(error) if error.is_stale() => {
                let anew = self.tenant_of(&member).await?;
                self.investigate_with(&anew, &member, &request).await
            }
            answer => answer,
        }
    }

    async fn investigate_with(
        &self,
        tenant: &Arc<Tenant>,
        member: &Member,
        request: &Investigate,
    ) -> Result<Investigated, FrontError> {
        let admitted = admit::capture(&request.probe, &tenant.spec, "probe")?;
        traces::lap(Stage::Admission);
        let (answer, outcome) = match admitted {
            Admitted::Retake(reason) => (Investigated::Retake(reason), Outcome::Retake(reason)),
            Admitted::Good(probe) => {
                let probe = self.protect(tenant, probe).await?;
                let found = self.nearest(tenant, request, probe).await?;
                (Investigated::Ranked(found), Outcome::Done)
            }
        };
        // Who was looked for leaves a trace, or isn't told; whoever came near has not used a palm and is not named.
        let event = UsageEvent {
            at: Timestamp::now(),
            kind: UsageKind::Investigate,
            outcome,
            subject_id: None,
            site: request.site.clone(),
            principal: member.name.clone(),
            request_id: request.request_id.clone(),
        };
        self.record(tenant, event).await?;
        Ok(answer)
    }

    async fn nearest(
        &self,
        tenant: &Tenant,
        request: &Investigate,
        probe: Signature,
    ) -> Result<SearchAnswer, FrontError> {
        let query = RankQuery {
            tenant: tenant.id().clone(),
            transform: tenant.spec.transform.clone(),
            probe,
            candidates_max: request.candidates_max,
            deterministic: tenant.spec.policy.deterministic,
            deadline: request.deadline,
        };
        let answer = self.routes.node(tenant.id())?.rank(query).await;
        self.heard(tenant, answer)
    }
}

fn check_candidates_max(candidates_max: usize) -> Result<(), Rejected> {
    if (1..=CANDIDATES_MAX).contains(&candidates_max) {
        return Ok(());
    }
    Err(Rejected::new(
        "candidates_max",
        format!("is {candidates_max}; 1 to {CANDIDATES_MAX} are allowed"),
    ))
}

#[cfg(test)]
#[path = "investigate_tests.rs"]
mod tests;
