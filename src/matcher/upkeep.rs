//! Upkeep: flushes pending rows into segments, keeps the catalog's log short and cleans files of erased persons, in the background. Never changes what a search finds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};

use super::load::encode_planes;
use super::local::LocalNode;
use super::node::NodeError;
use super::reopen;
use super::tenant::Tenant;
use crate::storage::error::StorageError;
use crate::telemetry;

/// Tenants looked after at once, so that a long purge holds up few others.
const TENANTS_AT_ONCE: usize = 4;
/// The first pause after a failure.
const REST_MIN: Duration = Duration::from_secs(1);
/// The longest one.
const REST_MAX: Duration = Duration::from_mins(1);

impl Tenant {
    /// Moves the oldest pending rows into a segment when at least `rows_min` wait.
    pub(super) fn flush(&self, rows_min: usize, rows_max: usize) -> Result<bool, NodeError> {
        self.check()?;
        if self.successor.get().is_some() {
            return Ok(false);
        }
        let Some(references) = self.oldest_pending(rows_min, rows_max) else {
            return Ok(false);
        };
        let dimension = self.spec.dimension;
        let encode = |exact: &[u8], _| encode_planes(dimension, exact);
        let flushed = self.store.flush_in_order(&references, &encode, |claim| {
            let _in_order = self.apply.lock();
            // What was pending goes first, unless a rotation came meanwhile.
            let same = self.oldest_pending(1, references.len());
            if self.successor.get().is_some() || same.as_ref() != Some(&references) {
                return Ok(false);
            }
            let outcome = claim()?;
            let count = u32::try_from(references.len()).expect("bounded by rows_max");
            self.residency.write().settle(outcome.segment, count);
            Ok(true)
        });
        flushed.map_err(|error: StorageError| self.storage_error(&error))
    }

    /// The references of a flush, where there are enough.
    fn oldest_pending(&self, rows_min: usize, rows_max: usize) -> Option<Vec<u64>> {
        let residency = self.residency.read();
        let is_full = residency.pending_count() >= rows_min;
        is_full.then(|| residency.oldest_pending(rows_max)).flatten()
    }

    /// Cleans every file of rows that were erased, and of the generation before.
    pub(super) fn purge(&self) -> Result<usize, NodeError> {
        self.store.purge().map_err(|error| self.storage_error(&error))
    }

    /// One round: never fails, for a later round tries again; what went wrong is logged here.
    fn keep_up(&self, flush_rows: usize) {
        // Before it is opened again nothing can be written, which its refusals have said.
        let waits =
            self.reopen_wanted.load(Ordering::Acquire) || self.rest.lock().is_under_way(Instant::now());
        if waits || self.check().is_err() || self.successor.get().is_some() {
            return;
        }
        let is_well = self.keep_up_now(flush_rows);
        self.rest.lock().after(is_well, Instant::now());
    }

    /// Whether all went well.
    fn keep_up_now(&self, flush_rows: usize) -> bool {
        let copied = self.store.copy_log();
        if let Err(error) = &copied {
            let error = self.storage_error(error);
            tracing::error!(tenant = %self.id(), %error, "the log of the catalog can't be put into it");
        }
        let flushed = loop {
            match self.flush(flush_rows.max(1), flush_rows) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let mut is_well = copied.is_ok() && flushed.is_ok();
        if let Err(error) = flushed {
            tracing::warn!(tenant = %self.id(), %error, "pending rows stay in the catalog for now");
        }
        // What could not be noted when it was done. Whoever asked for it may not ask again.
        if let Err(error) = self.journal.record_erasures(&self.store) {
            tracing::error!(tenant = %self.id(), %error, "erasures are missing in the erasure journal");
            is_well = false;
        }
        if self.take_purge_wanted() {
            match self.purge() {
                Ok(purged) => metrics::counter!(telemetry::ERASURES_PURGED).increment(purged as u64),
                Err(error) => {
                    tracing::warn!(tenant = %self.id(), %error, "erased rows are not purged yet");
                    is_well = false;
                }
            }
            if self.store.needs_purge() {
                self.purge_wanted.store(true, Ordering::Release);
            }
        }
        is_well
    }
}

/// The pause of a tenant's upkeep after it failed: what is away or full may be so for long, and each try takes its time and a place.
#[derive(Debug, Default)]
pub(super) struct Rest {
    lasts: Duration,
    until: Option<Instant>,
}

impl Rest {
    fn is_under_way(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// None after all went well, and twice as long after each failure in a row.
    fn after(&mut self, is_well: bool, now: Instant) {
        if is_well {
            *self = Self::default();
            return;
        }
        self.lasts = (self.lasts * 2).clamp(REST_MIN, REST_MAX);
        self.until = Some(now + self.lasts);
    }
}

/// Runs until the node is drained. Opening a tenant again may take long, and holds up the upkeep of no other; an object store that hangs holds up none of those whose segments are elsewhere.
pub(super) async fn run(node: Arc<LocalNode>) {
    let (of_files, of_objects) = (keep_all_up(&node, false), keep_all_up(&node, true));
    futures::join!(reopen::run(&node), of_files, of_objects);
}

/// Of all tenants whose segments are objects, or of all others.
async fn keep_all_up(node: &LocalNode, are_objects: bool) {
    let mut rounds = tokio::time::interval(node.config().upkeep_interval);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = node.stopping() => return,
            _ = rounds.tick() => {}
        }
        let mut tenants = node.live_tenants();
        count(&tenants, node.tenant_count());
        tenants.retain(|tenant| tenant.store.has_objects() == are_objects);
        let flush_rows = node.config().flush_rows;
        stream::iter(tenants)
            .for_each_concurrent(TENANTS_AT_ONCE, |tenant| async move {
                let round = tokio::task::spawn_blocking(move || tenant.keep_up(flush_rows));
                if let Err(error) = round.await {
                    tracing::error!(%error, "the upkeep of a tenant ended early");
                }
            })
            .await;
    }
}

/// Brings the figure of tenants up to date.
#[expect(
    clippy::cast_precision_loss,
    reason = "a node has far fewer than 2^52 tenants"
)]
fn count(live: &[Arc<Tenant>], all: usize) {
    let ready = live.iter().filter(|tenant| tenant.check().is_ok()).count();
    metrics::gauge!(telemetry::TENANTS, "state" => "ready").set(ready as f64);
    metrics::gauge!(telemetry::TENANTS, "state" => "unavailable").set(all.saturating_sub(ready) as f64);
}

#[cfg(test)]
#[path = "upkeep_tests.rs"]
mod tests;
