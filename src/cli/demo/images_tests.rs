//! Tests of the check on images: who has to be found, and that nobody may be taken for somebody else.

use super::*;

fn passed(images: &Images) -> bool {
    images.checks().iter().all(|check| check.passed)
}

#[test]
fn too_few_found_a_stranger_taken_a_wrong_answer_or_nobody_asked_fails() {
    let good = || Images {
        mated: 60,
        found: 54,
        taken: 0,
        wrong: 0,
    };
    assert!(passed(&good()));
    let faults = [
        Images { found: 53, ..good() },
        Images { taken: 1, ..good() },
        Images { wrong: 1, ..good() },
        Images::default(),
    ];
    for fault in faults {
        assert!(!passed(&fault), "{fault:?}");
    }
}

#[test]
fn answers_count_by_who_asked_and_against_their_scores() {
    let mut images = Images::default();
    let mate = |score| Asker::Mate { subject: 7, score };
    images.count(mate(0.9), Answer::Match(Some(7)));
    images.count(mate(0.2), Answer::NoMatch);
    assert_eq!((images.mated, images.found, images.wrong), (2, 1, 0));
    images.count(mate(0.9), Answer::NoMatch);
    images.count(mate(0.2), Answer::Match(Some(7)));
    assert_eq!(images.wrong, 2, "a score above the threshold and one below it");
    images.count(Asker::Stranger, Answer::Ambiguous);
    images.count(Asker::Stranger, Answer::NoMatch);
    assert_eq!((images.mated, images.taken), (4, 1));
}
