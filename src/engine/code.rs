//! The nested 4-bit code of a row and how it is found. Compares nothing.

use bytemuck::{Pod, Zeroable};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::model::signature::Dimension;

use super::bound::ROW_NORM_MAX;
use super::bound::sign::ROW_NORM_TOLERANCE;

/// Residual of a dead row: no probe's bound reaches any threshold with it.
const RESIDUAL_DEAD: f32 = -1e30;
/// Residual of a row that can't be bounded (not finite): it always survives and is scored exactly.
const RESIDUAL_UNBOUNDED: f32 = 1e30;
/// Relative rounding up of a residual. It pays for every rounding, in the scan's epilogue and in the canonical score, that
/// grows with the residual: at 2,048 dimensions the score has 133 roundings of 2⁻²⁴, the epilogue fewer than 16 of 2⁻²³.
pub(super) const RESIDUAL_ROUNDING: f64 = 1.0 / 32_768.0;
/// Largest level of a magnitude; levels are the three low bits.
const LEVEL_MAX: f32 = 7.0;
/// Best step of a uniform quantiser of 16 levels for normal numbers, in standard deviations (Max 1960, table II).
const NORMAL_STEP: f32 = 0.3352;
/// Relative squared error up to which that step is taken without looking for a better one; 0.01154 is the mean. A row with a larger step lowers the
/// limit of its whole block (see `cpu::refine::block`), so that a step of its own costs more than it gains until the error is several times the mean.
const NORMAL_ERROR_MAX: f32 = 0.04;
/// Scales tried between a quarter of the root mean square and the one that just reaches the largest magnitude.
const SCALES_TRIED: usize = 8;
/// Rounds of least squares after the best of those.
const ROUNDS: usize = 3;
/// Adding and subtracting it rounds a small non-negative number to an integer.
const ROUNDER: f32 = 8_388_608.0;
/// Rows one task encodes.
const TASK_ROWS: usize = 64;

/// Figures of one row, 12 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Scale {
    /// Step s of the code: x̂ = s·(c + ½). 0 for a dead row.
    pub scale: f32,
    /// ‖x − x̂‖, rounded up; negative for a dead row.
    pub residual: f32,
    /// ⟨x, sign(x)⟩ / √D; 0 for a row whose norm is not 1 but for half-precision rounding.
    pub alpha: f32,
}

impl Scale {
    /// A row that never survives.
    pub const DEAD: Scale = Scale {
        scale: 0.0,
        residual: RESIDUAL_DEAD,
        alpha: 0.0,
    };

    /// Whether the row is dead; all zeros, as a hole in a stored segment is, counts as dead.
    pub fn is_dead(&self) -> bool {
        self.residual < 0.0 || (self.scale == 0.0 && self.residual == 0.0)
    }
}

/// Codes of n rows, each plane contiguous.
///
/// c ∈ −8..=7 is stored as u = c + 8, whose highest bit is 1 where x ≥ 0. Coordinate i is bit i mod 8 of byte i / 8.
#[derive(Clone, PartialEq)]
pub struct Codes {
    /// Dimension of the rows.
    pub dim: Dimension,
    /// Sign plane: bit 3 of u, D/8 bytes a row.
    pub sign: Vec<u8>,
    /// Refine plane: for each row the bit vectors of bits 2, 1 and 0 of u, 3·D/8 bytes a row.
    pub refine: Vec<u8>,
    /// One a row.
    pub scale: Vec<Scale>,
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Codes({} rows of {})", self.len(), self.dim.get())
    }
}

impl Codes {
    /// Codes of half-precision rows, row-major, on all threads of the current rayon pool. An all-zero row becomes a dead one.
    pub fn encode(dim: Dimension, rows: &[f16]) -> Codes {
        let d = dim.get();
        assert!(rows.len().is_multiple_of(d), "rows are whole");
        let n = rows.len() / d;
        let mut codes = Codes {
            dim,
            sign: vec![0; n * d / 8],
            refine: vec![0; n * d / 8 * 3],
            scale: vec![Scale::DEAD; n],
        };
        codes
            .scale
            .par_chunks_mut(TASK_ROWS)
            .zip(codes.sign.par_chunks_mut(TASK_ROWS * d / 8))
            .zip(codes.refine.par_chunks_mut(TASK_ROWS * d / 8 * 3))
            .zip(rows.par_chunks(TASK_ROWS * d))
            .for_each(|(((scales, signs), refines), rows)| {
                let mut values = Zeroizing::new(vec![0.0_f32; d]);
                for (((scale, sign), refine), row) in scales
                    .iter_mut()
                    .zip(signs.chunks_exact_mut(d / 8))
                    .zip(refines.chunks_exact_mut(d / 8 * 3))
                    .zip(rows.chunks_exact(d))
                {
                    row.convert_to_f32_slice(&mut values);
                    *scale = encode_row(&values, sign, refine);
                }
            });
        codes
    }

    /// Number of rows, dead ones included.
    pub fn len(&self) -> usize {
        self.scale.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.scale.is_empty()
    }

    /// Zeroes a row, which is dead from then on. One that is not there is left alone.
    pub fn kill(&mut self, row: usize) {
        let bytes = self.dim.get() / 8;
        if let Some(scale) = self.scale.get_mut(row) {
            *scale = Scale::DEAD;
        }
        if let Some(sign) = self.sign.chunks_exact_mut(bytes).nth(row) {
            sign.zeroize();
        }
        if let Some(refine) = self.refine.chunks_exact_mut(bytes * 3).nth(row) {
            refine.zeroize();
        }
    }

    /// Wipes every plane and leaves no row.
    pub(super) fn wipe(&mut self) {
        self.sign.zeroize();
        self.refine.zeroize();
        self.scale.fill(Scale::zeroed());
        self.scale.clear();
    }
}

/// Writes the code of one row into zeroed planes.
fn encode_row(values: &[f32], sign: &mut [u8], refine: &mut [u8]) -> Scale {
    let max = values.iter().fold(0.0_f32, |max, v| {
        if v.is_finite() {
            max.max(v.abs())
        } else {
            f32::INFINITY
        }
    });
    if max == 0.0 {
        return Scale::DEAD;
    }
    if !max.is_finite() {
        return Scale {
            scale: 0.0,
            residual: RESIDUAL_UNBOUNDED,
            alpha: 0.0,
        };
    }
    let scale = best_scale(values, max);
    let inverse = scale.recip();
    let (bit2, low) = refine.split_at_mut(values.len() / 8);
    let (bit1, bit0) = low.split_at_mut(values.len() / 8);
    let (mut residual, mut norm, mut magnitude) = ([0.0_f64; 8], [0.0_f64; 8], [0.0_f64; 8]);
    let planes = sign.iter_mut().zip(bit2).zip(bit1).zip(bit0);
    for (eight, (((sign, bit2), bit1), bit0)) in values.as_chunks::<8>().0.iter().zip(planes) {
        let levels = eight.map(|x| level(x.abs() * inverse));
        let mut units = [0; 8];
        for ((unit, level), x) in units.iter_mut().zip(levels).zip(eight) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a level is an integer from 0 to 7"
            )]
            let level = level as u8;
            *unit = if *x >= 0.0 { 8 + level } else { 7 - level };
        }
        let units = u64::from_le_bytes(units);
        (*sign, *bit2, *bit1, *bit0) = (plane(units, 3), plane(units, 2), plane(units, 1), plane(units, 0));
        // In eight sums each, so that the compiler may use vectors.
        let sums = residual.iter_mut().zip(&mut norm).zip(&mut magnitude);
        for (((residual, norm), magnitude), (x, level)) in sums.zip(eight.iter().zip(levels)) {
            // Exact in double precision: 24 bits times 4 bits.
            let rebuilt = f64::from(scale) * (f64::from(level) + 0.5);
            let x = f64::from(x.abs());
            *residual += (x - rebuilt) * (x - rebuilt);
            *norm += x * x;
            *magnitude += x;
        }
    }
    let sum = |lanes: [f64; 8]| lanes.iter().sum::<f64>();
    let (residual, norm, magnitude) = (sum(residual), sum(norm), sum(magnitude));
    // A row longer than the bound assumes brings its excess along in the residual.
    let is_unit = (norm.sqrt() - 1.0).abs() <= ROW_NORM_TOLERANCE;
    let excess = (norm.sqrt() - ROW_NORM_MAX).max(0.0);
    let residual = (residual.sqrt() + excess) * (1.0 + RESIDUAL_ROUNDING);
    let dim = u32::try_from(values.len()).expect("a dimension has 13 bits");
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded to single precision, the residual upwards"
    )]
    Scale {
        scale,
        residual: (residual as f32).next_up(),
        alpha: if is_unit {
            (magnitude / f64::from(dim).sqrt()) as f32
        } else {
            0.0
        },
    }
}

/// One bit of each of eight bytes, the first byte's lowest.
#[inline]
fn plane(bytes: u64, bit: u32) -> u8 {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    const GATHER: u64 = 0x0102_0408_1020_4080;
    // Bit 8·i times bit 56 − 7·i is bit i of the highest byte; nothing carries into it.
    ((bytes >> bit) & LOWEST).wrapping_mul(GATHER).to_be_bytes()[0]
}

/// The level m whose centre m + ½ is nearest to `scaled`, a magnitude in steps.
#[inline]
fn level(scaled: f32) -> f32 {
    (((scaled - 0.5).max(0.0) + ROUNDER) - ROUNDER).min(LEVEL_MAX)
}

/// The step that suits normal coordinates where it suits these, so that most rows have the same one and a block of rows one tight limit; else the step
/// of least squared error among a geometric row of steps, then refined by least squares.
fn best_scale(values: &[f32], max: f32) -> f32 {
    let dim = u16::try_from(values.len()).expect("a dimension has 13 bits");
    let square: f32 = lanes(values, |x| x * x);
    let usual = rounded(NORMAL_STEP * (square / f32::from(dim)).sqrt());
    if squared_error(values, usual) <= NORMAL_ERROR_MAX * square {
        return usual;
    }
    let fine = 0.25 * (square / f32::from(dim)).sqrt();
    let coarse = max / (LEVEL_MAX + 0.5);
    let (fine, coarse) = (fine.min(coarse).max(f32::MIN_POSITIVE), coarse.max(fine));
    let ratio = (coarse / fine).powf(1.0 / 7.0);
    let mut best = (f32::INFINITY, coarse);
    let mut scale = fine;
    for _ in 0..SCALES_TRIED {
        best = better(best, (squared_error(values, scale), scale));
        scale *= ratio;
    }
    for _ in 0..ROUNDS {
        let inverse = best.1.recip();
        let product = lanes(values, |x| x.abs() * (level(x.abs() * inverse) + 0.5));
        let norm = lanes(values, |x| {
            let centre = level(x.abs() * inverse) + 0.5;
            centre * centre
        });
        let scale = product / norm;
        let refined = better(best, (squared_error(values, scale), scale));
        if refined.0 >= best.0 {
            break;
        }
        best = refined;
    }
    rounded(best.1)
}

/// A step that bfloat16 holds: what is resident is then what the residual was computed of.
fn rounded(step: f32) -> f32 {
    let rounded = bf16::from_f32(step).to_f32();
    if rounded.is_normal() { rounded } else { step }
}

fn better(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    if b.0 < a.0 && b.1 >= f32::MIN_POSITIVE {
        b
    } else {
        a
    }
}

fn squared_error(values: &[f32], scale: f32) -> f32 {
    let inverse = scale.recip();
    lanes(values, |x| {
        let error = x.abs() - scale * (level(x.abs() * inverse) + 0.5);
        error * error
    })
}

/// Sum of `term` over all values in 16 lanes, so that the compiler may use vectors.
#[inline]
fn lanes(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; 16];
    for chunk in values.as_chunks::<16>().0 {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += term(*x);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
