//! Stage 1 with AVX-512 VBMI and VNNI: 64 rows a block; one instruction looks up 64 groups, one sums them up. Must be called where the processor
//! has F, BW, VBMI and VNNI.
#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::{
    __m512, __m512i, _CMP_GE_OQ, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_add_epi32,
    _mm512_add_ps, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_cvtepu16_epi32,
    _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_loadu_si512, _mm512_mul_ps, _mm512_permutexvar_epi8,
    _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512, _mm512_slli_epi32,
    _mm512_srli_epi32, _mm512_store_si512, _mm512_ternarylogic_epi32,
};

use bytemuck::cast_slice;
use half::bf16;

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::{Entries, Indices, KEPT_ROWS, Kept, Positions, Scratch, SignBatch};

/// Tiles of a block: a word of [`Kept`].
const BLOCK_TILES: usize = KEPT_ROWS / TILE_ROWS;
/// Probes that share a pass over a block: with its four tiles 16 sums are in flight.
const GROUP: usize = 4;
/// Tiles whose signs memory is asked for ahead of their use.
const PREFETCH_TILES: usize = 16;
/// With fewer probes memory is asked for the codes of the rows that survived, with more for all: one probe or the other needs them.
const ASK_ALL_PROBES_MIN: usize = 16;
/// (a & b) | c
const AND_OR: i32 = 0xea;

/// Finds the rows of a page that survive.
pub(in crate::engine::cpu) fn page(
    page: &PageView<'_>,
    next: &[u32],
    batch: &SignBatch,
    scratch: &mut Scratch,
    kept: &mut [Kept],
) {
    // SAFETY: the table of kernels hands this function out only where the processor has the features.
    unsafe { scan(page, next, batch, scratch, kept) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn scan(page: &PageView<'_>, next: &[u32], batch: &SignBatch, scratch: &mut Scratch, kept: &mut [Kept]) {
    kept.fill(Kept::default());
    let tile_len = batch.words * TILE_ROWS;
    // A few probes wait for memory: small steps keep requests to it even.
    let step = if batch.len() < GROUP { 1 } else { BLOCK_TILES };
    let is_crowded = batch.len() >= ASK_ALL_PROBES_MIN;
    let codes_len = page.nibbles.len() / page.len() * TILE_ROWS * step;
    let mut codes = page.nibbles.chunks(codes_len);
    let ahead = page
        .signs
        .chunks(tile_len * step)
        .chain(next.chunks(tile_len * step));
    let mut ahead = ahead.skip(PREFETCH_TILES / step);
    let blocks = page
        .signs
        .chunks(tile_len * step)
        .zip(page.alphas.chunks(TILE_ROWS * step));
    for (index, (signs, alphas)) in blocks.enumerate() {
        prefetch(cast_slice(ahead.next().unwrap_or_default()));
        let block = Block {
            first: index * step * TILE_ROWS,
            signs,
            alphas,
            codes: if is_crowded {
                codes.next().unwrap_or_default()
            } else {
                &[]
            },
        };
        match alphas.len() / TILE_ROWS {
            4 => block.scan::<4>(batch, scratch, kept),
            3 => block.scan::<3>(batch, scratch, kept),
            2 => block.scan::<2>(batch, scratch, kept),
            _ => block.scan::<1>(batch, scratch, kept),
        }
    }
    if !is_crowded {
        let mut positions = Positions::default();
        for kept in kept {
            ask_for_codes(page, kept, &mut positions);
        }
    }
}

/// Some tiles of a page within one word of [`Kept`].
struct Block<'a> {
    /// Position of the first row.
    first: usize,
    signs: &'a [u32],
    alphas: &'a [bf16],
    /// What memory is asked for meanwhile.
    codes: &'a [u8],
}

impl Block<'_> {
    /// Scans T tiles for all probes.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    #[inline]
    fn scan<const T: usize>(&self, batch: &SignBatch, scratch: &mut Scratch, kept: &mut [Kept]) {
        let indices = scratch.indices(2 * batch.words * T).as_chunks_mut::<2>().0;
        index_signs::<T>(self.signs, indices);
        let indices = indices.as_chunks::<T>().0;
        let alphas: [__m512; T] = std::array::from_fn(|t| {
            let alphas = &self.alphas[t * TILE_ROWS..][..TILE_ROWS];
            // SAFETY: a tile has 16 alphas of 2 bytes.
            let alphas = unsafe { _mm256_loadu_si256(alphas.as_ptr().cast()) };
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(alphas)))
        });
        let (word, shift) = (self.first / KEPT_ROWS, self.first % KEPT_ROWS);
        let probe_len = batch.words * 2;
        let groups = batch.entries.chunks(GROUP * probe_len);
        let mut codes = self.codes.chunks(self.codes.len().div_ceil(groups.len()).max(1));
        for (group, entries) in groups.enumerate() {
            let first = group * GROUP;
            prefetch(codes.next().unwrap_or_default());
            if entries.len() == GROUP * probe_len {
                for (i, sums) in sums::<T, GROUP, 1>(indices, entries).iter().enumerate() {
                    kept[first + i].0[word] |= survivors(sums, &alphas, batch, first + i) << shift;
                }
                continue;
            }
            for (i, entries) in entries.chunks_exact(probe_len).enumerate() {
                let [sums] = sums::<T, 1, 2>(indices, entries);
                kept[first + i].0[word] |= survivors(&sums, &alphas, batch, first + i) << shift;
            }
        }
    }
}

/// Makes the signs of a block indices: for each word and tile those of the low nibbles of its bytes, then those of the high ones.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn index_signs<const T: usize>(signs: &[u32], indices: &mut [[Indices; 2]]) {
    let nibble = _mm512_set1_epi8(15);
    // Byte b of a lane looks into the b-th of four tables of 16 entries.
    let table = _mm512_set1_epi32(0x3020_1000);
    let words = signs.as_chunks::<TILE_ROWS>().0;
    let tiles = words.chunks_exact(words.len() / T);
    for (t, tile) in tiles.enumerate() {
        for (word, [low, high]) in tile.iter().zip(indices.iter_mut().skip(t).step_by(T)) {
            // SAFETY: a word of a tile is 64 bytes long, and so are indices, which are aligned.
            unsafe {
                let signs = _mm512_loadu_si512(word.as_ptr().cast());
                let low_index = _mm512_ternarylogic_epi32::<AND_OR>(signs, nibble, table);
                let shifted = _mm512_srli_epi32::<4>(signs);
                let high_index = _mm512_ternarylogic_epi32::<AND_OR>(shifted, nibble, table);
                _mm512_store_si512(low.0.as_mut_ptr().cast(), low_index);
                _mm512_store_si512(high.0.as_mut_ptr().cast(), high_index);
            }
        }
    }
}

/// L of 16·T rows for each of N probes, each added up in C chains: with few sums in flight each waits for the one before.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
#[inline]
fn sums<const T: usize, const N: usize, const C: usize>(
    indices: &[[[Indices; 2]; T]],
    entries: &[Entries],
) -> [[__m512i; T]; N] {
    let ones = _mm512_set1_epi8(1);
    let mut sums = [[[_mm512_setzero_si512(); T]; N]; C];
    let probes: [&[[Entries; 2]]; N] =
        std::array::from_fn(|n| &entries.as_chunks::<2>().0[n * indices.len()..][..indices.len()]);
    for (w, indices) in indices.iter().enumerate() {
        for half in [0, 1] {
            // SAFETY: indices are 64 bytes long and aligned.
            let indices: [__m512i; T] =
                std::array::from_fn(|t| unsafe { _mm512_load_si512(indices[t][half].0.as_ptr().cast()) });
            for n in 0..N {
                // SAFETY: the entries of half a word are 64 bytes long and aligned.
                let entries = unsafe { _mm512_load_si512(probes[n][w][half].0.as_ptr().cast()) };
                for t in 0..T {
                    let found = _mm512_permutexvar_epi8(indices[t], entries);
                    sums[half % C][n][t] = _mm512_dpbusd_epi32(sums[half % C][n][t], found, ones);
                }
            }
        }
    }
    let mut total = sums[0];
    for sums in &sums[1..] {
        for n in 0..N {
            for t in 0..T {
                total[n][t] = _mm512_add_epi32(total[n][t], sums[n][t]);
            }
        }
    }
    total
}

/// The rows of a block whose sums reach the probe's line, a bit each.
#[target_feature(enable = "avx512f")]
#[inline]
fn survivors<const T: usize>(
    sums: &[__m512i; T],
    alphas: &[__m512; T],
    batch: &SignBatch,
    probe: usize,
) -> u64 {
    let (slope, intercept) = (
        _mm512_set1_ps(batch.slopes[probe]),
        _mm512_set1_ps(batch.intercepts[probe]),
    );
    let mut rows = 0;
    for t in 0..T {
        let line = _mm512_add_ps(_mm512_mul_ps(slope, alphas[t]), intercept);
        let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_cvtepi32_ps(sums[t]), line);
        rows |= u64::from(mask) << (t * TILE_ROWS);
    }
    rows
}

/// Asks for what stage 2 will read of the survivors.
#[target_feature(enable = "avx512f")]
#[inline]
fn ask_for_codes(page: &PageView<'_>, kept: &Kept, positions: &mut Positions) {
    let row_len = page.nibbles.len() / page.len();
    for position in kept.list(positions) {
        let position = usize::from(*position);
        let row = page.nibbles.as_ptr().wrapping_add(position * row_len);
        for line in (0..row_len).step_by(64) {
            _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(line).cast());
        }
        _mm_prefetch::<_MM_HINT_T0>(page.figures.as_ptr().wrapping_add(position).cast());
    }
}

/// Asks for cache lines.
#[target_feature(enable = "avx512f")]
#[inline]
fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
    }
}
