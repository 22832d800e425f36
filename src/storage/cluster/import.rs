//! An import by a node of a cluster: its segments are objects before they are listed, all at once, as live ones. Knows no engine.

use std::sync::Arc;

use ulid::Ulid;

use super::segments::{SegmentKeys, Segments};
use super::{SegmentObject, SharedCatalog};
use crate::model::id::{RequestId, SubjectId};
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

/// The answer to an import, for as long as it is remembered; `None` for one that was not done.
pub fn imported(catalog: &SharedCatalog, request: &RequestId) -> Result<Option<ImportAnswer>, StorageError> {
    catalog.imported(request, None)
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
        self.segments.finish(&self.keys, file)
    }

    fn commit(&self, imported: &ImportedRows<'_>) -> Result<(ImportAnswer, Vec<u32>), StorageError> {
        self.catalog.import(imported)
    }

    fn discard(&self, written: &[Ulid]) {
        for ulid in written {
            let object = SegmentObject {
                ulid: *ulid,
                rows: 0,
                holes: 0,
            };
            if let Err(error) = self.segments.discard(&self.keys, &object) {
                let tenant = &self.keys.home.tenant;
                tracing::warn!(%tenant, %error, "objects of an import that is not done can't be deleted, and stay");
                // Each that fails takes its time.
                return;
            }
        }
    }

    /// Files that are not objects yet go with their writers.
    fn release(&self, _begun: &[Ulid]) {}
}
