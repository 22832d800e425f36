//! Compares the GPU's kernels with the statement of the bound, so that a driver that computes wrongly is never used. Measures nothing.

use std::sync::Arc;

use half::f16;

use crate::engine::backend::{Backend, Work};
use crate::engine::bound::QuantizedProbe;
use crate::engine::code::Codes;
use crate::engine::config::LockMemory;
use crate::engine::gallery::{GalleryView, PackedRows};
use crate::engine::residency::Residency;
use crate::engine::{SURVIVORS_MAX, Survivors};
use crate::model::signature::Dimension;

/// Dimension of the test, no multiple of 64.
const DIM: usize = 96;
/// Rows: several blocks and a part of one.
const ROWS: usize = 333;
/// Probes: more than one group of eight.
const PROBES: usize = 11;
/// Lets about a third of the rows survive.
const THRESHOLD: f32 = 0.15;
/// A row this close to the limit, relative to the terms of the bound, may go either way.
const TOLERANCE: f64 = 1e-5;

/// Scans a small gallery; the error names the first difference.
pub(super) fn run(backend: &mut dyn Backend) -> Result<(), String> {
    let dim = Dimension::new(DIM).expect("a multiple of 32");
    let mut seed = 1;
    let rows: Vec<f16> = (0..ROWS)
        .flat_map(|_| unit(&mut seed))
        .map(f16::from_f32)
        .collect();
    let probes: Vec<QuantizedProbe> = (0..PROBES)
        .map(|_| {
            QuantizedProbe::new(&Arc::from(unit(&mut seed)), dim, THRESHOLD, None).expect("a unit vector")
        })
        .collect();
    let mut residency = Residency::with_limits(LockMemory::Off, u64::MAX, true);
    let gallery = residency.open(dim);
    let packed = PackedRows::pack(Codes::encode(dim, &rows)).map_err(|error| error.to_string())?;
    let range = residency
        .append(gallery, &packed)
        .map_err(|error| error.to_string())?;
    let view = residency.view(gallery).map_err(|error| error.to_string())?;
    let work = Work {
        gallery: view,
        rows: 0..view.rows(),
        probes: probes.iter().collect(),
    };
    let found = backend
        .update(view, range.clone(), &[range])
        .and_then(|()| backend.scan(&[work]));
    let forgotten = backend.forget(gallery);
    let found = found.map_err(|error| error.to_string())?;
    forgotten.map_err(|error| error.to_string())?;
    let found = found.into_iter().flat_map(|found| found.survivors);
    for (number, (probe, survivors)) in probes.iter().zip(found).enumerate() {
        check(view, probe, &survivors).map_err(|problem| format!("probe {number}: {problem}"))?;
    }
    Ok(())
}

/// Whether exactly the rows whose bound reaches the limit survive, but for those that rounding may move.
fn check(gallery: GalleryView<'_>, probe: &QuantizedProbe, survivors: &Survivors) -> Result<(), String> {
    let Survivors::Rows(found) = survivors else {
        return Err(format!("more than {SURVIVORS_MAX} of {ROWS} rows survive"));
    };
    for row in 0..gallery.rows() {
        let (nibbles, figures) = gallery.row(row).ok_or("a row is missing")?;
        let integer = integer(nibbles, probe);
        let product = f64::from(figures.scale) * f64::from(integer);
        let rest = f64::from(probe.weight) * f64::from(figures.residual);
        let limit = f64::from(probe.limit);
        let margin = TOLERANCE * (product.abs() + rest.abs() + limit.abs());
        let is_close = (product + rest - limit).abs() <= margin;
        let survives = found.binary_search(&row).is_ok();
        if !is_close && survives != probe.survives(&figures, integer) {
            return Err(format!(
                "row {row}: the device says {survives}, the bound otherwise"
            ));
        }
    }
    Ok(())
}

/// I of the bound.
fn integer(nibbles: &[u8], probe: &QuantizedProbe) -> i32 {
    let levels = nibbles.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    let dot: i32 = levels
        .zip(&probe.values)
        .map(|(u, p)| i32::from(u) * i32::from(*p))
        .sum();
    2 * dot - probe.offset
}

/// A unit vector from a linear congruential generator (Knuth's MMIX constants).
fn unit(seed: &mut u64) -> Vec<f32> {
    let mut values: Vec<f32> = (0..DIM)
        .map(|_| {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let high = u16::try_from(*seed >> 48).expect("16 bits");
            f32::from(high) / 65_535.0 - 0.5
        })
        .collect();
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    for value in &mut values {
        *value /= norm;
    }
    values
}
