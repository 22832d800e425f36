//! Tests of the good clients: they come as often as they should, fixed beforehand, and who gets no answer counts as slow.

use super::*;

#[test]
fn people_come_at_their_rate_and_the_same_again() {
    let length = Duration::from_secs(100);
    let times: Vec<Duration> = arrivals(7, 50.0, length).collect();
    assert!((4_500..5_500).contains(&times.len()), "{}", times.len());
    assert!(times.is_sorted() && times.last().is_some_and(|last| *last < length));
    assert!(arrivals(7, 50.0, length).eq(times));
}

#[test]
fn whoever_gets_no_answer_counts_as_slow() {
    let mut outcome = Outcome::default();
    outcome.add(false, Duration::from_millis(2), Ok(()));
    outcome.add(false, Duration::from_millis(1), Err("refused".to_owned()));
    outcome.add(true, Duration::from_millis(3), Ok(()));
    assert_eq!(outcome.answers.quantile(0.5), Some(2.0));
    assert_eq!(outcome.answers.quantile(1.0), Some(5_000.0));
    assert_eq!(outcome.newcomers.quantile(1.0), Some(3.0));
    assert_eq!((outcome.failed, outcome.why.as_deref()), (1, Some("refused")));
}
