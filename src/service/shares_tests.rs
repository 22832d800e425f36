//! Tests of shares: nobody has more than its own, others have theirs meanwhile, and what is given back is forgotten.

use super::*;

#[test]
fn each_has_its_own_and_gets_it_back() {
    let shares = Shares::new(2);
    let first = shares.take("ada").expect("one");
    let _second = shares.take("ada").expect("two");
    assert!(shares.take("ada").is_none(), "no third");
    let _other = shares.take("bob").expect("another's");
    drop(first);
    let _again = shares.take("ada").expect("given back");
    assert!(shares.clone().take("ada").is_none(), "clones are the same");
}

#[test]
fn whoever_has_none_is_forgotten() {
    let shares = Shares::new(1);
    for who in 0..1_000 {
        let share = shares.take(who).expect("the first");
        assert!(shares.take(who).is_none());
        drop(share);
    }
    assert!(shares.taken.lock().is_empty());
}
