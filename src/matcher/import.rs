//! Import: many new subjects, all or none. Rows are taken as they come and begin to count in one transaction at the end; where they break off, what came is kept for a while.

mod batch;
pub(super) mod filling;
pub(super) mod kept;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use self::batch::Batch;
use super::error::write_error;
use super::node::{ImportChunk, ImportHeader, ImportProgress, ImportStream, Imported, NodeError};
use super::tenant::Tenant;
use crate::model::id::RequestId;
use crate::model::reject::Rejected;
use crate::storage::error::StorageError;
use crate::storage::import::{IMPORT_ROWS_MAX, ImportStart};
use crate::storage::write::{ImportAnswer, ImportWrite};
use crate::telemetry::traces;

/// Longest wait for the next rows of an import.
const CHUNK_WAIT_MAX: Duration = Duration::from_mins(1);

impl Tenant {
    /// Takes in all rows of the stream, or none; what came of one that breaks off waits for the rest.
    pub(super) async fn import(
        self: Arc<Self>,
        header: ImportHeader,
        mut chunks: ImportStream,
    ) -> Result<Imported, NodeError> {
        self.check_transform(&header.transform)?;
        self.check()?;
        if self.imports.is_closed() {
            return Err(self.import_closed());
        }
        let mut slot = self.imports.try_begin()?;
        if let Some(successor) = self.successor.get() {
            return Box::pin(Arc::clone(successor).import(header, chunks)).await;
        }
        check_rows(&header)?;
        let first_row = header.first_row;
        let tenant = Arc::clone(&self);
        let begun = match blocking(move || tenant.begin_import(header)).await? {
            Begun::Replayed(imported) => return Ok(imported),
            Begun::New(batch) => batch,
        };
        let mut batch = kept::resumed(&mut slot, begun, first_row)?;
        self.imports.began(&batch.progress);
        loop {
            let came = (batch.progress.taken(), batch.progress.announced);
            let next = tokio::select! {
                biased;
                () = self.imports.closed() => Err(self.import_closed()),
                next = next_rows(&mut chunks, came) => next,
            };
            match next {
                Ok(Some(chunk)) => batch = blocking(move || batch.push(chunk)).await?,
                Ok(None) => return blocking(move || batch.commit()).await,
                Err(error) => {
                    if matches!(error, NodeError::ImportBrokenOff { .. }) {
                        self.keep(&mut slot, batch);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn import_closed(&self) -> NodeError {
        self.unavailable("the server stops, or the tenant is dropped; nothing was imported")
    }

    /// How far an import has come.
    pub(super) async fn import_progress(
        self: Arc<Self>,
        request: RequestId,
    ) -> Result<ImportProgress, NodeError> {
        self.check()?;
        if let Some(progress) = self.imports.progress(&request) {
            return Ok(progress);
        }
        blocking(move || {
            let found = self.store.imported(&request);
            found
                .map(progress_of)
                .map_err(|error| self.import_error(&request, error))
        })
        .await
    }

    fn begin_import(self: Arc<Self>, header: ImportHeader) -> Result<Begun, NodeError> {
        let rows = header.rows;
        let (request, digest) = (header.request_id.clone(), header.request_digest);
        let start = self
            .store
            .import(import_write(header))
            .map_err(|error| self.import_error(&request, error))?;
        Ok(match start {
            ImportStart::Replayed(answer) => Begun::Replayed(imported(answer)),
            ImportStart::New(importer) => {
                Begun::New(Box::new(Batch::new(self, importer, (request, digest), rows)))
            }
        })
    }

    fn import_error(&self, request: &RequestId, error: StorageError) -> NodeError {
        match error {
            StorageError::Write(error) => write_error(self.id(), request, error),
            other => self.storage_error(&other),
        }
    }
}

/// Another one is under way.
pub(super) fn one_import() -> NodeError {
    NodeError::Exhausted {
        limit: "imports of one tenant at a time",
        value: 1,
        retry_after: Duration::from_secs(5),
    }
}

/// Refuses what no import may announce.
pub(super) fn check_rows(header: &ImportHeader) -> Result<(), NodeError> {
    if header.rows == 0 || header.rows > IMPORT_ROWS_MAX {
        let problem = format!("{} is not from 1 to {IMPORT_ROWS_MAX}", header.rows);
        return Err(Rejected::new("header.rows", problem).into());
    }
    Ok(())
}

/// `None` when all rows have come: as many as were announced.
pub(super) async fn next_rows(
    chunks: &mut ImportStream,
    (taken, announced): (u64, u64),
) -> Result<Option<ImportChunk>, NodeError> {
    let broken_off = |reason| Err(NodeError::ImportBrokenOff { reason });
    match tokio::time::timeout(CHUNK_WAIT_MAX, chunks.next()).await {
        Ok(Some(chunk)) => chunk.map(Some),
        Ok(None) if taken == announced => Ok(None),
        Ok(None) => broken_off(format!("{announced} rows were announced and {taken} came")),
        Err(_) => broken_off(format!("no rows came for {} s", CHUNK_WAIT_MAX.as_secs())),
    }
}

/// What is to be written of an import.
pub(super) fn import_write(header: ImportHeader) -> ImportWrite {
    ImportWrite {
        request_id: header.request_id,
        rows: header.rows,
        request_digest: header.request_digest,
        hand: header.hand,
        capture: header.capture,
        consent: header.consent,
    }
}

pub(super) fn imported(answer: ImportAnswer) -> Imported {
    Imported {
        rows: answer.rows,
        sequence: answer.sequence,
    }
}

/// Of an import that is done, or of which nothing is known.
pub(super) fn progress_of(answer: Option<ImportAnswer>) -> ImportProgress {
    answer.map_or_else(ImportProgress::default, |answer| ImportProgress {
        rows_taken: answer.rows,
        rows: answer.rows,
        done: Some(imported(answer)),
    })
}

enum Begun {
    Replayed(Imported),
    New(Box<Batch>),
}

/// Runs blocking work off the threads that serve requests.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(traces::carrying(work))
        .await
        .unwrap_or_else(|error| Err(NodeError::Internal(error.to_string())))
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
