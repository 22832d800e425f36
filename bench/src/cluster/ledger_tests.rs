//! Who is there, who was erased, who is in doubt.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

#[test]
fn subjects_have_numbers_of_their_own_and_states() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut ledger = Ledger::new(1_000);
    assert_eq!(ledger.pick(State::Present, &mut rng), None);
    assert_eq!(ledger.begin_erase(&mut rng), None, "nobody is there");
    let (one, other) = (ledger.begin_enroll(), ledger.begin_enroll());
    assert_eq!((one, other), (1_000, 1_001));
    assert_eq!(ledger.begin_erase(&mut rng), None, "who is in doubt is not there");
    ledger.turn(one, State::Present);
    assert_eq!(ledger.pick(State::Present, &mut rng), Some(one));
    assert_eq!(ledger.begin_erase(&mut rng), Some(one));
    assert_eq!(ledger.state(one), State::Erasing);
    assert_eq!(ledger.count(State::Present), 0);
    ledger.turn(one, State::Erased);
    ledger.turn(other, State::Present);
    assert_eq!(ledger.all(State::Erased), [one]);
    assert_eq!(ledger.all(State::Present), [other]);
}

#[test]
fn everybody_is_picked_at_times() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut ledger = Ledger::new(0);
    for _ in 0..4 {
        let number = ledger.begin_enroll();
        ledger.turn(number, State::Present);
    }
    let mut picked: Vec<u64> = (0..200)
        .filter_map(|_| ledger.pick(State::Present, &mut rng))
        .collect();
    picked.sort_unstable();
    picked.dedup();
    assert_eq!(picked, [0, 1, 2, 3]);
}
