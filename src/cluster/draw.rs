//! The numbers behind a placement: keys, draws and their costs. Integers alone, since a logarithm in floating point differs among C libraries
//! and every node has to find the same owners.

use aws_lc_rs::digest::{Context, SHA256};

/// Fractional bits of a cost.
const FRACTION_BITS: u32 = 40;
/// One as a cost.
const ONE: u64 = 1 << FRACTION_BITS;
/// Bits of the mantissa that choose an entry of the table.
const INDEX_BITS: u32 = 12;
/// Intervals of the table.
const INTERVALS: usize = 1 << INDEX_BITS;
/// Bits of the mantissa between two entries. The difference of two entries has fewer than 30, so that their product fits.
const BETWEEN_BITS: u32 = 32;
/// 2⁶⁴ divided by the golden ratio, to the nearest odd number: multiples of it are spread evenly over all of 64 bits.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// log₂(1 + i/4,096), with the fractional bits of a cost, rounded down.
static LOG2: [u64; INTERVALS + 1] = log2_table();

/// What stands for a list of parts in a draw: the first 8 bytes of SHA-256. Each part is preceded by its length, so that no two lists give the same input.
pub(super) fn key(parts: &[&[u8]]) -> u64 {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let first = digest.as_ref().first_chunk();
    u64::from_le_bytes(*first.expect("SHA-256 gives 32 bytes"))
}

/// The draw of a node for a part, both given by their keys: uniform over 64 bits, and as good as independent of every other pair's.
pub(super) fn draw(part: u64, node: u64) -> u64 {
    mix(mix(part.wrapping_add(GOLDEN)) ^ node.wrapping_mul(GOLDEN))
}

/// −log₂(draw / 2⁶⁴) with 40 fractional bits: exponentially distributed and never 0. A lower draw never costs less.
///
/// Interpolated between the entries of a table: for draws below 1 − 2⁻²⁴ off by less than one part in 10,000, everywhere the same on every machine.
pub(super) fn cost(draw: u64) -> u64 {
    // 0 has no logarithm.
    let draw = draw | 1;
    let zeros = draw.leading_zeros();
    let mantissa = draw << zeros << 1;
    // Of 12 bits: there is an entry behind each.
    let index = (mantissa >> (u64::BITS - INDEX_BITS)) as usize;
    let between = (mantissa << INDEX_BITS) >> (u64::BITS - BETWEEN_BITS);
    let (below, above) = (LOG2[index], LOG2[index + 1]);
    // Less than `above`, and so than one: the cost is 1 at least.
    let log2 = below + (((above - below) * between) >> BETWEEN_BITS);
    (u64::from(zeros) + 1) * ONE - log2
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014, with Stafford's constants "Mix13"): every bit of the input changes each bit of the output
/// with a probability near one half.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[expect(clippy::large_stack_arrays, reason = "made by the compiler")]
const fn log2_table() -> [u64; INTERVALS + 1] {
    let mut table = [0; INTERVALS + 1];
    let mut index = 0;
    while index < INTERVALS {
        table[index] = log2((1 << 63) | ((index as u64) << (63 - INDEX_BITS)));
        index += 1;
    }
    table[INTERVALS] = ONE;
    table
}

/// log₂ of a number of 1 to 2 with 63 fractional bits, bit by bit: the square of the number is 2 or more where the next bit is 1.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the square of a number below 2, halved from 2 on, is below 2"
)]
const fn log2(mut number: u64) -> u64 {
    let (mut log2, mut bit) = (0, 0);
    while bit < FRACTION_BITS {
        let square = (number as u128 * number as u128) >> 63;
        let carry = (square >> 64) as u32;
        log2 = (log2 << 1) | carry as u64;
        number = (square >> carry) as u64;
        bit += 1;
    }
    log2
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
