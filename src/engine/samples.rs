//! Galleries and probes for the engine's tests, and the exhaustive search they are compared with. Seeded, so that a failure repeats.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts of a test are small"
)]

use std::sync::Arc;

use half::f16;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::model::signature::Dimension;

use super::backend::{Backend, BackendError, Work};
use super::bound::QuantizedProbe;
use super::canonical;
use super::code::Codes;
use super::config::{BackendChoice, EngineConfig, LockMemory};
use super::gallery::{GalleryId, GalleryView, PackedRows};
use super::residency::Residency;
use super::{SURVIVORS_MAX, Survivors};

/// Kinds of galleries, see [`gallery`].
pub(super) const KINDS: [&str; 7] = [
    "random",
    "clustered",
    "duplicated",
    "constant",
    "spiky",
    "anisotropic",
    "edges",
];

pub(super) fn dim(count: usize) -> Dimension {
    Dimension::new(count).expect("a multiple of 32")
}

pub(super) fn rng(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

/// A CPU engine without locked memory.
pub(super) fn config() -> EngineConfig {
    EngineConfig {
        backend: BackendChoice::Cpu,
        threads: 2,
        lock_memory: LockMemory::Off,
        ..EngineConfig::default()
    }
}

pub(super) fn normalized(mut values: Vec<f32>) -> Vec<f32> {
    let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    for value in &mut values {
        *value = (f64::from(*value) / norm) as f32;
    }
    values
}

/// A uniform unit vector.
pub(super) fn unit(dim: usize, rng: &mut impl Rng) -> Vec<f32> {
    normalized((0..dim).map(|_| StandardNormal.sample(rng)).collect())
}

/// A unit vector near `center`; noise 1 gives a cosine of about 0.7.
pub(super) fn near(center: &[f32], noise: f32, rng: &mut impl Rng) -> Vec<f32> {
    let other = unit(center.len(), rng);
    normalized(center.iter().zip(other).map(|(c, o)| c + noise * o).collect())
}

/// Rows of one kind, row-major.
pub(super) fn gallery(kind: &str, dim: usize, rows: usize, seed: u64) -> Vec<f16> {
    let rng = &mut rng(seed);
    let centers: Vec<Vec<f32>> = (0..5).map(|_| unit(dim, rng)).collect();
    (0..rows)
        .flat_map(|i| match kind {
            "random" => unit(dim, rng),
            "clustered" => near(&centers[i % 5], 0.3, rng),
            "duplicated" => centers[i % 3].clone(),
            "constant" => vec![(dim as f32).sqrt().recip() * if i % 2 == 0 { 1.0 } else { -1.0 }; dim],
            "spiky" => normalized(
                (0..dim)
                    .map(|k| {
                        if k == i % dim {
                            1.0
                        } else {
                            rng.random_range(-1e-4..1e-4)
                        }
                    })
                    .collect(),
            ),
            // A few coordinates hold most.
            "anisotropic" => normalized(
                unit(dim, rng)
                    .iter()
                    .enumerate()
                    .map(|(k, x)| x * (-8.0 * k as f32 / dim as f32).exp2())
                    .collect(),
            ),
            // Coordinates halfway between two levels: the error of the code is as large as it gets.
            "edges" => normalized(
                (0..dim)
                    .map(|k| ((i + k) % 7 + 1) as f32 * if (i * k) % 3 == 0 { 1.0 } else { -1.0 })
                    .collect(),
            ),
            other => panic!("{other} is no kind of gallery"),
        })
        .map(f16::from_f32)
        .collect()
}

/// The same rows under a random rotation: a product of as many random reflections as there are dimensions, which is near Haar.
pub(super) fn rotated(rows: &[f16], dim: usize, seed: u64) -> Vec<f16> {
    let rng = &mut rng(seed);
    let mut rotated: Vec<f32> = rows.iter().map(|x| x.to_f32()).collect();
    for _ in 0..dim {
        let mirror = unit(dim, rng);
        for row in rotated.chunks_exact_mut(dim) {
            let along: f32 = row.iter().zip(&mirror).map(|(x, m)| x * m).sum();
            for (x, m) in row.iter_mut().zip(&mirror) {
                *x -= 2.0 * along * m;
            }
        }
    }
    rotated
        .chunks_exact(dim)
        .flat_map(|row| normalized(row.to_vec()))
        .map(f16::from_f32)
        .collect()
}

/// Probes that fit a gallery: noisy copies of its rows, and strangers.
pub(super) fn probes(rows: &[f16], dim: usize, count: usize, seed: u64) -> Vec<Vec<f32>> {
    let rng = &mut rng(seed ^ 0x5eed);
    let stored: Vec<&[f16]> = rows.chunks_exact(dim).collect();
    (0..count)
        .map(|i| {
            if i % 3 == 0 || stored.is_empty() {
                return unit(dim, rng);
            }
            let row: Vec<f32> = stored[i * 7 % stored.len()].iter().map(|v| v.to_f32()).collect();
            near(&row, 0.4 * (i % 4) as f32, rng)
        })
        .collect()
}

/// Cosine score in double precision.
pub(super) fn exact(probe: &[f32], row: &[f16]) -> f64 {
    probe
        .iter()
        .zip(row)
        .map(|(p, x)| f64::from(*p) * x.to_f64())
        .sum()
}

/// Canonical scores of all rows.
pub(super) fn scores(probe: &[f32], rows: &[f16]) -> Vec<f32> {
    rows.chunks_exact(probe.len())
        .map(|row| canonical::score(probe, row))
        .collect()
}

/// Thresholds at, just above and just below a score that occurs, and ordinary ones.
pub(super) fn thresholds(scores: &[f32]) -> Vec<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    let mut thresholds = vec![0.4, 0.9];
    for at in [sorted.len() / 2, sorted.len().saturating_sub(2)] {
        if let Some(score) = sorted.get(at) {
            thresholds.extend([*score, score.next_up(), score.next_down()]);
        }
    }
    thresholds
}

/// Panics unless the survivors hold every row at or above the threshold, ascending, and nothing that is not a row.
pub(super) fn check(survivors: &Survivors, scores: &[f32], threshold: f32, what: &str) {
    let wanted = (0_u32..)
        .zip(scores)
        .filter(|(_, score)| **score >= threshold)
        .map(|(row, _)| row);
    match survivors {
        Survivors::All => assert!(
            scores.len() > SURVIVORS_MAX,
            "{what}: overflow of {} rows",
            scores.len()
        ),
        Survivors::Rows(rows) => {
            assert!(rows.is_sorted_by(|a, b| a < b), "{what}: not ascending");
            let rescored: Vec<u32> = rows
                .iter()
                .copied()
                .filter(|row| scores[*row as usize] >= threshold)
                .collect();
            assert_eq!(
                rescored,
                wanted.collect::<Vec<_>>(),
                "{what}: threshold {threshold}"
            );
        }
    }
}

/// Host memory with one gallery.
pub(super) fn resident(dim_count: usize, rows: &[f16]) -> (Residency, GalleryId) {
    resident_with(dim_count, rows, true)
}

/// The same with or without the signs a second time.
pub(super) fn resident_with(dim_count: usize, rows: &[f16], has_signs: bool) -> (Residency, GalleryId) {
    let mut residency = Residency::with_limits(LockMemory::Off, u64::MAX, has_signs);
    let id = residency.open(dim(dim_count));
    let packed = PackedRows::pack(Codes::encode(dim(dim_count), rows)).expect("whole rows");
    residency.append(id, &packed).expect("memory");
    (residency, id)
}

pub(super) fn quantized(probe: &[f32], threshold: f32) -> QuantizedProbe {
    QuantizedProbe::new(&Arc::from(probe), dim(probe.len()), threshold, None).expect("a unit vector")
}

/// Scans one gallery.
pub(super) fn scan(
    backend: &mut dyn Backend,
    gallery: GalleryView<'_>,
    probes: &[&QuantizedProbe],
) -> Result<Vec<Survivors>, BackendError> {
    let work = Work {
        gallery,
        rows: 0..gallery.rows(),
        probes: probes.to_vec(),
    };
    let found = backend.scan(&[work])?;
    Ok(found.into_iter().flat_map(|found| found.survivors).collect())
}
