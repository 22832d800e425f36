//! What a node writes of a tenant's segments: flushes, merges and purges, each from the intent to put an object to what came of it. Decides nothing about when.

use std::collections::BTreeSet;
use std::sync::Arc;

use ulid::Ulid;

use super::opened::{Loose, Opened};
use super::{OneGallery, Shared};
use crate::cluster::followers::Write;
use crate::cluster::view::{Edition, Segment};
use crate::matcher::node::NodeError;
use crate::matcher::parts::catalog::{CatalogError, Purging};
use crate::model::timestamp::Timestamp;
use crate::storage::cluster::copies::Use;
use crate::storage::error::StorageError;
use crate::storage::place::SegmentRows;

impl OneGallery {
    pub(super) fn begin(&self, opened: &Opened) -> Use {
        self.shared.segments.copies().begin(&opened.keys.home)
    }

    /// The catalog, and a use of the disk that lasts until what is written is settled. `None` where the tenant has another edition by now.
    fn opened_for(
        &self,
        edition: Edition,
        writing: Option<Use>,
    ) -> Result<Option<(Arc<Opened>, Use)>, CatalogError> {
        let opened = self.opened()?;
        if opened.edition != edition {
            return Ok(None);
        }
        let writing = writing.unwrap_or_else(|| self.begin(&opened));
        Ok(Some((opened, writing)))
    }

    /// The object is put first. Rows of another edition may be protected with another rotation.
    pub(super) fn warm_rows(
        &self,
        rows: &SegmentRows,
        edition: Edition,
        writing: Option<Use>,
    ) -> Result<bool, CatalogError> {
        let Some((opened, writing)) = self.opened_for(edition, writing)? else {
            return Ok(false);
        };
        let (segments, catalog) = (&self.shared.segments, &opened.catalog);
        let mut intended = None;
        let put = segments.put(&opened.keys, rows, |ulid| {
            intended = Some(ulid);
            catalog.intend(ulid)
        });
        let listed = put.and_then(|object| catalog.warm(object, &rows.ids));
        self.settle(&opened, intended, writing, listed.is_ok());
        self.was_listed(listed)
    }

    /// Likewise of rows that are in segments.
    pub(super) fn merge_segments(
        &self,
        numbers: &BTreeSet<u32>,
        edition: Edition,
        writing: Option<Use>,
    ) -> Result<bool, CatalogError> {
        let Some((opened, writing)) = self.opened_for(edition, writing)? else {
            return Ok(false);
        };
        let (segments, catalog) = (&self.shared.segments, &opened.catalog);
        let objects = catalog.objects(numbers).map_err(|error| self.fault(&error))?;
        let from = objects
            .iter()
            .map(|(number, object)| (*number, object.ulid))
            .collect();
        let objects: Vec<_> = objects.into_values().collect();
        for object in &objects {
            segments.know(&opened.keys, object);
        }
        let mut intended = None;
        let put = segments.merge(&opened.keys, &objects, |ulid| {
            intended = Some(ulid);
            catalog.intend(ulid)
        });
        let listed = put.and_then(|(object, ids)| catalog.warm_merged(object, &ids, &from));
        self.settle(&opened, intended, writing, listed.is_ok());
        self.was_listed(listed)
    }

    /// Whether what was put is listed; not where somebody else was faster.
    fn was_listed<T>(&self, listed: Result<T, StorageError>) -> Result<bool, CatalogError> {
        match listed {
            Ok(_) => Ok(true),
            Err(StorageError::RowsMoved(_) | StorageError::KeysRotated(_)) => Ok(false),
            Err(error) => Err(self.fault(&error)),
        }
    }

    pub(super) fn rewrite_buried(&self) -> Result<(), CatalogError> {
        let opened = self.opened()?;
        let buried = opened.catalog.buried().map_err(|error| self.fault(&error))?;
        let mut failed = None;
        for segment in buried {
            if let Err(error) = self.rewrite_one(&opened, segment) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn rewrite_one(&self, opened: &Arc<Opened>, segment: u32) -> Result<(), CatalogError> {
        let writing = self.begin(opened);
        let (_, listed) = self.listed(opened, segment)?;
        // One that is warming is what its owners load, and becomes live soon.
        if listed.dead.is_empty() || !matches!(listed.state, Segment::Live { .. }) {
            return Ok(());
        }
        let (segments, catalog, former) = (&self.shared.segments, &opened.catalog, listed.object);
        let mut intended = None;
        let put = segments.rewrite(&opened.keys, &former, &listed.dead, |ulid| {
            intended = Some(ulid);
            catalog.intend(ulid)
        });
        let replaced = put.and_then(|object| catalog.replace(segment, former.ulid, object, &listed.dead));
        self.settle(opened, intended, writing, replaced.is_ok());
        self.was_listed(replaced).map(drop)
    }

    /// What was about to be put is listed, or given up. Where that can't be told now, the node stays untidy until it can.
    fn settle(&self, opened: &Arc<Opened>, intended: Option<Ulid>, writing: Use, is_listed: bool) {
        let Some(ulid) = intended else { return };
        if is_listed {
            self.shared.segments.settle(&opened.keys, ulid);
            return;
        }
        let keys = opened.keys.clone();
        self.give_up(
            opened,
            Loose {
                keys,
                ulid,
                _writing: writing,
            },
        );
    }

    /// Gives up an object, unless it is listed.
    fn give_up(&self, opened: &Arc<Opened>, loose: Loose) {
        let segments = &self.shared.segments;
        let given_up = match opened.catalog.abandon(loose.ulid) {
            // A drop removed all lists that it could be in.
            Err(_) if self.is_gone(opened) => Ok(true),
            given_up => given_up,
        };
        match given_up {
            Ok(false) => segments.settle(&loose.keys, loose.ulid),
            // Where it can't be deleted the next purge does.
            Ok(true) => {
                if let Err(error) = segments.discard(&loose.keys, loose.ulid) {
                    tracing::warn!(tenant = %self.tenant, %error, "an object that nobody lists can't be deleted, and stays for the next purge");
                }
            }
            Err(error) => {
                tracing::warn!(tenant = %self.tenant, %error, "it is not known whether an object is listed; the next round looks again");
                opened.loose.lock().push(loose);
            }
        }
    }

    /// Whether the tenant was dropped since its catalog was opened.
    fn is_gone(&self, opened: &Opened) -> bool {
        match self.shared.look(&self.tenant) {
            Ok(listed) => listed.head.edition.incarnation != opened.incarnation(),
            Err(error) => matches!(error, CatalogError::Node(NodeError::TenantUnknown(_))),
        }
    }

    pub(super) fn tie_up_loose(&self) {
        let opened = self.slot.lock().clone();
        if let Some(opened) = opened {
            // Not held while one of them is put back.
            let loose = std::mem::take(&mut *opened.loose.lock());
            for loose in loose {
                self.give_up(&opened, loose);
            }
        }
    }

    /// A gallery whose catalog was never opened has nothing here.
    pub(super) fn clear_copies(&self) -> Result<bool, CatalogError> {
        let opened = self.slot.lock().clone();
        opened.map_or(Ok(true), |opened| {
            let cleared = self.shared.segments.copies().clear(&opened.keys.home);
            if let Ok(true) = cleared {
                // What is not here has no successor to be brought.
                opened.objects.lock().clear();
            }
            cleared.map_err(|error| self.fault(&error))
        })
    }

    /// Nodes first, so that nobody reads what is destroyed then. What is unlisted after that was written before by a node that is gone, or is a former object, or has no row that was erased by then.
    pub(super) fn destroy_former(&self, purging: &Purging) -> Result<bool, CatalogError> {
        self.with(|opened| {
            let (catalog, sequence) = (&opened.catalog, purging.sequence);
            let keeps_rows = catalog.waits_for(&Write::Erasure { sequence })?;
            if !keeps_rows.is_empty() || !catalog.untidy(purging.commits)?.is_empty() {
                return Ok(false);
            }
            let unlisted = catalog.unlisted()?;
            self.shared.segments.destroy(&opened.keys.home, &unlisted)?;
            let ulids: Vec<Ulid> = unlisted.into_iter().map(|(ulid, _)| ulid).collect();
            catalog.removed(&ulids)?;
            self.shared
                .keys
                .forget_former(&self.tenant, opened.keys.generation)?;
            if purging.erasures.is_empty() {
                return Ok(true);
            }
            // A node that died before it had recorded one told nobody that it was done.
            let journal = self.shared.segments.journal();
            journal.record(&opened.keys.home, catalog, &purging.erasures)?;
            catalog.mark_purged(&purging.erasures, Timestamp::now())?;
            Ok(true)
        })
    }
}

impl Shared {
    /// A tenant is opened anew. What was put by a registration that is over is nobody's, if it is not listed; what is listed is fetched again. What was put by this one is still to be given up.
    pub(super) fn leave_loose(&self, former: &Opened, now: &Opened) {
        let loose = std::mem::take(&mut *former.loose.lock());
        if (former.standing, former.incarnation()) == (now.standing, now.incarnation()) {
            now.loose.lock().extend(loose);
            return;
        }
        for Loose { keys, ulid, .. } in loose {
            self.segments.give_up(&keys, ulid);
        }
    }
}
