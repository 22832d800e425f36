//! Compares the GPU's kernels with the statements of the bounds, so that a driver that computes wrongly is never used. Measures nothing.

use std::sync::Arc;

use half::f16;

use crate::engine::backend::{Backend, Work};
use crate::engine::bound::QuantizedProbe;
use crate::engine::bound::sign::quantile;
use crate::engine::code::{Codes, Scale};
use crate::engine::config::LockMemory;
use crate::engine::gallery::{GalleryId, GalleryView, PackedRows};
use crate::engine::residency::Residency;
use crate::engine::{SURVIVORS_MAX, Survivors};
use crate::model::signature::Dimension;

use super::GpuBackend;
use super::plan::Tuning;
use super::planes;

/// Dimension and rows of the test: no whole quads, several blocks and a part of one.
const ORDINARY: (usize, usize) = (96, 700);
/// The same where sums are as large as they get.
const EXTREME: (usize, usize) = (2_048, 140);
/// Numbers of probes: one for each size of a group, and more than one group.
const PROBES: [usize; 6] = [1, 2, 4, 7, 19, 70];
/// Lets some rows survive, and leaves the signs something to dismiss.
const THRESHOLD: f32 = 0.2;
/// Probability of a miss that the signs' bound is made with.
const MISS: f64 = 0.05;
/// A row this close to a limit, relative to the terms of the bound, may go either way.
const TOLERANCE: f64 = 1e-5;

/// Scans small galleries with every kernel that scans will use; the error names the first difference. Parts of the device that are wrong and
/// can be done without are switched off.
pub(super) fn run(backend: &mut GpuBackend) -> Result<(), String> {
    if let Err(reason) = scan_all(backend, backend.tuning.subgroups, false) {
        if !backend.tuning.subgroups {
            return Err(reason);
        }
        give_up(backend, "subgroup operations", &reason)?;
        backend.tuning.subgroups = false;
        scan_all(backend, false, false)?;
    }
    if backend.tuning.matrices
        && let Err(reason) = scan_all(backend, backend.tuning.subgroups, true)
    {
        give_up(backend, "matrix units", &reason)?;
        backend.tuning.matrices = false;
    }
    Ok(())
}

/// Says that a part of the device is not used; an error if the device itself has failed.
fn give_up(backend: &GpuBackend, part: &str, reason: &str) -> Result<(), String> {
    backend.device.check().map_err(|error| error.to_string())?;
    tracing::warn!(
        reason,
        gpu = &*backend.name,
        part,
        "a part of the GPU is not used"
    );
    Ok(())
}

/// Scans by the signs and straight, with these parts of the device.
fn scan_all(backend: &mut GpuBackend, subgroups: bool, matrices: bool) -> Result<(), String> {
    let kept = backend.tuning;
    let mut result = Ok(());
    for sign_probes_max in [usize::MAX, 0] {
        backend.tuning = Tuning {
            sign_probes_max: sign_probes_max.min(kept.sign_probes_max),
            sign_typical_min: f32::MIN,
            sign_rows_min: 0,
            subgroups,
            matrices,
            ..kept
        };
        for shape in [ORDINARY, EXTREME] {
            result = result.and_then(|()| scan_one(backend, shape));
        }
    }
    backend.tuning = kept;
    result
}

/// Scans one gallery with each number of probes, all in one call.
fn scan_one(backend: &mut GpuBackend, (dim, rows): (usize, usize)) -> Result<(), String> {
    let dim = Dimension::new(dim).expect("a multiple of 32");
    let (residency, gallery, probes) = samples(dim, rows)?;
    let view = residency.view(gallery).map_err(|error| error.to_string())?;
    let rows = 0..view.rows();
    let works: Vec<Work<'_>> = PROBES
        .iter()
        .map(|count| Work {
            gallery: view,
            rows: rows.clone(),
            probes: probes.iter().take(*count).collect(),
        })
        .collect();
    let found = backend
        .update(view, rows.clone(), &[rows])
        .and_then(|()| backend.scan(&works));
    let forgotten = backend.forget(gallery);
    let found = found.map_err(|error| error.to_string())?;
    forgotten.map_err(|error| error.to_string())?;
    for (work, found) in works.iter().zip(found) {
        for (number, (probe, survivors)) in work.probes.iter().zip(&found.survivors).enumerate() {
            check(view, probe, survivors, found.by_sign).map_err(|problem| {
                let count = work.probes.len();
                format!(
                    "probe {number} of {count}, {} coordinates: {problem}",
                    view.dim().get()
                )
            })?;
        }
    }
    Ok(())
}

/// A gallery and probes. Half of the probes are near a row, or, where sums are to be large, all signs of one.
fn samples(dim: Dimension, count: usize) -> Result<(Residency, GalleryId, Vec<QuantizedProbe>), String> {
    let mut seed = 1;
    let is_extreme = (dim.get(), count) == EXTREME;
    let rows: Vec<Vec<f32>> = (0..count)
        .map(|_| unit(dim.get(), is_extreme, &mut seed))
        .collect();
    let quantile = quantile(dim.get(), MISS);
    let most = PROBES.into_iter().max().unwrap_or(0);
    let probes = rows
        .iter()
        .zip(0..most)
        .map(|(row, number)| {
            let other = unit(dim.get(), is_extreme, &mut seed);
            let values: Vec<f32> = match (number % 2, is_extreme) {
                (0, _) => other,
                (_, true) => row.clone(),
                (_, false) => normalized(row.iter().zip(&other).map(|(a, b)| a + b).collect()),
            };
            QuantizedProbe::new(&Arc::from(values), dim, THRESHOLD, Some(quantile))
                .map_err(|error| error.to_string())
        })
        .collect::<Result<_, _>>()?;
    let rows: Vec<f16> = rows.into_iter().flatten().map(f16::from_f32).collect();
    let mut residency = Residency::with_limits(LockMemory::Off, u64::MAX, true);
    let gallery = residency.open(dim);
    let packed = PackedRows::pack(Codes::encode(dim, &rows)).map_err(|error| error.to_string())?;
    residency
        .append(gallery, &packed)
        .map_err(|error| error.to_string())?;
    Ok((residency, gallery, probes))
}

/// Whether exactly the rows that the bounds keep survive, but for those that rounding may move.
fn check(
    gallery: GalleryView<'_>,
    probe: &QuantizedProbe,
    survivors: &Survivors,
    by_sign: bool,
) -> Result<(), String> {
    let Survivors::Rows(found) = survivors else {
        return Err(format!(
            "more than {SURVIVORS_MAX} of {} rows survive",
            gallery.rows()
        ));
    };
    for row in 0..gallery.rows() {
        let (nibbles, scale) = gallery.row(row).ok_or("a row is missing")?;
        let held = planes::held(&scale, nibbles);
        let mut verdicts = vec![refine(nibbles, &held, probe)];
        if by_sign {
            verdicts.push(sign(nibbles, &held, probe)?);
        }
        let expected = verdicts.iter().all(|(survives, _)| *survives);
        let is_close = verdicts.iter().any(|(_, margin)| margin.abs() <= TOLERANCE);
        let survives = found.binary_search(&row).is_ok();
        if !is_close && survives != expected {
            return Err(format!(
                "row {row}: the device says {survives}, the bounds otherwise"
            ));
        }
    }
    Ok(())
}

/// Stage 2's verdict, and how far it is from the other one, relative to the terms of the bound.
fn refine(nibbles: &[u8], held: &Scale, probe: &QuantizedProbe) -> (bool, f64) {
    let dot: i32 = products(nibbles, probe, i32::from).sum();
    let integer = 2 * dot - probe.offset;
    let product = f64::from(held.scale) * f64::from(integer);
    let rest = f64::from(probe.weight) * f64::from(held.residual);
    let limit = f64::from(probe.limit);
    let margin = (product + rest - limit) / (product.abs() + rest.abs() + limit.abs());
    (probe.survives(held, integer), margin)
}

/// The same of stage 1. A row without an alpha always survives.
fn sign(nibbles: &[u8], held: &Scale, probe: &QuantizedProbe) -> Result<(bool, f64), String> {
    let bound = probe.sign.ok_or("stage 1 without its bound")?;
    let dot: i32 = products(nibbles, probe, |u| if u >= 8 { 1 } else { -1 }).sum();
    let sum = f64::from(probe.step) * f64::from(dot) + f64::from(probe.rounding);
    let slope = f64::from(bound.slope) * f64::from(held.alpha);
    let intercept = f64::from(bound.intercept);
    let margin = (sum - slope - intercept) / (sum.abs() + slope.abs() + intercept.abs());
    #[expect(clippy::cast_possible_truncation, reason = "the margin covers the rounding")]
    let survives = bound.survives(held.alpha, sum as f32);
    Ok(if held.alpha == 0.0 {
        (true, 1.0)
    } else {
        (survives, margin)
    })
}

/// Coordinates of a probe, each times a function of the row's code.
fn products(nibbles: &[u8], probe: &QuantizedProbe, of: impl Fn(u8) -> i32) -> impl Iterator<Item = i32> {
    let codes = nibbles.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    codes.zip(&probe.values).map(move |(u, p)| of(u) * i32::from(*p))
}

/// A unit vector from a linear congruential generator (Knuth's MMIX constants); of signs alone, or of any numbers.
fn unit(dim: usize, is_extreme: bool, seed: &mut u64) -> Vec<f32> {
    let values = (0..dim).map(|_| {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = f32::from(u16::try_from(*seed >> 48).expect("16 bits")) / 65_535.0 - 0.5;
        if is_extreme { high.signum() } else { high }
    });
    normalized(values.collect())
}

fn normalized(mut values: Vec<f32>) -> Vec<f32> {
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    for value in &mut values {
        *value /= norm;
    }
    values
}
