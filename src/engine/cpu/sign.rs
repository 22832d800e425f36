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
pub(super) mod avx512;
pub(super) mod portable;

use half::bf16;
use zeroize::Zeroize;

use crate::engine::bound::QuantizedProbe;
use crate::engine::gallery::{PageView, TILE_ROWS, WORD_SIGNS};

/// Coordinates of a group.
const GROUP: usize = 4;
/// Sums of a group.
const SUMS: usize = 1 << GROUP;
/// Groups of a word.
const WORD_GROUPS: usize = WORD_SIGNS / GROUP;
/// Largest entry.
const ENTRY_MAX: f64 = 255.0;
/// Relative slack for the single-precision roundings of m·α + k.
const ROUNDING: f64 = 1.0 / 1_048_576.0;

/// Finds the rows of a page that survive stage 1 for a probe.
pub(in crate::engine) type SignFn = fn(&PageView<'_>, &SignProbe, &mut Kept);

/// Entries of half a word: its four low nibbles, or its four high ones.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Entries([[u8; SUMS]; 4]);

/// A probe as stage 1 wants it. Wiped when dropped.
pub(in crate::engine) struct SignProbe {
    /// For each word of a row the entries of the low nibbles of its bytes, then those of the high ones.
    entries: Vec<Entries>,
    /// For each byte of a row the sums of its two entries.
    bytes: Vec<[u16; 256]>,
    slope: f32,
    intercept: f32,
}

impl Drop for SignProbe {
    fn drop(&mut self) {
        for entries in &mut self.entries {
            entries.0.zeroize();
        }
        self.bytes.zeroize();
    }
}

/// Rows of a page that survived stage 1.
#[derive(Default)]
pub(in crate::engine) struct Kept {
    /// Positions in the page, ascending, with room for a tile more than there are.
    positions: Vec<u32>,
    len: usize,
}

impl Kept {
    /// Forgets what it holds and makes room for the rows of a page.
    pub(in crate::engine) fn clear(&mut self, rows: usize) {
        self.len = 0;
        self.positions.resize(rows + TILE_ROWS, 0);
    }

    pub(in crate::engine) fn positions(&self) -> &[u32] {
        &self.positions[..self.len]
    }
}

impl SignProbe {
    /// None where the probe has no sign bound.
    pub(in crate::engine) fn new(probe: &QuantizedProbe) -> Option<Self> {
        let bound = probe.sign?;
        let groups: Vec<[f64; GROUP]> = probe
            .exact
            .as_chunks::<GROUP>()
            .0
            .iter()
            .map(|group| group.map(f64::from))
            .collect();
        let reach = |group: &[f64; GROUP]| group.iter().map(|q| q.abs()).sum::<f64>();
        let base: f64 = -groups.iter().map(reach).sum::<f64>();
        let step = groups.iter().map(reach).fold(f64::MIN_POSITIVE, f64::max) * 2.0 / ENTRY_MAX;
        let entry = |group: &[f64; GROUP], signs: usize| -> u8 {
            let sum: f64 = (0..GROUP)
                .map(|i| if signs >> i & 1 == 1 { group[i] } else { -group[i] })
                .sum();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 255 by the choice of the step, and a cast saturates"
            )]
            let entry = ((sum + reach(group)) / step).ceil() as u8;
            entry
        };
        let entries = groups
            .as_chunks::<WORD_GROUPS>()
            .0
            .iter()
            .flat_map(|word| {
                [0, 1].map(|half| {
                    Entries(std::array::from_fn(|byte| {
                        std::array::from_fn(|signs| entry(&word[2 * byte + half], signs))
                    }))
                })
            })
            .collect();
        let line = [
            f64::from(bound.slope) / step,
            (f64::from(bound.intercept) - base) / step,
        ];
        // Entries are rounded up, but the largest may miss its sum by the last bit of a division.
        let slack = ROUNDING * (line[0].abs() + line[1].abs() + 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded to single precision; the slack pays for it"
        )]
        Some(Self {
            entries,
            bytes: Vec::new(),
            slope: line[0] as f32,
            intercept: (line[1] - slack) as f32,
        })
    }

    /// Adds the tables of whole bytes, for kernels that look up one byte at a time.
    pub(in crate::engine) fn with_bytes(mut self) -> Self {
        self.bytes = self
            .entries
            .as_chunks::<2>()
            .0
            .iter()
            .flat_map(|[low, high]| {
                std::array::from_fn::<_, 4, _>(|byte| {
                    std::array::from_fn(|signs| {
                        u16::from(low.0[byte][signs & 15]) + u16::from(high.0[byte][signs >> 4])
                    })
                })
            })
            .collect();
        self
    }

    /// Whether a row survives: the statement that every kernel repeats, two roundings and no fusing.
    #[expect(clippy::cast_precision_loss, reason = "at most 255·512, so exact")]
    #[inline]
    fn survives(&self, alpha: bf16, sum: u32) -> bool {
        sum as f32 >= self.slope * alpha.to_f32() + self.intercept
    }
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
