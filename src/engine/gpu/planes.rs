//! How rows lie in device memory: four planes in blocks of 128 rows, and figures in 16 bits. Touches no device.
//!
//! The layout within a block is told in `shaders/common/codes.wgsl`. A row takes D/8 + 3·D/8 + 6 bytes, D rounded up to 128.

use half::bf16;

use crate::engine::backend::PART_ROWS;
use crate::engine::code::Scale;
use crate::engine::gallery::GalleryView;
use crate::model::signature::Dimension;

/// Rows of a block, and invocations of a workgroup.
pub(super) const BLOCK_ROWS: u32 = 128;
/// Coordinates of a quad.
const QUAD: usize = 128;
/// Coordinates of a unit.
pub(super) const UNIT: usize = 32;
/// Units of a quad, and words of a unit.
const UNITS: usize = QUAD / UNIT;
/// Lowest bit of each byte.
const ONES: u32 = 0x0101_0101;
/// Alpha of a dead row, 2¹⁰⁰: no sum reaches its bound.
const ALPHA_DEAD: u16 = 0x7180;
/// Residual of a live row at least: above 0 also where a device takes the smallest numbers for 0.
const RESIDUAL_MIN: f64 = 1e-30;
/// From here on a row is not bounded.
const RESIDUAL_MAX: f64 = 1e30;
/// Pays for the roundings of the scan that grow with the residual, as in `code`.
const GROWTH: f64 = 1.0 + crate::engine::code::RESIDUAL_ROUNDING;

const _: () = assert!(PART_ROWS.is_multiple_of(BLOCK_ROWS), "parts are whole blocks");

/// Sizes of a dimension's planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Shape {
    /// Quads of a row.
    pub(super) quads: u32,
}

impl Shape {
    pub(super) fn of(dim: Dimension) -> Self {
        let quads = dim.get().div_ceil(QUAD);
        Self {
            quads: u32::try_from(quads).expect("a dimension has 13 bits"),
        }
    }

    /// Bytes of a block in each plane: signs, refinement, figures, alphas.
    pub(super) fn block_lens(self) -> [u64; 4] {
        let rows = u64::from(BLOCK_ROWS);
        let quad = rows * u64::from(self.quads) * 16;
        [quad, 3 * quad, rows * 4, rows * 2]
    }

    /// Bytes of a block in all planes.
    pub(super) fn block_len(self) -> u64 {
        self.block_lens().iter().sum()
    }
}

/// Blocks as they are uploaded, plane by plane.
#[derive(Default)]
pub(super) struct Planes {
    signs: Vec<u32>,
    refinement: Vec<u32>,
    figures: Vec<u32>,
    alphas: Vec<u16>,
}

impl Drop for Planes {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl Planes {
    /// Appends the block that begins at row `first`; rows from `end` on are dead.
    pub(super) fn push(&mut self, shape: Shape, gallery: GalleryView<'_>, first: u32, end: u32) {
        let (lanes, quads) = (BLOCK_ROWS as usize, shape.quads as usize);
        let quad_len = lanes * UNITS;
        let (signs, refinement) = (self.signs.len(), self.refinement.len());
        self.signs.resize(signs + quads * quad_len, 0);
        self.refinement.resize(refinement + quads * quad_len * 3, 0);
        let signs = self.signs.get_mut(signs..).expect("just appended");
        let refinement = self.refinement.get_mut(refinement..).expect("just appended");
        for (lane, row) in (first..first + BLOCK_ROWS).enumerate() {
            let row = if row < end { gallery.row(row) } else { None };
            let Some((nibbles, scale)) = row.filter(|(_, scale)| !is_dead(scale)) else {
                self.figures.push(0);
                self.alphas.push(ALPHA_DEAD);
                continue;
            };
            let (figures, alpha) = compact(&scale, nibbles);
            self.figures.push(figures);
            self.alphas.push(alpha);
            for (unit, bytes) in nibbles.as_chunks::<{ UNIT / 2 }>().0.iter().enumerate() {
                let (quad, at) = (unit / UNITS, lane * UNITS + unit % UNITS);
                let [sign, planes @ ..] = transpose(*bytes);
                set(signs, quad * quad_len + at, sign);
                for (plane, word) in planes.into_iter().enumerate() {
                    set(refinement, (quad * 3 + plane) * quad_len + at, word);
                }
            }
        }
    }

    /// Bytes of each plane.
    pub(super) fn bytes(&self) -> [&[u8]; 4] {
        [
            bytemuck::cast_slice(&self.signs),
            bytemuck::cast_slice(&self.refinement),
            bytemuck::cast_slice(&self.figures),
            bytemuck::cast_slice(&self.alphas),
        ]
    }

    /// Wipes everything and leaves no block.
    pub(super) fn wipe(&mut self) {
        use zeroize::Zeroize;
        self.signs.zeroize();
        self.refinement.zeroize();
        self.figures.zeroize();
        self.alphas.zeroize();
    }
}

fn set(words: &mut [u32], at: usize, word: u32) {
    *words.get_mut(at).expect("a block has room for its rows") = word;
}

/// The words of a unit: signs, then a, b and c. Byte l of nibble word j holds u of the coordinates 8j + 2l, low, and 8j + 2l + 1; they
/// become codes 2j and 2j + 1 of byte l.
fn transpose(nibbles: [u8; UNIT / 2]) -> [u32; 4] {
    let mut codes = [0; 8];
    for (pair, bytes) in codes.as_chunks_mut::<2>().0.iter_mut().zip(nibbles.as_chunks().0) {
        let word = u32::from_le_bytes(*bytes);
        *pair = [word & (15 * ONES), word >> 4 & (15 * ONES)];
    }
    let sign = codes
        .iter()
        .enumerate()
        .fold(0, |sign, (k, u)| sign | (u >> 3 & ONES) << k);
    let [u0, u1, u2, u3, u4, u5, u6, u7] = codes.map(|u| u & (7 * ONES));
    [
        sign,
        u0 | u1 << 3 | (u6 & (3 * ONES)) << 6,
        u2 | u3 << 3 | (u7 & (3 * ONES)) << 6,
        u4 | u5 << 3 | (u6 & (4 * ONES)) << 4 | (u7 & (4 * ONES)) << 5,
    ]
}

/// Whether a row never survives, whichever figure says so.
fn is_dead(scale: &Scale) -> bool {
    scale.is_dead() || scale.alpha == f32::INFINITY
}

/// Figures of a live row in 16 bits each, to the safe side: the step and, rounded up, the residual in one word; alpha, rounded down.
fn compact(scale: &Scale, nibbles: &[u8]) -> (u32, u16) {
    let step = bf16::from_f32(scale.scale);
    let mut residual = f64::from(scale.residual);
    let moved = (f64::from(step.to_f32()) - f64::from(scale.scale)).abs();
    // A step that moves by δ moves the rebuilt row by δ·‖c + ½‖.
    if moved > 0.0 {
        residual += moved * norm(nibbles) * GROWTH;
    }
    // Not for any number that is none.
    let figures = if step.to_f32().is_finite() && residual < RESIDUAL_MAX {
        u32::from(step.to_bits()) | u32::from(up(residual.max(RESIDUAL_MIN))) << 16
    } else {
        u32::from(up(RESIDUAL_MAX)) << 16
    };
    let alpha = if scale.alpha > 0.0 { down(scale.alpha) } else { 0 };
    (figures, alpha)
}

/// A row's figures as the device holds them.
pub(super) fn held(scale: &Scale, nibbles: &[u8]) -> Scale {
    if is_dead(scale) {
        return Scale::DEAD;
    }
    let (figures, alpha) = compact(scale, nibbles);
    Scale {
        scale: f32::from_bits(figures << 16),
        residual: f32::from_bits(figures & 0xffff_0000),
        alpha: f32::from_bits(u32::from(alpha) << 16),
    }
}

/// ‖c + ½‖ = ½·√Σ(2u − 15)².
fn norm(nibbles: &[u8]) -> f64 {
    let square = |u: u8| {
        let odd = 2 * i32::from(u) - 15;
        odd * odd
    };
    let sum: i32 = nibbles
        .iter()
        .map(|byte| square(byte & 15) + square(byte >> 4))
        .sum();
    0.5 * f64::from(sum).sqrt()
}

/// The least bfloat16 not below a positive number in its range.
fn up(value: f64) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded to single precision, then upwards"
    )]
    let nearest = value as f32;
    let above = if f64::from(nearest) < value {
        nearest.next_up()
    } else {
        nearest
    };
    u16::try_from((above.to_bits() + 0xffff) >> 16).expect("16 bits of 32")
}

/// The greatest bfloat16 not above a positive number.
fn down(value: f32) -> u16 {
    u16::try_from(value.to_bits() >> 16).expect("16 bits of 32")
}

#[cfg(test)]
#[path = "planes_tests.rs"]
mod tests;
