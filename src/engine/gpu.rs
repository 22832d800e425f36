//! The wgpu backend: follows the galleries in GPU memory and scans them there. Keeps no truth: the host has every code too.

mod adapter;
mod device;
mod mirror;
mod pipeline;
mod plan;
mod planes;
mod probes;
mod scan;
mod self_test;
mod shader;
mod slab;
mod staging;
mod trust;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::backend::{Backend, BackendError, Found, Work};
use super::gallery::{GalleryId, GalleryView};
use device::Device;
use mirror::{Mirror, Tools};
use plan::{Plan, Tuning};
use planes::Shape;
use scan::Scanner;
use slab::Pool;
use staging::Staging;

/// Probes that one submission takes, though batches be smaller: small galleries are scanned together.
const SUBMISSION_PROBES_MIN: usize = 256;

/// Scans on a GPU.
pub(super) struct GpuBackend {
    device: Device,
    scanner: Scanner,
    staging: Staging,
    pools: BTreeMap<Shape, Pool>,
    mirrors: HashMap<GalleryId, Mirror>,
    tuning: Tuning,
    batch_max: usize,
    name: Arc<str>,
}

impl GpuBackend {
    /// Opens the best adapter alone; a software one only where `software` allows it. The error says why there is none.
    #[cfg(test)]
    pub(super) fn open(software: bool, batch_max: usize) -> Result<Self, String> {
        let adapters = adapter::list(software)?;
        let best = adapters.first().ok_or("no adapter")?;
        Self::with(best, batch_max)
    }

    /// Opens every GPU, best first; where there is none, the software adapter if `software` allows it. One that can't be opened is left out;
    /// the error, when all are, says why.
    pub(super) fn open_all(software: bool, batch_max: usize) -> Result<Vec<Self>, String> {
        let (mut opened, mut reasons) = (Vec::new(), Vec::new());
        for adapter in adapter::list(software)? {
            match Self::with(&adapter, batch_max) {
                Ok(backend) => opened.push(backend),
                Err(reason) => reasons.push(reason),
            }
        }
        if opened.is_empty() {
            return Err(reasons.join("; "));
        }
        for reason in reasons {
            tracing::warn!(reason, "this GPU is left out");
        }
        Ok(opened)
    }

    /// Opens a device anew after its loss, by the name that the backend had: nothing of the old one is used again.
    pub(super) fn open_by_name(name: &str, batch_max: usize) -> Result<Self, String> {
        let adapters = adapter::list(true)?;
        let adapter = adapters
            .iter()
            .find(|adapter| backend_name(&adapter::name(&adapter.get_info())) == name)
            .ok_or_else(|| format!("{name} is not there"))?;
        Self::with(adapter, batch_max)
    }

    fn with(adapter: &wgpu::Adapter, batch_max: usize) -> Result<Self, String> {
        let device = Device::open(adapter)?;
        let scanner = Scanner::new(&device);
        device.check().map_err(|error| error.to_string())?;
        Ok(Self {
            name: Arc::from(backend_name(device.name())),
            scanner,
            staging: Staging::default(),
            pools: BTreeMap::new(),
            mirrors: HashMap::new(),
            tuning: Tuning::new(device.has_subgroups(), device.has_matrices()),
            batch_max,
            device,
        })
    }

    /// Compares the kernels with a statement of the bounds on small galleries, so that a driver that computes wrongly is not used. What a
    /// kernel can do without, subgroup operations and matrix units, is done without when that part is wrong.
    pub(super) fn self_test(&mut self) -> Result<(), String> {
        self_test::run(self)
    }

    /// Calls a mirror with what it needs, and drops a pool of which nothing is left.
    fn on_mirror(
        &mut self,
        mirror: &mut Mirror,
        call: impl FnOnce(&mut Mirror, &mut Tools<'_>) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        let shape = mirror.shape;
        let pool = self
            .pools
            .entry(shape)
            .or_insert_with(|| Pool::new(&self.device, shape));
        let mut tools = Tools {
            device: &self.device,
            pool,
            layout: &self.scanner.pipelines.slab,
            staging: &mut self.staging,
        };
        let result = call(mirror, &mut tools);
        if pool.is_empty() {
            self.pools.remove(&shape);
        }
        result
    }

    /// Scans what fits into one submission.
    fn submit(&mut self, work: &[Work<'_>]) -> Result<Vec<Found>, BackendError> {
        let works: Vec<(&Work<'_>, Option<&Mirror>)> = work
            .iter()
            .map(|work| Ok((work, self.mirror_of(work)?)))
            .collect::<Result<_, BackendError>>()?;
        let plan = Plan::new(&self.tuning, &works);
        let survivors = self.scanner.run(&self.device, &self.pools, &plan)?;
        let mut survivors = survivors.into_iter();
        let found = plan.works.iter().map(|(probes, by_sign)| Found {
            survivors: survivors.by_ref().take(probes.len()).collect(),
            by_sign: *by_sign,
        });
        Ok(found.collect())
    }

    /// Where the rows of a work are; none where there are no rows. Rows that are not held are an error.
    fn mirror_of(&self, work: &Work<'_>) -> Result<Option<&Mirror>, BackendError> {
        if work.rows.is_empty() {
            return Ok(None);
        }
        let holds =
            |mirror: &&Mirror| mirror.held.start <= work.rows.start && work.rows.end <= mirror.held.end;
        let mirror = self.mirrors.get(&work.gallery.id()).filter(holds);
        mirror.map(Some).ok_or_else(|| {
            let (gallery, rows) = (work.gallery.id(), &work.rows);
            BackendError::Lost(format!("rows {rows:?} of {gallery} are not on the device"))
        })
    }
}

/// Name of the backend on a device.
fn backend_name(device: &str) -> String {
    format!("gpu/{device}")
}

impl Backend for GpuBackend {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn update(
        &mut self,
        gallery: GalleryView<'_>,
        held: Range<u32>,
        changed: &[Range<u32>],
    ) -> Result<(), BackendError> {
        self.device.check()?;
        let known = self.mirrors.remove(&gallery.id());
        let mut mirror = known.unwrap_or_else(|| Mirror::new(Shape::of(gallery.dim())));
        let result = self.on_mirror(&mut mirror, |mirror, tools| {
            mirror.update(tools, gallery, held, changed)
        });
        self.mirrors.insert(gallery.id(), mirror);
        result
    }

    fn forget(&mut self, gallery: GalleryId) -> Result<(), BackendError> {
        self.device.check()?;
        match self.mirrors.remove(&gallery) {
            Some(mut mirror) => self.on_mirror(&mut mirror, Mirror::clear),
            None => Ok(()),
        }
    }

    fn scan(&mut self, work: &[Work<'_>]) -> Result<Vec<Found>, BackendError> {
        self.device.check()?;
        let probes_max = self.batch_max.max(SUBMISSION_PROBES_MIN);
        let mut found = Vec::with_capacity(work.len());
        let mut rest = work;
        while !rest.is_empty() {
            let mut probes = 0;
            let fits = rest.iter().take_while(|work| {
                probes += work.probes.len();
                probes <= probes_max
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            found.extend(self.submit(now)?);
            rest = later;
        }
        Ok(found)
    }
}

#[cfg(test)]
#[path = "gpu_tests.rs"]
mod tests;
