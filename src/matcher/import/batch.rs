//! The rows of one import: segments written and codes placed as they come, none of which counts before the end. Waits for nothing.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::filling::Filling;
use super::imported;
use super::kept::Progress;
use crate::matcher::error::engine_error;
use crate::matcher::node::{ImportChunk, Imported, NodeError};
use crate::matcher::tenant::Tenant;
use crate::model::id::{RequestId, SubjectId};
use crate::storage::import::Importer;
use crate::storage::place::RowId;

/// An import under way. Dropped before its commit it leaves nothing behind.
pub(super) struct Batch {
    importer: Option<Importer>,
    tenant: Arc<Tenant>,
    pub(super) progress: Arc<Progress>,
    /// What the request's header comes to.
    pub(super) digest: [u8; 32],
    filling: Filling,
    /// First row and count of each segment's codes in the gallery, none of which counts yet.
    placed: Vec<(u32, u32)>,
}

impl Batch {
    /// No rows yet of a request, by id and digest, that announces so many.
    pub(super) fn new(
        tenant: Arc<Tenant>,
        importer: Importer,
        (request, digest): (RequestId, [u8; 32]),
        announced: u64,
    ) -> Self {
        Self {
            importer: Some(importer),
            progress: Arc::new(Progress::new(request, announced)),
            digest,
            filling: Filling::new(tenant.spec.dimension),
            tenant,
            placed: Vec::new(),
        }
    }

    /// Takes a chunk whole, or fails, which ends the import.
    pub(super) fn push(mut self: Box<Self>, chunk: ImportChunk) -> Result<Box<Self>, NodeError> {
        let values = Zeroizing::new(chunk.values);
        let came = (values.len(), chunk.subject_ids.len());
        let taken = self
            .filling
            .check(came, self.progress.taken(), self.progress.announced)?;
        let ids = self.reserve(&chunk.subject_ids)?;
        for (id, row) in ids.into_iter().zip(values.chunks_exact(self.filling.dimension())) {
            if self.filling.push(id, row) {
                self.write_segment()?;
            }
        }
        self.progress.set_taken(taken);
        Ok(self)
    }

    fn importer(&mut self) -> Result<&mut Importer, NodeError> {
        self.importer
            .as_mut()
            .ok_or_else(|| NodeError::Internal("the import has ended".to_owned()))
    }

    fn reserve(&mut self, subject_ids: &[SubjectId]) -> Result<Vec<RowId>, NodeError> {
        let (tenant, progress) = (Arc::clone(&self.tenant), Arc::clone(&self.progress));
        self.importer()?
            .reserve(subject_ids)
            .map_err(|error| tenant.import_error(&progress.request, error))
    }

    fn write_segment(&mut self) -> Result<(), NodeError> {
        let tenant = Arc::clone(&self.tenant);
        let (codes, rows) = self.filling.take();
        let count = u32::try_from(rows.ids.len()).expect("a segment's rows are numbered in 32 bits");
        self.importer()?
            .push(rows)
            .map_err(|error| tenant.storage_error(&error))?;
        // In one step as the enrolments see it: those placed after these rows find them reserved.
        let _in_order = tenant.apply.lock();
        let first = tenant
            .engine
            .append(tenant.gallery, codes)
            .map_err(|error| engine_error(tenant.id(), &error))?;
        tenant.residency.write().reserve(first);
        self.placed.push((first, count));
        Ok(())
    }

    /// From here on the rows count, or none of them.
    pub(super) fn commit(mut self: Box<Self>) -> Result<Imported, NodeError> {
        if !self.filling.is_empty() {
            self.write_segment()?;
        }
        let tenant = Arc::clone(&self.tenant);
        let importer = self
            .importer
            .take()
            .ok_or_else(|| NodeError::Internal("the import has ended".to_owned()))?;
        let _in_order = tenant.apply.lock();
        let (answer, segments) = importer
            .commit()
            .map_err(|error| tenant.import_error(&self.progress.request, error))?;
        if segments.is_empty() {
            // The same request was done meanwhile; these rows never count, and go with this batch.
            return Ok(imported(answer));
        }
        let mut residency = tenant.residency.write();
        for ((first, count), segment) in self.placed.drain(..).zip(segments) {
            residency.add_segment(first, segment, count);
        }
        Ok(imported(answer))
    }

    /// Leaves nothing behind when it returns. Blocks.
    pub(super) fn let_go(mut self: Box<Self>) {
        (self.leavings())();
    }

    /// Takes rows out of the gallery and destroys files.
    fn leavings(&mut self) -> impl FnOnce() + Send + 'static {
        let (importer, placed) = (self.importer.take(), std::mem::take(&mut self.placed));
        let tenant = Arc::clone(&self.tenant);
        move || {
            for (first, count) in placed {
                tenant.residency.write().release(first);
                tenant.discard(first, count as usize);
            }
            drop(importer);
        }
    }
}

impl Drop for Batch {
    /// That is blocking work, and a stream may end on any thread.
    fn drop(&mut self) {
        let clean = self.leavings();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(clean)),
            Err(_) => clean(),
        }
    }
}
