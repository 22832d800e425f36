//! Imports on a node of a cluster: segments become objects as rows come, and count from one transaction at the end. Nothing is kept of one that breaks off.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::MemberNode;
use crate::matcher::error::write_error;
use crate::matcher::import::filling::Filling;
use crate::matcher::import::{blocking, check_rows, import_write, imported, next_rows};
use crate::matcher::node::{ImportChunk, ImportHeader, ImportStream, Imported, NodeError};
use crate::matcher::parts::on_cluster::OnCluster;
use crate::matcher::parts::on_cluster::opened::Opened;
use crate::model::id::{RequestId, TenantId};
use crate::storage::cluster::import;
use crate::storage::database::notices::Notice;
use crate::storage::error::StorageError;
use crate::storage::import::{ImportStart, Importer};

/// How long an import that is durable waits until its segments are loaded where they are asked for. Until then identifications of its tenant are refused, and never smaller.
pub const LOAD_WAIT_MAX: Duration = Duration::from_mins(1);
/// How often it looks.
const LOAD_LOOK: Duration = Duration::from_millis(50);

/// An import under way. Dropped before its commit it leaves nothing behind.
struct Taking {
    /// There until the commit.
    importer: Option<Importer>,
    filling: Filling,
    announced: u64,
    taken: u64,
    faults: Faults,
}

/// Whose faults are told.
#[derive(Clone)]
struct Faults {
    cluster: OnCluster,
    tenant: TenantId,
    request: RequestId,
}

impl MemberNode {
    /// Takes in all rows of the stream, or none. One a tenant at a time, on each node.
    pub(super) async fn take_in(
        &self,
        header: ImportHeader,
        mut chunks: ImportStream,
    ) -> Result<Imported, NodeError> {
        let opened = self.opened_for(&header.tenant, &header.transform).await?;
        check_rows(&header)?;
        let seat = self.seat(&header.tenant, &opened)?;
        let _alone = seat.begin_import()?;
        let faults = Faults {
            cluster: self.shared.of.cluster.clone(),
            tenant: header.tenant.clone(),
            request: header.request_id.clone(),
        };
        let (first_row, of) = (header.first_row, Arc::clone(&opened));
        let begun = blocking(move || begin(&of, header, faults)).await?;
        let mut taking = match begun {
            Begun::Replayed(answer) => return Ok(answer),
            Begun::New(_) if first_row != 0 => return Err(NodeError::ImportPosition { held: 0 }),
            Begun::New(taking) => taking,
        };
        let (answer, segments) = loop {
            let came = (taking.taken, taking.announced);
            let next = tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return Err(self.stopping()),
                next = next_rows(&mut chunks, came) => next,
            };
            match next? {
                Some(chunk) => taking = blocking(move || taking.push(chunk)).await?,
                None => break blocking(move || taking.commit()).await?,
            }
        };
        self.shared.of.parts.nudge(&opened.keys.home.tenant);
        self.loaded(&opened, segments).await;
        Ok(answer)
    }

    fn stopping(&self) -> NodeError {
        NodeError::NodeUnavailable {
            node: self.shared.of.id.to_string(),
            reason: "it stops; nothing was imported".to_owned(),
        }
    }

    /// Waits until who owns these segments has loaded them, so that whoever was imported is found at once. What can't be found out is not waited for: it is durable.
    async fn loaded(&self, opened: &Arc<Opened>, segments: Vec<u32>) {
        let until = Instant::now() + LOAD_WAIT_MAX;
        let cluster = self.shared.of.cluster.clone();
        let change = Notice::Change(opened.keys.home.tenant.clone());
        // A hint: the others find it with their next look.
        let _ = blocking(move || {
            cluster.notify(&change);
            Ok(())
        })
        .await;
        for segment in segments {
            loop {
                let of = Arc::clone(opened);
                let looked = blocking(move || Ok(of.catalog.is_loaded(segment)));
                match looked.await {
                    Ok(Ok(false)) if Instant::now() < until => {}
                    _ => break,
                }
                tokio::select! {
                    () = self.shared.stop.cancelled() => return,
                    () = sleep(LOAD_LOOK) => {}
                }
            }
        }
    }
}

enum Begun {
    Replayed(Imported),
    New(Box<Taking>),
}

fn begin(opened: &Opened, header: ImportHeader, faults: Faults) -> Result<Begun, NodeError> {
    let announced = header.rows;
    let (catalog, segments) = (Arc::clone(&opened.catalog), Arc::clone(faults.cluster.segments()));
    let start = import::import(catalog, segments, opened.keys.clone(), import_write(header));
    Ok(match start.map_err(|error| faults.told(error))? {
        ImportStart::Replayed(answer) => Begun::Replayed(imported(answer)),
        ImportStart::New(importer) => Begun::New(Box::new(Taking {
            importer: Some(importer),
            filling: Filling::new(opened.dimension),
            announced,
            taken: 0,
            faults,
        })),
    })
}

impl Taking {
    /// Takes a chunk whole, or fails, which ends the import.
    fn push(mut self: Box<Self>, chunk: ImportChunk) -> Result<Box<Self>, NodeError> {
        let values = Zeroizing::new(chunk.values);
        let came = (values.len(), chunk.subject_ids.len());
        let taken = self.filling.check(came, self.taken, self.announced)?;
        let ids = self.importer()?.reserve(&chunk.subject_ids);
        let ids = ids.map_err(|error| self.faults.told(error))?;
        for (id, row) in ids.into_iter().zip(values.chunks_exact(self.filling.dimension())) {
            if self.filling.push(id, row) {
                self.write_segment()?;
            }
        }
        self.taken = taken;
        Ok(self)
    }

    fn importer(&mut self) -> Result<&mut Importer, NodeError> {
        self.importer.as_mut().ok_or_else(ended)
    }

    fn write_segment(&mut self) -> Result<(), NodeError> {
        let (_, rows) = self.filling.take();
        let pushed = self.importer()?.push(rows);
        pushed.map_err(|error| self.faults.told(error))
    }

    /// From here on the rows count, or none of them. Gives the segments too.
    fn commit(mut self: Box<Self>) -> Result<(Imported, Vec<u32>), NodeError> {
        if !self.filling.is_empty() {
            self.write_segment()?;
        }
        let importer = self.importer.take().ok_or_else(ended)?;
        let (answer, segments) = importer.commit().map_err(|error| self.faults.told(error))?;
        Ok((imported(answer), segments))
    }
}

impl Drop for Taking {
    /// What was put is deleted, which is blocking work, and a stream may end on any thread.
    fn drop(&mut self) {
        let Some(importer) = self.importer.take() else {
            return;
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(importer))),
            Err(_) => drop(importer),
        }
    }
}

fn ended() -> NodeError {
    NodeError::Internal("the import has ended".to_owned())
}

impl Faults {
    fn told(&self, error: StorageError) -> NodeError {
        match error {
            StorageError::Write(error) => write_error(&self.tenant, &self.request, error),
            other => self.cluster.fault(&self.tenant, &other),
        }
    }
}
