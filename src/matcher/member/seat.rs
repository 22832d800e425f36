//! One tenant's writes on a node of a cluster: what waits becomes one transaction of the catalog that all nodes share. Decides nothing that the catalog decides, and keeps nothing of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::waits::Waits;
use crate::cluster::followers::Write as Waiting;
use crate::matcher::error::{is_damage, write_error};
use crate::matcher::import::one_import;
use crate::matcher::node::NodeError;
use crate::matcher::parts::on_cluster::opened::Opened;
use crate::matcher::writes::{WriteQueue, answered, committed_group, request_of};
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;
use crate::storage::cluster::SegmentObject;
use crate::storage::error::StorageError;
use crate::storage::write::{Answers, Committed, Write};
use crate::telemetry::traces::{self, Stage};

/// A write that was done, and the catalog that it is in.
type Done = (Committed, Arc<Opened>);

/// The writes of one incarnation of a tenant.
pub(super) struct Seat {
    tenant: TenantId,
    incarnation: u64,
    node: Arc<Shared>,
    queue: WriteQueue<Done>,
    waits: Arc<Waits>,
    /// Held by the import under way.
    import: tokio::sync::Mutex<()>,
}

impl Seat {
    pub(super) fn new(tenant: &TenantId, incarnation: u64, node: &Arc<Shared>) -> Self {
        Self {
            tenant: tenant.clone(),
            incarnation,
            node: Arc::clone(node),
            queue: WriteQueue::default(),
            waits: Waits::new(tenant, node),
            import: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Commits one write together with whatever waits beside it.
    pub(super) async fn write(self: &Arc<Self>, write: Write) -> Result<Done, NodeError> {
        let (answer, begins) = self.queue.push(write)?;
        if begins {
            let seat = Arc::clone(self);
            tokio::task::spawn_blocking(move || while seat.commit_waiting() {});
        }
        traces::staged(Stage::Commit, answered(answer)).await
    }

    /// The place of an import.
    pub(super) fn begin_import(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, NodeError> {
        self.import.try_lock().map_err(|_| one_import())
    }

    /// Waits until nobody needs to be waited for any more (W3), see [`Waits::wait`].
    pub(super) async fn wait(
        &self,
        opened: Arc<Opened>,
        write: Waiting,
        longest: Duration,
    ) -> Result<(), NodeError> {
        self.waits.wait(opened, write, longest).await
    }

    /// Commits the next group of those that wait. Whether others wait then; otherwise whoever comes next begins.
    fn commit_waiting(&self) -> bool {
        let (writes, replies) = self.queue.next_group();
        let answers = catch_unwind(AssertUnwindSafe(|| self.commit(&writes)));
        // Nothing in memory depends on it: the next transaction reads the catalog as it is.
        let defect = |_| Err(NodeError::Internal("a change ended early by a defect".to_owned()));
        replies.answer(answers.unwrap_or_else(defect));
        self.queue.goes_on()
    }

    /// One group, one transaction.
    fn commit(&self, writes: &[Write]) -> Result<Vec<Result<Done, NodeError>>, NodeError> {
        let cluster = &self.node.of.cluster;
        let opened = cluster.catalog(&self.tenant)?;
        if opened.incarnation() != self.incarnation {
            return Err(self.made_anew());
        }
        let started = Instant::now();
        let answers = match self.commit_in(&opened, writes) {
            Ok(answers) => answers,
            Err(error) if is_damage(&error) && cluster.is_made_anew(&self.tenant, &opened)? => {
                return Err(self.made_anew());
            }
            Err(error) => return Err(cluster.fault(&self.tenant, &error)),
        };
        committed_group(started, writes.len());
        let moves = |answer: &Result<Committed, _>| {
            matches!(answer, Ok(Committed::Enrolled { .. } | Committed::Erased { .. }))
        };
        // So that what is here of it goes on at once.
        if answers.iter().any(moves) {
            self.node.of.parts.nudge(&self.tenant);
        }
        let told = answers.into_iter().zip(writes).map(|(answer, write)| {
            let done = answer.map(|done| (done, Arc::clone(&opened)));
            done.map_err(|error| write_error(&self.tenant, request_of(write), error))
        });
        Ok(told.collect())
    }

    /// Where it can't be told whether it was done, the same is answered once more.
    fn commit_in(&self, opened: &Opened, writes: &[Write]) -> Result<Answers, StorageError> {
        let segments = self.node.of.cluster.segments();
        let _reading = segments.copies().begin(&opened.keys.home);
        let sealed = |object: &SegmentObject, row| segments.sealed(&opened.keys, object, row);
        let commit = || opened.catalog.commit(writes, Timestamp::now(), &sealed);
        match commit() {
            Err(StorageError::Uncertain(_)) => commit(),
            done => done,
        }
    }

    /// What waited for a former incarnation of the tenant is not for the present one.
    fn made_anew(&self) -> NodeError {
        NodeError::TransformStale {
            tenant: self.tenant.clone(),
        }
    }
}
