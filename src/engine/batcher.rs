//! The engine's thread: applies mutations in the order in which they came, and between them runs rounds of the scans that wait.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::model::decision::Certificate;
use crate::model::signature::Dimension;
use crate::telemetry;

use super::Scanned;
use super::backend::{Backends, Work};
use super::bound::QuantizedProbe;
use super::config::EngineConfig;
use super::error::EngineError;
use super::gallery::{GalleryId, PackedRows};
use super::residency::Residency;
use super::shared::{Shared, Ticket};
use super::waiting::Waiting;

/// Changes applied before the next round of scans, so that steady writers hold up no search for long.
const MUTATIONS_PER_ROUND_MAX: usize = 64;

/// Longest expected time of a round while several galleries wait, unless one scan alone takes longer.
const ROUND_MAX: Duration = Duration::from_millis(50);

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
    pub(super) probe: Arc<QuantizedProbe>,
    /// When it came.
    pub(super) since: Instant,
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
    waiting: Waiting,
    batch_max: usize,
}

impl Batcher {
    pub(super) fn new(config: &EngineConfig, backends: Backends, shared: Arc<Shared>) -> Self {
        shared.set_backend(backends.name());
        Self {
            residency: Residency::new(config),
            backends,
            shared,
            waiting: Waiting::default(),
            batch_max: config.batch_max,
        }
    }

    /// Works until every handle is dropped.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        while self.gather(queue) {
            for scan in self.waiting.take_late(Instant::now()) {
                scan.answer(Err(EngineError::DeadlineExceeded));
            }
            let round = self.next_round();
            self.scan(round);
        }
    }

    fn next_round(&mut self) -> Vec<Vec<ScanJob>> {
        let pace = &self.shared.pace;
        let fits = |batches, scans: usize, work| {
            let time = pace.expect(scans / batches, work);
            time.is_none_or(|time| time <= ROUND_MAX)
        };
        self.waiting.take_round(self.batch_max, fits)
    }

    /// Takes in what has come; waits for something where no scan does. `false` once every handle is dropped.
    fn gather(&mut self, queue: &Receiver<Job>) -> bool {
        if self.waiting.is_empty() {
            let Some(job) = self.next(queue) else {
                return false;
            };
            self.take(job);
        } else {
            self.tend();
        }
        let mut mutations = 0;
        while mutations < MUTATIONS_PER_ROUND_MAX
            && let Ok(job) = queue.try_recv()
        {
            mutations += usize::from(!matches!(job, Job::Scans(_)));
            self.take(job);
        }
        true
    }

    /// Waits for the next job and looks after the devices meanwhile; `None` once every handle is dropped.
    fn next(&mut self, queue: &Receiver<Job>) -> Option<Job> {
        loop {
            let Some(again) = self.tend() else {
                return queue.recv().ok();
            };
            match queue.recv_timeout(again) {
                Err(RecvTimeoutError::Timeout) => {}
                job => return job.ok(),
            }
        }
    }

    /// Looks after the devices. Gives the time after which to look again, where there is a reason to.
    fn tend(&mut self) -> Option<Duration> {
        let again = self.backends.tend(&self.residency);
        self.shared.set_backend(self.backends.name());
        again
    }

    /// Applies a mutation at once; keeps a scan for later.
    fn take(&mut self, job: Job) {
        match job {
            Job::Open { dim, reply } => {
                let id = self.residency.open(dim);
                self.shared.open_gallery(id, dim);
                answer(&reply, Ok(id));
            }
            Job::Close { gallery, reply } => answer(&reply, self.close(gallery)),
            Job::Append { gallery, rows, reply } => answer(&reply, self.append(gallery, &rows)),
            Job::Erase { gallery, rows, reply } => answer(&reply, self.erase(gallery, rows)),
            Job::Scans(scans) => {
                for scan in scans {
                    self.waiting.push(scan);
                }
            }
        }
    }

    fn close(&mut self, gallery: GalleryId) -> Result<(), EngineError> {
        self.residency.close(gallery)?;
        self.backends.forget(gallery);
        self.shared.remove_gallery(gallery);
        self.tell();
        Ok(())
    }

    fn append(&mut self, gallery: GalleryId, rows: &PackedRows) -> Result<u32, EngineError> {
        let range = self.residency.append(gallery, rows)?;
        let first = range.start;
        let view = self.residency.view(gallery)?;
        self.backends.update(view, &[range]);
        self.shared
            .set_bytes(gallery, self.residency.resident_bytes(gallery));
        self.tell();
        Ok(first)
    }

    /// Who scans, and how much there is.
    #[expect(clippy::cast_precision_loss, reason = "memory has fewer than 2^52 bytes")]
    fn tell(&self) {
        self.shared.set_backend(self.backends.name());
        metrics::gauge!(telemetry::RESIDENT_BYTES).set(self.residency.bytes() as f64);
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
                    probes: batch.iter().map(|scan| &*scan.probe).collect(),
                })
            })
            .collect();
        if work.is_empty() {
            return;
        }
        let rows: Vec<u64> = work.iter().map(|work| work.gallery.gallery.live()).collect();
        let begun = Instant::now();
        let (found, backend) = self.backends.scan(&work);
        drop(work);
        let took = self.ran(&due, begun);
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
                let since = scan.since;
                scan.answer(Ok(Scanned {
                    survivors,
                    rows,
                    certificate,
                    backend: Arc::clone(&backend),
                    since,
                    begun,
                    took,
                }));
            }
        }
    }

    /// Learns from a round that has run, and tells of it. Gives its time.
    fn ran(&self, round: &[Vec<ScanJob>], begun: Instant) -> Duration {
        let took = begun.elapsed();
        let (mut batches, mut probes, mut work) = (0_usize, 0, 0);
        for batch in round.iter().filter(|batch| !batch.is_empty()) {
            batches += 1;
            metrics::histogram!(telemetry::BATCH_PROBES)
                .record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
            for scan in batch {
                probes += 1;
                work += scan.ticket.work;
                metrics::histogram!(telemetry::QUEUE_SECONDS)
                    .record(begun.saturating_duration_since(scan.since));
            }
        }
        self.shared.pace.learn(probes / batches.max(1), work, took);
        metrics::histogram!(telemetry::SCAN_SECONDS).record(took);
        took
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

fn answer<T>(reply: &Reply<T>, answer: Result<T, EngineError>) {
    // The caller blocks on the other end; it is gone only if its thread was.
    let _ = reply.send(answer);
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
