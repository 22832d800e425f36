//! Probes as the shaders read them. Knows no gallery.

use bytemuck::{Pod, Zeroable};
use half::f16;
use zeroize::Zeroize;

use crate::engine::bound::QuantizedProbe;

use super::planes::{Shape, UNIT};

/// Vectors of 16 bytes that a quad's coordinates take in 8 bits.
pub(super) const QUAD_WORDS: u32 = 8;
/// Vectors of 8 bytes that they take in half precision.
pub(super) const QUAD_HALVES: u32 = 32;

/// `Mark` of the shaders: the probe's side of the bounds.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(super) struct Mark {
    pub(super) offset: i32,
    pub(super) weight: f32,
    pub(super) limit: f32,
    pub(super) sum: i32,
    pub(super) step: f32,
    pub(super) rounding: f32,
    pub(super) slope: f32,
    pub(super) intercept: f32,
}

impl Mark {
    pub(super) fn of(probe: &QuantizedProbe) -> Self {
        // A probe without a bound of stage 1 is never put through it.
        let (slope, intercept) = probe
            .sign
            .map_or((0.0, f32::MIN), |sign| (sign.slope, sign.intercept));
        Self {
            offset: probe.offset,
            weight: probe.weight,
            limit: probe.limit,
            sum: probe.values.iter().map(|p| i32::from(*p)).sum(),
            step: probe.step,
            rounding: probe.rounding,
            slope,
            intercept,
        }
    }
}

/// Four 8-bit coordinates a word, in the order of the codes: word k of a unit meets code k of each byte. Zeros fill the last quad.
pub(super) fn push_words(words: &mut Vec<[u32; 4]>, probe: &QuantizedProbe, shape: Shape) {
    let end = words.len() + (shape.quads * QUAD_WORDS) as usize;
    for unit in probe.values.as_chunks::<UNIT>().0 {
        let mut eight = in_order(unit).map(|four| u32::from_le_bytes(four.map(i8::cast_unsigned)));
        words.extend(eight.as_chunks().0);
        eight.zeroize();
    }
    words.resize(end, [0; 4]);
}

/// The same in half precision, for the matrix units; the bytes of a word come in the order 0, 2, 1, 3.
pub(super) fn push_halves(halves: &mut Vec<[f16; 4]>, probe: &QuantizedProbe, shape: Shape) {
    let end = halves.len() + (shape.quads * QUAD_HALVES) as usize;
    for unit in probe.values.as_chunks::<UNIT>().0 {
        let words = in_order(unit);
        halves.extend(words.map(|[a, b, c, d]| [a, c, b, d].map(|p| f16::from_f32(f32::from(p)))));
    }
    halves.resize(end, [f16::ZERO; 4]);
}

/// Coordinates 8j + 2l of a unit are byte l of word 2j, coordinates 8j + 2l + 1 of word 2j + 1.
fn in_order(unit: &[i8; UNIT]) -> [[i8; 4]; 8] {
    let mut words = [[0; 4]; 8];
    let pairs = words.as_chunks_mut::<2>().0;
    for ([even, odd], [a, b, c, d, e, f, g, h]) in pairs.iter_mut().zip(unit.as_chunks().0) {
        *even = [*a, *c, *e, *g];
        *odd = [*b, *d, *f, *h];
    }
    words
}
