//! A snapshot of a tenant of a cluster into a backup, beside its running nodes, in the form that a data directory's has: a catalog in a file, and segments byte for byte. So it is restored into
//! a data directory, which serves by itself or goes back to a cluster. Changes nothing and holds nobody up; knows no keyring.
//!
//! Segments come first, then the catalog as it is at a moment at which all segments that it lists have come. Where some have not (they were written, or rewritten, meanwhile), they come, and another moment is looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ulid::Ulid;

use crate::keys::epochs::EpochKeys;
use crate::keys::receipt::ReceiptSigner;
use crate::model::id::TenantId;
use crate::storage::archive::{ArchiveWriter, EntryName};
use crate::storage::backup::{CatalogCopy, Snapshot, TRIES, unnamed};
use crate::storage::catalog::local::fill::LocalFilling;
use crate::storage::catalog::page::PageSeal;
use crate::storage::catalog::postgres::dump::{Dump, key_generation};
use crate::storage::catalog::segments::SegmentEntry;
use crate::storage::database::{CatalogKeys, Database};
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::objects::key::{Home, ListedSegment, ObjectKey};
use crate::storage::objects::text::epochs_text;
use crate::storage::objects::{ObjectStore, remote};

/// Rows that are read at once.
const PIECE_ROWS: u64 = 4_096;

/// The engines of a cluster, to be read.
pub struct Engines<'a> {
    /// Has the rows.
    pub database: &'a Database,
    /// Has segments and the keys of epochs.
    pub store: &'a ObjectStore,
    /// Of its receipts.
    pub signer: ReceiptSigner,
    /// A directory that has room for a catalog, twice.
    pub scratch: &'a Path,
}

/// A tenant as it is at a moment.
struct Taken {
    dump: Dump,
    home: Home,
    key_generation: u32,
}

impl Engines<'_> {
    /// Writes a tenant: its segments, then its catalog. Every row and block is authenticated on the way; damage is an error that names it. `None` when the tenant was dropped meanwhile, or is not made yet.
    pub fn backup(
        &self,
        tenant: &TenantId,
        keys: &CatalogKeys,
        archive: &mut ArchiveWriter<'_>,
    ) -> Result<Option<Snapshot>, StorageError> {
        self.check_scratch()?;
        let mut copied = BTreeSet::new();
        for _ in 0..TRIES {
            let Some(taken) = self.take(tenant, keys)? else {
                return Ok(None);
            };
            let listed = taken.dump.segments();
            let missing = listed.iter().filter(|entry| !copied.contains(&entry.ulid));
            let missing: Vec<SegmentEntry> = missing.copied().collect();
            if missing.is_empty() {
                let read = self.read(keys, &taken.dump);
                let is_over = read.as_ref().err().map(|error| taken.dump.is_over(error));
                if is_over.transpose()? == Some(true) {
                    continue;
                }
                let spec = taken.dump.summary().spec;
                // A slow output holds on to no moment.
                drop(taken);
                let catalog = read?;
                catalog.write(tenant, archive)?;
                return Ok(Some(Snapshot::new(&spec, &catalog.state, catalog.segments.len())));
            }
            let (home, generation) = (taken.home.clone(), taken.key_generation);
            let dimension = taken.dump.summary().spec.dimension;
            // Copying takes long, and a moment is held for as long as it is read.
            drop(taken);
            for entry in missing {
                let key = ObjectKey {
                    home: home.clone(),
                    generation,
                    ulid: entry.ulid,
                };
                let listed = ListedSegment::new(key, entry.rows, dimension, &keys.data_key);
                match self.copy(&listed, archive)? {
                    Ok(()) => {
                        copied.insert(entry.ulid);
                    }
                    Err(error) if self.lists(tenant, keys, entry.ulid)? => return Err(error),
                    // It was rewritten meanwhile, or the tenant was dropped.
                    Err(_) => {}
                }
            }
        }
        Err(StorageError::Restless(tenant.clone()))
    }

    fn take(&self, id: &TenantId, keys: &CatalogKeys) -> Result<Option<Taken>, StorageError> {
        let row = self.database.row(id)?.filter(|row| row.is_made);
        let Some(row) = row else {
            return Ok(None);
        };
        let take = || {
            let key_generation = key_generation(self.database, id, &keys.secret)?;
            let text = epochs_text(self.store, id, &row.incarnation, key_generation);
            let epochs = Arc::new(EpochKeys::open_in(Arc::new(text), &keys.data_key)?);
            let of_keys = (key_generation, epochs as _, self.signer.clone());
            let dump = Dump::take(self.database, id, &keys.secret, of_keys)?;
            Ok(Taken {
                dump,
                home: Home::of(id, &row.incarnation),
                key_generation,
            })
        };
        match take() {
            Ok(taken) => Ok(Some(taken)),
            Err(_) if self.database.is_made(&row.incarnation)? != Some(true) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a segment is listed now.
    fn lists(&self, id: &TenantId, keys: &CatalogKeys, ulid: Ulid) -> Result<bool, StorageError> {
        let taken = self.take(id, keys)?;
        Ok(taken.is_some_and(|taken| taken.dump.segments().iter().any(|entry| entry.ulid == ulid)))
    }

    /// Copies a segment. One that can't be read to its end is filled up with zeros: no catalog of the backup will name it. An error of the archive is the outer one.
    fn copy(
        &self,
        listed: &ListedSegment,
        archive: &mut ArchiveWriter<'_>,
    ) -> Result<Result<(), StorageError>, StorageError> {
        let reader = match remote::open(self.store, listed) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        let name = EntryName::Segment(listed.key.home.tenant.clone(), listed.key.ulid);
        archive.begin(&name, reader.file_len())?;
        let copied = reader.copy(|piece| archive.push(piece));
        if copied.is_err() {
            archive.fill()?;
        }
        Ok(copied)
    }

    /// Puts the rows of a moment into a catalog without a name.
    fn read(&self, keys: &CatalogKeys, dump: &Dump) -> Result<CatalogCopy, StorageError> {
        let summary = dump.summary();
        let mut catalog = LocalFilling::begin(&unnamed(self.scratch), &summary, &keys.data_key)?;
        dump.each(PIECE_ROWS, |piece| catalog.put(&piece))?;
        let catalog = catalog.finish(&summary)?;
        CatalogCopy::take(self.scratch, &catalog, &Arc::new(PageSeal::new(&keys.data_key)))
    }

    /// Looks whether there can be a catalog, before segments are copied for hours.
    fn check_scratch(&self) -> Result<(), StorageError> {
        let path = unnamed(self.scratch);
        durable::create_file(&path)?;
        fs::remove_file(&path).map_err(|e| StorageError::io("remove", &path, e))
    }
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
