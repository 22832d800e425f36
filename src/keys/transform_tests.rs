//! Tests of the rotation: the same everywhere, orthogonal, Haar, separating tenants; one vector and a batch agree.

use super::*;
use crate::keys::encoding::to_hex;

fn dim(count: usize) -> Dimension {
    Dimension::new(count).expect("valid")
}

fn key(number: u32) -> SecretKey {
    SecretKey::from_bytes([7; 32]).derive(&[&number.to_le_bytes()])
}

/// Some unit vector.
fn signature(number: u32, dim: Dimension) -> Signature {
    let normals = gaussian::standard_normals(&key(number).derive(&[b"signature"]), dim.get());
    let norm = normals.iter().map(|v| v * v).sum::<f64>().sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "single precision is meant")]
    let values = normals.iter().map(|v| (v / norm) as f32).collect();
    Signature::new(values, dim).expect("unit")
}

fn cosine(a: &Signature, b: &Signature) -> f64 {
    let products = a.values().iter().zip(b.values());
    products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn the_digest_has_a_known_answer() {
    // Computed with a second implementation, in Python (whose floats are binary64), of key derivation,
    // ChaCha20, normal numbers and Gram–Schmidt.
    for (bytes, version, expected) in KNOWN_DIGESTS {
        let rotation = Rotation::derive(&SecretKey::from_bytes([bytes; 32]), version, dim(32));
        assert_eq!(to_hex(&rotation.id().digest), expected);
        assert_eq!(rotation.id().version, version);
    }
}

const KNOWN_DIGESTS: [(u8, u32, &str); 2] = [
    (
        1,
        1,
        "9a1dc08d0028cd9e873cca8eb22f4516b8f0a5153f072c481dc6e7ff4a1c1172",
    ),
    (
        0xa5,
        3,
        "105df2d3ad921a88c583f927b1856a6980eb8ef1464e9b53492b1abf01479d20",
    ),
];

#[test]
fn key_version_and_dimension_each_give_another_digest() {
    let digest = |key: &SecretKey, version, count| Rotation::derive(key, version, dim(count)).id().digest;
    let one = digest(&key(1), 1, 64);
    assert_eq!(one, digest(&key(1), 1, 64));
    for other in [
        digest(&key(2), 1, 64),
        digest(&key(1), 2, 64),
        digest(&key(1), 1, 96),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn cosines_within_a_tenant_stay() {
    for count in [32, 256] {
        let rotation = Rotation::derive(&key(1), 1, dim(count));
        for number in 0..8 {
            let (a, b) = (signature(number, dim(count)), signature(number + 1, dim(count)));
            let (inside, outside) = (
                cosine(&rotation.protect(&a), &rotation.protect(&b)),
                cosine(&a, &b),
            );
            assert!((inside - outside).abs() < 2e-6, "{inside} and {outside}");
            assert!(cosine(&a, &rotation.protect(&a)).abs() < 0.9, "it moved");
        }
    }
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn across_tenants_a_palm_is_noise() {
    let d = 64;
    let palm = signature(1, dim(d));
    let rotated: Vec<Signature> = (0..60)
        .map(|number| Rotation::derive(&key(number), 1, dim(d)).protect(&palm))
        .collect();
    let mut scores = Vec::new();
    for (at, a) in rotated.iter().enumerate() {
        scores.extend(rotated[..at].iter().map(|b| cosine(a, b)));
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let variance = scores.iter().map(|s| s * s).sum::<f64>() / scores.len() as f64;
    assert!(mean.abs() < 0.015, "mean {mean}");
    assert!((variance * d as f64 - 1.0).abs() < 0.15, "variance {variance}");
    assert!(scores.iter().all(|s| s.abs() < 0.7));
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn a_fixed_vector_goes_everywhere_alike() {
    // Under Haar measure R·x is uniform on the sphere: every coordinate has mean 0, variance 1/D and fourth moment
    // 3/(D(D+2)), for a basis vector as for any other, and no two coordinates are correlated.
    let (d, keys) = (32, 1_500_u32);
    let mut axis = vec![0.0; d];
    axis[d - 1] = 1.0;
    let axis = Signature::new(axis, dim(d)).expect("unit");
    let mut sums = vec![[0.0; 3]; d];
    let mut neighbours = 0.0;
    for number in 0..keys {
        let rotated = Rotation::derive(&key(number), 1, dim(d)).protect(&axis);
        for (sum, v) in sums.iter_mut().zip(rotated.values()) {
            let v = f64::from(*v);
            for (sum, power) in sum.iter_mut().zip([v, v * v, v.powi(4)]) {
                *sum += power / f64::from(keys);
            }
        }
        let values = rotated.values();
        neighbours += values.windows(2).map(|w| f64::from(w[0] * w[1])).sum::<f64>() / f64::from(keys);
    }
    let (dimension, root) = (d as f64, f64::from(keys).sqrt());
    for (at, [mean, square, fourth]) in sums.iter().enumerate() {
        assert!(
            mean.abs() < 5.0 / (dimension.sqrt() * root),
            "mean of {at}: {mean}"
        );
        let square = square * dimension;
        assert!(
            (square - 1.0).abs() < 5.0 * 1.42 / root,
            "variance of {at}: {square}"
        );
        let fourth = fourth * dimension * (dimension + 2.0) / 3.0;
        assert!((fourth - 1.0).abs() < 0.5, "fourth moment of {at}: {fourth}");
    }
    assert!(neighbours.abs() < 5.0 / (dimension.sqrt() * root), "{neighbours}");
}

#[test]
fn a_batch_and_single_vectors_agree() {
    let d = dim(96);
    let rotation = Rotation::derive(&key(1), 1, d);
    for count in [0, 1, 300] {
        let signatures: Vec<Signature> = (0..count).map(|number| signature(number, d)).collect();
        let mut rows: Vec<f32> = signatures.iter().flat_map(|s| s.values().to_vec()).collect();
        rotation.protect_rows(&mut rows);
        assert_eq!(rows.len(), signatures.len() * d.get());
        for (row, signature) in rows.chunks_exact(d.get()).zip(&signatures) {
            let single = rotation.protect(signature);
            for (a, b) in row.iter().zip(single.values()) {
                assert!((a - b).abs() < 1e-6, "{a} and {b}");
            }
            let norm: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!((norm - 1.0).abs() < 1e-6, "{norm}");
        }
    }
}

#[test]
#[should_panic(expected = "parsed for this tenant")]
fn another_dimension_is_a_defect() {
    let _ = Rotation::derive(&key(1), 1, dim(32)).protect(&signature(1, dim(64)));
}

#[test]
fn common_dimensions_are_derived_quickly() {
    // The limits are some ten times what it takes, for machines under load.
    for (count, seconds_max) in [(256, 3.0), (512, 15.0)] {
        let begun = std::time::Instant::now();
        let rotation = Rotation::derive(&key(1), 1, dim(count));
        let seconds = begun.elapsed().as_secs_f64();
        eprintln!("derived {count} in {seconds:.3} s");
        assert_eq!(rotation.resident_bytes(), count * count * 4);
        assert!(seconds < seconds_max, "{count} took {seconds} s");
    }
}
