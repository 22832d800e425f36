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
    match batch.len() {
        1 => scan_few::<1>(page, next, batch, kept),
        2 => scan_few::<2>(page, next, batch, kept),
        3 => scan_few::<3>(page, next, batch, kept),
        _ => scan_many(page, next, batch, scratch, kept),
    }
    if batch.len() < ASK_ALL_PROBES_MIN {
        let mut positions = Positions::default();
        for kept in kept {
            ask_for_codes(page, kept, &mut positions);
        }
    }
}

/// Scans a page for N probes, so few that they wait for memory: a tile at a time, which keeps requests to it even, by indices that stay in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn scan_few<const N: usize>(page: &PageView<'_>, next: &[u32], batch: &SignBatch, kept: &mut [Kept]) {
    let ones = _mm512_set1_epi8(1);
    let tile_len = batch.words * TILE_ROWS;
    let ahead = page.signs.chunks(tile_len).chain(next.chunks(tile_len));
    let mut ahead = ahead.skip(PREFETCH_TILES);
    let probes: [&[[Entries; 2]]; N] = probes(&batch.entries, batch.words);
    let tiles = page.signs.chunks_exact(tile_len);
    for (tile, (signs, alphas)) in tiles.zip(page.alphas.chunks_exact(TILE_ROWS)).enumerate() {
        prefetch(cast_slice(ahead.next().unwrap_or_default()));
        // Two chains a probe: with few sums in flight each waits for the one before.
        let mut sums = [[_mm512_setzero_si512(); 2]; N];
        for (w, word) in signs.as_chunks::<TILE_ROWS>().0.iter().enumerate() {
            let indices = index(word);
            for (sums, probe) in sums.iter_mut().zip(probes) {
                for half in [0, 1] {
                    let found = _mm512_permutexvar_epi8(indices[half], load(&probe[w][half]));
                    sums[half] = _mm512_dpbusd_epi32(sums[half], found, ones);
                }
            }
        }
        let (first, alphas) = (tile * TILE_ROWS, [widened(alphas)]);
        for (probe, [low, high]) in sums.into_iter().enumerate() {
            let rows = survivors(&[_mm512_add_epi32(low, high)], &alphas, batch, probe);
            kept[probe].0[first / KEPT_ROWS] |= rows << (first % KEPT_ROWS);
        }
    }
}

/// Scans a page for probes that share its signs, a block at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn scan_many(page: &PageView<'_>, next: &[u32], batch: &SignBatch, scratch: &mut Scratch, kept: &mut [Kept]) {
    let block_len = batch.words * KEPT_ROWS;
    let mut codes = page.nibbles.chunks(page.nibbles.len() / page.len() * KEPT_ROWS);
    let ahead = page.signs.chunks(block_len).chain(next.chunks(block_len));
    let mut ahead = ahead.skip(PREFETCH_TILES / BLOCK_TILES);
    let blocks = page.signs.chunks(block_len).zip(page.alphas.chunks(KEPT_ROWS));
    for (word, (signs, alphas)) in blocks.enumerate() {
        prefetch(cast_slice(ahead.next().unwrap_or_default()));
        let codes = if batch.len() < ASK_ALL_PROBES_MIN {
            None
        } else {
            codes.next()
        };
        let block = Block {
            word,
            signs,
            alphas,
            codes: codes.unwrap_or_default(),
        };
        match alphas.len() / TILE_ROWS {
            4 => block.scan::<4>(batch, scratch, kept),
            3 => block.scan::<3>(batch, scratch, kept),
            2 => block.scan::<2>(batch, scratch, kept),
            _ => block.scan::<1>(batch, scratch, kept),
        }
    }
}

/// The rows of one word of [`Kept`], four tiles or what is left of a page.
struct Block<'a> {
    word: usize,
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
        let alphas: [__m512; T] =
            std::array::from_fn(|t| widened(&self.alphas[t * TILE_ROWS..][..TILE_ROWS]));
        let probe_len = batch.words * 2;
        let groups = batch.entries.chunks(GROUP * probe_len);
        let mut codes = self.codes.chunks(self.codes.len().div_ceil(groups.len()).max(1));
        for (group, entries) in groups.enumerate() {
            let first = group * GROUP;
            prefetch(codes.next().unwrap_or_default());
            if entries.len() == GROUP * probe_len {
                for (i, sums) in sums::<T, GROUP>(indices, entries).iter().enumerate() {
                    kept[first + i].0[self.word] = survivors(sums, &alphas, batch, first + i);
                }
                continue;
            }
            for (i, entries) in entries.chunks_exact(probe_len).enumerate() {
                let [sums] = sums::<T, 1>(indices, entries);
                kept[first + i].0[self.word] = survivors(&sums, &alphas, batch, first + i);
            }
        }
    }
}

/// α of a tile in single precision.
#[target_feature(enable = "avx512f")]
#[inline]
fn widened(alphas: &[bf16]) -> __m512 {
    assert_eq!(alphas.len(), TILE_ROWS, "one a row");
    // SAFETY: a tile has 16 alphas of 2 bytes.
    let alphas = unsafe { _mm256_loadu_si256(alphas.as_ptr().cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(alphas)))
}

/// The signs of a word of a tile as indices: the low nibbles of its bytes, then the high ones.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn index(word: &[u32; TILE_ROWS]) -> [__m512i; 2] {
    let nibble = _mm512_set1_epi8(15);
    // Byte b of a lane looks into the b-th of four tables of 16 entries.
    let table = _mm512_set1_epi32(0x3020_1000);
    // SAFETY: a word of a tile is 64 bytes long.
    let signs = unsafe { _mm512_loadu_si512(word.as_ptr().cast()) };
    [signs, _mm512_srli_epi32::<4>(signs)]
        .map(|signs| _mm512_ternarylogic_epi32::<AND_OR>(signs, nibble, table))
}

/// Makes the signs of a block indices, for each word and tile.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn index_signs<const T: usize>(signs: &[u32], indices: &mut [[Indices; 2]]) {
    let words = signs.as_chunks::<TILE_ROWS>().0;
    let tiles = words.chunks_exact(words.len() / T);
    for (t, tile) in tiles.enumerate() {
        for (word, to) in tile.iter().zip(indices.iter_mut().skip(t).step_by(T)) {
            for (to, from) in to.iter_mut().zip(index(word)) {
                // SAFETY: indices are 64 bytes long and aligned.
                unsafe { _mm512_store_si512(to.0.as_mut_ptr().cast(), from) };
            }
        }
    }
}

/// The entries of N probes, two a word.
#[inline]
fn probes<const N: usize>(entries: &[Entries], words: usize) -> [&[[Entries; 2]]; N] {
    std::array::from_fn(|n| &entries.as_chunks().0[n * words..][..words])
}

/// The entries of half a word.
#[target_feature(enable = "avx512f")]
#[inline]
fn load(entries: &Entries) -> __m512i {
    // SAFETY: they are 64 bytes long and aligned.
    unsafe { _mm512_load_si512(entries.0.as_ptr().cast()) }
}

/// L of 16·T rows for each of N probes.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
#[inline]
fn sums<const T: usize, const N: usize>(
    indices: &[[[Indices; 2]; T]],
    entries: &[Entries],
) -> [[__m512i; T]; N] {
    let ones = _mm512_set1_epi8(1);
    let mut sums = [[_mm512_setzero_si512(); T]; N];
    let probes: [&[[Entries; 2]]; N] = probes(entries, indices.len());
    for (w, indices) in indices.iter().enumerate() {
        for half in [0, 1] {
            // SAFETY: indices are 64 bytes long and aligned.
            let indices: [__m512i; T] =
                std::array::from_fn(|t| unsafe { _mm512_load_si512(indices[t][half].0.as_ptr().cast()) });
            for (sums, probe) in sums.iter_mut().zip(probes) {
                let entries = load(&probe[w][half]);
                for (sum, indices) in sums.iter_mut().zip(indices) {
                    let found = _mm512_permutexvar_epi8(indices, entries);
                    *sum = _mm512_dpbusd_epi32(*sum, found, ones);
                }
            }
        }
    }
    sums
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
