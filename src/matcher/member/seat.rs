//! One tenant's writes on a node of a cluster: what waits becomes one transaction of the catalog that all nodes share. Decides nothing that the catalog decides, and keeps nothing of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::waits::Waits;
use crate::cluster::followers::Write as Waiting;
use crate::cluster::view::Edition;
use crate::matcher::error::{is_damage, write_error};
use crate::matcher::import::one_import;
use crate::matcher::node::NodeError;
use crate::matcher::parts::on_cluster::opened::Opened;
use crate::matcher::writes::{WriteQueue, answered, committed_group, request_of};
use crate::model::id::TenantId;
use crate::model::tenant::TransformId;
use crate::model::timestamp::Timestamp;
use crate::storage::cluster::SegmentObject;
use crate::storage::error::StorageError;
use crate::storage::write::{Answers, Committed, Write};
use crate::telemetry::traces::{self, Stage};

/// How often a group is committed where the tenant's keys are rotated meanwhile.
const TRIES: usize = 3;

/// A write that was done, and the catalog that it is in.
type Done = (Committed, Arc<Opened>);

/// The writes of one incarnation of a tenant, and of one rotation of its signatures.
pub(super) struct Seat {
    tenant: TenantId,
    /// The first one that it was made for: a rotation of the data key alone has another one, and is none of its business.
    edition: Edition,
    transform: TransformId,
    node: Arc<Shared>,
    queue: WriteQueue<Done>,
    waits: Arc<Waits>,
    /// Held by the import under way.
    import: tokio::sync::Mutex<()>,
}

impl Seat {
    pub(super) fn new(opened: &Opened, node: &Arc<Shared>) -> Self {
        let tenant = &opened.keys.home.tenant;
        Self {
            tenant: tenant.clone(),
            edition: opened.edition,
            transform: opened.transform.clone(),
            node: Arc::clone(node),
            queue: WriteQueue::default(),
            waits: Waits::new(tenant, node),
            import: tokio::sync::Mutex::default(),
        }
    }

    /// Whether its writes are for a catalog.
    pub(super) fn takes(&self, opened: &Opened) -> bool {
        (opened.incarnation(), &opened.transform) == (self.edition.incarnation, &self.transform)
    }

    /// Whether it is for a later catalog.
    pub(super) fn is_later(&self, opened: &Opened) -> bool {
        self.edition > opened.edition
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
        self.queue.answer(replies, answers.unwrap_or_else(defect))
    }

    /// One group, one transaction.
    fn commit(&self, writes: &[Write]) -> Result<Vec<Result<Done, NodeError>>, NodeError> {
        let cluster = &self.node.of.cluster;
        let started = Instant::now();
        let mut tried = 0;
        let (opened, answers) = loop {
            tried += 1;
            let opened = cluster.catalog(&self.tenant)?;
            if !self.takes(&opened) {
                return Err(self.is_over());
            }
            match self.commit_in(&opened, writes) {
                Ok(answers) => break (opened, answers),
                Err(error)
                    if tried < TRIES && is_damage(&error) && cluster.is_another(&self.tenant, &opened)? => {}
                Err(error) => return Err(cluster.fault(&self.tenant, &error)),
            }
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

    /// What waited for a former incarnation of the tenant, or was protected with a former rotation, is not for the present one.
    fn is_over(&self) -> NodeError {
        NodeError::TransformStale {
            tenant: self.tenant.clone(),
        }
    }
}
