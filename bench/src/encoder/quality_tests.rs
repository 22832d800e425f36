//! Tests of tenths.

use super::*;

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
