//! Tests of the division of cores.

use super::*;

#[test]
fn every_core_is_in_one_half() {
    for (all, first, second) in [
        (&[0, 1][..], &[0][..], &[1][..]),
        (&[1, 4, 7], &[1, 4], &[7]),
        (&[0, 2, 4, 6], &[0, 2], &[4, 6]),
    ] {
        assert_eq!(halves(all), Some((first, second)));
    }
    assert_eq!(halves(&[3]), None);
}

#[test]
fn this_thread_leaves_what_it_gives_away() {
    // A thread of its own, for the others' sake.
    let done = std::thread::spawn(|| {
        let before = sched_getaffinity(None).expect("known");
        let command = leave_half();
        (before, command, sched_getaffinity(None).expect("known"))
    });
    let (before, command, after) = done.join().expect("ends");
    if before.count() == 1 {
        assert!(command.is_err());
        return;
    }
    let command = command.expect("divided");
    let given: Vec<usize> = command[2]
        .split(',')
        .map(|core| core.parse().expect("a number"))
        .collect();
    assert_eq!(given.len() + after.count() as usize, before.count() as usize);
    assert!(
        given
            .iter()
            .all(|core| before.is_set(*core) && !after.is_set(*core))
    );
}
