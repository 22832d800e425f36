//! Tests that scores are drawn from the distributions whose tails are computed.

use super::*;

#[test]
fn as_many_scores_lie_above_as_the_tails_say() {
    const SCORES: u32 = 100_000;
    for kind in KINDS {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let scores: Vec<f64> = (0..SCORES).map(|_| (kind.draw)(&mut rng)).collect();
        for score in [0.02, 0.06, 0.12, 0.18] {
            let expected = (kind.above)(score) * f64::from(SCORES);
            let above = scores.iter().filter(|drawn| **drawn > score).count();
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            let apart = (above as f64 - expected).abs();
            assert!(
                apart < 5.0 * (expected + 1.0).sqrt(),
                "{} above {score}: {above}, {expected}",
                kind.name
            );
        }
    }
}

#[test]
fn far_out_the_wider_scores_are_all_there_are() {
    let rare = &KINDS[7];
    let ratio = (rare.above)(6.0 * NARROW) / (0.01 * normal_above(6.0 * NARROW, 1.5 * NARROW));
    assert!((1.0..1.01).contains(&ratio), "{ratio}");
}

#[test]
fn every_distribution_has_a_row_whose_quantiles_are_in_order() {
    let rows = measure(20_000, 5, 1).expect("thresholds");
    assert_eq!(rows.len(), KINDS.len());
    for row in rows {
        for (found, times) in row.strictness.iter().zip(TIMES) {
            assert!((found.times - times).abs() < 1e-9);
            assert!(
                0.0 < found.low && found.low <= found.median && found.median <= found.high,
                "{row:?}"
            );
        }
    }
}
