//! Stage 2 with AMX: tiles of 16 rows times tiles of 16 probes. Must be called where the processor has AMX int8, AVX-512 F and BW, and the
//! system has given the process tiles.
//!
//! A pass multiplies two tiles of rows with two tiles of probes, 64 coordinates a step, into four tiles of sums. The sums of a pass are stored, and
//! looked at in the next pass: what is loaded and compared then keeps the core busy while the tiles are multiplied.
#![expect(unsafe_code, reason = "tiles have no safe instructions")]

#[cfg(all(test, target_os = "linux"))]
mod emulation;

use std::arch::asm;
use std::arch::x86_64::{
    __cpuid, __cpuid_count, _MM_HINT_T0, _mm_prefetch, _mm512_and_si512, _mm512_maskz_loadu_epi8,
    _mm512_set1_epi8, _mm512_srli_epi32, _mm512_store_si512,
};

use std::sync::OnceLock;

use bytemuck::{Pod, Zeroable, cast_slice_mut};
use zeroize::Zeroize;

use crate::engine::gallery::{PageView, TILE_ROWS};

use super::block::{BLOCK_ROWS, UNREACHABLE, thresholds};
use super::{Batch, Hits, VECTOR_LEN, Vector, vectors_len};

/// Probes of a tile.
const TILE_PROBES: usize = 16;
/// Probes and rows of a pass.
const PASS: usize = 32;
/// Bits of CPUID leaf 7, edx (Intel SDM).
const CPUID_AMX_TILE: u32 = 1 << 24;
const CPUID_AMX_INT8: u32 = 1 << 25;
/// `arch_prctl` asks for a component of the processor's state (Linux, arch/x86/include/uapi/asm/prctl.h).
const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
/// The component that holds the tiles' data (Intel SDM, volume 1, 13.1).
const XFEATURE_XTILEDATA: usize = 18;
/// Number of the system call on x86-64.
const SYS_ARCH_PRCTL: usize = 158;

/// One step: 64 coordinates of 32 rows and 32 probes.
macro_rules! step {
    () => {
        "tileloadd tmm4, [{rows}+{row_len}*1]
        tileloadd tmm6, [{probes}+{vector}*1]
        tdpbusd tmm0, tmm4, tmm6
        tileloadd tmm7, [{later_probes}+{vector}*1]
        tdpbusd tmm1, tmm4, tmm7
        tileloadd tmm5, [{lower_rows}+{row_len}*1]
        tdpbusd tmm2, tmm5, tmm6
        tdpbusd tmm3, tmm5, tmm7
        add {rows}, 64
        add {lower_rows}, 64
        add {probes}, 1024
        add {later_probes}, 1024"
    };
}

/// The largest sum of each probe over the 16 rows of a tile.
macro_rules! largest {
    ($to:literal, $from:literal) => {
        concat!(
            "vmovdqa32 ", $to, ", [", $from, "]\n",
            largest!(@row $to, $from, "64"), largest!(@row $to, $from, "128"), largest!(@row $to, $from, "192"),
            largest!(@row $to, $from, "256"), largest!(@row $to, $from, "320"), largest!(@row $to, $from, "384"),
            largest!(@row $to, $from, "448"), largest!(@row $to, $from, "512"), largest!(@row $to, $from, "576"),
            largest!(@row $to, $from, "640"), largest!(@row $to, $from, "704"), largest!(@row $to, $from, "768"),
            largest!(@row $to, $from, "832"), largest!(@row $to, $from, "896"), largest!(@row $to, $from, "960"),
        )
    };
    (@row $to:literal, $from:literal, $at:literal) => {
        concat!("vpmaxsd ", $to, ", ", $to, ", [", $from, "+", $at, "]\n")
    };
}

/// Whether the process can use tiles of 8-bit integers; in tests also where they are emulated.
pub(in crate::engine) fn is_available() -> bool {
    #[cfg(all(test, target_os = "linux"))]
    if !in_processor() {
        return emulation::install();
    }
    is_native()
}

/// Whether the processor has tiles of 8-bit integers and the system permits the process to use them. It is asked once: threads that are started after
/// it have tiles too.
pub(in crate::engine) fn is_native() -> bool {
    static NATIVE: OnceLock<bool> = OnceLock::new();
    *NATIVE.get_or_init(|| in_processor() && permit())
}

/// Whether the processor has tiles of 8-bit integers.
fn in_processor() -> bool {
    let known = __cpuid(0).eax >= 7;
    let features = if known { __cpuid_count(7, 0).edx } else { 0 };
    features & (CPUID_AMX_TILE | CPUID_AMX_INT8) == CPUID_AMX_TILE | CPUID_AMX_INT8
}

/// Asks the system for tiles; false where it refuses or knows none.
#[cfg(not(target_os = "linux"))]
fn permit() -> bool {
    false
}

/// Asks the system for tiles; false where it refuses or knows none.
#[cfg(target_os = "linux")]
fn permit() -> bool {
    let answer: isize;
    // SAFETY: the call changes nothing but what the process may use; the kernel clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") SYS_ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    answer == 0
}

/// The probes of a batch as tiles, the last pair of tiles filled with zeros: for each pair of 16 probes first the steps of the first 16, then those of the
/// others. Row i of a tile holds coordinates 4i to 4i + 3 of a step, in the order of vectors, of 16 probes.
pub(super) fn tiles(batch: &Batch) -> Vec<Vector> {
    let steps = vectors_len(batch.dim);
    let probes = batch.len().next_multiple_of(PASS);
    let mut tiles = vec![Vector([0; VECTOR_LEN]); probes / TILE_PROBES * steps * TILE_ROWS];
    for probe in 0..batch.len() {
        let (tile, column) = (probe / TILE_PROBES, probe % TILE_PROBES);
        for (step, vector) in batch.vectors_of(probe).iter().enumerate() {
            for (row, four) in vector.0.as_chunks::<4>().0.iter().enumerate() {
                let to = &mut tiles[(tile * steps + step) * TILE_ROWS + row].0;
                to[column * 4..column * 4 + 4].copy_from_slice(four);
            }
        }
    }
    tiles
}

/// Shape of all tiles: 16 rows of 64 bytes (Intel SDM, LDTILECFG).
#[repr(C, align(64))]
struct TileConfig([u8; 64]);

/// Tiles of this thread, given back when dropped.
struct Tiles;

impl Tiles {
    /// # Safety
    /// The processor must have AMX and the system must have permitted it.
    unsafe fn configure() -> Self {
        let mut config = TileConfig([0; 64]);
        config.0[0] = 1;
        for tile in 0..8 {
            config.0[16 + 2 * tile] = 64;
            config.0[48 + tile] = 16;
        }
        // SAFETY: the configuration is 64 bytes of palette 1 with shapes within its limits.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) };
        Self
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the thread configured its tiles and nobody uses them after this.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Limits of the probes of a pass.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Limits([i32; PASS]);

/// Sums of a pass: rows 0 to 15 with probes 0 to 15 and 16 to 31, then rows 16 to 31.
#[repr(C, align(64))]
struct Sums([[[i32; TILE_PROBES]; TILE_ROWS]; 4]);

/// Working memory of a thread. Wiped when dropped.
struct Scratch {
    /// A block of rows, a coordinate a byte, in the order of vectors.
    rows: Vec<Vector>,
    /// Sums of two passes, in turn.
    sums: Box<[Sums; 2]>,
    /// Which of them the next pass fills.
    now: usize,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for vector in &mut self.rows {
            vector.0.zeroize();
        }
        for Sums(sums) in &mut *self.sums {
            sums.zeroize();
        }
    }
}

impl Scratch {
    fn new(dim: usize) -> Self {
        let sums = || Sums([[[0; TILE_PROBES]; TILE_ROWS]; 4]);
        Self {
            rows: vec![Vector([0; VECTOR_LEN]); BLOCK_ROWS * vectors_len(dim)],
            sums: Box::new([sums(), sums()]),
            now: 0,
        }
    }

    /// Spreads the nibbles of `rows` rows from `position` on; what is left of the block keeps rows that were there.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn unpack(&mut self, page: &PageView<'_>, position: usize, rows: usize, dim: usize) {
        let low_nibbles = _mm512_set1_epi8(15);
        let row_len = dim / 2;
        let nibbles = &page.nibbles[position * row_len..(position + rows) * row_len];
        let vectors = self.rows.chunks_exact_mut(vectors_len(dim));
        for (vectors, nibbles) in vectors.zip(nibbles.chunks_exact(row_len)) {
            for (pair, bytes) in vectors
                .as_chunks_mut::<2>()
                .0
                .iter_mut()
                .zip(nibbles.chunks(VECTOR_LEN))
            {
                let wanted = u64::MAX >> (VECTOR_LEN - bytes.len());
                // SAFETY: the mask keeps the load within `bytes`; a vector is 64 bytes long and aligned.
                unsafe {
                    let packed = _mm512_maskz_loadu_epi8(wanted, bytes.as_ptr().cast());
                    let high = _mm512_srli_epi32::<4>(packed);
                    _mm512_store_si512(
                        pair[0].0.as_mut_ptr().cast(),
                        _mm512_and_si512(packed, low_nibbles),
                    );
                    _mm512_store_si512(pair[1].0.as_mut_ptr().cast(), _mm512_and_si512(high, low_nibbles));
                }
            }
        }
    }
}

/// A pass whose sums were not looked at yet.
#[derive(Clone, Copy)]
struct Pass<'a> {
    page: &'a PageView<'a>,
    /// Of its first row.
    position: usize,
    first_probe: usize,
}

/// Scans pages.
pub(in crate::engine::cpu) fn pages(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    // SAFETY: the table of kernels hands this function out only where the processor has the features and the system permits them.
    unsafe { scan(pages, batch, hits) }
}

/// # Safety
/// As for [`Tiles::configure`].
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn scan(pages: &[PageView<'_>], batch: &Batch, hits: &mut Hits<'_>) {
    // SAFETY: the caller's promise.
    let _tiles = unsafe { Tiles::configure() };
    let mut scratch = Scratch::new(batch.dim);
    let groups = batch.len().div_ceil(PASS);
    let mut limits = vec![Limits([UNREACHABLE; PASS]); groups];
    // The last pass and its limits; before the first one there are sums that nothing asks for.
    let mut last = None;
    let mut last_limits = Limits([UNREACHABLE; PASS]);
    for (index, page) in pages.iter().enumerate() {
        for position in (0..page.len()).step_by(BLOCK_ROWS) {
            if !thresholds(page, position, batch, cast_slice_mut(&mut limits)) {
                continue;
            }
            let rows = (page.len() - position).min(BLOCK_ROWS);
            let halves = rows.div_ceil(PASS);
            scratch.unpack(page, position, rows, batch.dim);
            let ahead = next_block(pages, index, position, batch.dim);
            let mut ahead = ahead.chunks(ahead.len().div_ceil(groups * halves).max(1));
            for (group, limits) in limits.iter().enumerate() {
                for half in 0..halves {
                    prefetch(ahead.next().unwrap_or_default());
                    // SAFETY: the caller's promise.
                    let reached = unsafe { multiply(&mut scratch, half, batch, group, &last_limits) };
                    if reached != 0 {
                        look_closer(&scratch, last, reached, batch, hits);
                    }
                    last = Some(Pass {
                        page,
                        position: position + half * PASS,
                        first_probe: group * PASS,
                    });
                    last_limits = *limits;
                    scratch.now = 1 - scratch.now;
                }
            }
        }
    }
    let reached = reached(&scratch.sums[1 - scratch.now], &last_limits);
    look_closer(&scratch, last, reached, batch, hits);
}

/// Multiplies 32 rows of the block with 32 probes and says for which probes of the pass before a sum reaches its limit: bit i for probe i.
///
/// # Safety
/// The thread's tiles must be configured.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn multiply(scratch: &mut Scratch, half: usize, batch: &Batch, group: usize, limits: &Limits) -> u32 {
    let steps = vectors_len(batch.dim);
    let rows = &scratch.rows[half * PASS * steps..(half + 1) * PASS * steps];
    let probes = &batch.tiles[group * PASS * steps..(group + 1) * PASS * steps];
    let [first, second] = &mut *scratch.sums;
    let (now, before) = if scratch.now == 0 {
        (first, second)
    } else {
        (second, first)
    };
    let reached: u32;
    // SAFETY: steps is even and at least 2. The rows are 32 of `steps` vectors each, the probes two tiles of 16 vectors for each step; sums are four tiles,
    // limits two vectors, all aligned. The compiler keeps nothing in tiles.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            step!(),
            largest!("zmm0", "{before}"),
            step!(),
            largest!("zmm1", "{before}+2048"),
            "sub {steps}, 2",
            "jz 3f",
            step!(),
            largest!("zmm2", "{before}+1024"),
            step!(),
            largest!("zmm3", "{before}+3072"),
            "sub {steps}, 2",
            "jz 4f",
            "2:",
            step!(),
            "dec {steps}",
            "jnz 2b",
            "jmp 4f",
            "3:",
            largest!("zmm2", "{before}+1024"),
            largest!("zmm3", "{before}+3072"),
            "4:",
            "vpmaxsd zmm0, zmm0, zmm1",
            "vpmaxsd zmm2, zmm2, zmm3",
            "vpcmpd k1, zmm0, [{limits}], 5",
            "vpcmpd k2, zmm2, [{limits}+64], 5",
            "kunpckwd k1, k2, k1",
            "kmovd {reached:e}, k1",
            "tilestored [{now}+{vector}*1], tmm0",
            "tilestored [{now}+{vector}*1+1024], tmm1",
            "tilestored [{now}+{vector}*1+2048], tmm2",
            "tilestored [{now}+{vector}*1+3072], tmm3",
            rows = inout(reg) rows.as_ptr() => _,
            lower_rows = inout(reg) rows[TILE_ROWS * steps..].as_ptr() => _,
            row_len = in(reg) steps * VECTOR_LEN,
            probes = inout(reg) probes.as_ptr() => _,
            later_probes = inout(reg) probes[TILE_ROWS * steps..].as_ptr() => _,
            vector = in(reg) VECTOR_LEN,
            steps = inout(reg) steps => _,
            now = in(reg) now,
            before = in(reg) before,
            limits = in(reg) limits,
            reached = out(reg) reached,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("k1") _, out("k2") _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack)
        );
    }
    reached
}

/// For which probes a sum reaches its limit, as [`multiply`] says it of the pass before: bit i for probe i.
fn reached(Sums(tiles): &Sums, limits: &Limits) -> u32 {
    let mut reached = 0;
    for (tile, rows) in tiles.iter().enumerate() {
        let first = tile % 2 * TILE_PROBES;
        for row in rows {
            for (column, (sum, limit)) in row.iter().zip(&limits.0[first..]).enumerate() {
                reached |= u32::from(sum >= limit) << (first + column);
            }
        }
    }
    reached
}

/// Looks at the sums of some probes of the last pass.
#[cold]
fn look_closer(
    scratch: &Scratch,
    pass: Option<Pass<'_>>,
    mut reached: u32,
    batch: &Batch,
    hits: &mut Hits<'_>,
) {
    let Some(Pass {
        page,
        position,
        first_probe,
    }) = pass
    else {
        return;
    };
    let Sums(tiles) = &scratch.sums[1 - scratch.now];
    let rows = (page.len() - position).min(PASS);
    while reached != 0 {
        let bit = reached.trailing_zeros() as usize;
        reached &= reached - 1;
        let (tile, column) = (bit / TILE_PROBES, bit % TILE_PROBES);
        let mut sums = [0; PASS];
        for (sum, row) in sums.iter_mut().zip(tiles[tile].iter().chain(&tiles[tile + 2])) {
            *sum = row[column];
        }
        let probe = first_probe + bit;
        if probe < batch.len() {
            hits.take(page, position, &sums[..rows], probe, batch.figures_of(probe));
        }
    }
}

/// Nibbles of the block after the one at `position`, which may be the first of the next page.
fn next_block<'a>(pages: &[PageView<'a>], index: usize, position: usize, dim: usize) -> &'a [u8] {
    let block_len = BLOCK_ROWS * dim / 2;
    let start = (position + BLOCK_ROWS) * dim / 2;
    let rest = pages
        .get(index)
        .and_then(|page| page.nibbles.get(start..))
        .unwrap_or_default();
    let rest = if rest.is_empty() {
        pages.get(index + 1).map_or(rest, |page| page.nibbles)
    } else {
        rest
    };
    rest.get(..block_len).unwrap_or(rest)
}

/// Asks for cache lines.
#[inline]
fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        // SAFETY: asking for a line touches nothing; every x86-64 processor has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

#[cfg(test)]
#[path = "amx_tests.rs"]
mod tests;
