//! Tests of the catalog's numbers: they are a format and must not change.

use super::*;

#[test]
fn every_value_has_a_number_of_its_own() {
    fn check<T: Coded + PartialEq + std::fmt::Debug>() {
        for (at, (value, code)) in T::CODES.iter().enumerate() {
            assert_eq!(value.code(), *code, "{value:?}");
            let same = T::CODES.iter().position(|(_, other)| other == code);
            assert_eq!(same, Some(at), "{value:?}");
        }
    }
    check::<Hand>();
    check::<Method>();
    check::<PadVerdict>();
    check::<UsageKind>();
    check::<Outcome>();
}

#[test]
fn numbers_stay_what_they_were() {
    assert_eq!([Hand::Left, Hand::Right].map(Coded::code), [1, 2]);
    assert_eq!(
        [Method::Enroll, Method::Erase, Method::Import, Method::Policy].map(Coded::code),
        [1, 2, 3, 4]
    );
    assert_eq!(Outcome::Retake(RetakeReason::Ambiguous).code(), 5);
    assert_eq!(Outcome::Done.code(), 6);
    assert_eq!(PadVerdict::Attack.code(), 3);
    assert_eq!(
        [UsageKind::Enroll, UsageKind::Investigate].map(Coded::code),
        [3, 4]
    );
}

#[test]
fn unknown_numbers_are_refused() {
    let conn = rusqlite::Connection::open_in_memory().expect("in memory");
    let hand = conn.query_row("SELECT 3", [], |row| Hand::column(row, 0));
    assert!(hand.is_err());
    let negative = conn.query_row("SELECT -1", [], |row| uint(row, 0));
    assert!(negative.is_err());
}
