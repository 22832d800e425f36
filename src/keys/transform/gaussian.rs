//! Standard normal numbers from a key, the same bits on every machine. Not fast, and no general generator.
//!
//! The polar method of Marsaglia and Bray (1964) needs a logarithm, and the platforms' libraries differ in its last
//! bits. So the logarithm is written out here in exact operations; its error is below 1e-15 relative.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::keys::secret::SecretKey;

/// Terms of the series of the logarithm: with z² ≤ 0.0295, the first one left out is below 1e-18 of the sum.
const LN_TERMS: u32 = 12;
/// Bits of the fraction of a binary64.
const FRACTION_BITS: u32 = 52;

/// `count` standard normal numbers from the generator `ChaCha20` keyed by `seed` (stream 0, from block 0).
pub(super) fn standard_normals(seed: &SecretKey, count: usize) -> Vec<f64> {
    let mut generator = ChaCha20Rng::from_seed(*seed.expose());
    let mut normals = Vec::with_capacity(count);
    while normals.len() < count {
        let (x, y) = (signed_uniform(&mut generator), signed_uniform(&mut generator));
        let s = x * x + y * y;
        if s >= 1.0 || s == 0.0 {
            continue;
        }
        let factor = (-2.0 * ln(s) / s).sqrt();
        normals.push(x * factor);
        if normals.len() < count {
            normals.push(y * factor);
        }
    }
    normals
}

/// Uniform on [-1, 1): the upper 53 bits of 64.
fn signed_uniform(generator: &mut ChaCha20Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let uniform = (generator.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
    2.0 * uniform - 1.0
}

/// The natural logarithm of a positive normal number: x = m·2ᵉ with m in (√½, √2], ln m = 2·artanh((m−1)/(m+1)).
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let mut exponent = i32::try_from(bits >> FRACTION_BITS).expect("11 bits, for x is positive") - 1023;
    let mut mantissa = f64::from_bits(fraction | 1023 << FRACTION_BITS);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut sum = 0.0;
    for term in (0..LN_TERMS).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * z * sum
}

#[cfg(test)]
#[path = "gaussian_tests.rs"]
mod tests;
