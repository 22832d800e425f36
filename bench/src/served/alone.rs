//! The engine alone on the gallery that the server has: rows and probes turned by a rotation as a front does, scanned and scored exactly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use half::f16;
use half::slice::HalfFloatSliceExt;
use thenar::engine::{BackendChoice, Engine, EngineConfig, ScanRequest};
use thenar::keys::secret::{SECRET_LEN, SecretKey};
use thenar::keys::transform::Rotation;
use thenar::model::signature::Signature;
use thenar::population::Population;

use super::callers::Captures;
use crate::Failure;
use crate::gallery::{CHUNK_ROWS, Search, Searched};
use crate::timing::Samples;

/// The rotation's key; any will do.
const KEY: [u8; SECRET_LEN] = [7; SECRET_LEN];
/// Probes of one batch as the server's default has it.
pub const BATCH_MAX: usize = 256;

/// A gallery, and the probes that are asked.
pub struct Alone {
    searched: Searched,
    requests: Vec<ScanRequest>,
}

impl Alone {
    /// Makes the gallery.
    pub fn new(
        population: &Population,
        palms: u64,
        threshold: f32,
        captures: &Captures,
    ) -> Result<Self, Failure> {
        let dim = population.dimension();
        let rotation = Rotation::derive(&SecretKey::from_bytes(KEY), 1, dim);
        let mut rows = vec![f16::ZERO; usize::try_from(palms)? * dim.get()];
        let mut first = 0;
        for chunk in rows.chunks_mut(CHUNK_ROWS * dim.get()) {
            let count = u64::try_from(chunk.len() / dim.get())?;
            let mut values = population.references(first..first + count);
            rotation.protect_rows(&mut values);
            chunk.convert_from_f32_slice(&values);
            first += count;
        }
        let engine = Engine::start(EngineConfig {
            backend: BackendChoice::Cpu,
            batch_max: BATCH_MAX,
            ..EngineConfig::default()
        })?;
        let searched = Searched::of(engine, dim, rows)?;
        let mut probes: Vec<Arc<[f32]>> = Vec::new();
        for palm in captures.palms() {
            let protected = rotation.protect(&Signature::new(palm.heard.clone(), dim)?);
            probes.push(protected.values().into());
        }
        let search = Search {
            threshold,
            deterministic: false,
        };
        let requests = searched.requests(probes.iter(), search);
        Ok(Self { searched, requests })
    }

    /// Searches batch after batch. Probes a second.
    pub fn throughput(&self, batch: usize, length: Duration) -> Result<f64, Failure> {
        let mut batches = self.requests.chunks_exact(batch).cycle();
        let mut next = || batches.next().ok_or("a batch is larger than all probes");
        self.searched.search(next()?)?;
        let begun = Instant::now();
        let mut searched = 0_u32;
        while begun.elapsed() < length {
            searched += u32::try_from(self.searched.search(next()?)?.len())?;
        }
        Ok(f64::from(searched) / begun.elapsed().as_secs_f64())
    }

    /// One probe: its time.
    pub fn one(&self, number: usize, samples: &mut Samples) -> Result<(), Failure> {
        let probe = self.requests.get(number % self.requests.len());
        let probe = std::slice::from_ref(probe.ok_or("there is no probe")?);
        samples.time(|| self.searched.search(probe))?;
        Ok(())
    }
}
