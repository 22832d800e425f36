//! Tests of what counts as the same answer.

use super::*;

fn best(row: u32, score: f32) -> Best {
    Best { row, score }
}

#[test]
fn the_same_row_agrees() {
    assert_eq!(judge(Some(best(5, 0.7)), 5, 0.7, 0.4), None);
}

#[test]
fn nobody_agrees_with_a_row_below_the_threshold() {
    assert_eq!(judge(None, 5, 0.399, 0.4), None);
    assert_eq!(judge(None, 5, 0.4, 0.4), Some(false), "it was missed");
}

#[test]
fn another_row_is_explained_by_rounding_alone() {
    assert_eq!(judge(Some(best(5, 0.7)), 6, 0.7, 0.4), Some(true));
    assert_eq!(judge(Some(best(5, 0.7)), 6, 0.7 - 1e-6, 0.4), Some(true));
    assert_eq!(
        judge(Some(best(5, 0.7)), 6, 0.69, 0.4),
        Some(false),
        "the peer is wrong"
    );
    assert_eq!(
        judge(Some(best(5, 0.7)), 6, 0.7 + 1e-6, 0.4),
        Some(false),
        "thenar is wrong"
    );
}

#[test]
fn a_row_that_does_not_exist_is_never_explained() {
    assert_eq!(judge(Some(best(5, 0.7)), 9, f32::NAN, 0.4), Some(false));
    assert_eq!(judge(None, 9, f32::NAN, 0.4), Some(false));
}
