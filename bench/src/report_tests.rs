//! Tests of ratios and verdicts.

use super::*;

fn summary(ms: f64) -> Summary {
    Summary {
        ms,
        min_ms: ms,
        repeats: 3,
    }
}

fn thenar(ms: f64) -> Thenar {
    Thenar {
        summary: Some(summary(ms)),
        cold: None,
        survivors_mean: 1.0,
        survivors_max: 2,
        mates: 3,
        mates_found: 3,
        certificate: "deterministic".to_owned(),
    }
}

fn peers(times: &[(&str, f64)]) -> BTreeMap<String, PeerResult> {
    let peer = |(name, ms): &(&str, f64)| {
        let result = PeerResult {
            summary: Some(summary(*ms)),
            finds: None,
            error: None,
        };
        ((*name).to_owned(), result)
    };
    times.iter().map(peer).collect()
}

fn difference(explained: bool) -> Difference {
    Difference {
        probe: 1,
        thenar: None,
        peer: (7, 0.5, 0.5),
        explained,
    }
}

#[test]
fn the_ratio_is_to_the_best_peer_that_is_exact() {
    let times = peers(&[
        ("flat", 90.0),
        ("usearch-f16", 80.0),
        ("pq", 10.0),
        ("usearch-i8", 5.0),
    ]);
    let batch = Batch::new(1, thenar(2.0), times, 5, Some(Vec::new()));
    assert_eq!((batch.ratio_exact, batch.ratio_any), (Some(40.0), Some(2.5)));
    assert_eq!(batch.identical, Some(true));
}

#[test]
fn without_an_exact_peer_there_is_neither_ratio_nor_verdict() {
    let batch = Batch::new(1, thenar(2.0), peers(&[("pq", 10.0)]), 0, None);
    assert_eq!((batch.ratio_exact, batch.identical), (None, None));
}

#[test]
fn one_answer_without_explanation_is_enough() {
    let batch = |all| Batch::new(1, thenar(2.0), peers(&[("flat", 9.0)]), 9, Some(all)).identical;
    assert_eq!(batch(vec![difference(true)]), Some(true));
    assert_eq!(batch(vec![difference(true), difference(false)]), Some(false));
}

#[test]
fn what_is_not_explained_is_listed_first() {
    let mut all = vec![difference(true); 30];
    all.push(difference(false));
    let batch = Batch::new(1, thenar(2.0), peers(&[]), 31, Some(all));
    assert_eq!(batch.differences.len(), DIFFERENCES_LISTED_MAX);
    assert_eq!(
        batch.differences.first().map(|first| first.explained),
        Some(false)
    );
}

#[test]
fn the_table_names_what_is_missing() {
    let report = Report {
        rows: 10,
        dim: 32,
        kernel: "cpu/portable".to_owned(),
        threads: 1,
        threshold: 0.5,
        deterministic: false,
        sign_plane: true,
        seed: 1,
        machine: Machine::this(),
        resident_bytes_per_row: 28.0,
        peer_facts: BTreeMap::new(),
        peers_missing: [("pq".to_owned(), "no Python".to_owned())].into(),
        results: vec![Batch::new(
            1,
            thenar(2.0),
            peers(&[("flat", 9.0)]),
            1,
            Some(vec![difference(false)]),
        )],
    };
    let table = report.table();
    assert!(table.contains("not measured: pq: no Python"), "{table}");
    assert!(table.contains("NOT EXPLAINED"), "{table}");
    assert!(table.contains("4.5"), "{table}");
}
