//! Tests of how long copies of former objects stay: as long as there is hope for the next ones, and no longer.

use super::*;

#[test]
fn a_former_copy_stays_for_a_time_that_counts_from_when_it_was_first_seen() {
    let (succession, began) = (Succession::default(), Instant::now());
    let (first, second) = (Ulid::from_bytes([1; 16]), Ulid::from_bytes([2; 16]));
    let staying = |former: &[Ulid], after: Duration| {
        let mut staying: Vec<Ulid> = succession
            .staying(former.iter().copied(), began + after)
            .into_iter()
            .collect();
        staying.sort();
        staying
    };
    assert_eq!(staying(&[first], Duration::ZERO), [first]);
    let later = WAIT_MAX / 2;
    assert_eq!(staying(&[first, second], later), [first, second]);
    assert_eq!(staying(&[first, second], WAIT_MAX), [second]);
    // One that was succeeded, and is a former one again, has its time again.
    assert_eq!(staying(&[second], WAIT_MAX), [second]);
    assert_eq!(staying(&[first, second], WAIT_MAX + later), [first]);
}
