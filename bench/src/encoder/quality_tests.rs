//! Tests of tenths and of who fails.

use super::*;

#[test]
fn one_mate_too_far_is_a_failure_of_both() {
    let captures = [(10, vec![1.0, 0.0]), (20, vec![1.0, 0.0]), (30, vec![0.0, 1.0])];
    assert_eq!(judged(&captures), [(10, true), (20, true), (30, true)]);
    assert_eq!(judged(&captures[..2]), [(10, false), (20, false)]);
}

#[test]
fn tenths_are_in_order_of_quality() {
    let captures = (0..20_u8).rev().map(|quality| (quality, quality < 3)).collect();
    let tenths = tenths(captures);
    assert_eq!(tenths.len(), 10);
    assert_eq!(
        tenths[0],
        Tenth {
            from: 0,
            to: 1,
            failed: 1.0
        }
    );
    assert_eq!(
        tenths[1],
        Tenth {
            from: 2,
            to: 3,
            failed: 0.5
        }
    );
    assert_eq!(
        tenths[9],
        Tenth {
            from: 18,
            to: 19,
            failed: 0.0
        }
    );
}
