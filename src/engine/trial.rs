//! How fast this machine scans, tried before there is anything to scan: on devices of its own, so that nothing of it is in the figures of an engine. Decides nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use half::f16;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, StandardNormal};

use super::backend::{Backends, Work};
use super::bound::QuantizedProbe;
use super::code::Codes;
use super::gallery::{GalleryId, PackedRows};
use super::residency::Residency;
use super::{EngineConfig, EngineError, LockMemory};
use crate::model::signature::Dimension;

/// Coordinates of a row of the trial. What a second goes through depends on it little.
const DIM: usize = 256;
/// Rows that are made; the trial has them many times.
const ROWS_MADE: usize = 4_096;
/// Bytes of codes that are scanned: more than the caches of a core have.
const BYTES: u64 = 64 << 20;
/// At least so many scans, and for so long: some run beside other work, and a GPU gets its rows between scans.
const SCANS: usize = 16;
const TIME: Duration = Duration::from_millis(200);
/// No row of the trial has it.
const THRESHOLD: f32 = 0.9;

/// Bytes of codes that the scan of one probe goes through in a second where it reads all of them, as for tenants that are searched deterministically: by the fastest of some scans of random rows. They take 64 MiB meanwhile, which are not locked. Blocks.
pub fn bytes_per_second(config: &EngineConfig) -> Result<u64, EngineError> {
    config.check()?;
    let mut trial = Trial {
        backends: Backends::open(config)?,
        residency: Residency::with_limits(LockMemory::Off, u64::MAX, config.sign_plane),
    };
    let mut rng = ChaCha12Rng::seed_from_u64(0);
    let mut unit = || {
        let values: Vec<f32> = (0..DIM).map(|_| StandardNormal.sample(&mut rng)).collect();
        let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.into_iter().map(move |value| value / norm)
    };
    let dim = Dimension::new(DIM).expect("a multiple of 32");
    let probe = QuantizedProbe::new(&unit().collect::<Arc<[f32]>>(), dim, THRESHOLD, None)?;
    let rows: Vec<f16> = (0..ROWS_MADE).flat_map(|_| unit().map(f16::from_f32)).collect();
    let codes = Codes::encode(dim, &rows);
    let gallery = trial.residency.open(dim);
    while trial.residency.resident_bytes(gallery) < BYTES {
        trial.append(gallery, codes.clone())?;
    }
    let (begun, mut scans, mut best) = (Instant::now(), 0, Duration::MAX);
    while scans < SCANS || begun.elapsed() < TIME {
        best = best.min(trial.scan(gallery, &probe)?);
        scans += 1;
    }
    let nanos = best.as_nanos().max(1);
    let bytes = u128::from(trial.residency.resident_bytes(gallery)) * 1_000_000_000 / nanos;
    Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
}

struct Trial {
    backends: Backends,
    residency: Residency,
}

impl Trial {
    fn append(&mut self, gallery: GalleryId, codes: Codes) -> Result<(), EngineError> {
        let rows = PackedRows::pack(codes)?;
        let range: Range<u32> = self.residency.append(gallery, &rows)?;
        self.backends.update(self.residency.view(gallery)?, &[range]);
        Ok(())
    }

    fn scan(&mut self, gallery: GalleryId, probe: &QuantizedProbe) -> Result<Duration, EngineError> {
        self.backends.tend(&self.residency);
        let view = self.residency.view(gallery)?;
        let work = Work {
            rows: 0..view.gallery.rows(),
            gallery: view,
            probes: vec![probe],
        };
        let begun = Instant::now();
        self.backends.scan(&[work]);
        Ok(begun.elapsed())
    }
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
