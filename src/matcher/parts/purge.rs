//! Purges, by the node that owns the fresh part of a gallery first: erased rows leave objects, copies and pending rows, and receipts say so. Destroys nothing itself, and remembers nothing that
//! another node would need: whoever begins anew finds what was done.
//!
//! *Why no copy of an erased row survives that a receipt says.* The objects of live segments are written anew without the rows that are erased, each former one is noted as nobody's in the transaction that lists the new one, and then an epoch of pending
//! rows ends: a purge speaks of the erasures that were open before that end, and leaves out those of which a segment still holds a row, and all of them while a segment is listed whose rows were merged into another one. Then it waits until every node that follows, and is not gone, has reported that it is tidy as of that end:
//! nothing on its disk is of an object that was not listed by then (`src/storage/cluster/copies.rs`), and it has listed or given up all that it wrote of rows that it had read before. Who leaves has destroyed all of its copies, and ended what it wrote, before
//! that is told; who is gone destroys what is not listed before it follows again. So whatever may still hold such a row is in the store, and nobody's or of a node that is gone (`src/storage/catalog/postgres/loose.rs`), since each
//! object is recorded before it is put; all of these are destroyed, and shown to be, before any receipt says so. What is written later has none of these rows, since it was read after they were erased.

use std::time::Instant;

use super::catalog::{CatalogError, ListedGallery, Purging};
use super::gallery::Gallery;
use crate::cluster::view::Edition;

/// How far a purge is.
#[derive(Default)]
pub(super) struct Purge {
    /// Since when something waits for it.
    since: Option<Instant>,
    /// Of which gallery, and what nodes are waited for.
    under_way: Option<(Edition, Purging)>,
}

impl Purge {
    /// Whether nodes are waited for.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }
}

#[cfg(test)]
impl Purge {
    /// Whether nodes are waited for, so that receipts of erasures may say that they are purged.
    pub(super) fn has_erasures(&self) -> bool {
        let under_way = self.under_way.as_ref();
        under_way.is_some_and(|(_, purging)| !purging.erasures.is_empty())
    }
}

impl Gallery {
    /// Whether there is something to do for a purge now.
    pub(super) fn needs_purge(&self, listed: &ListedGallery) -> bool {
        let mut purge = self.purge.lock();
        if !listed.is_littered() {
            *purge = Purge::default();
            return false;
        }
        let since = *purge.since.get_or_insert_with(Instant::now);
        purge.under_way.is_some() || since.elapsed() >= self.common.config.purge_after
    }

    /// One step, or two. Blocks.
    pub(super) fn purge(&self, listed: &ListedGallery) -> Result<(), CatalogError> {
        let edition = listed.head.edition;
        let under_way = self.purge.lock().under_way.clone();
        let Some((_, purging)) = under_way.filter(|(of, _)| *of == edition) else {
            // Their objects have rows that were erased since they were retired. Whoever has a view with them lets go of it soon.
            if !self.catalog.forget_retired()? {
                return Ok(());
            }
            if let Err(error) = self.catalog.rewrite() {
                // Those whose rows it holds wait; the others do not.
                tracing::warn!(tenant = %self.tenant, %error, "a segment can't be written anew without who was erased; the next purge tries again");
            }
            let begun = self.catalog.forget_copies()?;
            self.purge.lock().under_way = begun.map(|purging| (edition, purging));
            return Ok(());
        };
        if self.catalog.purge(&purging)? {
            // What was erased meanwhile, or was held by a segment that was not live, is for the next one.
            *self.purge.lock() = Purge::default();
        }
        Ok(())
    }
}
