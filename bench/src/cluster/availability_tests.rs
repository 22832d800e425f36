//! Which calls count, and what they come to.

use super::*;
use crate::cluster::standing::Why;

fn call(from_ms: u64, to_ms: u64, is_answered: bool) -> Call {
    Call {
        from: Duration::from_millis(from_ms),
        to: Duration::from_millis(to_ms),
        refusal: (!is_answered).then(|| Refusal {
            words: "UNAVAILABLE".to_owned(),
            during: if from_ms < 2_000 { "" } else { "node slow" }.to_owned(),
        }),
    }
}

fn window(from_ms: u64, to_ms: u64) -> Window {
    Window {
        from: Duration::from_millis(from_ms),
        to: Duration::from_millis(to_ms),
        why: Why::Database,
    }
}

#[test]
fn without_windows_every_call_counts() {
    let calls = [
        call(0, 10, true),
        call(100, 130, true),
        call(200, 2_200, false),
        call(300, 320, true),
    ];
    let availability = Availability::of(&calls, &[]);
    assert_eq!(availability.share, Some(0.75));
    assert_eq!(availability.share_of_all, Some(0.75));
    assert_eq!((availability.counted, availability.unanswered), (4, 1));
    assert_eq!(availability.excluded_seconds, 0);
    assert_eq!(availability.p50_ms, Some(20.0), "of answers alone: 10, 20 and 30");
    assert_eq!(availability.max_ms, Some(30.0));
}

#[test]
fn calls_that_overlap_a_second_of_a_window_do_not_count() {
    let windows = [window(2_500, 3_500)];
    let calls = [
        // Over before second 2 begins.
        call(1_000, 1_999, true),
        // Under way when it begins.
        call(1_500, 2_000, false),
        // Within.
        call(2_100, 2_200, false),
        // Due in the last second of it.
        call(3_999, 5_000, false),
        // Due after it.
        call(4_000, 4_040, false),
    ];
    let availability = Availability::of(&calls, &windows);
    assert_eq!((availability.counted, availability.excluded), (2, 3));
    assert_eq!(availability.share, Some(0.5));
    assert_eq!(availability.share_of_all, Some(0.2));
    assert_eq!(availability.excluded_seconds, 2);
    let slow = Unanswered {
        count: 1,
        first_s: 4.0,
        last_s: 4.0,
    };
    let during = BTreeMap::from([("node slow".to_owned(), slow)]);
    assert_eq!(availability.refused_during, during, "of those that count alone");
}

#[test]
fn seconds_of_windows_count_once() {
    let windows = [
        window(5_100, 5_200),
        window(1_000, 1_100),
        window(5_300, 6_100),
        window(1_900, 2_000),
    ];
    assert_eq!(seconds(&windows), [(1, 3), (5, 7)]);
}

#[test]
fn nothing_is_claimed_where_no_call_counts() {
    let availability = Availability::of(&[call(0, 10, true)], &[window(0, 20)]);
    assert_eq!(availability.share, None);
    assert_eq!(availability.share_of_all, Some(1.0));
    assert_eq!(Availability::of(&[], &[]).share_of_all, None);
}
