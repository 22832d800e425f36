//! The engine's thread: takes what waits, applies mutations in order, then runs the waiting scans as batches. Keeps no time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::model::decision::Certificate;
use crate::model::signature::Dimension;

use super::Scanned;
use super::backend::{Backends, Work};
use super::bound::QuantizedProbe;
use super::config::EngineConfig;
use super::error::EngineError;
use super::gallery::{GalleryId, PackedRows};
use super::residency::Residency;
use super::shared::{Shared, Ticket};

/// Changes applied before the scans that wait are run, so that steady writers hold up no search for long.
const MUTATIONS_PER_ROUND_MAX: usize = 64;

/// Where the answer of a mutation goes. The caller blocks, so that it is there.
type Reply<T> = SyncSender<Result<T, EngineError>>;

/// What the engine's thread is asked to do.
pub(super) enum Job {
    Open {
        dim: Dimension,
        reply: Reply<GalleryId>,
    },
    Close {
        gallery: GalleryId,
        reply: Reply<()>,
    },
    Append {
        gallery: GalleryId,
        rows: PackedRows,
        reply: Reply<u32>,
    },
    Erase {
        gallery: GalleryId,
        rows: Vec<u32>,
        reply: Reply<()>,
    },
    Scans(Vec<ScanJob>),
}

/// A scan that waits.
pub(super) struct ScanJob {
    pub(super) gallery: GalleryId,
    pub(super) probe: QuantizedProbe,
    pub(super) deadline: Option<Instant>,
    pub(super) reply: oneshot::Sender<Result<Scanned, EngineError>>,
    pub(super) ticket: Ticket,
}

impl ScanJob {
    fn answer(self, answer: Result<Scanned, EngineError>) {
        // The place in the queue is free before the caller wakes.
        drop(self.ticket);
        // A caller that has gone needs no answer.
        let _ = self.reply.send(answer);
    }
}

/// State of the engine's thread.
pub(super) struct Batcher {
    residency: Residency,
    backends: Backends,
    shared: Arc<Shared>,
    batch_max: usize,
    queue_max: usize,
}

impl Batcher {
    pub(super) fn new(config: &EngineConfig, backends: Backends, shared: Arc<Shared>) -> Self {
        shared.set_backend(backends.name());
        Self {
            residency: Residency::new(config),
            backends,
            shared,
            batch_max: config.batch_max,
            queue_max: config.queue_max,
        }
    }

    /// Works until every handle is dropped.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        while let Some(first) = self.next(queue) {
            let mut scans = Vec::new();
            self.take(first, &mut scans);
            let mut mutations = 0;
            while scans.len() < self.queue_max
                && mutations < MUTATIONS_PER_ROUND_MAX
                && let Ok(job) = queue.try_recv()
            {
                mutations += usize::from(!matches!(job, Job::Scans(_)));
                self.take(job, &mut scans);
            }
            for round in rounds(batches(scans, self.batch_max), self.batch_max) {
                self.scan(round);
            }
        }
    }

    /// Waits for the next job and looks after the devices meanwhile; `None` once every handle is dropped.
    fn next(&mut self, queue: &Receiver<Job>) -> Option<Job> {
        loop {
            let again = self.backends.tend(&self.residency);
            self.shared.set_backend(self.backends.name());
            let Some(again) = again else {
                return queue.recv().ok();
            };
            match queue.recv_timeout(again) {
                Err(RecvTimeoutError::Timeout) => {}
                job => return job.ok(),
            }
        }
    }

    /// Applies a mutation at once; keeps a scan for later.
    fn take(&mut self, job: Job, scans: &mut Vec<ScanJob>) {
        match job {
            Job::Open { dim, reply } => {
                let id = self.residency.open(dim);
                self.shared.set_gallery(id, dim, 0);
                answer(&reply, Ok(id));
            }
            Job::Close { gallery, reply } => answer(&reply, self.close(gallery)),
            Job::Append { gallery, rows, reply } => answer(&reply, self.append(gallery, &rows)),
            Job::Erase { gallery, rows, reply } => answer(&reply, self.erase(gallery, rows)),
            Job::Scans(more) => scans.extend(more),
        }
    }

    fn close(&mut self, gallery: GalleryId) -> Result<(), EngineError> {
        self.residency.close(gallery)?;
        self.backends.forget(gallery);
        self.shared.remove_gallery(gallery);
        self.shared.set_backend(self.backends.name());
        Ok(())
    }

    fn append(&mut self, gallery: GalleryId, rows: &PackedRows) -> Result<u32, EngineError> {
        let range = self.residency.append(gallery, rows)?;
        let first = range.start;
        let view = self.residency.view(gallery)?;
        self.backends.update(view, &[range]);
        self.shared
            .set_gallery(gallery, view.dim(), self.residency.resident_bytes(gallery));
        self.shared.set_backend(self.backends.name());
        Ok(first)
    }

    fn erase(&mut self, gallery: GalleryId, mut rows: Vec<u32>) -> Result<(), EngineError> {
        rows.sort_unstable();
        rows.dedup();
        self.residency.erase(gallery, &rows)?;
        let ranges: Vec<_> = rows
            .chunk_by(|a, b| a + 1 == *b)
            .filter_map(|run| Some(*run.first()?..run.last()? + 1))
            .collect();
        self.backends.update(self.residency.view(gallery)?, &ranges);
        self.shared.set_backend(self.backends.name());
        Ok(())
    }

    /// Runs batches of several galleries together; scans that nobody waits for any more are left out.
    fn scan(&mut self, batches: Vec<Vec<ScanJob>>) {
        let due: Vec<Vec<ScanJob>> = batches.into_iter().map(|batch| self.due(batch)).collect();
        let work: Vec<Work<'_>> = due
            .iter()
            .filter_map(|batch| {
                let gallery = self.residency.view(batch.first()?.gallery).ok()?;
                Some(Work {
                    gallery,
                    rows: 0..gallery.rows(),
                    probes: batch.iter().map(|scan| &scan.probe).collect(),
                })
            })
            .collect();
        if work.is_empty() {
            return;
        }
        let rows: Vec<u64> = work.iter().map(|work| work.gallery.gallery.live()).collect();
        let (found, backend) = self.backends.scan(&work);
        drop(work);
        self.shared.set_backend(self.backends.name());
        let miss_probability = self.shared.miss_probability();
        let answered = due.into_iter().filter(|batch| !batch.is_empty());
        for ((batch, found), rows) in answered.zip(found).zip(rows) {
            let certificate = if found.by_sign {
                Certificate::Probabilistic { miss_probability }
            } else {
                Certificate::Deterministic
            };
            for (scan, survivors) in batch.into_iter().zip(found.survivors) {
                scan.answer(Ok(Scanned {
                    survivors,
                    rows,
                    certificate,
                    backend: Arc::clone(&backend),
                }));
            }
        }
    }

    /// The scans of one gallery that somebody waits for; all others are answered. None is left where the gallery was closed.
    fn due(&self, batch: Vec<ScanJob>) -> Vec<ScanJob> {
        let now = Instant::now();
        let mut due = Vec::with_capacity(batch.len());
        for scan in batch {
            if scan.deadline.is_some_and(|at| at <= now) {
                scan.answer(Err(EngineError::DeadlineExceeded));
            } else if let Err(error) = self.residency.view(scan.gallery) {
                scan.answer(Err(error));
            } else if !scan.reply.is_closed() {
                due.push(scan);
            }
        }
        due
    }
}

/// Puts batches together that have `batch_max` probes at most, in their order: the scans of many small galleries are one piece of work then.
fn rounds(batches: Vec<Vec<ScanJob>>, batch_max: usize) -> Vec<Vec<Vec<ScanJob>>> {
    let mut rounds: Vec<Vec<Vec<ScanJob>>> = Vec::new();
    let mut room = 0;
    for batch in batches {
        match rounds.last_mut() {
            Some(round) if batch.len() <= room => {
                room -= batch.len();
                round.push(batch);
            }
            _ => {
                room = batch_max.saturating_sub(batch.len());
                rounds.push(vec![batch]);
            }
        }
    }
    rounds
}

/// Groups scans by gallery, at most `batch_max` in a group, in the order in which they came.
fn batches(scans: Vec<ScanJob>, batch_max: usize) -> Vec<Vec<ScanJob>> {
    let mut batches: Vec<Vec<ScanJob>> = Vec::new();
    let mut open: HashMap<GalleryId, usize> = HashMap::new();
    for scan in scans {
        let batch = open
            .get(&scan.gallery)
            .and_then(|at| batches.get_mut(*at))
            .filter(|batch| batch.len() < batch_max);
        if let Some(batch) = batch {
            batch.push(scan);
        } else {
            open.insert(scan.gallery, batches.len());
            batches.push(vec![scan]);
        }
    }
    batches
}

fn answer<T>(reply: &Reply<T>, answer: Result<T, EngineError>) {
    // The caller blocks on the other end; it is gone only if its thread was.
    let _ = reply.send(answer);
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
