//! Stage 2 with the dot products of AArch64: 4 rows with 4 probes at a time, a 32-bit vector each. Must be called where the processor has both
//! Advanced SIMD and dot products.
#![expect(
    unsafe_code,
    reason = "vector loads take pointers, and stable Rust has no name for the dot product"
)]

use std::arch::aarch64::{
    int8x16_t, int32x4_t, vaddq_f32, vaddq_s32, vaddvq_u32, vandq_u8, vandq_u32, vcgeq_f32, vcvtq_f32_s32,
    vdupq_n_f32, vdupq_n_s32, vdupq_n_u8, vdupq_n_u32, vld1q_s8, vld1q_u8, vld1q_u32, vmulq_f32, vpaddq_s32,
    vreinterpretq_f32_u32, vreinterpretq_s8_u8, vshlq_n_u32, vshrq_n_u8, vsubq_s32,
};
use std::arch::asm;

use crate::engine::gallery::{Figure, PageView};

use super::listed::{TOGETHER, fours};
use super::{Batch, Figures, Hits, VECTOR_LEN, Vector, row_number};

/// Bytes of a register.
const PIECE_LEN: usize = 16;
/// Registers of a [`Vector`].
const PIECES: usize = VECTOR_LEN / PIECE_LEN;
/// Probes that share a pass over four rows: with the nibbles of the rows 24 of 32 registers are taken.
const GROUP: usize = 4;

/// Nibbles of rows that are looked at together.
type Rows<'a> = [&'a [[u8; PIECE_LEN]]; TOGETHER];

/// Scans pages.
pub(in crate::engine::cpu) fn pages(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    // SAFETY: the table of kernels hands this function out only where the processor has the features.
    unsafe { scan(pages, batch, hits) }
}

/// Looks at some rows of a page for one probe.
pub(in crate::engine::cpu) fn rows(
    page: &PageView<'_>,
    positions: &[u16],
    batch: &Batch,
    probe: usize,
    hits: &mut Hits<'_>,
) {
    // SAFETY: the table of kernels hands this function out only where the processor has the features.
    unsafe { look(page, positions, batch, probe, hits) }
}

#[target_feature(enable = "neon,dotprod")]
fn look(page: &PageView<'_>, positions: &[u16], batch: &Batch, probe: usize, hits: &mut Hits<'_>) {
    let own = batch.figures_of(probe);
    for four in fours(positions) {
        let positions = four.positions.map(usize::from);
        let figures = positions.map(|position| page.figures[position]);
        let [dots] = dots::<1>(&nibbles_of(page, positions, batch), batch, probe);
        let mask = mask(dots, &figures, own) & four.filled;
        if mask != 0 {
            hits.add_listed(page, probe, four.positions, mask);
        }
    }
}

#[target_feature(enable = "neon,dotprod")]
fn scan(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    let whole = batch.len() / GROUP * GROUP;
    for page in pages {
        // A page is whole tiles, and a tile whole strips of four rows.
        for position in (0..page.len()).step_by(TOGETHER) {
            let figures = &page.figures[position..position + TOGETHER];
            let rows = nibbles_of(page, [0, 1, 2, 3].map(|i| position + i), batch);
            let first_row = row_number(page, position);
            for first in (0..whole).step_by(GROUP) {
                for (i, dots) in dots::<GROUP>(&rows, batch, first).into_iter().enumerate() {
                    let mask = mask(dots, figures, batch.figures_of(first + i));
                    hits.add(first + i, first_row, mask);
                }
            }
            for probe in whole..batch.len() {
                let [dots] = dots::<1>(&rows, batch, probe);
                hits.add(probe, first_row, mask(dots, figures, batch.figures_of(probe)));
            }
        }
    }
}

/// Nibbles of the rows at some positions. A dimension is a multiple of 32, so that a row is whole registers.
#[inline]
fn nibbles_of<'a>(page: &PageView<'a>, positions: [usize; TOGETHER], batch: &Batch) -> Rows<'a> {
    let row_len = batch.dim / 2;
    let row = |position: usize| &page.nibbles[position * row_len..(position + 1) * row_len];
    positions.map(|position| row(position).as_chunks().0)
}

/// Σ uᵢ·pᵢ of four rows, a lane each, with each of the N probes from `first` on. Its loop has no closures: vectors go through them by way of memory
/// wherever one is not inlined.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn dots<const N: usize>(rows: &Rows<'_>, batch: &Batch, first: usize) -> [int32x4_t; N] {
    let probes: [&[[Vector; 2]]; N] = std::array::from_fn(|n| batch.vectors_of(first + n).as_chunks::<2>().0);
    let mut sums = [[vdupq_n_s32(0); TOGETHER]; N];
    let [a, b, c, d] = rows;
    for (piece, (((a, b), c), d)) in a.iter().zip(*b).zip(*c).zip(*d).enumerate() {
        let nibbles = [nibbles(a), nibbles(b), nibbles(c), nibbles(d)];
        for n in 0..N {
            let [even, odd] = &probes[n][piece / PIECES];
            let (even, odd) = (values(even, piece % PIECES), values(odd, piece % PIECES));
            for (sum, (low, high)) in sums[n].iter_mut().zip(nibbles) {
                *sum = add_products(add_products(*sum, low, even), high, odd);
            }
        }
    }
    let mut dots = [vdupq_n_s32(0); N];
    for (dots, [a, b, c, d]) in dots.iter_mut().zip(sums) {
        *dots = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
    }
    dots
}

/// Low and high nibbles: 0 to 15, so that it doesn't matter that the multiplication takes them as signed.
#[target_feature(enable = "neon")]
#[inline]
fn nibbles(bytes: &[u8; PIECE_LEN]) -> (int8x16_t, int8x16_t) {
    // SAFETY: there are 16 bytes.
    let packed = unsafe { vld1q_u8(bytes.as_ptr()) };
    (
        vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15))),
        vreinterpretq_s8_u8(vshrq_n_u8::<4>(packed)),
    )
}

/// A register of a vector of a probe.
#[target_feature(enable = "neon")]
#[inline]
fn values(vector: &Vector, piece: usize) -> int8x16_t {
    let values = &vector.0.as_chunks::<PIECE_LEN>().0[piece];
    // SAFETY: there are 16 bytes.
    unsafe { vld1q_s8(values.as_ptr()) }
}

/// Adds to each lane the four products of its bytes. The name that the standard library has for it, `vdotq_s32`, is not stable yet.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn add_products(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: an instruction on registers, which the processor has.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Which of four rows survive, a bit each: as [`Figures::survives`] says it, two roundings and no fusing.
#[target_feature(enable = "neon")]
#[inline]
fn mask(dots: int32x4_t, figures: &[Figure], own: Figures) -> u32 {
    assert_eq!(figures.len(), TOGETHER, "one a row");
    // SAFETY: four figures of 4 bytes, and four numbers.
    let (figures, bits) = unsafe {
        (
            vld1q_u32(figures.as_ptr().cast()),
            vld1q_u32([1, 2, 4, 8].as_ptr()),
        )
    };
    // bfloat16 is the upper half of single precision.
    let scale = vreinterpretq_f32_u32(vshlq_n_u32::<16>(figures));
    let residual = vreinterpretq_f32_u32(vandq_u32(figures, vdupq_n_u32(u32::MAX << 16)));
    let integer = vsubq_s32(vaddq_s32(dots, dots), vdupq_n_s32(own.offset));
    let product = vmulq_f32(scale, vcvtq_f32_s32(integer));
    let bound = vaddq_f32(product, vmulq_f32(residual, vdupq_n_f32(own.weight)));
    let survives = vcgeq_f32(bound, vdupq_n_f32(own.limit));
    vaddvq_u32(vandq_u32(survives, bits))
}
