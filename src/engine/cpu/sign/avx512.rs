//! Stage 1 with AVX-512 VBMI and VNNI: 16 rows a tile; one instruction looks up 64 groups, one sums them up. Must be called where the processor has
//! F, BW, VBMI and VNNI.
#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::{
    __m512i, _CMP_GE_OQ, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_add_epi32, _mm512_add_ps,
    _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_cvtepu16_epi32, _mm512_dpbusd_epi32,
    _mm512_load_si512, _mm512_loadu_si512, _mm512_maskz_compress_epi32, _mm512_mul_ps,
    _mm512_permutexvar_epi8, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setr_epi32,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi32, _mm512_storeu_si512,
    _mm512_ternarylogic_epi32,
};

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::{Kept, SignProbe};

/// Tiles whose signs memory is asked for ahead of their use.
const PREFETCH_TILES: usize = 16;
/// (a & b) | c
const AND_OR: i32 = 0xea;

/// Finds the rows of a page that survive.
pub(in crate::engine::cpu) fn page(page: &PageView<'_>, probe: &SignProbe, kept: &mut Kept) {
    // SAFETY: the table of kernels hands this function out only where the processor has the features.
    unsafe { scan(page, probe, kept) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn scan(page: &PageView<'_>, probe: &SignProbe, kept: &mut Kept) {
    kept.clear(page.len());
    let words = probe.entries.len() / 2;
    let (slope, intercept) = (_mm512_set1_ps(probe.slope), _mm512_set1_ps(probe.intercept));
    let mut rows = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let tiles = page.signs.chunks_exact(words * TILE_ROWS);
    for (tile, alphas) in tiles.zip(page.alphas.chunks_exact(TILE_ROWS)) {
        prefetch(
            tile.as_ptr().wrapping_add(tile.len() * PREFETCH_TILES),
            tile.len(),
        );
        let sums = sums(tile, probe);
        // SAFETY: a tile has 16 alphas of 2 bytes.
        let alphas = unsafe { _mm256_loadu_si256(alphas.as_ptr().cast()) };
        let alphas = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(alphas)));
        let line = _mm512_add_ps(_mm512_mul_ps(slope, alphas), intercept);
        let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_cvtepi32_ps(sums), line);
        // Without a branch: 16 places are written always, and the survivors among them counted.
        let places = &mut kept.positions[kept.len..kept.len + TILE_ROWS];
        // SAFETY: there are 16 places.
        unsafe {
            _mm512_storeu_si512(
                places.as_mut_ptr().cast(),
                _mm512_maskz_compress_epi32(mask, rows),
            );
        }
        kept.len += mask.count_ones() as usize;
        rows = _mm512_add_epi32(rows, _mm512_set1_epi32(16));
    }
    ask_for_codes(page, kept.positions());
}

/// Asks for what stage 2 will read of the survivors.
#[target_feature(enable = "avx512f")]
#[inline]
fn ask_for_codes(page: &PageView<'_>, positions: &[u32]) {
    let row_len = page.nibbles.len() / page.len();
    for position in positions {
        let position = *position as usize;
        let row = page.nibbles.as_ptr().wrapping_add(position * row_len);
        for line in (0..row_len).step_by(64) {
            _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(line).cast());
        }
        _mm_prefetch::<_MM_HINT_T0>(page.figures.as_ptr().wrapping_add(position).cast());
    }
}

/// L of 16 rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
#[inline]
fn sums(tile: &[u32], probe: &SignProbe) -> __m512i {
    let nibble = _mm512_set1_epi8(15);
    // Byte b of a lane looks into the b-th of four tables of 16 entries.
    let table = _mm512_set1_epi32(0x3020_1000);
    let ones = _mm512_set1_epi8(1);
    let (mut low_sums, mut high_sums) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let words = tile.as_chunks::<TILE_ROWS>().0;
    for (word, [low, high]) in words.iter().zip(probe.entries.as_chunks::<2>().0) {
        // SAFETY: a word of a tile is 64 bytes long, and so are the entries of half a word, which are aligned.
        let (signs, low, high) = unsafe {
            (
                _mm512_loadu_si512(word.as_ptr().cast()),
                _mm512_load_si512(low.0.as_ptr().cast()),
                _mm512_load_si512(high.0.as_ptr().cast()),
            )
        };
        let low_index = _mm512_ternarylogic_epi32::<AND_OR>(signs, nibble, table);
        let high_index = _mm512_ternarylogic_epi32::<AND_OR>(_mm512_srli_epi32::<4>(signs), nibble, table);
        low_sums = _mm512_dpbusd_epi32(low_sums, _mm512_permutexvar_epi8(low_index, low), ones);
        high_sums = _mm512_dpbusd_epi32(high_sums, _mm512_permutexvar_epi8(high_index, high), ones);
    }
    _mm512_add_epi32(low_sums, high_sums)
}

/// Asks for the cache lines of words that will be needed; an address that is not there does no harm.
#[target_feature(enable = "avx512f")]
#[inline]
fn prefetch(words: *const u32, len: usize) {
    for line in (0..len).step_by(16) {
        _mm_prefetch::<_MM_HINT_T0>(words.wrapping_add(line).cast());
    }
}
