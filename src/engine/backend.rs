//! What a device does for the engine, and which device is asked. Owns no host copy of the codes.
//!
//! The codes of every gallery stay in host memory also where a GPU scans: when the GPU fails, the CPU answers the same request from them. The
//! price is the memory twice, once on the host and once on the GPU.

use std::collections::HashSet;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use thiserror::Error;

use super::bound::QuantizedProbe;
use super::config::{BackendChoice, EngineConfig, KERNEL_VARIABLE, Kernel};
use super::cpu::CpuBackend;
use super::error::EngineError;
use super::gallery::{self, GalleryId, GalleryView};
use super::gpu::GpuBackend;
use super::{SURVIVORS_MAX, Survivors};

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
    /// it need not be told. `held` begins at a multiple of [`PART_ROWS`]. When it returns, erased rows are gone from the device too.
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

/// The CPU, which always answers, and a GPU in front of it where there is one. A GPU that failed is not tried again before the
/// process is started anew.
pub(super) struct Backends {
    cpu: Box<dyn Backend>,
    gpu: Option<Box<dyn Backend>>,
    /// Galleries that did not fit on the GPU.
    on_cpu: HashSet<GalleryId>,
}

impl Backends {
    pub(super) fn new(cpu: Box<dyn Backend>, gpu: Option<Box<dyn Backend>>) -> Self {
        Self {
            cpu,
            gpu,
            on_cpu: HashSet::new(),
        }
    }

    /// Opens the devices that the configuration asks for.
    pub(super) fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let variable = std::env::var(KERNEL_VARIABLE).ok();
        let kernel = Kernel::choose(config.kernel, variable.as_deref())?;
        let cpu = CpuBackend::new(kernel, config.threads)?;
        let gpu = match config.backend {
            BackendChoice::Cpu => None,
            BackendChoice::Auto => GpuBackend::open(false, config.batch_max)
                .inspect_err(|reason| tracing::info!(reason, "no GPU to scan on; the CPU scans"))
                .ok(),
            BackendChoice::Gpu => {
                Some(GpuBackend::open(true, config.batch_max).map_err(EngineError::NoAdapter)?)
            }
        };
        let gpu = gpu.and_then(|mut gpu| match tested(&mut gpu) {
            Ok(()) => Some(Box::new(gpu) as Box<dyn Backend>),
            Err(reason) => {
                tracing::error!(
                    reason,
                    gpu = &*gpu.name(),
                    "the GPU failed its self-test; the CPU scans"
                );
                abandon(Box::new(gpu));
                None
            }
        });
        Ok(Self::new(Box::new(cpu), gpu))
    }

    /// Name of the device that is asked first.
    pub(super) fn name(&self) -> Arc<str> {
        self.gpu.as_ref().unwrap_or(&self.cpu).name()
    }

    pub(super) fn update(&mut self, gallery: GalleryView<'_>, rows: &[Range<u32>]) {
        if let Some(gpu) = self.gpu_of(gallery.id())
            && let Err(error) = guarded(|| gpu.update(gallery, 0..gallery.rows(), rows))
        {
            self.failed(gallery.id(), &error);
        }
    }

    pub(super) fn forget(&mut self, gallery: GalleryId) {
        if let Some(gpu) = self.gpu_of(gallery)
            && let Err(error) = guarded(|| gpu.forget(gallery))
        {
            self.failed(gallery, &error);
        }
        self.on_cpu.remove(&gallery);
    }

    /// Survivors, and who found them.
    pub(super) fn scan(&mut self, work: &[Work<'_>]) -> (Vec<Found>, Arc<str>) {
        let gallery = work.first().map(|work| work.gallery.id());
        if let Some(gallery) = gallery
            && let Some(gpu) = self.gpu_of(gallery)
        {
            match guarded(|| gpu.scan(work)) {
                Ok(found) => return (found, gpu.name()),
                Err(error) => self.failed(gallery, &error),
            }
        }
        match self.cpu.scan(work) {
            Ok(found) => (found, self.cpu.name()),
            // No row was ruled out.
            Err(error) => {
                tracing::error!(%error, "the CPU scan failed; every row is scored");
                let everything = |work: &Work<'_>| Found {
                    survivors: vec![Survivors::All; work.probes.len()],
                    by_sign: false,
                };
                (work.iter().map(everything).collect(), self.cpu.name())
            }
        }
    }

    fn gpu_of(&mut self, gallery: GalleryId) -> Option<&mut Box<dyn Backend>> {
        self.gpu.as_mut().filter(|_| !self.on_cpu.contains(&gallery))
    }

    fn failed(&mut self, gallery: GalleryId, error: &BackendError) {
        if matches!(error, BackendError::OutOfMemory { .. })
            && let Some(gpu) = &mut self.gpu
            && guarded(|| gpu.forget(gallery)).is_ok()
        {
            tracing::warn!(%error, %gallery, "the CPU scans this gallery from now on");
            self.on_cpu.insert(gallery);
        } else {
            tracing::error!(%error, "the CPU scans all galleries from now on");
            if let Some(gpu) = self.gpu.take() {
                abandon(gpu);
            }
        }
    }
}

/// Runs the self-test; a panic of the library is a failure of it.
fn tested(gpu: &mut GpuBackend) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| gpu.self_test()))
        .unwrap_or_else(|_| Err("the driver's library gave up".to_owned()))
}

/// Calls a GPU. Its library panics where a device is lost in the middle of a wait; that is a lost device here.
fn guarded<T>(call: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(BackendError::Lost("the driver's library gave up".to_owned())))
}

/// Lets go of a device that failed. A driver that hangs may keep whoever does that waiting for ever, so it is a thread of
/// its own; without one the device is left as it is.
fn abandon(gpu: Box<dyn Backend>) {
    let gpu = ManuallyDrop::new(gpu);
    let spawned = std::thread::Builder::new()
        .name("thenar-gpu-end".to_owned())
        .spawn(move || drop(ManuallyDrop::into_inner(gpu)));
    if let Err(error) = spawned {
        tracing::warn!(%error, "the failed GPU's memory is kept until the process ends");
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
