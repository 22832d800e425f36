//! The wgpu backend: follows the galleries in GPU memory and scans them there. Keeps no truth: the host has every code too.

mod chunk;
mod device;
mod refine;
mod self_test;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::Survivors;
use super::backend::{Backend, BackendError, Found, Work};
use super::gallery::{GalleryId, GalleryView};
use chunk::GpuGallery;
use device::Device;
use refine::Refine;

/// Scans on a GPU.
pub(super) struct GpuBackend {
    device: Device,
    refine: Refine,
    galleries: HashMap<GalleryId, GpuGallery>,
    name: Arc<str>,
}

/// Where Linux shows GPUs: graphics cards, NVIDIA's driver, Windows' GPU in a guest.
#[cfg(target_os = "linux")]
const DEVICE_FILES: [&str; 4] = ["/dev/dri", "/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"];

/// Whether a look for adapters could find one that is not software. Saves loading every driver, and what drivers print, on a
/// machine without a GPU.
fn has_hardware() -> bool {
    #[cfg(target_os = "linux")]
    return DEVICE_FILES
        .iter()
        .any(|file| std::path::Path::new(file).exists());
    #[cfg(not(target_os = "linux"))]
    true
}

impl GpuBackend {
    /// Opens the best adapter; a software one only where `software` allows it. The error says why there is none.
    pub(super) fn open(software: bool, batch_max: usize) -> Result<Self, String> {
        if !software && !has_hardware() {
            return Err("no GPU has a device file".to_owned());
        }
        let device = Device::open(software)?;
        let refine = Refine::new(&device, batch_max);
        device.check().map_err(|error| error.to_string())?;
        Ok(Self {
            name: Arc::from(format!("gpu/{}", device.name())),
            refine,
            device,
            galleries: HashMap::new(),
        })
    }

    /// Compares the kernels with a statement of the bound on a small gallery, so that a driver that computes wrongly is not used.
    pub(super) fn self_test(&mut self) -> Result<(), String> {
        self_test::run(self)
    }
}

impl Backend for GpuBackend {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn update(
        &mut self,
        gallery: GalleryView<'_>,
        _held: Range<u32>,
        changed: &[Range<u32>],
    ) -> Result<(), BackendError> {
        self.device.check()?;
        let mirror = self
            .galleries
            .entry(gallery.id())
            .or_insert_with(|| GpuGallery::new(&self.device, gallery.dim()));
        mirror.update(&self.device, gallery, changed)?;
        self.device.finish()
    }

    fn forget(&mut self, gallery: GalleryId) -> Result<(), BackendError> {
        self.device.check()?;
        if let Some(mirror) = self.galleries.remove(&gallery) {
            mirror.wipe(&self.device);
            self.device.finish()?;
        }
        Ok(())
    }

    fn scan(&mut self, work: &[Work<'_>]) -> Result<Vec<Found>, BackendError> {
        self.device.check()?;
        work.iter().map(|work| self.scan_one(work)).collect()
    }
}

impl GpuBackend {
    fn scan_one(&mut self, Work { gallery, probes, .. }: &Work<'_>) -> Result<Found, BackendError> {
        let survivors = match self.galleries.get(&gallery.id()) {
            Some(mirror) => self.refine.scan(&self.device, mirror, probes),
            None if gallery.rows() == 0 => Ok(vec![Survivors::Rows(Vec::new()); probes.len()]),
            None => Err(BackendError::Lost(format!(
                "{} is not on the device",
                gallery.id()
            ))),
        }?;
        Ok(Found {
            survivors,
            by_sign: false,
        })
    }
}

#[cfg(test)]
#[path = "gpu_tests.rs"]
mod tests;
