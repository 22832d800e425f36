//! Where things lie in a page, and what a kernel sees of it. Owns no memory.
//!
//! A page of n rows, n a multiple of 16, holds one part after the other:
//!
//! * nibble rows, D/2 bytes each: byte i holds u of coordinates 2i (low) and 2i + 1,
//! * signs, where the gallery keeps them a second time, D/8 bytes a row: for each tile of 16 rows word 0 of the 16 rows, then word 1, and so on; a
//!   word holds the signs of 32 coordinates, the lowest bit first, 1 where x ≥ 0,
//! * figures, 4 bytes a row: s in the low half, r in the high half, in bfloat16,
//! * alphas, 2 bytes a row: α in bfloat16, where the signs are.

use bytemuck::{Pod, Zeroable, cast_slice};
use half::bf16;

use crate::engine::code::Scale;
use crate::engine::memory::ALIGNMENT;
use crate::model::signature::Dimension;

/// Kernels take this many rows at a time; the capacity of a page is a multiple of it.
pub(in crate::engine) const TILE_ROWS: usize = 16;
/// Signs in a word.
pub(in crate::engine) const WORD_SIGNS: usize = 32;

/// Step and residual of a row.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(in crate::engine) struct Figure {
    scale: u16,
    residual: u16,
}

impl Figure {
    /// A row that never survives: r is about −1e30, finite, since a GPU may know no infinity.
    pub(in crate::engine) const DEAD: Figure = Figure {
        scale: 0,
        residual: 0xf149,
    };

    /// Figures of a row of `dim` coordinates. The residual pays for the rounding of both.
    pub(super) fn new(scale: &Scale, dim: usize) -> Self {
        if scale.is_dead() {
            return Self::DEAD;
        }
        let step = bf16::from_f32(scale.scale);
        // ‖c + ½‖ is at most 7.5·√D. Codes come with steps that are not rounded here.
        let dim = f32::from(u16::try_from(dim).expect("a dimension has 12 bits"));
        let moved = (step.to_f32() - scale.scale).abs() * 7.5 * dim.sqrt();
        let residual = if moved > 0.0 {
            (scale.residual + moved).next_up()
        } else {
            scale.residual
        };
        Self {
            scale: step.to_bits(),
            residual: bf16_up(residual),
        }
    }

    #[inline]
    pub(in crate::engine) fn scale(self) -> f32 {
        widen(self.scale)
    }

    #[inline]
    pub(in crate::engine) fn residual(self) -> f32 {
        widen(self.residual)
    }

    #[inline]
    pub(in crate::engine) fn is_dead(self) -> bool {
        self.residual() < 0.0
    }
}

/// bfloat16 is the upper half of single precision.
#[inline]
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The smallest bfloat16 at or above a number that is not negative.
fn bf16_up(value: f32) -> u16 {
    let bits = value.to_bits();
    let high = u16::try_from(bits >> 16).expect("half of the bits");
    if bits.trailing_zeros() >= 16 {
        high
    } else {
        high + 1
    }
}

/// α as a kernel reads it: a row without one always survives stage 1, a dead row never.
pub(super) fn alpha(scale: &Scale) -> bf16 {
    if scale.is_dead() {
        return bf16::INFINITY;
    }
    if scale.alpha > 0.0 {
        // Towards zero.
        let high = u16::try_from(scale.alpha.to_bits() >> 16).expect("half of the bits");
        return bf16::from_bits(high);
    }
    bf16::NEG_INFINITY
}

/// Places of the parts of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct PageLayout {
    pub(in crate::engine) dim: Dimension,
    /// Whether signs and alphas are kept.
    pub(in crate::engine) has_signs: bool,
}

/// A page's bytes, cut into its parts.
pub(super) struct Parts<T> {
    pub(super) nibbles: T,
    pub(super) signs: T,
    pub(super) figures: T,
    pub(super) alphas: T,
}

impl PageLayout {
    /// Bytes of a page of `capacity` rows, in whole cache lines.
    pub(super) fn page_len(self, capacity: usize) -> usize {
        self.lens(capacity)
            .iter()
            .sum::<usize>()
            .next_multiple_of(ALIGNMENT)
    }

    fn lens(self, rows: usize) -> [usize; 4] {
        let d = self.dim.get();
        let signs = if self.has_signs { d / 8 } else { 0 };
        let alphas = if self.has_signs { size_of::<bf16>() } else { 0 };
        [d / 2, signs, size_of::<Figure>(), alphas].map(|len| len * rows)
    }

    pub(super) fn cut(self, bytes: &[u8], capacity: usize) -> Parts<&[u8]> {
        let [nibbles, signs, figures, alphas] = self.lens(capacity);
        let (nibbles, rest) = bytes.split_at(nibbles);
        let (signs, rest) = rest.split_at(signs);
        let (figures, rest) = rest.split_at(figures);
        let (alphas, _) = rest.split_at(alphas);
        Parts {
            nibbles,
            signs,
            figures,
            alphas,
        }
    }

    pub(super) fn cut_mut(self, bytes: &mut [u8], capacity: usize) -> Parts<&mut [u8]> {
        let [nibbles, signs, figures, alphas] = self.lens(capacity);
        let (nibbles, rest) = bytes.split_at_mut(nibbles);
        let (signs, rest) = rest.split_at_mut(signs);
        let (figures, rest) = rest.split_at_mut(figures);
        let (alphas, _) = rest.split_at_mut(alphas);
        Parts {
            nibbles,
            signs,
            figures,
            alphas,
        }
    }
}

/// What a kernel reads of a page. Rows beyond the gallery's end are dead.
#[derive(Clone, Copy)]
pub(in crate::engine) struct PageView<'a> {
    /// Number of the first row.
    pub(in crate::engine) first_row: u32,
    /// Nibble rows.
    pub(in crate::engine) nibbles: &'a [u8],
    /// Words of signs, tile by tile; empty where the gallery keeps none.
    pub(in crate::engine) signs: &'a [u32],
    /// One a row, a multiple of [`TILE_ROWS`].
    pub(in crate::engine) figures: &'a [Figure],
    /// One a row; empty where the gallery keeps none.
    pub(in crate::engine) alphas: &'a [bf16],
}

impl<'a> PageView<'a> {
    pub(super) fn new(layout: PageLayout, bytes: &'a [u8], capacity: usize, first_row: u32) -> Self {
        let parts = layout.cut(bytes, capacity);
        Self {
            first_row,
            nibbles: parts.nibbles,
            signs: cast_slice(parts.signs),
            figures: cast_slice(parts.figures),
            alphas: cast_slice(parts.alphas),
        }
    }

    /// Rows, those beyond the gallery's end included.
    pub(in crate::engine) fn len(&self) -> usize {
        self.figures.len()
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
