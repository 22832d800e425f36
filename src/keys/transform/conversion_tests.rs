//! Tests of a conversion: it is protection by the next rotation, within what the docs say of scores; what is none is refused.

use half::f16;

use super::*;
use crate::keys::secret::SecretKey;
use crate::keys::transform::{Rotation, gaussian};

fn dim(count: usize) -> Dimension {
    Dimension::new(count).expect("valid")
}

fn rotation(number: u8, count: usize) -> Rotation {
    Rotation::derive(
        &SecretKey::from_bytes([number; 32]),
        u32::from(number),
        dim(count),
    )
}

/// Unit vectors, row after row.
#[expect(clippy::cast_possible_truncation, reason = "single precision is meant")]
fn palms(count: usize, d: usize) -> Vec<f32> {
    let seed = SecretKey::from_bytes([9; 32]);
    let mut rows: Vec<f32> = gaussian::standard_normals(&seed, count * d)
        .iter()
        .map(|value| *value as f32)
        .collect();
    rows.chunks_exact_mut(d).for_each(super::super::normalize);
    rows
}

/// As they are stored.
fn halved(rows: &[f32]) -> Vec<f32> {
    rows.iter().map(|v| f16::from_f32(*v).to_f32()).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn protected(rotation: &Rotation, rows: &[f32]) -> Vec<f32> {
    let mut rows = rows.to_vec();
    rotation.protect_rows(&mut rows);
    rows
}

#[test]
fn it_takes_what_one_rotation_protects_to_what_the_next_does() {
    for d in [32, 256, 512] {
        let (former, next) = (rotation(1, d), rotation(2, d));
        let palms = palms(20, d);
        let mut rows = protected(&former, &palms);
        let before = rows.clone();
        former.to(&next).convert_rows(&mut rows);
        let expected = protected(&next, &palms);
        let worst = rows.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let worst = worst.fold(0.0, f32::max);
        assert!(worst < 1e-6, "{d}: off by {worst}");
        for (before, after) in before.chunks_exact(d).zip(rows.chunks_exact(d)) {
            assert!(dot(before, after).abs() < 0.9, "it moved");
        }
    }
}

/// `cargo test --lib conversion -- --nocapture` prints the figures of docs/operations.md.
#[test]
fn a_rotation_moves_scores_by_one_more_rounding() {
    let d = 256;
    let rotations: Vec<Rotation> = (1..=9).map(|number| rotation(number, d)).collect();
    let palms = palms(200, d);
    let mut stored = halved(&protected(&rotations[0], &palms));
    let scores = |rotation: &Rotation, stored: &[f32]| -> Vec<f64> {
        let probes = protected(rotation, &palms);
        let of = |probe: &[f32]| {
            stored
                .chunks_exact(d)
                .map(|row| dot(probe, row))
                .collect::<Vec<_>>()
        };
        probes.chunks_exact(d).flat_map(of).collect()
    };
    let first = scores(&rotations[0], &stored);
    let mut before = first.clone();
    let mut worst: f64 = 0.0;
    for pair in rotations.windows(2) {
        pair[0].to(&pair[1]).convert_rows(&mut stored);
        stored = halved(&stored);
        let after = scores(&pair[1], &stored);
        worst = before
            .iter()
            .zip(&after)
            .map(|(a, b)| (a - b).abs())
            .fold(worst, f64::max);
        before = after;
    }
    let total = first
        .iter()
        .zip(&before)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    println!(
        "{} scores at {d} dimensions: one rotation moves none by more than {worst:.1e}, {} rotations by {total:.1e}",
        first.len(),
        rotations.len() - 1
    );
    assert!(worst <= 1.0 / 1024.0, "the bound for whatever rows");
    assert!(worst < 2e-4 && total < 4e-4, "{worst} and {total}");
    assert!(worst > 1e-6, "a row is rounded once more");
}

#[test]
fn holes_stay_holes() {
    let mut rows = vec![0.0; 64];
    rotation(1, 32).to(&rotation(2, 32)).convert_rows(&mut rows);
    assert_eq!(rows, vec![0.0; 64]);
}

#[test]
fn what_comes_from_elsewhere_is_orthogonal_or_refused() {
    let given = |values: Vec<f32>| Conversion::new(dim(32), Zeroizing::new(values));
    let sound = rotation(1, 32).to(&rotation(2, 32));
    let taken = given(sound.values().to_vec()).expect("orthogonal");
    assert_eq!(taken.values(), sound.values());
    let refused = |change: &dyn Fn(&mut Vec<f32>), word: &str| {
        let mut values = sound.values().to_vec();
        change(&mut values);
        let refusal = given(values).err().expect("refused");
        assert!(refusal.problem.contains(word), "{refusal}");
    };
    refused(&|values| values.truncate(1_023), "coordinates");
    refused(&|values| values.extend([0.0; 32]), "coordinates");
    refused(&|values| values[7] = f32::NAN, "finite");
    refused(&|values| values[7] = f32::INFINITY, "finite");
    refused(&|values| values[7] += 1e-3, "orthogonal");
    refused(
        &|values| values.iter_mut().for_each(|v| *v *= 1.001),
        "orthogonal",
    );
    refused(&|values| values.fill(0.0), "orthogonal");
    refused(
        &|values| {
            let row = values[..32].to_vec();
            values[32..64].copy_from_slice(&row);
        },
        "orthogonal",
    );
}
