//! Codes of rows as they go into pages. Knows no page.

use half::bf16;
use zeroize::Zeroize;

use crate::engine::code::Codes;
use crate::model::reject::Rejected;
use crate::model::signature::Dimension;

use super::page::{Figure, alpha};

/// Codes as they go into pages. Wiped when dropped.
pub(in crate::engine) struct PackedRows {
    dim: Dimension,
    /// Nibble rows.
    pub(super) nibbles: Vec<u8>,
    /// Signs, row-major.
    signs: Vec<u8>,
    figures: Vec<Figure>,
    alphas: Vec<bf16>,
}

/// One row of it.
#[derive(Clone, Copy)]
pub(super) struct PackedRow<'a> {
    pub(super) nibbles: &'a [u8],
    pub(super) signs: &'a [u8],
    pub(super) figure: Figure,
    pub(super) alpha: bf16,
}

impl Drop for PackedRows {
    fn drop(&mut self) {
        self.nibbles.zeroize();
        self.signs.zeroize();
        self.figures.fill(Figure::DEAD);
        self.alphas.fill(bf16::INFINITY);
    }
}

impl PackedRows {
    /// Interleaves the bit planes into nibbles, and wipes them. Refuses planes that don't hold whole rows.
    pub(in crate::engine) fn pack(mut codes: Codes) -> Result<Self, Rejected> {
        let bytes = codes.dim.get() / 8;
        for (field, len, expected) in [
            ("codes.sign", codes.sign.len(), codes.len() * bytes),
            ("codes.refine", codes.refine.len(), codes.len() * bytes * 3),
        ] {
            if len != expected {
                let problem = format!("is {len} bytes long; {} rows take {expected}", codes.len());
                return Err(Rejected::new(field, problem));
            }
        }
        let mut nibbles = Vec::with_capacity(codes.len() * bytes * 4);
        for (sign, refine) in codes
            .sign
            .chunks_exact(bytes)
            .zip(codes.refine.chunks_exact(bytes * 3))
        {
            let (bit2, low) = refine.split_at(bytes);
            let (bit1, bit0) = low.split_at(bytes);
            for (((b3, b2), b1), b0) in sign.iter().zip(bit2).zip(bit1).zip(bit0) {
                let word = spread(*b3) << 3 | spread(*b2) << 2 | spread(*b1) << 1 | spread(*b0);
                nibbles.extend_from_slice(&word.to_le_bytes());
            }
        }
        let dim = codes.dim;
        let figure = |scale| Figure::new(scale, dim.get());
        let packed = Self {
            dim,
            nibbles,
            signs: codes.sign.clone(),
            figures: codes.scale.iter().map(figure).collect(),
            alphas: codes.scale.iter().map(alpha).collect(),
        };
        codes.wipe();
        Ok(packed)
    }

    pub(in crate::engine) fn dim(&self) -> Dimension {
        self.dim
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.figures.len()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = PackedRow<'_>> {
        let d = self.dim.get();
        self.nibbles
            .chunks_exact(d / 2)
            .zip(self.signs.chunks_exact(d / 8))
            .zip(self.figures.iter().zip(&self.alphas))
            .map(|((nibbles, signs), (figure, alpha))| PackedRow {
                nibbles,
                signs,
                figure: *figure,
                alpha: *alpha,
            })
    }

    pub(super) fn live(&self) -> u64 {
        self.figures
            .iter()
            .map(|figure| u64::from(!figure.is_dead()))
            .sum()
    }
}

/// Bit i of a byte becomes the lowest bit of nibble i.
#[inline]
fn spread(byte: u8) -> u32 {
    let x = u32::from(byte);
    let x = (x | x << 12) & 0x000f_000f;
    let x = (x | x << 6) & 0x0303_0303;
    (x | x << 3) & 0x1111_1111
}
