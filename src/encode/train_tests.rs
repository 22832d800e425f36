//! Tests of what is learned: components, their order, and the whitening.

use super::*;
use crate::model::signature::Dimension;

/// Features that vary along coordinates 0 to 39 alone, by turns, the first ones most.
fn varied() -> Vec<f32> {
    let mut features = Vec::new();
    for (coordinate, deviation) in (0..40_usize).zip((1..=40_u16).rev()) {
        for sign in [-1.0, 1.0] {
            let mut row = vec![0.5; FEATURES];
            row[coordinate] += sign * f32::from(deviation) * 0.01;
            features.extend(row);
        }
    }
    features
}

#[test]
fn components_come_in_the_order_of_their_variance() {
    let mut training = Training::new();
    training.add(&varied());
    let projection = training.projection(32, WHITENING).expect("enough samples");
    // Moving along coordinate k changes dimension k of the signature and no other.
    for k in [0, 7, 31] {
        let mut features = vec![0.5; FEATURES];
        features[k] += 0.1;
        let signature = projection.apply(&features);
        assert!(signature[k] > 0.99, "coordinate {k}: {:?}", &signature[..8]);
    }
}

#[test]
fn a_component_is_divided_by_a_power_of_its_variance() {
    let mut training = Training::new();
    training.add(&varied());
    let projection = training.projection(32, WHITENING).expect("enough samples");
    let mut features = vec![0.5; FEATURES];
    features[0] += 0.1;
    features[30] += 0.1;
    let signature = projection.apply(&features);
    // Deviations are 40 to 10, so variances 16 to 1.
    let expected = 16.0_f64.powf(WHITENING);
    let found = f64::from(signature[30] / signature[0]);
    assert!(
        (found / expected - 1.0).abs() < 0.02,
        "{found}, expected {expected}"
    );
}

#[test]
fn batches_do_not_matter() {
    let (mut whole, mut parts) = (Training::new(), Training::new());
    whole.add(&varied());
    for part in varied().chunks(FEATURES * 8) {
        parts.add(part);
    }
    let (whole, parts) = (
        whole.projection(32, WHITENING).expect("enough"),
        parts.projection(32, WHITENING).expect("enough"),
    );
    let mut features = vec![0.5; FEATURES];
    features[5] += 0.1;
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3;
    assert!(
        whole
            .apply(&features)
            .iter()
            .zip(&parts.apply(&features))
            .all(near)
    );
}

#[test]
fn too_few_images_are_refused() {
    let mut training = Training::new();
    training.add(&vec![0.5; 32 * FEATURES]);
    let refused = training.projection(32, WHITENING).expect_err("too few");
    assert_eq!(refused, TrainingError::TooFew { count: 32, dims: 32 });
}

#[test]
fn what_is_written_can_be_read() {
    let mut training = Training::new();
    training.add(&varied());
    let projection = training.projection(32, WHITENING).expect("enough samples");
    let dim = Dimension::new(32).expect("valid");
    assert_eq!(Projection::read(&projection.file(), dim), Ok(projection));
}
