//! Tests of the waits between tries.

use super::*;

#[test]
fn waits_double_up_to_the_longest() {
    let seconds: Vec<u64> = (0..11).map(|attempts| wait(attempts, 1.0).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(wait(u32::MAX, 1.0), RETRY_LONGEST);
}

#[test]
fn chance_takes_up_to_half_of_a_wait() {
    for attempts in [0, 5, 40] {
        assert_eq!(wait(attempts, 0.0) * 2, wait(attempts, 1.0));
        assert!(wait(attempts, 0.5) > wait(attempts, 0.0));
    }
    let drawn: Vec<f64> = (0..20).map(|_| System.chance()).collect();
    assert!(
        drawn.iter().all(|chance| (0.0..=1.0).contains(chance)),
        "{drawn:?}"
    );
    assert!(
        drawn.windows(2).any(|two| two[0].to_bits() != two[1].to_bits()),
        "{drawn:?}"
    );
}
