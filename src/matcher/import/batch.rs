//! The rows of one import: segments written and codes placed as they come, none of which counts before the end. Waits for nothing.

use std::sync::Arc;

use half::f16;
use zeroize::Zeroizing;

use super::imported;
use super::kept::Progress;
use crate::engine::code::Codes;
use crate::matcher::error::engine_error;
use crate::matcher::load::planes_of;
use crate::matcher::node::{ImportChunk, Imported, NodeError};
use crate::matcher::tenant::Tenant;
use crate::model::id::{RequestId, SubjectId};
use crate::model::reject::Rejected;
use crate::storage::import::Importer;
use crate::storage::place::{RowId, SEGMENT_ROWS_MAX, SegmentRows};

/// An import under way. Dropped before its commit it leaves nothing behind.
pub(super) struct Batch {
    importer: Option<Importer>,
    tenant: Arc<Tenant>,
    pub(super) progress: Arc<Progress>,
    /// What the request's header comes to.
    pub(super) digest: [u8; 32],
    /// Half-precision rows of the segment being filled.
    exact: Zeroizing<Vec<u16>>,
    ids: Vec<RowId>,
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
            tenant,
            progress: Arc::new(Progress::new(request, announced)),
            digest,
            exact: Zeroizing::new(Vec::new()),
            ids: Vec::new(),
            placed: Vec::new(),
        }
    }

    /// Takes a chunk whole, or fails, which ends the import.
    pub(super) fn push(mut self: Box<Self>, chunk: ImportChunk) -> Result<Box<Self>, NodeError> {
        let dimension = self.tenant.spec.dimension.get();
        let values = Zeroizing::new(chunk.values);
        if values.len() != chunk.subject_ids.len() * dimension {
            return Err(Rejected::new(
                "rows",
                format!(
                    "{} coordinates came for {} rows of dimension {dimension}",
                    values.len(),
                    chunk.subject_ids.len()
                ),
            )
            .into());
        }
        let (taken, announced) = (
            self.progress.taken() + chunk.subject_ids.len() as u64,
            self.progress.announced,
        );
        if taken > announced {
            return Err(Rejected::new(
                "header.rows",
                format!("{announced} rows were announced and more came"),
            )
            .into());
        }
        let ids = self.reserve(&chunk.subject_ids)?;
        for (id, row) in ids.into_iter().zip(values.chunks_exact(dimension)) {
            self.ids.push(id);
            self.exact
                .extend(row.iter().map(|&value| f16::from_f32(value).to_bits()));
            if self.ids.len() == SEGMENT_ROWS_MAX as usize {
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
        let exact = std::mem::replace(&mut self.exact, Zeroizing::new(Vec::new()));
        let ids = std::mem::take(&mut self.ids);
        let rows: &[f16] = bytemuck::cast_slice(&exact);
        let codes = Codes::encode(tenant.spec.dimension, rows);
        let count = u32::try_from(ids.len()).expect("a segment's rows are numbered in 32 bits");
        let rows = SegmentRows {
            planes: planes_of(&codes),
            exact: Zeroizing::new(exact.iter().flat_map(|bits| bits.to_le_bytes()).collect()),
            ids,
        };
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
        if !self.ids.is_empty() {
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
