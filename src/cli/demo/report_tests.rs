//! Tests of the report: its JSON has the keys that scripts rely on, its table names what failed.

use std::collections::BTreeSet;

use super::*;

fn report() -> Report {
    let check = |name: &str, passed| Check {
        name: name.to_owned(),
        passed,
        detail: "why".to_owned(),
    };
    Report {
        checks: vec![check("a promise", true), check("another", false)],
        figures: Figures {
            palms: 200_000,
            identifications: 1_234,
            rate_per_s: 411.333_333,
            p50_ms: 1.5,
            p95_ms: 2.5,
            p99_ms: 3.5,
            p999_ms: 4.5,
            fnir: 0.05,
            fpir: 0.001,
            mated: 1_000,
            strangers: 234,
            threshold: 0.55,
            certificate: "deterministic, probabilistic 1e-9".into(),
            certificates: vec![("deterministic".into(), 1_200), ("probabilistic 1e-9".into(), 34)],
        },
        cross_tenant_matches: 0,
        found_after_enrol: true,
        found_after_erase: false,
        lost_after_restart: 0,
        backend: "cpu/avx512".into(),
    }
}

#[test]
fn the_json_has_exactly_the_promised_keys() {
    let json = report().json();
    assert!(!json.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let keys: BTreeSet<&str> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    let promised = "palms identifications rate_per_s p50_ms p99_ms fnir fpir cross_tenant_matches \
                    found_after_enrol found_after_erase lost_after_restart backend certificate";
    assert_eq!(keys, promised.split_whitespace().collect());
    assert_eq!(value["found_after_enrol"], true);
    assert_eq!(value["found_after_erase"], false);
    assert_eq!(value["lost_after_restart"], 0);
    assert_eq!(value["rate_per_s"], 411.3);
}

#[test]
fn the_table_shows_figures_and_marks_failures() {
    let text = report().text();
    for words in [
        "p99.9 4.5 ms",
        "5.000 % of 1000",
        "pass  a promise",
        "FAIL  another",
        "cpu/avx512",
        "deterministic: 1200 answers, probabilistic 1e-9: 34 answers",
    ] {
        assert!(text.contains(words), "{words} is missing in:\n{text}");
    }
}

#[test]
fn failures_are_named_with_their_reason() {
    assert_eq!(report().failed(), ["another (why)"]);
}
