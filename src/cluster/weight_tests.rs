//! Tests of weights.

use super::*;

#[test]
fn a_node_owns_what_it_holds_unless_it_is_slow() {
    assert_eq!(weigh(4_096, 10_000, None), 4_096);
    assert_eq!(weigh(4_096, 10_000, Some(4_000)), 4_096);
    assert_eq!(weigh(4_096, 1_000, None), 1_000);
    // Nobody is without any.
    assert_eq!(weigh(0, 0, None), 1);
    assert_eq!(weigh(4_096, 0, Some(0)), 1);
}

#[test]
fn another_measurement_of_the_same_machine_moves_nothing() {
    for memory in [1_000, 4_096] {
        for scanned in [667, 900, 1_000, 1_100, 1_500] {
            assert_eq!(weigh(memory, scanned, Some(1_000)), 1_000, "{scanned}");
        }
    }
    assert_eq!(weigh(4_096, 666, Some(1_000)), 666);
    assert_eq!(weigh(4_096, 1_501, Some(1_000)), 1_501);
    // Nor where memory is the less by one measurement, and not by another.
    assert_eq!(weigh(1_000, 1_000, Some(667)), 667);
}

#[test]
fn a_former_weight_is_not_kept_beyond_the_memory_that_there_is_now() {
    assert_eq!(weigh(1_100, 1_050, Some(1_500)), 1_100);
    assert_eq!(weigh(u32::MAX, u32::MAX - 1, Some(u32::MAX - 2)), u32::MAX - 2);
}
