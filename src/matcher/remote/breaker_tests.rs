//! Tests of the breaker: what opens it, what it lets through, what closes it.

use super::*;

fn fail(breaker: &Breaker, times: u32, now: Instant) {
    (0..times).for_each(|_| breaker.unreached(now));
}

#[test]
fn failures_in_a_row_open_it_and_one_call_a_second_goes_through() {
    let (breaker, now) = (Breaker::new("m".to_owned()), Instant::now());
    fail(&breaker, FAILURES_MAX - 1, now);
    breaker.enter(now).expect("still closed");
    fail(&breaker, 1, now);
    assert_eq!(breaker.enter(now), Err(FAILURES_MAX));
    let later = now + PROBE_EVERY;
    breaker.enter(later).expect("the probe");
    breaker.enter(later).expect_err("one alone");
    fail(&breaker, 1, later);
    assert_eq!(breaker.enter(later), Err(FAILURES_MAX + 1));
    // A probe of which nobody ever heard is followed by the next.
    breaker.enter(later + PROBE_EVERY).expect("the next probe");
}

#[test]
fn an_answer_closes_it_and_counts_from_the_beginning() {
    let (breaker, now) = (Breaker::new("m".to_owned()), Instant::now());
    fail(&breaker, FAILURES_MAX, now);
    breaker.enter(now + PROBE_EVERY).expect("the probe");
    breaker.reached(now + PROBE_EVERY);
    breaker.enter(now + PROBE_EVERY).expect("closed");
    fail(&breaker, FAILURES_MAX - 1, now);
    breaker.reached(now);
    fail(&breaker, FAILURES_MAX - 1, now);
    breaker.enter(now).expect("not in a row");
}

#[test]
fn silence_is_measured_from_a_moment() {
    let breaker = Breaker::new("m".to_owned());
    let now = Instant::now() + Duration::from_secs(1);
    assert!(breaker.silent_since(now));
    breaker.reached(now);
    assert!(!breaker.silent_since(now));
    assert!(breaker.silent_since(now + Duration::from_nanos(1)));
}

#[test]
fn silence_lasts_while_somebody_waits_whoever_it_is_and_ends_with_a_word() {
    let (breaker, begun) = (Breaker::new("m".to_owned()), Instant::now());
    let at = |millis| begun + Duration::from_millis(millis);
    let silence = |millis| breaker.silence(at(millis)).as_millis();
    let first = breaker.wait(at(1_000));
    let second = breaker.wait(at(1_400));
    drop(first);
    assert_eq!(silence(1_900), 900, "others gave up, one still waits");
    breaker.reached(at(2_000));
    assert_eq!(silence(2_300), 300, "since the last word");
    drop(second);
    let _third = breaker.wait(at(9_000));
    assert_eq!(silence(9_100), 100, "nobody had asked meanwhile");
}
