//! What a device does for the engine, and which device is asked. Owns no host copy of the codes.
//!
//! The codes of every gallery stay in host memory also where a GPU scans: when the GPU fails, the CPU answers the same request from them. The
//! price is the memory twice, once on the host and once on the GPU. A device is asked for what it holds, at this moment, and for nothing
//! else; which rows it is to hold in the end is decided beside that (`placement`) and brought about between batches (`tend`).

mod device;
mod host;
mod open;
mod parts;
mod placement;
mod scan;
mod speed;
mod status;
mod tend;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::sync::watch;

use crate::model::signature::Dimension;

use super::bound::QuantizedProbe;
use super::code::Scale;
use super::config::{BackendChoice, EngineConfig, KERNEL_VARIABLE, Kernel};
use super::cpu::CpuBackend;
use super::error::EngineError;
use super::gallery::{self, GalleryId, GalleryView};
use super::gpu::GpuBackend;
use super::{SURVIVORS_MAX, Survivors};
use device::{Device, Supervised};
use host::{Host, System};
use placement::Seat;
use speed::{Speed, Spent};

pub use status::{DeviceState, DeviceStatus};

/// Why a device did not do what it was asked; the CPU does it instead.
#[derive(Debug, Error)]
pub(super) enum BackendError {
    /// The device has no memory left for a gallery; it goes on serving the others.
    #[error("no device memory for {bytes} bytes of codes")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: u64,
    },
    /// The device can't be used any more.
    #[error("the device failed: {0}")]
    Lost(String),
}

/// Parts of a gallery begin at multiples of this.
pub(super) const PART_ROWS: u32 = gallery::PAGE_ROWS;

/// The probes that search one gallery together.
pub(super) struct Work<'a> {
    pub(super) gallery: GalleryView<'a>,
    /// Rows to be searched: those that the device holds.
    pub(super) rows: Range<u32>,
    /// All of the gallery's dimension; at most `batch_max`.
    pub(super) probes: Vec<&'a QuantizedProbe>,
}

/// What a device found for a piece of work.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// One for each probe, in their order.
    pub(super) survivors: Vec<Survivors>,
    /// Whether rows were dismissed by their signs, so with a probability of error.
    pub(super) by_sign: bool,
}

/// A device that scans. Called by the engine's thread alone.
pub(super) trait Backend: Send {
    /// Kind and name, for instance `cpu/avx512`.
    fn name(&self) -> Arc<str>;

    /// Holds the rows `held` of a gallery from now on, and follows a change of the rows `changed`, which lie in them; what it held before
    /// it need not be told. `held` begins at a multiple of [`PART_ROWS`]. When it returns, erased rows are gone from the device too. After
    /// [`BackendError::OutOfMemory`] it holds the rows that it held before.
    fn update(
        &mut self,
        gallery: GalleryView<'_>,
        held: Range<u32>,
        changed: &[Range<u32>],
    ) -> Result<(), BackendError>;

    /// Zeroes and releases what is held of a gallery.
    fn forget(&mut self, gallery: GalleryId) -> Result<(), BackendError>;

    /// Scans galleries together: what was found for each piece of work, in their order.
    fn scan(&mut self, work: &[Work<'_>]) -> Result<Vec<Found>, BackendError>;
}

/// What devices hold, and are to hold, of a gallery; one range for each GPU, empty ones being `0..0`.
struct Placed {
    dim: Dimension,
    rows: u32,
    held: Vec<Range<u32>>,
    goals: Vec<Range<u32>>,
    /// When rows were last moved for the sake of speed.
    moved_at: Instant,
}

/// The CPU, which always answers, and the GPUs. A GPU that failed is opened again after a while.
pub(super) struct Backends {
    cpu: Box<dyn Backend>,
    cpu_speed: Speed,
    gpus: Vec<Supervised>,
    galleries: BTreeMap<GalleryId, Placed>,
    /// Galleries of which a GPU holds other rows than it is to hold.
    pending: BTreeSet<GalleryId>,
    /// What GPUs can take has changed since the last review.
    stale: bool,
    /// Galleries have grown since the last review.
    grown: bool,
    review_at: Instant,
    spent: Spent,
    /// Speeds of the CPU and the GPUs that placement goes by.
    speeds: (f64, Vec<f64>),
    host: Arc<dyn Host>,
    /// Something is to be told of the devices.
    news: bool,
    statuses: watch::Sender<Arc<[DeviceStatus]>>,
}

impl Backends {
    pub(super) fn new(cpu: Box<dyn Backend>, gpus: impl IntoIterator<Item = Device>) -> Self {
        Self::with_host(cpu, gpus, Arc::new(System))
    }

    fn with_host(cpu: Box<dyn Backend>, gpus: impl IntoIterator<Item = Device>, host: Arc<dyn Host>) -> Self {
        let gpus: Vec<Device> = gpus.into_iter().collect();
        let names = device::names(&gpus);
        let supervised = |(gpu, name)| Supervised::new(gpu, name, &*host);
        let gpus: Vec<Supervised> = gpus.into_iter().zip(names).map(supervised).collect();
        let mut backends = Self {
            cpu,
            cpu_speed: Speed::default(),
            speeds: speed::complete(None, &vec![None; gpus.len()]),
            gpus,
            galleries: BTreeMap::new(),
            pending: BTreeSet::new(),
            stale: false,
            grown: false,
            review_at: host.now() + tend::REBALANCE_INTERVAL,
            spent: Spent::default(),
            host,
            news: true,
            statuses: watch::channel(Arc::from([])).0,
        };
        backends.publish();
        backends
    }

    /// Opens the devices that the configuration asks for.
    pub(super) fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let variable = std::env::var(KERNEL_VARIABLE).ok();
        let kernel = Kernel::choose(config.kernel, variable.as_deref())?;
        let cpu = CpuBackend::new(kernel, config.threads)?;
        let gpus = open::open_devices(config, &System)?;
        Ok(Self::new(Box::new(cpu), gpus))
    }

    /// Name of the devices that are asked first: the GPUs in use, else the CPU.
    pub(super) fn name(&self) -> Arc<str> {
        let ready = self.gpus.iter().filter(|gpu| gpu.is_ready());
        joined(ready.map(|gpu| Arc::clone(gpu.name())).collect()).unwrap_or_else(|| self.cpu.name())
    }

    /// Status of the GPUs, now and as it changes; ends with the engine.
    pub(super) fn devices(&self) -> watch::Receiver<Arc<[DeviceStatus]>> {
        self.statuses.subscribe()
    }

    /// Follows a gallery whose rows `changed`. Erased rows are gone from every device when it returns; appended ones are on theirs where it
    /// held everything before, and come later where it did not.
    pub(super) fn update(&mut self, gallery: GalleryView<'_>, changed: &[Range<u32>]) {
        if self.gpus.is_empty() || gallery.rows() == 0 {
            return;
        }
        for (at, next) in self.follow(gallery).into_iter().enumerate() {
            let within = |rows: &Range<u32>| rows.start.max(next.start)..rows.end.min(next.end);
            let rows: Vec<Range<u32>> = changed
                .iter()
                .map(within)
                .filter(|rows| !rows.is_empty())
                .collect();
            if !rows.is_empty() {
                self.hold(gallery, at, &next, &rows);
            }
        }
    }

    pub(super) fn forget(&mut self, gallery: GalleryId) {
        let Some(placed) = self.galleries.remove(&gallery) else {
            return;
        };
        self.pending.remove(&gallery);
        for (at, (held, goal)) in placed.held.iter().zip(&placed.goals).enumerate() {
            let Some(gpu) = self.gpus.get_mut(at) else {
                continue;
            };
            gpu.planned = gpu.planned.saturating_sub(bytes(placed.dim, goal));
            gpu.count(placed.dim, held, &(0..0));
            self.news = true;
            let asked = (!held.is_empty()).then(|| gpu.ask(|backend| backend.forget(gallery)));
            if let Some(Some(Err(error))) = asked {
                self.lose(at, &error);
            }
        }
    }

    /// Takes the number of rows of a gallery, plans where new ones go, and says what each GPU is to hold at once.
    fn follow(&mut self, gallery: GalleryView<'_>) -> Vec<Range<u32>> {
        let (id, rows) = (gallery.id(), gallery.rows());
        let placed = self.galleries.entry(id).or_insert_with(|| Placed {
            dim: gallery.dim(),
            rows: 0,
            held: vec![0..0; self.gpus.len()],
            goals: vec![0..0; self.gpus.len()],
            moved_at: self.host.now(),
        });
        let in_step: Vec<bool> = placed
            .held
            .iter()
            .zip(&placed.goals)
            .map(|(a, b)| a == b)
            .collect();
        if rows > placed.rows {
            self.grown = true;
            let seats = seats(&self.gpus, &self.speeds.1, placed);
            let mut goals = placed.goals.clone();
            let before = std::mem::replace(&mut placed.rows, rows);
            if before == 0 {
                goals = placement::place(rows, &seats, self.speeds.0, &goals);
            } else if let Some((goal, _)) = goals
                .iter_mut()
                .zip(&seats)
                .find(|(goal, seat)| goal.end == before && rows - goal.start <= seat.room)
            {
                goal.end = rows;
            }
            aim(&mut self.gpus, placed, goals);
        }
        if placed.held != placed.goals {
            self.pending.insert(id);
        }
        let next = placed.held.iter().zip(&placed.goals).zip(in_step);
        next.map(|((held, goal), in_step)| if in_step { goal } else { held }.clone())
            .collect()
    }
}

/// Bytes that rows take on a device: their codes and figures.
fn bytes(dim: Dimension, rows: &Range<u32>) -> u64 {
    rows.len() as u64 * row_len(dim)
}

fn row_len(dim: Dimension) -> u64 {
    (dim.get() / 2 + size_of::<Scale>()) as u64
}

/// What the GPUs offer a gallery.
fn seats(gpus: &[Supervised], speeds: &[f64], placed: &Placed) -> Vec<Seat> {
    let ranges = placed.held.iter().zip(&placed.goals);
    let offers = gpus.iter().zip(speeds).zip(ranges);
    let seat = |((gpu, speed), (held, goal))| {
        let (gpu, speed): (&Supervised, &f64) = (gpu, speed);
        let (held, goal): (&Range<u32>, &Range<u32>) = (held, goal);
        let load = gpu.planned.saturating_sub(bytes(placed.dim, goal));
        let room = match gpu.bytes_max() {
            _ if !gpu.is_ready() => 0,
            None => u32::MAX,
            Some(max) => {
                let rows = max.saturating_sub(load) / row_len(placed.dim);
                u32::try_from(rows).unwrap_or(u32::MAX).max(held.end - held.start)
            }
        };
        Seat {
            room,
            load,
            speed: *speed,
        }
    };
    offers.map(seat).collect()
}

/// Sets what the GPUs are to hold of a gallery.
fn aim(gpus: &mut [Supervised], placed: &mut Placed, goals: Vec<Range<u32>>) {
    for ((gpu, old), new) in gpus.iter_mut().zip(&placed.goals).zip(&goals) {
        gpu.planned = gpu.planned.saturating_sub(bytes(placed.dim, old)) + bytes(placed.dim, new);
    }
    placed.goals = goals;
}

/// One name for devices that worked together.
fn joined(mut names: Vec<Arc<str>>) -> Option<Arc<str>> {
    match names.len() {
        0 | 1 => names.pop(),
        _ => Some(Arc::from(names.join(" + "))),
    }
}

/// Survivors of one probe from its row numbers, in any order, and the number there were.
pub(super) fn survivors(mut rows: Vec<u32>, count: usize) -> Survivors {
    if count > SURVIVORS_MAX {
        return Survivors::All;
    }
    rows.sort_unstable();
    Survivors::Rows(rows)
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
