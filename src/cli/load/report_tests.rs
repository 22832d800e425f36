//! Tests of the report: rates and quantiles come from what was counted, JSON has its keys, lateness is told.

use tonic::Status;

use super::super::tally::Finding;
use super::*;

/// 100 people in 10 seconds, answered after 20 ms but for the last, who is refused.
pub(in crate::cli::load) fn tally() -> Tally {
    let mut tally = Tally::new(Duration::from_secs(11));
    for number in 0..100 {
        let due = Duration::from_millis(100 * number);
        tally.arrived(due);
        tally.began(Duration::from_micros(300));
        let outcome = match number {
            99 => Err(Status::resource_exhausted("the queue is full")),
            98 => Ok(Finding::Wrong),
            97 => Ok(Finding::Missed),
            number if number % 10 == 0 => Ok(Finding::Nobody),
            _ => Ok(Finding::Found),
        };
        tally.ended(due, due + Duration::from_millis(20), &outcome);
    }
    tally
}

pub(in crate::cli::load) fn report(tenants: &[&str]) -> Report {
    let figures = Figures::of(&tally(), Duration::from_secs(10));
    Report {
        server: "localhost (127.0.0.1:7443)".to_owned(),
        seconds: 10.0,
        scanners: 32,
        deadline_ms: 1_000,
        late_p99_ms: 0.3,
        late: false,
        all: figures.clone(),
        tenants: tenants
            .iter()
            .map(|tenant| TenantFigures {
                tenant: (*tenant).to_owned(),
                palms: 5_000,
                figures: figures.clone(),
            })
            .collect(),
        refusal: tally().refusal,
    }
}

#[test]
fn figures_come_from_the_tally() {
    let figures = Figures::of(&tally(), Duration::from_secs(10));
    assert_eq!((figures.due, figures.answered, figures.unsent), (100, 99, 0));
    assert!((figures.due_per_s - 10.0).abs() < 1e-9);
    assert!(
        (figures.answered_per_s - 9.9).abs() < 1e-9,
        "{}",
        figures.answered_per_s
    );
    assert!((figures.p50_ms - 20.0).abs() < 0.1, "{}", figures.p50_ms);
    assert_eq!(figures.findings.wrong, 1);
    // Answers that come after the last arrival stretch the time that they are divided by.
    let mut slow = Tally::new(Duration::from_secs(4));
    slow.ended(Duration::ZERO, Duration::from_secs(4), &Ok(Finding::Found));
    let figures = Figures::of(&slow, Duration::from_secs(1));
    assert!(
        (figures.answered_per_s - 0.3).abs() < 1e-9,
        "{}",
        figures.answered_per_s
    );
}

#[test]
fn the_json_is_one_line_with_the_promised_keys() {
    let json = report(&["a", "b"]).json();
    assert!(!json.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    for key in [
        "server",
        "seconds",
        "scanners",
        "deadline_ms",
        "late_p99_ms",
        "late",
    ] {
        assert!(value.get(key).is_some(), "{key} is missing in {json}");
    }
    for figures in [&value["all"], &value["tenants"][1]] {
        assert_eq!(figures["due"], 100);
        assert_eq!(figures["wrong"], 1);
        assert_eq!(figures["held_back"], 0);
        assert_eq!(figures["refused"]["RESOURCE_EXHAUSTED"], 1);
        assert_eq!(figures["answered_per_s"], 9.9);
        assert!(figures["p99_ms"].is_number());
    }
    assert_eq!(value["tenants"][1]["tenant"], "b");
}

#[test]
fn the_text_tells_outcomes_and_the_sum_of_tenants() {
    let text = report(&["a", "b"]).text();
    for words in [
        "RESOURCE_EXHAUSTED 1",
        "first refusal: RESOURCE_EXHAUSTED: the queue is full",
        "all",
        "0.30 ms late",
        "kept up",
    ] {
        assert!(text.contains(words), "{words} is missing in:\n{text}");
    }
    assert!(!report(&["a"]).text().contains("\nall"));
}

#[test]
fn a_generator_that_is_late_says_so() {
    let mut figures = Figures::of(&tally(), Duration::from_secs(10));
    assert!(!Report::is_late(0.9, &figures));
    assert!(!Report::is_late(1.9, &figures), "less than a tenth of 20 ms");
    assert!(Report::is_late(2.1, &figures));
    figures.unsent = 1;
    assert!(Report::is_late(0.0, &figures));
    let mut report = report(&["a"]);
    report.late = true;
    assert!(report.text().contains("too slow"));
}
