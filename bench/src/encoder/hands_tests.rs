//! Tests of how far a region is off.

use super::*;

#[test]
fn a_corner_that_is_off_counts_in_sides() {
    let square = [[10.0, 10.0], [110.0, 10.0], [10.0, 110.0], [110.0, 110.0]];
    assert!(off(square, square).abs() < 1e-9);
    let mut moved = square;
    moved[2] = [13.0, 106.0];
    assert!((off(moved, square) - 0.05).abs() < 1e-6);
}
