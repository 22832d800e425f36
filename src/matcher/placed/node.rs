//! A whole cluster as one match node, as a front uses it: identifications go to all who hold parts, everything else to one node. Keeps no gallery.
//!
//! *One node* is the first owner of the tenant's fresh part that left no call unanswered lately. The next owner is asked where a node does not know the tenant, by which it says that it did
//! nothing, and where it can't serve it or is out of reach, provided that the request may be repeated: what only reads, and what is done once for its id or by its nature. What is short is
//! also asked of the next owner where the first one is late, at most for one call of ten (`budget`). These may not be repeated, since the first node may have done them unheard, or have met a failure with an outcome that it does not know:
//!
//! * a drop (a tenant that was made anew since would be the one to go), and rotations of keys (another one would begin beside the first);
//! * an import, whose rows come once.
//!
//! They are told as out of reach; the next ones go to another node.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::Asker;
use super::budget::Budget;
use super::heads::Heads;
use super::nodes::{Nodes, Peer};
use super::record::Record;
use super::register::{Dial, Following, Links, Register};
use crate::cluster::placement::{Gallery, NodeId};
use crate::matcher::node::{
    CompareQuery, Enrolled, Enrollment, Erased, Erasure, ImportHeader, ImportProgress, ImportStream,
    Imported, Node, NodeError, PolicyChange, RankQuery, SearchQuery, SubjectRef, TransformChange, UsagePage,
    UsageQuery,
};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::decision::SearchAnswer;
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::retention::Due;
use crate::model::subject::SubjectRecord;
use crate::model::tenant::{TenantSpec, TenantState, TenantStatus};
use crate::model::usage::UsageRecord;

/// Tenants whose galleries are remembered, by which their nodes are found.
const GALLERIES_MAX: u64 = 65_536;
/// For so long: one that was made anew is placed elsewhere, where it is served no better.
const GALLERY_FOR: Duration = Duration::from_mins(1);
/// How long the memory that a tenant takes on each node is waited for.
pub const FIGURES_WAIT: Duration = Duration::from_millis(500);

/// How long an owner may take until another one is asked too, where that is no harm. A transaction takes milliseconds, with a database that is far away tens of them.
pub const LATE_AFTER: Duration = Duration::from_millis(250);

/// Whether a request may be made to another node while the first may have done it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Also while the first may be doing it: it is short, and waits for nobody else.
    Early,
    Safe,
    Never,
}

/// Who may be asked alone.
struct Owner {
    node: Arc<dyn Node>,
    record: Arc<Mutex<Record>>,
}

/// The nodes of a cluster as one.
pub struct PlacedNode {
    asker: Arc<Asker>,
    /// Of calls to owners that are late: identifications have their own.
    early: Budget,
    links: Arc<ArcSwap<Links>>,
    galleries: Cache<TenantId, Gallery>,
    is_placed: watch::Receiver<bool>,
    following: AbortHandle,
}

impl Drop for PlacedNode {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl PlacedNode {
    /// The nodes that are in `register`, from now on, with so many owners of each part. To be used within a runtime.
    pub fn new(heads: impl Heads, register: impl Register, dial: impl Dial, replicas: usize) -> Self {
        let asker = Arc::new(Asker::new(heads, Nodes::none()));
        let links = Arc::new(ArcSwap::from_pointee(Links::new()));
        let (sender, is_placed) = watch::channel(false);
        let following = Following {
            register,
            dial,
            replicas,
            asker: Arc::clone(&asker),
            links: Arc::clone(&links),
            is_placed: sender,
        };
        let galleries = Cache::builder()
            .max_capacity(GALLERIES_MAX)
            .time_to_live(GALLERY_FOR)
            .build();
        Self {
            asker,
            early: Budget::new(),
            links,
            galleries,
            is_placed,
            following: tokio::spawn(following.run()).abort_handle(),
        }
    }

    /// Whether some node owns something: a front is ready from then on, and while it is so.
    pub fn is_placed(&self) -> watch::Receiver<bool> {
        self.is_placed.clone()
    }

    async fn gallery(&self, tenant: &TenantId) -> Result<Gallery, NodeError> {
        if let Some(gallery) = self.galleries.get(tenant) {
            return Ok(gallery);
        }
        let gallery = self.asker.heads.read(tenant).await?.gallery;
        self.galleries.insert(tenant.clone(), gallery);
        Ok(gallery)
    }

    /// Asks one node.
    async fn ask<T, F>(
        &self,
        tenant: &TenantId,
        repeat: Repeat,
        call: impl Fn(Arc<dyn Node>, TenantId) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let gallery = self.gallery(tenant).await?;
        self.ask_owners(tenant, gallery, repeat, call).await
    }

    async fn ask_owners<T, F>(
        &self,
        tenant: &TenantId,
        gallery: Gallery,
        repeat: Repeat,
        call: impl Fn(Arc<dyn Node>, TenantId) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let (nodes, links) = (self.asker.nodes.load_full(), self.links.load_full());
        let known = |(id, peer): (NodeId, &Peer)| {
            let node = Arc::clone(&links.get(&id)?.node);
            let record = Arc::clone(&peer.record);
            Some(Owner { node, record })
        };
        let owners = nodes.owners_of_fresh(tenant, gallery).into_iter();
        let mut owners: VecDeque<Owner> = owners.filter_map(known).collect();
        let call = &call;
        let ask = |Owner { node, record }| async move {
            remembered(&record, tenant, call(node, tenant.clone())).await
        };
        let mut under_way = FuturesUnordered::new();
        let mut told = None;
        loop {
            let mut answer = None;
            if under_way.is_empty() {
                let Some(next) = owners.pop_front() else { break };
                let record = Arc::clone(&next.record);
                under_way.push(ask(next));
                if repeat == Repeat::Early {
                    self.early.earn(1);
                    answer = timeout(LATE_AFTER, under_way.next()).await.ok().flatten();
                    if answer.is_none() {
                        record.lock().late(tokio::time::Instant::now());
                        if !owners.is_empty() && self.early.spend(1) {
                            under_way.extend(owners.pop_front().map(ask));
                        }
                    }
                }
            }
            let answer = match answer {
                Some(answer) => answer,
                None => under_way.next().await.expect("somebody is asked"),
            };
            match answer {
                Err(error) if may_go_on(&error, repeat) => {
                    // That a tenant is unknown is the answer only where all say so.
                    if told.is_none() || matches!(told, Some(NodeError::TenantUnknown(_))) {
                        told = Some(error);
                    }
                    // Whoever is late is not waited for alone.
                    if !under_way.is_empty() {
                        under_way.extend(owners.pop_front().map(ask));
                    }
                }
                answer => return answer,
            }
        }
        Err(told.unwrap_or_else(nobody))
    }

    /// How many bytes a tenant takes in the memory of all nodes that say so in time.
    async fn resident(&self, tenant: &TenantId) -> u64 {
        let links = self.links.load_full();
        let figure = |node: Arc<dyn Node>| async move {
            let status = timeout(FIGURES_WAIT, node.tenant(tenant)).await;
            status.ok()?.ok().map(|status| status.stats.resident_bytes)
        };
        let figures = links.values().map(|link| figure(Arc::clone(&link.node)));
        join_all(figures).await.into_iter().flatten().sum()
    }
}

/// What an owner answers, which its record is told unless it came late: then others are asked first for a while, whatever it said.
async fn remembered<T>(
    record: &Mutex<Record>,
    tenant: &TenantId,
    answer: impl Future<Output = Result<T, NodeError>>,
) -> Result<T, NodeError> {
    let began = tokio::time::Instant::now();
    let answer = answer.await;
    let now = tokio::time::Instant::now();
    match &answer {
        Err(NodeError::NodeUnavailable { .. }) => record.lock().missed(now),
        Err(NodeError::TenantUnavailable { .. }) => record.lock().failed(tenant, now),
        _ if now - began < LATE_AFTER => record.lock().spoke(),
        _ => {}
    }
    answer
}

/// Whether the next owner may be asked after such an error.
fn may_go_on(error: &NodeError, repeat: Repeat) -> bool {
    match error {
        NodeError::TenantUnknown(_) => true,
        // A write of unknown outcome takes its tenant out as well.
        NodeError::TenantUnavailable { .. } | NodeError::NodeUnavailable { .. } => repeat != Repeat::Never,
        _ => false,
    }
}

fn nobody() -> NodeError {
    NodeError::NodeUnavailable {
        node: "cluster".to_owned(),
        reason: "no node is known that owns the tenant's fresh part".to_owned(),
    }
}

/// Of what two nodes say of one tenant, what holds for both: the figures of who has come further, of one that serves it where there is one, and the memory of both.
fn together(one: TenantStatus, other: TenantStatus) -> TenantStatus {
    let resident_bytes = one
        .stats
        .resident_bytes
        .saturating_add(other.stats.resident_bytes);
    let rotating = one.rotating || other.rotating;
    let rank = |status: &TenantStatus| (status.state == TenantState::Ready, status.stats.sequence);
    let mut status = if rank(&other) > rank(&one) { other } else { one };
    status.stats.resident_bytes = resident_bytes;
    status.rotating = rotating;
    status
}

#[async_trait]
impl Node for PlacedNode {
    /// Of all nodes that answer, and an error where none does.
    async fn tenants(&self) -> Result<Vec<TenantStatus>, NodeError> {
        let links = self.links.load_full();
        let listings = links.values().map(|link| {
            let node = Arc::clone(&link.node);
            async move { node.tenants().await }
        });
        let (mut known, mut error) = (None, nobody());
        for listing in join_all(listings).await {
            match listing {
                Ok(statuses) => known.get_or_insert_with(Vec::new).extend(statuses),
                Err(failed) => error = failed,
            }
        }
        let mut tenants: BTreeMap<TenantId, TenantStatus> = BTreeMap::new();
        for status in known.ok_or(error)? {
            let status = match tenants.remove(&status.id) {
                Some(known) => together(known, status),
                None => status,
            };
            tenants.insert(status.id.clone(), status);
        }
        Ok(tenants.into_values().collect())
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let one = self.ask(tenant, Repeat::Safe, |node, tenant| async move {
            node.tenant(&tenant).await
        });
        let (status, resident) = tokio::join!(one, self.resident(tenant));
        let mut status = status?;
        status.stats.resident_bytes = resident.max(status.stats.resident_bytes);
        Ok(status)
    }

    async fn create_tenant(&self, spec: TenantSpec) -> Result<TenantStatus, NodeError> {
        let gallery = Gallery::of(&spec.id, spec.created_at);
        let create = |node: Arc<dyn Node>, _| {
            let spec = spec.clone();
            async move { node.create_tenant(spec).await }
        };
        self.ask_owners(&spec.id, gallery, Repeat::Safe, create).await
    }

    async fn set_policy(&self, change: PolicyChange) -> Result<TenantStatus, NodeError> {
        let set = |node: Arc<dyn Node>, _| {
            let change = change.clone();
            async move { node.set_policy(change).await }
        };
        self.ask(&change.tenant, Repeat::Safe, set).await
    }

    async fn drop_tenant(&self, tenant: &TenantId) -> Result<(), NodeError> {
        let dropped = self.ask(tenant, Repeat::Never, |node, tenant| async move {
            node.drop_tenant(&tenant).await
        });
        let dropped = dropped.await;
        self.galleries.invalidate(tenant);
        dropped
    }

    async fn rotate_data_key(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let rotate =
            |node: Arc<dyn Node>, tenant: TenantId| async move { node.rotate_data_key(&tenant).await };
        self.ask(tenant, Repeat::Never, rotate).await
    }

    async fn rotate_transform(
        &self,
        tenant: &TenantId,
        change: TransformChange,
    ) -> Result<TenantStatus, NodeError> {
        let rotate = |node: Arc<dyn Node>, tenant: TenantId| {
            let change = change.clone();
            async move { node.rotate_transform(&tenant, change).await }
        };
        self.ask(tenant, Repeat::Never, rotate).await
    }

    fn check_room(&self, _tenant: &TenantId, deadline: Option<Instant>) -> Result<(), NodeError> {
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(NodeError::DeadlineExceeded);
        }
        let is_placed = self.asker.nodes.load().is_placed();
        is_placed.then_some(()).ok_or_else(nobody)
    }

    async fn search(&self, query: SearchQuery) -> Result<SearchAnswer, NodeError> {
        self.asker.search(query).await
    }

    async fn rank(&self, query: RankQuery) -> Result<SearchAnswer, NodeError> {
        self.asker.rank(query).await
    }

    async fn compare(&self, query: CompareQuery) -> Result<f32, NodeError> {
        let compare = |node: Arc<dyn Node>, _| {
            let query = query.clone();
            async move { node.compare(query).await }
        };
        self.ask(&query.tenant, Repeat::Early, compare).await
    }

    async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, NodeError> {
        let enroll = |node: Arc<dyn Node>, _| {
            let enrollment = enrollment.clone();
            async move { node.enroll(enrollment).await }
        };
        self.ask(&enrollment.tenant, Repeat::Safe, enroll).await
    }

    /// By one node, whatever it says: the rows come once. It is the one that is asked for the progress, as long as it can be reached.
    async fn import(&self, header: ImportHeader, chunks: ImportStream) -> Result<Imported, NodeError> {
        let gallery = self.gallery(&header.tenant).await?;
        let (nodes, links) = (self.asker.nodes.load_full(), self.links.load_full());
        let owners = nodes.owners_of_fresh(&header.tenant, gallery);
        let mut known = owners.into_iter().filter_map(|(id, _)| links.get(&id));
        let link = known.next().ok_or_else(nobody)?;
        link.node.import(header, chunks).await
    }

    async fn import_progress(
        &self,
        tenant: &TenantId,
        request: &RequestId,
    ) -> Result<ImportProgress, NodeError> {
        let progress = |node: Arc<dyn Node>, tenant: TenantId| {
            let request = request.clone();
            async move { node.import_progress(&tenant, &request).await }
        };
        self.ask(tenant, Repeat::Safe, progress).await
    }

    async fn erase(&self, erasure: Erasure) -> Result<Erased, NodeError> {
        let erase = |node: Arc<dyn Node>, _| {
            let erasure = erasure.clone();
            async move { node.erase(erasure).await }
        };
        self.ask(&erasure.tenant, Repeat::Safe, erase).await
    }

    async fn due(&self, tenant: &TenantId, due: Due, limit: usize) -> Result<Vec<SubjectId>, NodeError> {
        let find = |node: Arc<dyn Node>, tenant: TenantId| async move { node.due(&tenant, due, limit).await };
        self.ask(tenant, Repeat::Safe, find).await
    }

    async fn erasure(&self, tenant: &TenantId, erasure: u64) -> Result<Erased, NodeError> {
        let find =
            |node: Arc<dyn Node>, tenant: TenantId| async move { node.erasure(&tenant, erasure).await };
        self.ask(tenant, Repeat::Safe, find).await
    }

    async fn erasures_of(&self, tenant: &TenantId, subject: &SubjectId) -> Result<Vec<u64>, NodeError> {
        let find = |node: Arc<dyn Node>, tenant: TenantId| {
            let subject = subject.clone();
            async move { node.erasures_of(&tenant, &subject).await }
        };
        self.ask(tenant, Repeat::Safe, find).await
    }

    async fn subject(&self, tenant: &TenantId, subject: &SubjectRef) -> Result<SubjectRecord, NodeError> {
        let find = |node: Arc<dyn Node>, tenant: TenantId| {
            let subject = subject.clone();
            async move { node.subject(&tenant, &subject).await }
        };
        self.ask(tenant, Repeat::Early, find).await
    }

    async fn record_usage(&self, tenant: &TenantId, record: UsageRecord) -> Result<(), NodeError> {
        let tell = |node: Arc<dyn Node>, tenant: TenantId| {
            let record = record.clone();
            async move { node.record_usage(&tenant, record).await }
        };
        self.ask(tenant, Repeat::Early, tell).await
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsagePage, NodeError> {
        let find = |node: Arc<dyn Node>, _| {
            let query = query.clone();
            async move { node.usage(query).await }
        };
        self.ask(&query.tenant, Repeat::Safe, find).await
    }

    /// One that is repeated makes two checkpoints, and changes no event.
    async fn checkpoint(&self, tenant: &TenantId) -> Result<SignedCheckpoint, NodeError> {
        let make = |node: Arc<dyn Node>, tenant: TenantId| async move { node.checkpoint(&tenant).await };
        self.ask(tenant, Repeat::Safe, make).await
    }

    /// All that the nodes have.
    fn backend(&self) -> String {
        let links = self.links.load();
        let names: BTreeSet<String> = links.values().map(|link| link.node.backend()).collect();
        names.into_iter().collect::<Vec<_>>().join(" + ")
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
