//! Upkeep: flushes pending rows into segments and cleans files of erased persons, in the background. Never changes what a search finds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, stream};

use super::load::encode_planes;
use super::local::LocalNode;
use super::node::NodeError;
use super::reopen;
use super::tenant::Tenant;
use crate::telemetry;

/// Tenants looked after at once, so that a long purge holds up few others.
const TENANTS_AT_ONCE: usize = 4;

impl Tenant {
    /// Moves the oldest pending rows into a segment when at least `rows_min` wait.
    pub(super) fn flush(&self, rows_min: usize, rows_max: usize) -> Result<bool, NodeError> {
        self.check()?;
        if self.residency.read().pending_count() < rows_min {
            return Ok(false);
        }
        // Writes wait for a flush, and should not wait for a store that is away.
        self.store
            .check_objects()
            .map_err(|error| self.storage_error(&error))?;
        let _in_order = self.apply.lock();
        if self.successor.get().is_some() {
            return Ok(false);
        }
        let references = {
            let residency = self.residency.read();
            if residency.pending_count() < rows_min {
                return Ok(false);
            }
            match residency.oldest_pending(rows_max) {
                Some(references) => references,
                None => return Ok(false),
            }
        };
        let dimension = self.spec.dimension;
        let count = u32::try_from(references.len()).expect("bounded by rows_max");
        let outcome = self
            .store
            .flush(&references, &|exact, _| encode_planes(dimension, exact))
            .map_err(|error| self.storage_error(&error))?;
        self.residency.write().settle(outcome.segment, count);
        Ok(true)
    }

    /// Cleans every file of rows that were erased, and of the generation before.
    pub(super) fn purge(&self) -> Result<usize, NodeError> {
        self.store.purge().map_err(|error| self.storage_error(&error))
    }

    /// One round: never fails, for the next round tries again; what went wrong is logged here.
    fn keep_up(&self, flush_rows: usize) {
        // Before it is opened again nothing can be written, which its refusals have said.
        let waits = self.reopen_wanted.load(Ordering::Acquire);
        if waits || self.check().is_err() || self.successor.get().is_some() {
            return;
        }
        let flushed = loop {
            match self.flush(flush_rows.max(1), flush_rows) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = flushed {
            tracing::warn!(tenant = %self.id(), %error, "pending rows stay in the catalog for now");
        }
        // What could not be noted when it was done. Whoever asked for it may not ask again.
        if let Err(error) = self.journal.record_erasures(&self.store) {
            tracing::error!(tenant = %self.id(), %error, "erasures are missing in the erasure journal");
        }
        if self.take_purge_wanted() {
            match self.purge() {
                Ok(purged) => metrics::counter!(telemetry::ERASURES_PURGED).increment(purged as u64),
                Err(error) => tracing::warn!(tenant = %self.id(), %error, "erased rows are not purged yet"),
            }
            if self.store.needs_purge() {
                self.purge_wanted.store(true, Ordering::Release);
            }
        }
    }
}

/// Runs until the node is drained. Opening a tenant again may take long, and holds up the upkeep of no other.
pub(super) async fn run(node: Arc<LocalNode>) {
    futures::join!(reopen::run(&node), keep_all_up(&node));
}

async fn keep_all_up(node: &LocalNode) {
    let mut rounds = tokio::time::interval(node.config().upkeep_interval);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = node.stopping() => return,
            _ = rounds.tick() => {}
        }
        let tenants = node.live_tenants();
        count(&tenants, node.tenant_count());
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
