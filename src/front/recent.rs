//! Who was seen lately at a site: the subjects that were matched there, each with the protected probe that matched. Suggests whom a
//! probe may be of; the match node decides, by the stored references.
//!
//! A regular who comes back is told from one comparison instead of a scan. What that can do wrong is bounded. The node is asked about one
//! subject, and the answer is a match only where that subject's reference reaches τ′ ≥ τ, the tenant's threshold:
//!
//! * Somebody who is not enrolled is matched only where a full search would have found the same candidate. No false positive is added.
//! * Somebody enrolled is taken for another only where a non-mated score with one of the M subjects of the site reaches τ′, in M comparisons
//!   at most. τ′ is the score with FMR(τ′) = FMR(τ)/M by the model of [`super::threshold`], so that the probability is at most FMR(τ), that
//!   of one comparison at the threshold.
//!
//! What is remembered answers nothing by itself, so that whatever the node learns (an erasure, another key, another policy) holds at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use ndarray::ArrayView1;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::command::Identify;
use super::error::FrontError;
use super::tenants::Tenant;
use super::{Front, threshold};
use crate::matcher::node::{NodeError, SearchQuery};
use crate::model::decision::{Candidate, Certificate, Decision, SearchAnswer};
use crate::model::id::{SiteId, SubjectId};
use crate::model::signature::Signature;
use crate::telemetry;

/// What is remembered of recent matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecentConfig {
    /// Subjects remembered of a site; 0 remembers nobody.
    pub per_site_max: usize,
    /// How long a subject is remembered after its last match at the site, in seconds.
    pub seconds_max: u64,
    /// Bytes of all probes together; sites that were not asked for longest are forgotten first.
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

/// A site of a tenant as it is known at one time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    /// Of [`Tenant::snapshot`].
    snapshot: u64,
    /// Coordinates of its probes.
    dimension: usize,
    site: SiteId,
}

impl Place {
    fn new(tenant: &Tenant, site: &SiteId) -> Self {
        Self {
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
    /// What it scored with the references.
    score: f32,
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

    /// Most subjects of a site; 0 where nobody is remembered.
    pub(super) fn per_site_max(&self) -> usize {
        self.per_site_max
    }

    /// The site whose recent matches may answer: none for a tenant that wants proof, and none where candidates are asked for.
    fn site<'a>(&self, tenant: &Tenant, request: &'a Identify) -> Option<&'a SiteId> {
        let may = self.per_site_max > 0 && !tenant.spec.policy.deterministic && request.candidates_max == 0;
        request.site.as_ref().filter(|_| may)
    }

    /// The subject of this site whose last probe is most like `probe`, where it is as like as a threshold asks for.
    pub(super) fn nearest(&self, tenant: &Tenant, site: &SiteId, probe: &Signature) -> Option<SubjectId> {
        let seen = self.sites.get(&Place::new(tenant, site))?;
        let mut seen = seen.lock();
        let now = Instant::now();
        // The oldest stand first.
        while seen
            .front()
            .is_some_and(|seen| now.duration_since(seen.at) >= self.age_max)
        {
            seen.pop_front();
        }
        let scored = seen.iter().map(|seen| (score(&seen.probe, probe), seen));
        let (score, nearest) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (score >= tenant.threshold).then(|| nearest.subject.clone())
    }

    /// Remembers that `candidate` was matched by `probe`, unless somebody of the tenant was erased since `epoch`. Of several probes the one stays
    /// that scored best with the references.
    fn remember(&self, tenant: &Tenant, epoch: u64, site: &SiteId, candidate: &Candidate, probe: Signature) {
        let place = Place::new(tenant, site);
        let mut newest = Seen {
            subject: candidate.subject_id.clone(),
            score: candidate.score,
            probe,
            at: Instant::now(),
        };
        let site = self.sites.get_with(place, Arc::default);
        let mut seen = site.lock();
        let former = seen.iter().position(|seen| seen.subject == newest.subject);
        let former = former.and_then(|at| seen.remove(at));
        if tenant.epoch() != epoch {
            // It may be this subject that was erased.
            return;
        }
        if let Some(former) = former.filter(|former| former.score > newest.score) {
            newest = Seen {
                at: newest.at,
                ..former
            };
        }
        if seen.len() >= self.per_site_max {
            seen.pop_front();
        }
        seen.push_back(newest);
    }

    /// Forgets a subject at every site. Call it after [`super::tenants::Tenants::outdate_answers`].
    pub(super) fn forget(&self, tenant: &Tenant, subject: &SubjectId) {
        for (place, seen) in &self.sites {
            if place.snapshot == tenant.snapshot() {
                seen.lock().retain(|seen| seen.subject != *subject);
            }
        }
    }

    /// Forgets everybody of a tenant as it was known.
    pub(super) fn forget_all(&self, tenant: &Tenant) {
        for (place, seen) in &self.sites {
            if place.snapshot == tenant.snapshot() {
                seen.lock().clear();
                self.sites.invalidate(&*place);
            }
        }
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
        let recents = &self.tenants.recents;
        let Some(site) = recents.site(tenant, request) else {
            return Ok(None);
        };
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
            Ok(found) if !found.candidates.is_empty() => {
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
                recents.forget(tenant, &subject);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Remembers whom the probe matched. `epoch` is of before the search.
    pub(super) fn remember(
        &self,
        tenant: &Tenant,
        epoch: u64,
        request: &Identify,
        decision: &Decision,
        probe: Signature,
    ) {
        let recents = &self.tenants.recents;
        if let Decision::Match { candidate, .. } = decision
            && let Some(site) = recents.site(tenant, request)
        {
            recents.remember(tenant, epoch, site, candidate, probe);
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
