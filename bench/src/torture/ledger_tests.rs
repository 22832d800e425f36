//! That the model knows who has to be there.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Came, Enrolled, Ledger};
use crate::torture::verdict::State;

fn answer() -> Enrolled {
    Enrolled {
        references: vec![1],
        sequence: 1,
    }
}

fn enrolled(ledger: &mut Ledger) -> u64 {
    let number = ledger.begin_enroll();
    ledger.enrolled(number, answer());
    number
}

#[test]
fn a_subject_is_in_doubt_until_it_is_acknowledged_or_seen() {
    let mut ledger = Ledger::new("acme");
    let [a, b, c] = [(); 3].map(|()| ledger.begin_enroll());
    assert_eq!(ledger.living(), 0);
    ledger.enrolled(a, answer());
    ledger.settle(b, true);
    ledger.settle(c, false);
    assert_eq!(
        [a, b, c].map(|number| ledger.state(number)),
        [State::Present, State::Present, State::Absent]
    );
    assert_eq!(ledger.living(), 2);
    // Seen once, it stays: what is seen later changes nothing.
    ledger.settle(b, false);
    ledger.settle(c, true);
    assert_eq!(
        (ledger.state(b), ledger.state(c)),
        (State::Present, State::Absent)
    );
    // Until its request is repeated.
    ledger.enrolled(c, answer());
    assert_eq!((ledger.state(c), ledger.living()), (State::Present, 3));
}

#[test]
fn an_erasure_takes_one_of_those_that_are_there() {
    let mut ledger = Ledger::new("acme");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert_eq!(ledger.begin_erase(&mut rng), None);
    let all: Vec<u64> = (0..20).map(|_| enrolled(&mut ledger)).collect();
    let mut gone = Vec::new();
    for erasure in 0..10 {
        let number = ledger.begin_erase(&mut rng).expect("some are there");
        assert!(!gone.contains(&number), "nobody is erased twice");
        assert_eq!(ledger.state(number), State::Erasing);
        ledger.erased(number, erasure);
        assert_eq!(ledger.erasure(number), Some(erasure));
        gone.push(number);
    }
    assert_eq!(ledger.living(), 10);
    for _ in 0..100 {
        let (here, erased) = (ledger.pick_present(&mut rng), ledger.pick_erased(&mut rng));
        assert!(all.contains(&here.expect("some")) && !gone.contains(&here.expect("some")));
        assert!(gone.contains(&erased.expect("some")));
    }
    let in_doubt = ledger.begin_erase(&mut rng).expect("some are there");
    ledger.settle(in_doubt, true);
    assert_eq!((ledger.state(in_doubt), ledger.living()), (State::Present, 10));
}

#[test]
fn an_import_repeated_brings_back_nobody_who_was_erased() {
    let mut ledger = Ledger::new("acme");
    let import = ledger.begin_import(3);
    assert_eq!(ledger.came(1), &Came::Imported(import));
    ledger.imported(import, 7);
    let gone = ledger
        .begin_erase(&mut ChaCha8Rng::seed_from_u64(1))
        .expect("one");
    ledger.erased(gone, 1);
    ledger.imported(import, 7);
    assert_eq!((ledger.state(gone), ledger.living()), (State::Erased, 2));
}

#[test]
fn touched_are_those_that_changed_since() {
    let mut ledger = Ledger::new("acme");
    let (a, b) = (enrolled(&mut ledger), ledger.begin_enroll());
    let touched = ledger.take_touched();
    assert_eq!(touched.iter().copied().collect::<Vec<_>>(), [a, b]);
    assert_eq!(ledger.in_doubt(&touched), [b]);
    assert!(ledger.take_touched().is_empty());
    ledger.settle(b, true);
    assert_eq!(ledger.take_touched().into_iter().collect::<Vec<_>>(), [b]);
}

#[test]
fn the_history_owes_nothing_about_those_who_left() {
    let mut ledger = Ledger::new("acme");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let number = enrolled(&mut ledger);
    ledger.answered("r-1".to_owned(), Some(number), true);
    ledger.answered("r-2".to_owned(), None, false);
    assert_eq!(ledger.events(false).len(), 2);
    ledger.events_checked();
    assert!(ledger.events(false).is_empty());
    assert_eq!(ledger.begin_erase(&mut rng), Some(number));
    let left: Vec<String> = ledger
        .events(true)
        .into_iter()
        .map(|event| event.request)
        .collect();
    assert_eq!(left, ["r-2"]);
}

#[test]
fn a_loss_of_power_may_take_events_that_are_not_durable() {
    let mut ledger = Ledger::new("acme");
    ledger.answered("r-1".to_owned(), None, false);
    ledger.answered("r-2".to_owned(), None, true);
    ledger.events_checked();
    ledger.answered("r-3".to_owned(), None, false);
    ledger.answered("r-4".to_owned(), None, true);
    ledger.power_lost();
    let requests = |all| -> Vec<String> {
        let events = ledger.events(all).into_iter();
        events.map(|event| event.request).collect()
    };
    assert_eq!(requests(true), ["r-2", "r-4"]);
    assert_eq!(requests(false), ["r-4"]);
}
