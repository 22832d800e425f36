//! Tests of the normal numbers: the logarithm is right, the moments and tails are those of a normal distribution.

use super::*;

#[test]
fn the_logarithm_agrees_with_the_library_s() {
    let mut x = 1.0_f64;
    for step in 0..5_000 {
        x *= if step % 2 == 0 { 0.981 } else { 0.999 };
        let (ours, theirs) = (ln(x), x.ln());
        assert!(
            (ours - theirs).abs() <= 4e-16 * theirs.abs().max(1e-3),
            "ln {x:e}: {ours} and {theirs}"
        );
    }
    assert_eq!(ln(1.0).to_bits(), 0.0_f64.to_bits());
    assert!((ln(f64::MIN_POSITIVE) - f64::MIN_POSITIVE.ln()).abs() < 1e-12);
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn moments_and_tails_are_normal() {
    let count = 400_000;
    let normals = standard_normals(&SecretKey::from_bytes([1; 32]), count);
    let moment = |power: i32| normals.iter().map(|v| v.powi(power)).sum::<f64>() / count as f64;
    // Five standard errors each: variances of the powers are 1, 2, 15 and 96.
    let error = 5.0 / (count as f64).sqrt();
    assert!(moment(1).abs() < error, "mean {}", moment(1));
    assert!((moment(2) - 1.0).abs() < 1.5 * error, "variance {}", moment(2));
    assert!(moment(3).abs() < 3.9 * error, "skewness {}", moment(3));
    assert!((moment(4) - 3.0).abs() < 9.8 * error, "kurtosis {}", moment(4));
    let beyond = normals.iter().filter(|v| v.abs() > 3.0).count() as f64 / count as f64;
    assert!((beyond - 0.0027).abs() < 0.0005, "{beyond} beyond 3");
}

#[test]
fn a_longer_list_begins_with_the_shorter() {
    let seed = SecretKey::from_bytes([2; 32]);
    let (short, long) = (standard_normals(&seed, 7), standard_normals(&seed, 20));
    assert_eq!(short[..], long[..7]);
    assert_ne!(short, standard_normals(&SecretKey::from_bytes([3; 32]), 7));
}
