//! Stage 1 on the CPU: what all kernels share. The GPU twin is `shaders/sign.wgsl`.
//!
//! The sum ⟨q, σ⟩ of a row is looked up: the signs of four neighbouring coordinates are an index into 16 sums, which a probe knows. They are
//! rounded up to 8 bits in steps of t above the smallest, so that
//!
//! ```text
//! ⟨q, σ⟩ ≤ t·L + base,    L = Σ entry[g][signs of group g], an exact integer
//! ```
//!
//! and a row survives where L ≥ m·α + k: the line of the bound in steps of t.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(super) mod portable;

use bytemuck::{Pod, Zeroable};
use half::bf16;
use zeroize::Zeroize;

use crate::engine::bound::QuantizedProbe;
use crate::engine::gallery::{PAGE_LEN, PageView, WORD_SIGNS};

/// Coordinates of a group.
const GROUP: usize = 4;
/// Sums of a group.
const SUMS: usize = 1 << GROUP;
/// Groups of a word.
const WORD_GROUPS: usize = WORD_SIGNS / GROUP;
/// Bytes of a word.
const WORD_BYTES: usize = WORD_GROUPS / 2;
/// Largest entry.
const ENTRY_MAX: f64 = 255.0;
/// Adding and subtracting it rounds a small non-negative number to an integer.
const ROUNDER: f64 = 4_503_599_627_370_496.0;
/// Relative slack for the single-precision roundings of m·α + k.
const ROUNDING: f64 = 1.0 / 1_048_576.0;
/// Words of a row whose entries add up to less than 2^16: 256 groups of 255 at most.
const WORDS_IN_16_BITS: usize = 32;
/// Probes whose sums lie side by side for kernels without look-up instructions.
const LANES: usize = 8;
/// With fewer probes than that, each looks up whole bytes: side by side most lanes would be idle.
const LANES_MIN: usize = 3;
/// Rows of a word of [`Kept`].
const KEPT_ROWS: usize = 64;
/// Positions listed together: a word seldom has more where stage 1 pays.
const AT_ONCE: usize = 4;

/// Finds the rows of a page that survive stage 1, for each probe of a batch. The words are the signs that will be scanned next.
pub(in crate::engine) type SignFn = fn(&PageView<'_>, &[u32], &SignBatch, &mut Scratch, &mut [Kept]);

/// How a kernel wants the sums of the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum SignLayout {
    /// In 8 bits, probe after probe.
    Entries,
    /// In 16 bits for look-ups without instructions of their own: those of [`LANES`] probes side by side, or those of whole bytes for a few probes.
    Tables,
}

/// Entries of half a word: its four low nibbles, or its four high ones.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Entries([[u8; SUMS]; 4]);

/// Entries of one group for probes side by side.
type Lanes = [[u16; LANES]; SUMS];
/// The sums of two entries, by a byte of signs.
type ByteSums = [u16; SUMS * SUMS];

/// The probes of a batch as stage 1 wants them. Wiped when dropped.
pub(in crate::engine) struct SignBatch {
    /// Words of a row.
    words: usize,
    /// For each probe and word the entries of the low nibbles of its bytes, then those of the high ones.
    entries: Vec<Entries>,
    /// For each [`LANES`] probes and group their entries, zeros beyond the last probe.
    lanes: Vec<Lanes>,
    /// For each probe and byte of a row its sums.
    bytes: Vec<ByteSums>,
    /// m and k of the probes, a column each.
    slopes: Vec<f32>,
    intercepts: Vec<f32>,
}

/// Working memory of a thread: the signs of some rows as indices into entries, in a kernel's own order. Wiped when dropped.
#[derive(Default)]
pub(in crate::engine) struct Scratch(Vec<Indices>);

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Indices([u8; 64]);

/// Rows of a page that survived stage 1 for a probe: bit i of word w is the row at position 64·w + i.
#[derive(Clone, Copy, Default)]
pub(in crate::engine) struct Kept([u64; PAGE_LEN / KEPT_ROWS]);

impl Drop for SignBatch {
    fn drop(&mut self) {
        for entries in &mut self.entries {
            entries.0.zeroize();
        }
        for lanes in &mut self.lanes {
            lanes.zeroize();
        }
        for bytes in &mut self.bytes {
            bytes.zeroize();
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for indices in &mut self.0 {
            indices.0.zeroize();
        }
    }
}

impl Scratch {
    /// Room for as many indices.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn indices(&mut self, count: usize) -> &mut [Indices] {
        if self.0.len() < count {
            self.0.resize(count, Indices([0; 64]));
        }
        &mut self.0[..count]
    }
}

impl Kept {
    /// Positions in the page, ascending.
    #[inline]
    pub(in crate::engine) fn list<'a>(&self, positions: &'a mut Positions) -> &'a [u16] {
        let mut len = 0;
        for (first, word) in (0_u16..).step_by(KEPT_ROWS).zip(self.0) {
            let mut rest = word;
            let end = len + word.count_ones() as usize;
            // Some places are always written, whatever is left in the word: which of them count is not known early enough for a branch.
            while let Some(places) = positions.0.get_mut(len..len + AT_ONCE) {
                for place in places {
                    let bit = (rest | 1 << (KEPT_ROWS - 1)).trailing_zeros();
                    *place = first | u16::try_from(bit).expect("less than 64");
                    rest &= rest.wrapping_sub(1);
                }
                len += AT_ONCE;
                if len >= end {
                    break;
                }
            }
            len = end;
        }
        &positions.0[..len]
    }
}

/// Room for the positions of all rows of a page, and for those that are written beyond the last.
pub(in crate::engine) struct Positions([u16; PAGE_LEN + AT_ONCE]);

impl Default for Positions {
    fn default() -> Self {
        Self([0; PAGE_LEN + AT_ONCE])
    }
}

impl SignBatch {
    /// None where a probe has no sign bound.
    pub(in crate::engine) fn new(probes: &[&QuantizedProbe], layout: SignLayout) -> Option<Self> {
        let words = probes.first()?.exact.len() / WORD_SIGNS;
        let mut batch = Self {
            words,
            entries: Vec::with_capacity(probes.len() * words * 2),
            lanes: Vec::new(),
            bytes: Vec::new(),
            slopes: Vec::with_capacity(probes.len()),
            intercepts: Vec::with_capacity(probes.len()),
        };
        for probe in probes {
            batch.push(probe)?;
        }
        if layout == SignLayout::Tables {
            if batch.len() < LANES_MIN {
                batch.join();
            } else {
                batch.interleave();
            }
            for entries in &mut batch.entries {
                entries.0.zeroize();
            }
            batch.entries.clear();
        }
        Some(batch)
    }

    /// Number of probes.
    pub(in crate::engine) fn len(&self) -> usize {
        self.slopes.len()
    }

    /// Adds the entries and the line of a probe.
    fn push(&mut self, probe: &QuantizedProbe) -> Option<()> {
        let bound = probe.sign?;
        let reach = |group: &[f32; GROUP]| group.iter().map(|q| f64::from(q.abs())).sum::<f64>();
        let groups = probe.exact.as_chunks::<GROUP>().0;
        let base: f64 = -groups.iter().map(reach).sum::<f64>();
        let step = groups.iter().map(reach).fold(f64::MIN_POSITIVE, f64::max) * 2.0 / ENTRY_MAX;
        let inverse = step.recip();
        for word in groups.as_chunks::<WORD_GROUPS>().0 {
            for half in [0, 1] {
                self.entries.push(Entries(std::array::from_fn(|byte| {
                    sums(&word[2 * byte + half], inverse)
                })));
            }
        }
        let line = [
            f64::from(bound.slope) / step,
            (f64::from(bound.intercept) - base) / step,
        ];
        // Entries are rounded up, but the largest may miss its sum by the last bits of its operations.
        let slack = ROUNDING * (line[0].abs() + line[1].abs() + 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded to single precision; the slack pays for it"
        )]
        let (slope, intercept) = (line[0] as f32, (line[1] - slack) as f32);
        self.slopes.push(slope);
        self.intercepts.push(intercept);
        Some(())
    }

    /// Puts the entries of probes side by side.
    fn interleave(&mut self) {
        let groups = self.words * WORD_GROUPS;
        self.lanes = vec![[[0; LANES]; SUMS]; self.len().div_ceil(LANES) * groups];
        for (probe, entries) in self.entries.chunks_exact(self.words * 2).enumerate() {
            let lanes = &mut self.lanes[probe / LANES * groups..][..groups];
            for (word, halves) in lanes
                .as_chunks_mut::<WORD_GROUPS>()
                .0
                .iter_mut()
                .zip(entries.as_chunks::<2>().0)
            {
                for (group, lanes) in word.iter_mut().enumerate() {
                    for (to, from) in lanes.iter_mut().zip(halves[group % 2].0[group / 2]) {
                        to[probe % LANES] = u16::from(from);
                    }
                }
            }
        }
    }

    /// Adds up the entries of the two groups of each byte.
    fn join(&mut self) {
        let words = self.entries.as_chunks::<2>().0.iter();
        let bytes = words.flat_map(|[low, high]| std::iter::zip(low.0, high.0));
        // Filled in place: what grows leaves copies behind.
        self.bytes.reserve_exact(self.entries.len() * WORD_BYTES / 2);
        self.bytes.extend(bytes.map(|(low, high)| -> ByteSums {
            std::array::from_fn(|signs| u16::from(low[signs % SUMS]) + u16::from(high[signs / SUMS]))
        }));
    }

    /// Whether a row survives for a probe: the statement that every kernel repeats, two roundings and no fusing.
    #[expect(clippy::cast_precision_loss, reason = "at most 255·512, so exact")]
    #[inline]
    fn survives(&self, probe: usize, alpha: bf16, sum: u32) -> bool {
        sum as f32 >= self.slopes[probe] * alpha.to_f32() + self.intercepts[probe]
    }
}

/// Entries of a group: Σ ±q in steps above the smallest, rounded up, by the signs as bits.
fn sums(group: &[f32; GROUP], inverse: f64) -> [u8; SUMS] {
    let mut sums = [0.0_f64; SUMS];
    sums[0] = group
        .iter()
        .map(|q| f64::from(q.abs()) - f64::from(*q))
        .sum::<f64>()
        * inverse;
    for (bit, q) in group.iter().enumerate() {
        let (known, next) = sums.split_at_mut(1 << bit);
        for (next, known) in next.iter_mut().zip(known) {
            *next = *known + 2.0 * f64::from(*q) * inverse;
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 256 by the choice of the step, and a cast saturates"
    )]
    sums.map(|sum| ((sum + 0.5 + ROUNDER) - ROUNDER) as u8)
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
