//! What a tenant knows of its imports: the one under way, or the one whose rows broke off, which is kept for the rest to come. Takes no rows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::{blocking, one_import};
use crate::matcher::node::{ImportProgress, NodeError};
use crate::matcher::tenant::Tenant;
use crate::model::id::RequestId;

/// How long an import that broke off is kept.
pub(super) const KEPT_MAX: Duration = Duration::from_mins(10);

/// A tenant's imports: one under way, or one that is kept.
#[derive(Default)]
pub(in crate::matcher) struct Imports {
    /// Locked by the import under way, and by whoever wants none.
    slot: tokio::sync::Mutex<Option<Kept>>,
    /// The one that began last. It is there as long as its rows are.
    last: Mutex<Weak<Progress>>,
    /// None goes on or is kept any more.
    closed: CancellationToken,
}

/// An import that broke off.
pub(in crate::matcher) struct Kept {
    batch: Box<Batch>,
    until: Instant,
}

/// The place of the import that is kept. While one has it no import begins or goes on.
pub(in crate::matcher) type Slot<'a> = MutexGuard<'a, Option<Kept>>;

/// How far an import has come.
pub(super) struct Progress {
    pub(super) request: RequestId,
    pub(super) announced: u64,
    taken: AtomicU64,
}

impl Progress {
    pub(super) fn new(request: RequestId, announced: u64) -> Self {
        Self {
            request,
            announced,
            taken: AtomicU64::new(0),
        }
    }

    /// Rows that the node has.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    pub(super) fn set_taken(&self, rows: u64) {
        self.taken.store(rows, Ordering::Release);
    }
}

impl Imports {
    /// The place for an import that begins or goes on; a tenant has one at a time.
    pub(super) fn try_begin(&self) -> Result<Slot<'_>, NodeError> {
        self.slot.try_lock().map_err(|_| one_import())
    }

    /// Waits for the end of the import under way and lets go of the one that is kept; the next begins when the guard is gone.
    pub(in crate::matcher) async fn keep_out(&self) -> Slot<'_> {
        let mut slot = self.slot.lock().await;
        let_go(slot.take()).await;
        slot
    }

    /// From now on none goes on: the one under way ends, the one that is kept is let go.
    pub(in crate::matcher) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    pub(super) fn began(&self, progress: &Arc<Progress>) {
        *self.last.lock() = Arc::downgrade(progress);
    }

    /// How far the import under way, or the one that is kept, has come, when it is this one.
    pub(super) fn progress(&self, request: &RequestId) -> Option<ImportProgress> {
        let progress = self.last.lock().upgrade()?;
        (progress.request == *request).then(|| ImportProgress {
            rows_taken: progress.taken(),
            rows: progress.announced,
            done: None,
        })
    }

    /// Lets go of what is kept when its time has passed by `now`.
    pub(super) async fn let_go_of_outdated(&self, now: Instant) {
        let mut slot = self.slot.lock().await;
        let closed = self.closed.is_cancelled();
        if slot.as_ref().is_some_and(|kept| closed || kept.until <= now) {
            let_go(slot.take()).await;
        }
    }
}

async fn let_go(kept: Option<Kept>) {
    if let Some(kept) = kept {
        let gone = blocking(move || {
            kept.batch.let_go();
            Ok(())
        });
        if let Err(error) = gone.await {
            tracing::error!(%error, "an import that broke off is not let go of whole; the next start does that");
        }
    }
}

/// The batch that goes on from `first_row`: the one that is kept, or `new` from the beginning, which lets go of the other.
pub(super) fn resumed(
    slot: &mut Option<Kept>,
    new: Box<Batch>,
    first_row: u64,
) -> Result<Box<Batch>, NodeError> {
    if first_row == 0 {
        *slot = None;
        return Ok(new);
    }
    let request = &new.progress.request;
    let same = slot.take_if(|kept| kept.batch.progress.request == *request);
    let Some(kept) = same else {
        return Err(NodeError::ImportPosition { held: 0 });
    };
    let held = kept.batch.progress.taken();
    let refusal = if kept.batch.digest != new.digest {
        NodeError::RequestIdReused(request.clone())
    } else if held != first_row {
        NodeError::ImportPosition { held }
    } else {
        return Ok(kept.batch);
    };
    *slot = Some(kept);
    Err(refusal)
}

impl Tenant {
    /// Keeps what came of an import for the rest to come.
    pub(super) fn keep(self: &Arc<Self>, slot: &mut Option<Kept>, batch: Box<Batch>) {
        let until = Instant::now() + KEPT_MAX;
        *slot = Some(Kept { batch, until });
        let (tenant, closed) = (Arc::downgrade(self), self.imports.closed.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = closed.cancelled() => {}
            }
            if let Some(tenant) = tenant.upgrade() {
                tenant.imports.let_go_of_outdated(Instant::now()).await;
            }
        });
    }
}
