//! Import: many new subjects, all or none. Segments are written and codes placed as rows come; they begin to count in one transaction at the end.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use half::f16;
use zeroize::Zeroizing;

use super::error::{engine_error, write_error};
use super::load::planes_of;
use super::node::{ImportChunk, ImportHeader, ImportStream, Imported, NodeError};
use super::tenant::Tenant;
use crate::engine::code::Codes;
use crate::model::id::{RequestId, SubjectId};
use crate::model::reject::Rejected;
use crate::storage::error::StorageError;
use crate::storage::import::{IMPORT_ROWS_MAX, ImportStart, Importer};
use crate::storage::place::{RowId, SEGMENT_ROWS_MAX, SegmentRows};
use crate::storage::write::ImportWrite;

/// Longest wait for the next rows of an import.
const CHUNK_WAIT_MAX: Duration = Duration::from_mins(1);

impl Tenant {
    /// Takes in all rows of the stream, or none.
    pub(super) async fn import(
        self: Arc<Self>,
        header: ImportHeader,
        mut chunks: ImportStream,
    ) -> Result<Imported, NodeError> {
        self.check_transform(&header.transform)?;
        self.check()?;
        let _only_one = self.importing.try_lock().map_err(|_| NodeError::Exhausted {
            limit: "imports of one tenant at a time",
            value: 1,
            retry_after: Duration::from_secs(5),
        })?;
        if let Some(successor) = self.successor.get() {
            return Box::pin(Arc::clone(successor).import(header, chunks)).await;
        }
        if header.rows == 0 || header.rows > IMPORT_ROWS_MAX {
            return Err(Rejected::new(
                "header.rows",
                format!("{} is not from 1 to {IMPORT_ROWS_MAX}", header.rows),
            )
            .into());
        }
        let rows = header.rows;
        let tenant = Arc::clone(&self);
        let mut batch = match blocking(move || tenant.begin_import(header)).await? {
            Begun::Replayed(imported) => return Ok(imported),
            Begun::New(batch) => batch,
        };
        while let Some(chunk) = tokio::time::timeout(CHUNK_WAIT_MAX, chunks.next())
            .await
            .map_err(|_| stalled())?
        {
            let chunk = chunk?;
            batch = blocking(move || batch.push(chunk)).await?;
        }
        if batch.taken != rows {
            return Err(Rejected::new(
                "header.rows",
                format!(
                    "{rows} rows were announced and {} came; nothing was imported",
                    batch.taken
                ),
            )
            .into());
        }
        blocking(move || batch.commit()).await
    }

    fn begin_import(self: Arc<Self>, header: ImportHeader) -> Result<Begun, NodeError> {
        let rows = header.rows;
        let request = header.request_id.clone();
        let start = self
            .store
            .import(ImportWrite {
                request_id: header.request_id,
                rows,
                request_digest: header.request_digest,
                hand: header.hand,
                capture: header.capture,
                consent: header.consent,
            })
            .map_err(|error| self.import_error(&request, error))?;
        Ok(match start {
            ImportStart::Replayed(answer) => Begun::Replayed(Imported {
                rows: answer.rows,
                sequence: answer.sequence,
            }),
            ImportStart::New(importer) => Begun::New(Box::new(Batch {
                importer: Some(importer),
                request,
                tenant: self,
                announced: rows,
                taken: 0,
                exact: Zeroizing::new(Vec::new()),
                ids: Vec::new(),
                placed: Vec::new(),
            })),
        })
    }

    fn import_error(&self, request: &RequestId, error: StorageError) -> NodeError {
        match error {
            StorageError::Write(error) => write_error(self.id(), request, error),
            other => self.storage_error(&other),
        }
    }
}

fn stalled() -> NodeError {
    Rejected::new(
        "rows",
        format!(
            "none came for {} s; nothing was imported",
            CHUNK_WAIT_MAX.as_secs()
        ),
    )
    .into()
}

enum Begun {
    Replayed(Imported),
    New(Box<Batch>),
}

/// An import under way. Dropped before its commit it leaves nothing behind.
struct Batch {
    importer: Option<Importer>,
    request: RequestId,
    tenant: Arc<Tenant>,
    announced: u64,
    taken: u64,
    /// Half-precision rows of the segment being filled.
    exact: Zeroizing<Vec<u16>>,
    ids: Vec<RowId>,
    /// First row and count of each segment's codes in the gallery, none of which counts yet.
    placed: Vec<(u32, u32)>,
}

impl Batch {
    fn push(mut self: Box<Self>, chunk: ImportChunk) -> Result<Box<Self>, NodeError> {
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
        self.taken += chunk.subject_ids.len() as u64;
        if self.taken > self.announced {
            return Err(Rejected::new(
                "header.rows",
                format!("{} rows were announced and more came", self.announced),
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
        Ok(self)
    }

    fn importer(&mut self) -> Result<&mut Importer, NodeError> {
        self.importer
            .as_mut()
            .ok_or_else(|| NodeError::Internal("the import has ended".to_owned()))
    }

    fn reserve(&mut self, subject_ids: &[SubjectId]) -> Result<Vec<RowId>, NodeError> {
        let (tenant, request) = (Arc::clone(&self.tenant), self.request.clone());
        self.importer()?
            .reserve(subject_ids)
            .map_err(|error| tenant.import_error(&request, error))
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

    fn commit(mut self: Box<Self>) -> Result<Imported, NodeError> {
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
            .map_err(|error| tenant.import_error(&self.request, error))?;
        if segments.is_empty() {
            // The same request was done meanwhile; these rows never count, and go with this batch.
            return Ok(Imported {
                rows: answer.rows,
                sequence: answer.sequence,
            });
        }
        let mut residency = tenant.residency.write();
        for ((first, count), segment) in self.placed.drain(..).zip(segments) {
            residency.add_segment(first, segment, count);
        }
        Ok(Imported {
            rows: answer.rows,
            sequence: answer.sequence,
        })
    }
}

impl Drop for Batch {
    /// Takes rows out of the gallery and destroys files: blocking work, and a stream may end on any thread.
    fn drop(&mut self) {
        let (importer, placed) = (self.importer.take(), std::mem::take(&mut self.placed));
        let tenant = Arc::clone(&self.tenant);
        let clean = move || {
            for (first, count) in placed {
                tenant.residency.write().release(first);
                tenant.discard(first, count as usize);
            }
            drop(importer);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(clean)),
            Err(_) => clean(),
        }
    }
}

/// Runs blocking work off the threads that serve requests.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(NodeError::Internal(error.to_string())))
}
