//! Search over codes: slices in, row numbers out. Knows nothing of gRPC, files or tenants' names.

pub mod canonical;
pub mod code;
pub mod trial;

mod backend;
mod batcher;
mod bound;
mod config;
mod cpu;
mod error;
mod gallery;
mod gpu;
mod memory;
mod pace;
mod residency;
mod shared;
mod threads;
mod waiting;

#[cfg(test)]
mod samples;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::model::decision::Certificate;
use crate::model::signature::Dimension;

use backend::Backends;
use batcher::{Batcher, Job, ScanJob};
use bound::QuantizedProbe;
use code::Codes;
use gallery::PackedRows;
use shared::Shared;

pub use backend::{DeviceState, DeviceStatus};
pub use config::{BackendChoice, EngineConfig, Kernel, LockMemory};
pub use error::EngineError;
pub use gallery::GalleryId;

/// Most survivors of one probe that are listed; beyond it [`Survivors::All`] is answered.
pub const SURVIVORS_MAX: usize = 16_384;
/// Room in the queue for mutations on top of `queue_max` scans. A mutation that finds it full waits.
const MUTATIONS_QUEUED_MAX: usize = 64;

/// One search of one gallery.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// Which gallery.
    pub gallery: GalleryId,
    /// A unit vector of the gallery's dimension.
    pub probe: Arc<[f32]>,
    /// Canonical score from which on a row counts; finite.
    pub threshold: f32,
    /// Whether rows may be dismissed only by a proof, never by a probability.
    pub deterministic: bool,
    /// When the caller stops waiting. Looked at when the request comes in, where one that can't be met is refused, and before each round of scans.
    pub deadline: Option<Instant>,
}

/// Rows that may reach the threshold. Erased rows are never among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Survivors {
    /// Row numbers, ascending: a superset of all rows whose canonical score is at or above the threshold.
    Rows(Vec<u32>),
    /// More than [`SURVIVORS_MAX`]: score every row.
    All,
}

/// What a scan found and proved.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanned {
    /// Rows to be scored exactly.
    pub survivors: Survivors,
    /// Live rows that were searched.
    pub rows: u64,
    /// What is known of the rows that did not survive.
    pub certificate: Certificate,
    /// Who scanned, for instance `cpu/avx512`.
    pub backend: Arc<str>,
    /// When the scan came.
    pub since: Instant,
    /// When its round began.
    pub begun: Instant,
    /// How long the round took.
    pub took: Duration,
}

/// Handle of the engine; clones share it. The engine's one thread owns all galleries and ends when the last handle is
/// dropped, which waits for the batch in progress.
///
/// Mutations block the calling thread. They take effect in the order in which they were asked for, and a scan that is asked
/// for after a mutation has returned sees it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// Where the answer of a scan comes.
type Answer = oneshot::Receiver<Result<Scanned, EngineError>>;

struct Inner {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    devices: watch::Receiver<Arc<[DeviceStatus]>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Engine {
    /// Starts the engine's thread, chooses the backend and tests its kernels.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        config.check()?;
        let opened = config.clone();
        Self::with_backends(config, move || Backends::open(&opened))
    }

    /// Starts with backends that `open` makes on the engine's thread.
    fn with_backends(
        config: EngineConfig,
        open: impl FnOnce() -> Result<Backends, EngineError> + Send + 'static,
    ) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared::new(&config));
        let (jobs, queue) = sync_channel(config.queue_max + MUTATIONS_QUEUED_MAX);
        let (ready, opened) = sync_channel(1);
        let batcher_shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("thenar-engine".to_owned())
            .spawn(move || {
                let backends = match open() {
                    Ok(backends) => backends,
                    Err(error) => {
                        // Nobody listens only if the starting thread is gone.
                        let _ = ready.send(Err(error));
                        return;
                    }
                };
                let devices = backends.devices();
                let batcher = Batcher::new(&config, backends, batcher_shared);
                let _ = ready.send(Ok(devices));
                batcher.run(&queue);
            })
            .map_err(|error| EngineError::Memory(error.to_string()))?;
        let devices = opened.recv().map_err(|_| EngineError::Stopped)??;
        Ok(Self {
            inner: Arc::new(Inner {
                jobs: Some(jobs),
                thread: Some(thread),
                shared,
                devices,
            }),
        })
    }

    /// Name of the backend, for instance `cpu/avx512` or `gpu/NVIDIA H200`. It changes when a GPU is lost.
    pub fn backend(&self) -> String {
        self.inner.shared.backend().to_string()
    }

    /// Status of the GPUs; empty where only the CPU scans.
    pub fn devices(&self) -> Arc<[DeviceStatus]> {
        Arc::clone(&self.inner.devices.borrow())
    }

    /// The same, to be watched. The sender goes with the engine's thread, which a watcher does not keep.
    pub fn watch_devices(&self) -> watch::Receiver<Arc<[DeviceStatus]>> {
        self.inner.devices.clone()
    }

    /// Opens an empty gallery. It takes no memory until rows are appended.
    pub fn open_gallery(&self, dim: Dimension) -> Result<GalleryId, EngineError> {
        let (reply, answer) = sync_channel(1);
        self.mutate(Job::Open { dim, reply }, &answer)
    }

    /// Closes a gallery; its memory is zeroed when this returns.
    pub fn close_gallery(&self, gallery: GalleryId) -> Result<(), EngineError> {
        let (reply, answer) = sync_channel(1);
        self.mutate(Job::Close { gallery, reply }, &answer)
    }

    /// Appends rows and returns the number of the first. Row numbers are never given twice. `codes` is wiped.
    ///
    /// Refused before anything changes: codes of another dimension, a plane of the wrong length, more memory than the limit.
    pub fn append(&self, gallery: GalleryId, codes: Codes) -> Result<u32, EngineError> {
        let rows = PackedRows::pack(codes)?;
        let (reply, answer) = sync_channel(1);
        self.mutate(Job::Append { gallery, rows, reply }, &answer)
    }

    /// Zeroes rows on every device, so that they never survive again. Repetition is harmless; a row that was never appended is
    /// an error that changes nothing.
    pub fn erase(&self, gallery: GalleryId, rows: Vec<u32>) -> Result<(), EngineError> {
        let (reply, answer) = sync_channel(1);
        self.mutate(Job::Erase { gallery, rows, reply }, &answer)
    }

    /// Bytes of codes a gallery holds in host memory, unused rows of its last page included; 0 for one that is not open.
    pub fn resident_bytes(&self, gallery: GalleryId) -> u64 {
        self.inner.shared.gallery(gallery).map_or(0, |line| line.bytes())
    }

    /// Refuses as [`Engine::scan`] would now, before the work of making a probe. Takes no place.
    pub fn check_room(&self, gallery: GalleryId, deadline: Option<Instant>) -> Result<(), EngineError> {
        let shared = &self.inner.shared;
        let line = shared
            .gallery(gallery)
            .ok_or(EngineError::GalleryUnknown(gallery))?;
        shared.check_room(&line, deadline)
    }

    /// Scans a gallery together with whatever else is waiting.
    pub async fn scan(&self, request: ScanRequest) -> Result<Scanned, EngineError> {
        let (job, answer) = self.job(&request, &mut None)?;
        self.enqueue(vec![job])?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Hands in many scans at once, so that they run as one batch where they can. The answers come in the order of the requests. Those of one probe, one after the other, cost its making once.
    pub async fn scan_batch(&self, requests: &[ScanRequest]) -> Vec<Result<Scanned, EngineError>> {
        let mut jobs = Vec::with_capacity(requests.len());
        let mut answers = Vec::with_capacity(requests.len());
        let mut made = None;
        for request in requests {
            answers.push(self.job(request, &mut made).map(|(job, answer)| {
                jobs.push(job);
                answer
            }));
        }
        // A refusal costs next to nothing: where all are refused nobody is woken.
        let refused = if jobs.is_empty() {
            None
        } else {
            self.enqueue(jobs).err()
        };
        let mut scanned = Vec::with_capacity(requests.len());
        for answer in answers {
            scanned.push(match (answer, &refused) {
                (Err(error), _) => Err(error),
                (Ok(_), Some(error)) => Err(error.clone()),
                (Ok(answer), None) => answer.await.unwrap_or(Err(EngineError::Stopped)),
            });
        }
        scanned
    }

    /// A scan ready to be queued, and where its answer will come. `made` is the probe that was made last.
    fn job(&self, request: &ScanRequest, made: &mut Option<Made>) -> Result<(ScanJob, Answer), EngineError> {
        if request.deadline.is_some_and(|at| at <= Instant::now()) {
            return Err(EngineError::DeadlineExceeded);
        }
        let shared = &self.inner.shared;
        let line = shared
            .gallery(request.gallery)
            .ok_or(EngineError::GalleryUnknown(request.gallery))?;
        // Before any work: a refusal at saturation costs next to nothing.
        let ticket = shared.ticket(&line, request.deadline)?;
        let probe = match made {
            Some(made) if made.is_of(request, line.dim) => Arc::clone(&made.probe),
            _ => {
                let quantile = (!request.deterministic).then(|| shared.quantile(line.dim));
                let probe = QuantizedProbe::new(&request.probe, line.dim, request.threshold, quantile)?;
                let probe = Arc::new(probe);
                *made = Some(Made {
                    probe: Arc::clone(&probe),
                    dim: line.dim,
                    threshold: request.threshold,
                    deterministic: request.deterministic,
                });
                probe
            }
        };
        let (reply, answer) = oneshot::channel();
        let job = ScanJob {
            gallery: request.gallery,
            probe,
            since: Instant::now(),
            deadline: request.deadline,
            reply,
            ticket,
        };
        Ok((job, answer))
    }

    fn enqueue(&self, scans: Vec<ScanJob>) -> Result<(), EngineError> {
        match self.jobs()?.try_send(Job::Scans(scans)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(EngineError::QueueFull {
                max: self.inner.shared.queue_max(),
            }),
            Err(TrySendError::Disconnected(_)) => Err(EngineError::Stopped),
        }
    }

    fn jobs(&self) -> Result<&SyncSender<Job>, EngineError> {
        self.inner.jobs.as_ref().ok_or(EngineError::Stopped)
    }

    fn mutate<T>(&self, job: Job, answer: &Receiver<Result<T, EngineError>>) -> Result<T, EngineError> {
        self.jobs()?.send(job).map_err(|_| EngineError::Stopped)?;
        answer.recv().map_err(|_| EngineError::Stopped)?
    }
}

/// A probe, and what it was made of beside its values.
struct Made {
    probe: Arc<QuantizedProbe>,
    dim: Dimension,
    threshold: f32,
    deterministic: bool,
}

impl Made {
    /// Whether this request would make the same. Values are not compared, but where they are.
    fn is_of(&self, request: &ScanRequest, dim: Dimension) -> bool {
        Arc::ptr_eq(&self.probe.exact, &request.probe)
            && self.dim == dim
            && self.threshold.to_bits() == request.threshold.to_bits()
            && self.deterministic == request.deterministic
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
