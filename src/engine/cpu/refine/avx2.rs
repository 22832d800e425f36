//! Stage 2 with AVX2: 8 rows a strip, one 32-bit lane a row. Must be called where the processor has AVX2.
#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _CMP_GE_OQ, _mm_add_epi32, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_si256, _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmp_ps,
    _mm256_cvtepi32_ps, _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_movemask_ps, _mm256_mul_ps, _mm256_permute2x128_si256, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_storeu_si256, _mm256_sub_epi32, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_zextsi128_si256,
};

use zeroize::Zeroize;

use crate::engine::gallery::{Figure, PageView};

use super::listed::{TOGETHER, fours};
use super::{Batch, Figures, Hits, VECTOR_LEN, Vector, row_number};

/// Rows of a strip and words of a vector.
const LANES: usize = 8;
/// Probes that share a pass over a strip.
const GROUP: usize = 4;
/// Bytes of a vector, half of a [`super::Vector`].
const HALF_LEN: usize = 32;
/// Words whose products fit into 16 bits: each adds at most 2·2·15·127 = 7,620.
const WORDS_IN_16_BITS: usize = 4;

/// One word of each row of a strip.
#[derive(Clone)]
#[repr(align(32))]
struct Lanes([u32; LANES]);

/// Words of eight rows. Wiped when dropped.
struct Strip(Vec<Lanes>);

impl Drop for Strip {
    fn drop(&mut self) {
        for lanes in &mut self.0 {
            lanes.0.zeroize();
        }
    }
}

/// Scans pages.
pub(in crate::engine::cpu) fn pages(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    // SAFETY: the table of kernels hands this function out only where the processor has the feature.
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
    // SAFETY: the table of kernels hands this function out only where the processor has the feature.
    unsafe { look(page, positions, batch, probe, hits) }
}

#[target_feature(enable = "avx2")]
fn look(page: &PageView<'_>, positions: &[u16], batch: &Batch, probe: usize, hits: &mut Hits<'_>) {
    let (vectors, own) = (
        batch.vectors_of(probe).as_chunks::<2>().0,
        batch.figures_of(probe),
    );
    let row_len = batch.dim / 2;
    for four in fours(positions) {
        let mask = four.survivors(page, totals(page, four.positions, vectors, row_len), own);
        if mask != 0 {
            hits.add_listed(page, probe, four.positions, mask);
        }
    }
}

/// X of four rows.
#[target_feature(enable = "avx2")]
#[inline]
fn totals(
    page: &PageView<'_>,
    positions: [u16; TOGETHER],
    vectors: &[[Vector; 2]],
    row_len: usize,
) -> __m128i {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); TOGETHER];
    for (chunk, pair) in vectors.iter().enumerate() {
        for half in 0..(row_len - chunk * VECTOR_LEN).div_ceil(HALF_LEN).min(2) {
            let at = chunk * VECTOR_LEN + half * HALF_LEN;
            // SAFETY: a vector is 64 bytes long.
            let [even, odd] = [0, 1].map(|i| unsafe {
                _mm256_loadu_si256(pair[i].0[half * HALF_LEN..][..HALF_LEN].as_ptr().cast())
            });
            for (sum, position) in sums.iter_mut().zip(positions) {
                let (low, high) = nibbles(&page.nibbles[usize::from(position) * row_len..][at..row_len]);
                let products =
                    _mm256_add_epi16(_mm256_maddubs_epi16(low, even), _mm256_maddubs_epi16(high, odd));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
            }
        }
    }
    let [a, b, c, d] = sums;
    let lanes = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(
        _mm256_castsi256_si128(lanes),
        _mm256_extracti128_si256::<1>(lanes),
    )
}

/// Low and high nibbles of the next 32 bytes, or of the last 16.
#[target_feature(enable = "avx2")]
#[inline]
fn nibbles(bytes: &[u8]) -> (__m256i, __m256i) {
    let packed = if bytes.len() >= HALF_LEN {
        // SAFETY: there are 32 bytes.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    } else {
        // A dimension is a multiple of 32, so that half a vector is left.
        assert_eq!(bytes.len(), 16, "half a vector");
        // SAFETY: there are 16 bytes.
        _mm256_zextsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    };
    let low_nibbles = _mm256_set1_epi8(15);
    (
        _mm256_and_si256(packed, low_nibbles),
        _mm256_and_si256(_mm256_srli_epi32::<4>(packed), low_nibbles),
    )
}

#[target_feature(enable = "avx2")]
fn scan(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    let words = batch.dim / 8;
    let strip_len = LANES * batch.dim / 2;
    let mut strip = Strip(vec![Lanes([0; LANES]); words]);
    let Strip(strip) = &mut strip;
    for page in pages {
        for t in 0..page.len() / LANES {
            transpose(&page.nibbles[t * strip_len..(t + 1) * strip_len], strip);
            let at = t * LANES;
            let (scale, residual) = figures_of(&page.figures[at..at + LANES]);
            let first_row = row_number(page, at);
            let groups = batch.values.chunks(GROUP * batch.dim);
            for (group, values) in groups.enumerate() {
                let first = group * GROUP;
                if values.len() == GROUP * batch.dim {
                    for (i, dot) in dots::<GROUP>(strip, values).into_iter().enumerate() {
                        let mask = mask(dot, scale, residual, batch.figures_of(first + i));
                        hits.add(first + i, first_row, mask);
                    }
                    continue;
                }
                for (i, values) in values.chunks(batch.dim).enumerate() {
                    let [dot] = dots::<1>(strip, values);
                    let mask = mask(dot, scale, residual, batch.figures_of(first + i));
                    hits.add(first + i, first_row, mask);
                }
            }
        }
    }
}

/// Σ uᵢ·pᵢ of 8 rows with each of N probes.
#[target_feature(enable = "avx2")]
#[inline]
fn dots<const N: usize>(strip: &[Lanes], values: &[i8]) -> [__m256i; N] {
    let low_nibbles = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); N];
    let words = values.as_chunks::<4>().0;
    let stride = strip.len() * 2;
    assert!(
        words.len() >= N * stride,
        "a probe has two words for each word of a row"
    );
    for (chunk, rows) in strip.chunks(WORDS_IN_16_BITS).enumerate() {
        let mut short_sums = [_mm256_setzero_si256(); N];
        for (w, rows) in rows.iter().enumerate() {
            // SAFETY: `rows` is 32 bytes long.
            let packed = unsafe { _mm256_loadu_si256(rows.0.as_ptr().cast()) };
            let low = _mm256_and_si256(packed, low_nibbles);
            let high = _mm256_and_si256(_mm256_srli_epi32::<4>(packed), low_nibbles);
            for (n, short_sum) in short_sums.iter_mut().enumerate() {
                let at = n * stride + (chunk * WORDS_IN_16_BITS + w) * 2;
                let products = _mm256_add_epi16(
                    _mm256_maddubs_epi16(low, broadcast(words[at])),
                    _mm256_maddubs_epi16(high, broadcast(words[at + 1])),
                );
                *short_sum = _mm256_add_epi16(*short_sum, products);
            }
        }
        for (sum, short_sum) in sums.iter_mut().zip(short_sums) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(short_sum, ones));
        }
    }
    sums
}

#[target_feature(enable = "avx2")]
#[inline]
fn broadcast(bytes: [i8; 4]) -> __m256i {
    _mm256_set1_epi32(i32::from_ne_bytes(bytes.map(i8::cast_unsigned)))
}

/// The bound of 8 rows against a probe's limit.
#[target_feature(enable = "avx2")]
#[inline]
fn mask(dot: __m256i, scale: __m256, residual: __m256, figures: Figures) -> u32 {
    let integer = _mm256_sub_epi32(_mm256_add_epi32(dot, dot), _mm256_set1_epi32(figures.offset));
    let product = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(integer));
    let bound = _mm256_add_ps(product, _mm256_mul_ps(residual, _mm256_set1_ps(figures.weight)));
    let survives = _mm256_cmp_ps::<_CMP_GE_OQ>(bound, _mm256_set1_ps(figures.limit));
    _mm256_movemask_ps(survives).cast_unsigned()
}

/// Steps and residuals of 8 rows: bfloat16 is the upper half of single precision.
#[target_feature(enable = "avx2")]
#[inline]
fn figures_of(figures: &[Figure]) -> (__m256, __m256) {
    assert_eq!(figures.len(), LANES, "one a row");
    // SAFETY: the slice is 8 figures of 4 bytes long.
    let both = unsafe { _mm256_loadu_si256(figures.as_ptr().cast()) };
    let residual = _mm256_and_si256(both, _mm256_set1_epi32(i32::MIN >> 15));
    (
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(both)),
        _mm256_castsi256_ps(residual),
    )
}

/// Turns 8 nibble rows into vectors of equal words.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(nibbles: &[u8], strip: &mut [Lanes]) {
    let row_len = strip.len() * 4;
    assert_eq!(nibbles.len(), LANES * row_len, "8 whole rows");
    for (chunk, words) in strip.chunks_mut(LANES).enumerate() {
        let at = chunk * LANES * 4;
        let rows: [__m256i; LANES] = std::array::from_fn(|row| {
            let bytes = &nibbles[row * row_len + at..row * row_len + at + words.len() * 4];
            if words.len() == LANES {
                // SAFETY: `bytes` is 32 bytes long.
                unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
            } else {
                // A dimension is a multiple of 32, so that half a vector is left.
                assert_eq!(bytes.len(), 16, "half a vector");
                // SAFETY: `bytes` is 16 bytes long.
                _mm256_zextsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
            }
        });
        for (word, column) in words.iter_mut().zip(transpose_8(rows)) {
            // SAFETY: a word of the strip is 32 bytes long.
            unsafe { _mm256_storeu_si256(word.0.as_mut_ptr().cast(), column) };
        }
    }
}

/// Transposes 8 × 8 words: pairs, quadruples, then 128-bit lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose_8(rows: [__m256i; LANES]) -> [__m256i; LANES] {
    let mut pairs = rows;
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // Lane l of `quads[4 * i + j]` holds word 4·l + j of rows 4·i to 4·i + 3.
    let mut quads = pairs;
    for i in 0..2 {
        quads[4 * i] = _mm256_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
        quads[4 * i + 1] = _mm256_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
        quads[4 * i + 2] = _mm256_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
        quads[4 * i + 3] = _mm256_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
    }
    let mut columns = quads;
    for j in 0..4 {
        columns[j] = _mm256_permute2x128_si256::<0x20>(quads[j], quads[4 + j]);
        columns[4 + j] = _mm256_permute2x128_si256::<0x31>(quads[j], quads[4 + j]);
    }
    columns
}
