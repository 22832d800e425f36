//! Tests of the traffic's bookkeeping: rates, quantiles and checks.

use super::super::plan::tests::plan;
use super::*;

const STRANGER: Question = Question::Stranger(0);
const MATE: Question = Question::Mate {
    subject: 1,
    capture: 0,
};
const LATENCY: Duration = Duration::from_millis(2);

fn mate(score: f64) -> Asker {
    Asker::Mate { subject: 1, score }
}

fn failed(traffic: &Traffic) -> Vec<String> {
    let checks = traffic.checks(&plan(100));
    checks.into_iter().filter(|c| !c.passed).map(|c| c.name).collect()
}

#[test]
fn rates_and_quantiles_come_from_what_was_recorded() {
    let mut traffic = Traffic::new(0.5);
    traffic.record(MATE, mate(0.8), Answer::Match(Some(1)), LATENCY);
    traffic.record(MATE, mate(0.3), Answer::NoMatch, LATENCY);
    traffic.record(STRANGER, Asker::Stranger, Answer::NoMatch, LATENCY);
    traffic.record(STRANGER, Asker::Stranger, Answer::Match(Some(9)), 10 * LATENCY);
    traffic.elapsed = Duration::from_secs(2);
    let figures = traffic.figures(&plan(100));
    assert_eq!(figures.identifications, 4);
    assert!((figures.rate_per_s - 2.0).abs() < 1e-9);
    assert!((figures.fnir - 0.5).abs() < 1e-9);
    assert!((figures.fpir - 0.5).abs() < 1e-9);
    assert!((figures.p50_ms - 2.0).abs() < 0.01, "{}", figures.p50_ms);
    assert!((figures.p999_ms - 20.0).abs() < 0.1, "{}", figures.p999_ms);
    assert_eq!(traffic.unclear, [(STRANGER, Answer::Match(Some(9)))]);
    assert!(failed(&traffic).is_empty(), "{:?}", failed(&traffic));
}

#[test]
fn a_lost_mate_and_a_refused_call_fail_their_checks() {
    let mut traffic = Traffic::new(0.5);
    traffic.record(MATE, mate(0.8), Answer::NoMatch, LATENCY);
    assert_eq!(
        failed(&traffic),
        ["mates above the threshold are found, others not"]
    );
    traffic.refuse("UNAVAILABLE: x".into());
    assert!(failed(&traffic).contains(&"every call is answered".to_owned()));
}

#[test]
fn too_many_false_positives_fail_their_check() {
    let mut traffic = Traffic::new(0.5);
    traffic.record(MATE, mate(0.8), Answer::Match(Some(1)), LATENCY);
    for _ in 0..5 {
        traffic.record(STRANGER, Asker::Stranger, Answer::Ambiguous, LATENCY);
    }
    assert_eq!(failed(&traffic), ["FPIR is within the target"]);
    assert_eq!(positives_max(0), 2);
    assert_eq!(positives_max(1_000), 8);
}

#[test]
fn scanners_add_up() {
    let mut all = Traffic::new(0.5);
    for _ in 0..2 {
        let mut one = Traffic::new(0.5);
        one.record(MATE, mate(0.8), Answer::Match(Some(1)), LATENCY);
        one.certificates.insert("deterministic".into(), 1);
        one.refuse("first".into());
        all.add(one);
    }
    let figures = all.figures(&plan(100));
    assert_eq!((figures.identifications, figures.mated, all.refused), (2, 2, 2));
    assert_eq!(figures.certificate, "deterministic");
    assert_eq!(figures.certificates, [("deterministic".to_owned(), 2)]);
    assert_eq!(all.kept.len(), 2);
}

#[test]
fn nothing_asked_is_no_success() {
    assert!(failed(&Traffic::new(0.5)).contains(&"every call is answered".to_owned()));
}
