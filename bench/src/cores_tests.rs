//! Tests of the division of cores.

use super::*;

#[test]
fn every_core_is_in_one_half() {
    for (all, first, second) in [
        (&[0, 1][..], &[0][..], &[1][..]),
        (&[1, 4, 7], &[1, 4], &[7]),
        (&[0, 2, 4, 6], &[0, 2], &[4, 6]),
    ] {
        assert!(halves(&set(all)) == Some((set(first), set(second))), "{all:?}");
    }
    assert!(halves(&set(&[3])).is_none());
}

#[test]
fn what_is_started_stays_on_its_cores_and_the_starter_on_its_own() {
    let own = sched_getaffinity(None).expect("known");
    let one = (0..CpuSet::MAX_CPU).find(|core| own.is_set(*core)).expect("one");
    let seen = on(Some(&set(&[one])), || {
        std::thread::spawn(|| sched_getaffinity(None))
            .join()
            .expect("ends")
            .map_err(Into::into)
    });
    assert!(seen.expect("known") == set(&[one]));
    assert!(sched_getaffinity(None).expect("known") == own);
}
