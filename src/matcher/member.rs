//! A match node of a cluster: what it answers for parts of galleries, and what a front asks one node for, which it writes into the catalog that all nodes share and reads from there. Keeps no
//! truth of its own, and answers for no gallery as a whole.

mod import;
mod one;
mod rotate;
mod seat;
mod waits;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::seat::Seat;
use self::waits::ERASURE_WAIT_MAX;
use super::cluster_home::ClusterHome;
use super::convert;
use super::import::{blocking, progress_of};
use super::node::{
    CompareQuery, Enrolled, Enrollment, Erased, Erasure, ImportHeader, ImportProgress, ImportStream,
    Imported, Node, NodeError, PolicyChange, RankQuery, SearchQuery, SubjectRef, TransformChange, UsagePage,
    UsageQuery,
};
use super::parts::PartsNode;
use super::parts::on_cluster::OnCluster;
use super::parts::on_cluster::opened::Opened;
use super::placed::holder::{Holder, PartError};
use super::rotations::Rotations;
use crate::cluster::followers::{ENROL_WAIT_MAX, Write as Waiting};
use crate::cluster::placement::NodeId;
use crate::cluster::question::Scope;
use crate::engine::Engine;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::decision::SearchAnswer;
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::retention::Due;
use crate::model::subject::SubjectRecord;
use crate::model::tenant::{TenantSpec, TenantState, TenantStats, TenantStatus, TransformId};
use crate::model::usage::UsageRecord;
use crate::storage::cluster::Figures;
use crate::storage::database::notices::{Listening, Notice};
use crate::storage::error::StorageError;
use crate::storage::write::{Committed, Write};

/// How long the making of a tenant waits until this node has what it is to have of it. Others find it with their next look.
pub const CREATE_WAIT_MAX: Duration = Duration::from_secs(2);

/// What a node of a cluster is made of.
pub struct MemberParts {
    /// Who it is.
    pub id: NodeId,
    /// What holds its parts of galleries, started over the same `cluster`.
    pub parts: Arc<PartsNode>,
    /// The catalogs and segments.
    pub cluster: OnCluster,
    /// Whoever makes tenants and removes them.
    pub home: Arc<ClusterHome>,
    /// What searches, of the same `parts`.
    pub engine: Engine,
}

/// A match node of a cluster.
pub struct MemberNode {
    shared: Arc<Shared>,
    /// The tenants that were written to.
    seats: Mutex<HashMap<TenantId, Arc<Seat>>>,
    rotations: Rotations,
    /// What other nodes tell.
    _listening: Listening,
}

/// What the work on tenants needs of the node.
struct Shared {
    of: MemberParts,
    /// Ends what waits for other nodes.
    stop: CancellationToken,
}

impl Drop for MemberNode {
    fn drop(&mut self) {
        self.stop();
    }
}

impl MemberNode {
    /// Of these.
    pub fn new(of: MemberParts) -> Self {
        let (stop, parts) = (CancellationToken::new(), Arc::clone(&of.parts));
        Self {
            _listening: of.cluster.listen(move |notice| match notice {
                Notice::Change(tenant) => parts.hear(&tenant),
                Notice::Whole(tenant) => parts.nudge(&tenant),
                // The next round finds it.
                Notice::Anything => {}
            }),
            shared: Arc::new(Shared { of, stop }),
            seats: Mutex::default(),
            rotations: Rotations::default(),
        }
    }

    /// What holds its parts of galleries.
    pub fn parts(&self) -> &Arc<PartsNode> {
        &self.shared.of.parts
    }

    /// Tells those who wait for other nodes that it goes: what they wrote is durable, and they may ask another node. [`PartsNode::drain`] and [`PartsNode::stop`] end the rest.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Waits for rotations that are under way, which end early once it was told to stop.
    pub async fn rotations_ended(&self) {
        self.rotations.ended().await;
    }

    /// A tenant's catalog, opened where it is not.
    async fn opened(&self, tenant: &TenantId) -> Result<Arc<Opened>, NodeError> {
        if let Some(known) = self.shared.of.cluster.known(tenant) {
            return Ok(known);
        }
        let (cluster, tenant) = (self.shared.of.cluster.clone(), tenant.clone());
        blocking(move || cluster.catalog(&tenant)).await
    }

    /// The same where the tenant's rows are protected with this rotation. A tenant that was made anew may have another one than is known here.
    async fn opened_for(&self, tenant: &TenantId, transform: &TransformId) -> Result<Arc<Opened>, NodeError> {
        let opened = self.opened(tenant).await?;
        if opened.transform == *transform {
            return Ok(opened);
        }
        let (cluster, tenant, transform) =
            (self.shared.of.cluster.clone(), tenant.clone(), transform.clone());
        blocking(move || {
            let opened = cluster.catalog_now(&tenant)?;
            if opened.transform == transform {
                return Ok(opened);
            }
            Err(NodeError::TransformStale { tenant })
        })
        .await
    }

    /// Reads of a tenant's catalog.
    async fn read<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl Fn(&Opened) -> Result<T, StorageError> + Send + 'static,
        is_nothing: impl Fn(&T) -> bool + Send + 'static,
    ) -> Result<T, NodeError> {
        let (cluster, tenant) = (self.shared.of.cluster.clone(), tenant.clone());
        blocking(move || cluster.find(&tenant, work, is_nothing)).await
    }

    fn forget(&self, tenant: &TenantId) {
        self.shared.of.cluster.forget(tenant);
        self.seats.lock().remove(tenant);
        self.shared.of.parts.nudge(tenant);
    }
}

impl Shared {
    fn status(&self, tenant: TenantId, told: Result<Figures, NodeError>) -> TenantStatus {
        match told {
            Ok(Figures { spec, mut stats }) => {
                stats.resident_bytes = self.of.parts.resident_bytes(&tenant);
                TenantStatus {
                    spec: Some(spec),
                    rotating: self.of.home.is_rotating(&tenant),
                    id: tenant,
                    state: TenantState::Ready,
                    stats,
                }
            }
            Err(error) => TenantStatus {
                spec: None,
                id: tenant,
                state: TenantState::Unavailable(error.to_string()),
                rotating: false,
                stats: TenantStats::default(),
            },
        }
    }

    fn tenant(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let mut figures = self.of.cluster.figures(Some(tenant))?;
        let told = figures.remove(tenant);
        let told = told.ok_or_else(|| NodeError::TenantUnknown(tenant.clone()))?;
        Ok(self.status(tenant.clone(), told))
    }

    fn create(&self, spec: &TenantSpec) -> Result<TenantStatus, NodeError> {
        let made = match self.of.home.create(spec) {
            Err(StorageError::Uncertain(_)) => self.of.home.create(spec),
            made => made,
        };
        match made {
            Ok(()) => {}
            // By somebody else, or by a request of which this is the repetition.
            Err(StorageError::TenantExists(_)) => {
                self.of.cluster.make(&spec.id)?;
                let status = self.tenant(&spec.id)?;
                let known = status.spec.as_ref();
                return match known.map(|known| convert::same_tenant(known, spec)) {
                    Some(true) => Ok(status),
                    _ => Err(NodeError::TenantExists(spec.id.clone())),
                };
            }
            Err(error) => return Err(self.of.cluster.fault(&spec.id, &error)),
        }
        self.of.cluster.make(&spec.id)?;
        self.of.cluster.notify(&Notice::Whole(spec.id.clone()));
        self.tenant(&spec.id)
    }

    /// One that was cut off is done again whole.
    fn remove(&self, tenant: &TenantId) -> Result<(), NodeError> {
        let removed = match self.of.home.remove(tenant) {
            Err(StorageError::Uncertain(_)) => match self.of.home.remove(tenant) {
                Err(StorageError::TenantUnknown(_)) => Ok(()),
                removed => removed,
            },
            removed => removed,
        };
        self.of.cluster.notify(&Notice::Whole(tenant.clone()));
        removed.map_err(|error| self.of.cluster.fault(tenant, &error))
    }
}

/// What only a gallery that is whole can answer.
fn asked_for_all() -> NodeError {
    NodeError::StorageRefused(
        "a node of a cluster has parts of galleries, and is asked for parts: ask the cluster".to_owned(),
    )
}

#[async_trait]
impl Node for MemberNode {
    async fn tenants(&self) -> Result<Vec<TenantStatus>, NodeError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let figures = shared.of.cluster.figures(None)?;
            let statuses = figures
                .into_iter()
                .map(|(tenant, told)| shared.status(tenant, told));
            let mut statuses: Vec<TenantStatus> = statuses.collect();
            statuses.sort_by(|one, next| one.id.cmp(&next.id));
            Ok(statuses)
        })
        .await
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let (shared, tenant) = (Arc::clone(&self.shared), tenant.clone());
        blocking(move || shared.tenant(&tenant)).await
    }

    async fn create_tenant(&self, spec: TenantSpec) -> Result<TenantStatus, NodeError> {
        let (shared, tenant) = (Arc::clone(&self.shared), spec.id.clone());
        let status = blocking(move || shared.create(&spec)).await?;
        let until = Instant::now() + CREATE_WAIT_MAX;
        self.shared.of.parts.settled(&tenant, until).await;
        Ok(status)
    }

    async fn set_policy(&self, change: PolicyChange) -> Result<TenantStatus, NodeError> {
        let tenant = change.tenant.clone();
        let opened = self.opened(&tenant).await?;
        let write = convert::policy_write(change);
        let write = || Write::Policy(write.clone());
        self.write_in_any(&tenant, opened, write).await?;
        self.tenant(&tenant).await
    }

    async fn drop_tenant(&self, tenant: &TenantId) -> Result<(), NodeError> {
        let (shared, dropped) = (Arc::clone(&self.shared), tenant.clone());
        let removed = blocking(move || shared.remove(&dropped)).await;
        self.forget(tenant);
        removed
    }

    async fn rotate_data_key(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        self.rotate(tenant, None).await
    }

    async fn rotate_transform(
        &self,
        tenant: &TenantId,
        change: TransformChange,
    ) -> Result<TenantStatus, NodeError> {
        self.rotate(tenant, Some(change)).await
    }

    async fn search(&self, _query: SearchQuery) -> Result<SearchAnswer, NodeError> {
        Err(asked_for_all())
    }

    async fn rank(&self, _query: RankQuery) -> Result<SearchAnswer, NodeError> {
        Err(asked_for_all())
    }

    async fn compare(&self, query: CompareQuery) -> Result<f32, NodeError> {
        self.opened_for(&query.tenant, &query.transform).await?;
        let cluster = self.shared.of.cluster.clone();
        blocking(move || one::compare(&cluster, &query)).await
    }

    /// Waits for the owners of the fresh part that follow, and no longer than they may take (W3): it is durable all the same.
    async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, NodeError> {
        let tenant = enrollment.tenant.clone();
        let opened = self.opened_for(&tenant, &enrollment.transform).await?;
        let write = convert::enroll_write(opened.dimension, enrollment)?;
        let (seat, done, opened) = self.write(&tenant, &opened, Write::Enroll(write)).await?;
        let enrolled = convert::enrolled(done)?;
        let wait = Waiting::Enrolment {
            sequence: enrolled.sequence,
            waited: Duration::ZERO,
        };
        // Whoever has not got so far then is asked for it all the same, and catches up or refuses.
        let _ = seat.wait(opened, wait, ENROL_WAIT_MAX).await;
        Ok(enrolled)
    }

    async fn import(&self, header: ImportHeader, chunks: ImportStream) -> Result<Imported, NodeError> {
        self.take_in(header, chunks).await
    }

    /// Of one that is done: of those under way each node knows its own alone, and keeps nothing of those that break off.
    async fn import_progress(
        &self,
        tenant: &TenantId,
        request: &RequestId,
    ) -> Result<ImportProgress, NodeError> {
        let request = request.clone();
        let find = move |opened: &Opened| opened.catalog.imported(&request, None);
        Ok(progress_of(self.read(tenant, find, Option::is_none).await?))
    }

    /// Waits for every node that may have the person's rows in memory (W3), whether it was done now or before.
    async fn erase(&self, erasure: Erasure) -> Result<Erased, NodeError> {
        let tenant = erasure.tenant.clone();
        let opened = self.opened(&tenant).await?;
        let (write, opened) = self.read_ahead(opened, convert::erase_write(erasure)).await?;
        let write = || Write::Erase(write.clone());
        let (seat, done, opened) = self.write_in_any(&tenant, opened, write).await?;
        let Committed::Erased {
            sequence, erasure, ..
        } = done
        else {
            return convert::erased_now(done);
        };
        let recorded = self.record(Arc::clone(&opened), erasure);
        let let_go = seat.wait(opened, Waiting::Erasure { sequence }, ERASURE_WAIT_MAX);
        let (recorded, let_go) = tokio::join!(recorded, let_go);
        let_go.and(recorded)?;
        convert::erased_now(done)
    }

    async fn due(&self, tenant: &TenantId, due: Due, limit: usize) -> Result<Vec<SubjectId>, NodeError> {
        self.read(
            tenant,
            move |opened| opened.catalog.due(due, limit),
            Vec::is_empty,
        )
        .await
    }

    async fn erasure(&self, tenant: &TenantId, erasure: u64) -> Result<Erased, NodeError> {
        let found = self.read(
            tenant,
            move |opened| opened.catalog.erasure(erasure),
            Option::is_none,
        );
        let found = found.await?.ok_or(NodeError::ErasureUnknown(erasure))?;
        Ok(convert::erased(found))
    }

    async fn erasures_of(&self, tenant: &TenantId, subject: &SubjectId) -> Result<Vec<u64>, NodeError> {
        let subject = subject.clone();
        let find = move |opened: &Opened| opened.catalog.erasures_of(&subject);
        self.read(tenant, find, Vec::is_empty).await
    }

    async fn subject(&self, tenant: &TenantId, subject: &SubjectRef) -> Result<SubjectRecord, NodeError> {
        let key = convert::subject_key(subject.clone());
        let find = move |opened: &Opened| opened.catalog.subject(&key);
        let found = self.read(tenant, find, Option::is_none).await?;
        found.ok_or_else(|| NodeError::SubjectUnknown(tenant.clone()))
    }

    async fn record_usage(&self, tenant: &TenantId, record: UsageRecord) -> Result<(), NodeError> {
        let opened = self.opened(tenant).await?;
        let write = || Write::Usage(record.clone());
        self.write_in_any(tenant, opened, write).await.map(drop)
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsagePage, NodeError> {
        let tenant = query.tenant.clone();
        let find = move |opened: &Opened| {
            let subject = query.subject_id.as_ref();
            opened.catalog.usage(subject, query.before, query.limit)
        };
        let found = self.read(&tenant, find, |(events, _)| events.is_empty());
        let (events, next_before) = found.await?;
        Ok(UsagePage { events, next_before })
    }

    /// One of unknown outcome is made again: two of them say the same.
    async fn checkpoint(&self, tenant: &TenantId) -> Result<SignedCheckpoint, NodeError> {
        let make = |opened: &Opened| match opened.catalog.checkpoint() {
            Err(StorageError::Uncertain(_)) => opened.catalog.checkpoint(),
            made => made,
        };
        self.read(tenant, make, |_| false).await
    }

    fn backend(&self) -> String {
        self.shared.of.engine.backend()
    }
}

#[async_trait]
impl Holder for MemberNode {
    async fn search(&self, query: &SearchQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        Holder::search(self.parts().as_ref(), query, scope).await
    }

    async fn rank(&self, query: &RankQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        Holder::rank(self.parts().as_ref(), query, scope).await
    }
}

#[cfg(test)]
#[path = "member_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "member_rotate_tests.rs"]
mod rotate_tests;

#[cfg(test)]
#[path = "member_keks_tests.rs"]
mod keks_tests;
