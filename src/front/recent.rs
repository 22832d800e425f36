//! Who was seen lately at a site: the subjects that were matched there, each with the protected probe that matched. Suggests whom a
//! probe may be of; the match node decides, by the stored references.
//!
//! A regular who comes back is told from one comparison instead of a scan. What that can do wrong is bounded. The node is asked about one
//! subject, and the answer is a match only where one of that subject's references reaches τ′ ≥ τ, the tenant's threshold:
//!
//! * Somebody who is not enrolled is matched only where a full search would have found the same candidate, though perhaps another beside it and so
//!   no match but `AMBIGUOUS`.
//! * Somebody enrolled is taken for another only where a non-mated score with a reference of one of the M subjects of the site reaches τ′, in M·R
//!   comparisons at most for R references a subject. τ′ is the score with FMR(τ′) = FMR(τ)/(M·R) by the model of [`super::threshold`], so that
//!   by the model the probability is at most FMR(τ), that of one comparison at the threshold.
//!
//! What is remembered answers nothing by itself, so that whatever the node learns (an erasure, another key) holds at once. Only a search
//! renews it: everybody is searched for again after some time, and found where a newer enrolment would have it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use ndarray::ArrayView1;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::command::{Identified, Identify};
use super::error::FrontError;
use super::tenants::Tenant;
use super::{Front, threshold};
use crate::matcher::node::{NodeError, SearchQuery};
use crate::model::decision::{Certificate, Decision, SearchAnswer};
use crate::model::id::{SiteId, SubjectId, TenantId};
use crate::model::signature::Signature;
use crate::model::subject::REFERENCES_PER_PALM_MAX;
use crate::telemetry::traces::Stage;
use crate::telemetry::{self, traces};

/// What is remembered of recent matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecentConfig {
    /// Subjects remembered of a site; 0 remembers nobody.
    pub per_site_max: usize,
    /// How long a subject is remembered after a search found it at the site, in seconds.
    pub seconds_max: u64,
    /// Bytes of all probes together, each site counted as if it were full; sites that are asked for rarely are forgotten first, or not taken in.
    pub bytes_max: u64,
}

impl Default for RecentConfig {
    fn default() -> Self {
        Self {
            per_site_max: 0,
            seconds_max: 3_600,
            bytes_max: 256 << 20,
        }
    }
}

/// Palms of a subject.
const HANDS: usize = 2;

/// A site of a tenant as it is known at one time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    tenant: TenantId,
    /// Of [`Tenant::snapshot`].
    snapshot: u64,
    /// Coordinates of its probes.
    dimension: usize,
    site: SiteId,
}

impl Place {
    fn new(tenant: &Tenant, site: &SiteId) -> Self {
        Self {
            tenant: tenant.id().clone(),
            snapshot: tenant.snapshot(),
            dimension: tenant.spec.dimension.get(),
            site: site.clone(),
        }
    }
}

/// The recent matches of all sites.
pub(super) struct Recents {
    per_site_max: usize,
    age_max: Duration,
    sites: Cache<Place, Arc<Mutex<VecDeque<Seen>>>>,
}

/// A subject that was matched.
struct Seen {
    subject: SubjectId,
    /// The protected probe; wiped when dropped.
    probe: Signature,
    at: Instant,
}

impl Recents {
    pub(super) fn new(config: &RecentConfig) -> Self {
        let age_max = Duration::from_secs(config.seconds_max);
        let per_site_max = config.per_site_max;
        Self {
            per_site_max,
            age_max,
            sites: Cache::builder()
                .max_capacity(config.bytes_max)
                // What a full site takes, for a weight is fixed when the site comes.
                .weigher(move |place: &Place, _| {
                    u32::try_from(per_site_max * place.dimension * size_of::<f32>()).unwrap_or(u32::MAX)
                })
                .time_to_idle(age_max)
                .build(),
        }
    }

    /// Most comparisons that one suggestion stands for; see the top of this file.
    pub(super) fn comparisons_max(&self) -> usize {
        self.per_site_max * HANDS * REFERENCES_PER_PALM_MAX
    }

    /// Whether any are.
    pub(super) fn are_kept(&self) -> bool {
        self.per_site_max > 0
    }

    /// The site whose recent matches may answer: none for a tenant that wants proof, and none where candidates are asked for.
    pub(super) fn site<'a>(&self, tenant: &Tenant, request: &'a Identify) -> Option<&'a SiteId> {
        let may = self.are_kept() && !tenant.spec.policy.deterministic && request.candidates_max == 0;
        request.site.as_ref().filter(|_| may)
    }

    /// The subject of this site whose last probe is most like `probe`, where it is as like as a threshold asks for.
    pub(super) fn nearest(&self, tenant: &Tenant, site: &SiteId, probe: &Signature) -> Option<SubjectId> {
        let seen = self.sites.get(&Place::new(tenant, site))?;
        let mut seen = seen.lock();
        self.drop_old(&mut seen);
        let scored = seen.iter().map(|seen| (score(&seen.probe, probe), seen));
        let (score, nearest) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (score >= tenant.threshold).then(|| nearest.subject.clone())
    }

    /// Remembers that a search found `subject` by `probe`, unless somebody of the tenant was erased since `epoch`.
    fn remember(&self, tenant: &Tenant, epoch: u64, site: &SiteId, subject: &SubjectId, probe: Signature) {
        let site = self.sites.get_with(Place::new(tenant, site), Arc::default);
        let mut seen = site.lock();
        seen.retain(|seen| seen.subject != *subject);
        if tenant.epoch() != epoch {
            // It may be this subject that was erased.
            return;
        }
        if seen.len() >= self.per_site_max {
            seen.pop_front();
        }
        seen.push_back(Seen {
            subject: subject.clone(),
            probe,
            at: Instant::now(),
        });
    }

    /// The oldest stand first.
    fn drop_old(&self, seen: &mut VecDeque<Seen>) {
        while seen.front().is_some_and(|seen| seen.at.elapsed() >= self.age_max) {
            seen.pop_front();
        }
    }

    /// Drops what is too old, also where nobody asks any more.
    pub(super) fn sweep(&self) {
        for (_, seen) in &self.sites {
            self.drop_old(&mut seen.lock());
        }
        self.sites.run_pending_tasks();
    }

    /// Forgets a subject at every site. Call it after [`super::tenants::Tenants::outdate_answers`].
    pub(super) fn forget(&self, tenant: &TenantId, subject: &SubjectId) {
        for (place, seen) in &self.sites {
            if place.tenant == *tenant {
                seen.lock().retain(|seen| seen.subject != *subject);
            }
        }
        // Sites that nobody asked for are hidden from the loop above, and go here.
        self.sites.run_pending_tasks();
    }

    /// Forgets everybody of a tenant as it was known. Call it after [`super::tenants::Tenants::outdate_answers`].
    pub(super) fn forget_all(&self, tenant: &Tenant) {
        for (place, seen) in &self.sites {
            if place.snapshot == tenant.snapshot() {
                seen.lock().clear();
                self.sites.invalidate(&*place);
            }
        }
        self.sites.run_pending_tasks();
    }
}

impl Front {
    /// What the match node says of the subject whom the site's recent matches suggest; `None` where the whole gallery is to be searched.
    pub(super) async fn recall(
        &self,
        tenant: &Tenant,
        request: &Identify,
        search: &SearchQuery,
    ) -> Result<Option<SearchAnswer>, FrontError> {
        let Some(site) = self.tenants.recents.site(tenant, request) else {
            return Ok(None);
        };
        traces::staged(Stage::Recents, self.recall_at(tenant, site, search)).await
    }

    async fn recall_at(
        &self,
        tenant: &Tenant,
        site: &SiteId,
        search: &SearchQuery,
    ) -> Result<Option<SearchAnswer>, FrontError> {
        let recents = &self.tenants.recents;
        let Some(subject) = recents.nearest(tenant, site, &search.probe) else {
            count("miss");
            return Ok(None);
        };
        let query = SearchQuery {
            only: Some(subject.clone()),
            threshold: tenant.recent_threshold,
            ..search.clone()
        };
        match self.search(tenant, query).await {
            Ok(found) if found.candidates.iter().any(|found| found.subject_id == subject) => {
                count("hit");
                Ok(Some(SearchAnswer {
                    certificate: Certificate::RecentMatch {
                        false_match_probability: threshold::fmr(
                            f64::from(tenant.threshold),
                            tenant.spec.dimension,
                        ),
                    },
                    ..found
                }))
            }
            Ok(_) => {
                count("refuted");
                Ok(None)
            }
            // Erased at another front.
            Err(FrontError::Node(NodeError::SubjectUnknown(_))) => {
                count("refuted");
                recents.forget(tenant.id(), &subject);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Remembers whom a search found by the probe. `epoch` is of before it.
    pub(super) fn remember(
        &self,
        tenant: &Tenant,
        epoch: u64,
        request: &Identify,
        answer: &Identified,
        probe: Signature,
    ) {
        let recents = &self.tenants.recents;
        if let Decision::Match { candidate, .. } = &answer.decision
            && !matches!(answer.certificate, Some(Certificate::RecentMatch { .. }))
            && let Some(site) = recents.site(tenant, request)
        {
            recents.remember(tenant, epoch, site, &candidate.subject_id, probe);
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!(telemetry::RECENT_MATCHES, "outcome" => outcome).increment(1);
}

fn score(a: &Signature, b: &Signature) -> f32 {
    let (a, b) = (a.values(), b.values());
    if a.len() == b.len() {
        ArrayView1::from(a).dot(&ArrayView1::from(b))
    } else {
        0.0
    }
}

#[cfg(test)]
#[path = "recent_tests.rs"]
mod tests;
