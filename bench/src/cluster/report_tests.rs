//! When a run fails, and what scripts read.

use std::time::Duration;

use super::*;
use crate::cluster::availability::{Call, Refusal};

fn report(answered: usize, unanswered: usize, faults: u64, wrongs: &[(Wrong, u64)]) -> Report {
    let call = |refusal| Call {
        from: Duration::ZERO,
        to: Duration::from_millis(500),
        refusal,
    };
    let refusal = Refusal {
        words: "UNAVAILABLE: nobody".to_owned(),
        during: "node killed".to_owned(),
    };
    let mut calls = vec![call(None); answered];
    calls.extend(vec![call(Some(refusal)); unanswered]);
    let counts = Counts {
        acknowledged: Acknowledged {
            enrolled: 3,
            erased: 2,
            identified: 10,
            audited: 4,
        },
        wrongs: wrongs.iter().copied().collect(),
        faults: BTreeMap::from([("node killed", faults)]),
        calls: calls.clone(),
        ..Counts::default()
    };
    let configuration = Configuration {
        nodes: 3,
        fronts: 2,
        replicas: 2,
        store: "directory",
        flush_rows: 64,
        cache_mib: None,
        dim: 64,
        workers: 8,
        rate: 40,
        deadline_ms: 2_000,
        namespaces: true,
        all_faults: false,
        only: Vec::new(),
        seed: 7,
        seconds: 60,
    };
    Report::new(
        counts,
        Availability::of(&calls, &[]),
        configuration,
        Machine::this(),
    )
}

#[test]
fn a_clean_run_does_not_fail() {
    assert_eq!(report(1_000, 1, 3, &[]).fault(), None);
}

#[test]
fn every_kind_of_broken_promise_fails() {
    for wrong in [
        Wrong::Lost,
        Wrong::Resurrected,
        Wrong::Crossed,
        Wrong::Stale,
        Wrong::NoMatch,
        Wrong::Unexpected,
    ] {
        let fault = report(1_000, 0, 3, &[(wrong, 1)]).fault();
        assert!(
            fault.expect("it fails").starts_with("1 promises were broken"),
            "{wrong:?}"
        );
    }
}

#[test]
fn too_many_calls_without_an_answer_fail_and_so_does_a_run_that_shows_nothing() {
    let fault = report(997, 2, 3, &[]).fault().expect("it fails");
    assert!(fault.starts_with("availability is 99.800 %"), "{fault}");
    assert!(report(0, 0, 3, &[]).fault().is_some());
    assert!(report(1_000, 0, 0, &[]).fault().is_some());
}

#[test]
fn scripts_find_what_they_were_promised() {
    let report = report(9_990, 10, 3, &[(Wrong::Stale, 2), (Wrong::NoMatch, 4)]);
    let json = serde_json::to_value(&report).expect("an object");
    for (name, value) in [
        ("faults", 3),
        ("acknowledged", 15),
        ("lost", 0),
        ("resurrected", 0),
        ("crossed", 0),
        ("stale_answers", 2),
        ("wrong_no_match", 4),
    ] {
        assert_eq!(
            json.get(name).and_then(serde_json::Value::as_u64),
            Some(value),
            "{name}"
        );
    }
    assert_eq!(
        json.get("availability").and_then(serde_json::Value::as_f64),
        Some(0.999)
    );
    let table = report.table();
    assert!(
        table.contains("99.900 %: 10 of 10000 calls unanswered"),
        "{table}"
    );
    assert!(table.contains(RULE), "the rule is stated");
    for words in ["UNAVAILABLE: nobody", "node killed"] {
        let line = format!("10 from 0.5 to 0.5 s: {words}");
        assert!(table.contains(&line), "{table}");
    }
}
