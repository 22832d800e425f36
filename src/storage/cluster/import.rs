//! An import by a node of a cluster: its segments are objects before they are listed, all at once, as live ones. Knows no engine.

use std::sync::Arc;

use ulid::Ulid;

use super::SharedCatalog;
use super::segments::{SegmentKeys, Segments};
use crate::model::id::SubjectId;
use crate::storage::catalog::import::ImportedRows;
use crate::storage::error::StorageError;
use crate::storage::import::{ImportStart, Importer, Target};
use crate::storage::segment::writer::{SegmentWriter, WrittenSegment};
use crate::storage::write::{ImportAnswer, ImportWrite};

/// The objects of a tenant's import, and the catalog that is to list them.
struct InCluster {
    catalog: Arc<SharedCatalog>,
    segments: Arc<Segments>,
    keys: SegmentKeys,
}

/// Begins an import of exactly `header.rows` rows.
pub fn import(
    catalog: Arc<SharedCatalog>,
    segments: Arc<Segments>,
    keys: SegmentKeys,
    header: ImportWrite,
) -> Result<ImportStart, StorageError> {
    Importer::check(&header)?;
    let erasure = catalog.last_erasure()?;
    if let Some(answer) = catalog.imported(&header.request_id, Some(&header.request_digest))? {
        return Ok(ImportStart::Replayed(answer));
    }
    let target = InCluster {
        catalog,
        segments,
        keys,
    };
    Ok(ImportStart::New(Importer::new(Box::new(target), header, erasure)))
}

impl Target for InCluster {
    fn first_known(&self, subject_ids: &[SubjectId]) -> Result<Option<SubjectId>, StorageError> {
        self.catalog.first_known(subject_ids)
    }

    fn reserve(&self, count: u64) -> Result<(u64, u64), StorageError> {
        self.catalog.reserve(count)
    }

    fn begin(&self, rows: u32) -> Result<SegmentWriter, StorageError> {
        self.segments.begin(&self.keys, rows)
    }

    fn finish(&self, file: SegmentWriter) -> Result<WrittenSegment, StorageError> {
        let intend = |ulid| self.catalog.intend(ulid);
        let object = self.segments.finish(&self.keys, file, intend)?;
        Ok(object.written())
    }

    /// One of unknown outcome is done again: it is answered then, without segments.
    fn commit(&self, imported: &ImportedRows<'_>) -> Result<(ImportAnswer, Vec<u32>), StorageError> {
        let (answer, numbers) = match self.catalog.import(imported) {
            Err(StorageError::Uncertain(_)) => self.catalog.import(imported)?,
            done => done?,
        };
        if !numbers.is_empty() {
            for written in imported.segments {
                self.segments.settle(&self.keys, written.ulid);
            }
        }
        Ok((answer, numbers))
    }

    /// Given up first, so that nobody lists them any more. What is listed after all, by a commit that was told twice, stays.
    fn discard(&self, written: &[Ulid]) {
        for (at, ulid) in written.iter().enumerate() {
            let given_up = match self.catalog.abandon(*ulid) {
                Ok(true) => self.segments.discard(&self.keys, *ulid),
                Ok(false) => {
                    self.segments.settle(&self.keys, *ulid);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = given_up {
                let tenant = &self.keys.home.tenant;
                tracing::warn!(%tenant, %error, "objects of an import that is not done can't be deleted, and stay for a later purge");
                // Each that fails takes its time.
                self.in_doubt(written.get(at..).unwrap_or_default());
                return;
            }
        }
    }

    /// What is listed after all is fetched again; what is not stays in the store, noted as this node's, until that registers again. Of neither there is a copy here that a purge would not know of.
    fn in_doubt(&self, written: &[Ulid]) {
        for ulid in written {
            self.segments.give_up(&self.keys, *ulid);
        }
    }

    /// Files that are not objects yet go with their writers.
    fn release(&self, _begun: &[Ulid]) {}
}
