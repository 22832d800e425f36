//! Tests of reports: figures of a set counted by hand, figures of a simulated population, and files that are no reports.

use super::*;
use crate::eval::set::tests::{capture, failed};
use crate::eval::set::{Capture, Set};
use crate::model::signature::{Dimension, Signature};
use crate::population::Population;

const PLAN: Plan = Plan { enrol: 1, seed: 1 };

/// A simulated population.
pub fn simulated(palms: u64, samples: u64, dim: usize) -> Vec<Capture> {
    let dim = Dimension::new(dim).expect("valid");
    let population = Population::new(5, dim);
    let numbers = (0..palms).flat_map(|palm| (0..samples).map(move |sample| (palm, sample)));
    let captures = numbers.map(|(palm, sample)| Capture {
        palm: palm.to_string(),
        sample: sample.to_string(),
        outcome: Ok(Signature::new(population.probe(palm, sample), dim).expect("of unit norm")),
    });
    captures.collect()
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
}

#[test]
fn a_small_set_has_the_figures_counted_by_hand() {
    // Mated: a 1, a 0, a 0, b 1. Non-mated: b with the axis of the third capture of a 1 and 1, all else 0.
    let set = Set::new(vec![
        capture("a", "1", 0),
        capture("a", "2", 0),
        capture("a", "3", 1),
        capture("b", "1", 1),
        capture("b", "2", 1),
        failed("b", "3", "blurred"),
        failed("c", "1", "no-hand"),
        failed("c", "2", "no-hand"),
    ])
    .expect("a set");
    let report = Report::new(&set, PLAN, None);
    let summary = &report.summary;
    assert_eq!((summary.mated, summary.non_mated), (4, 6));
    assert_eq!(
        (
            summary.palms,
            summary.captures,
            summary.failed_to_acquire,
            summary.failed_to_enrol
        ),
        (3, 8, 3, 1)
    );
    close(summary.fta, 3.0 / 8.0);
    close(summary.fte, 1.0 / 3.0);
    // Up to 1: FMR 2/6, FNMR 2/4. The mean is the rate since below everything matches.
    close(summary.eer, f64::midpoint(2.0 / 6.0, 2.0 / 4.0));
    // a finds itself, then b; b finds itself.
    close(summary.rank1.expect("searches"), 2.0 / 3.0);
    assert_eq!(report.failures.get("no-hand"), Some(&2));
    assert_eq!(summary.tar_at_fmr_1e2, None, "six pairs show no such rate");
    assert!(report.verification.is_empty() && report.identification.points.is_empty());
    assert_eq!(report.identification.ranks.keys().collect::<Vec<_>>(), [&1]);
}

#[test]
fn failures_add_to_the_rates_as_the_standard_says() {
    let mut captures = simulated(40, 4, 64);
    // 20 palms with a search that failed, 20 that can't be enrolled and fail three times more.
    for number in 20..60 {
        let times = if number < 40 { 1 } else { 4 };
        captures
            .extend((0..times).map(|late| failed(&number.to_string(), &format!("late{late}"), "blurred")));
    }
    let report = Report::new(&Set::new(captures).expect("a set"), PLAN, None);
    let (found, summary) = (&report.identification, &report.summary);
    close(summary.fta, 100.0 / 260.0);
    close(summary.fte, 20.0 / 60.0);
    // Of 60 attempts by three searches each of those who are not enrolled none counts.
    assert_eq!((found.fta.count, found.fta.of, found.searches), (20, 140, 120));
    let fta = 20.0 / 140.0;
    let point = report.verification.first().expect("10,000 pairs show 1 %");
    close(point.frr, fta + point.fnmr.share * (1.0 - fta));
    close(point.gfrr, 20.0 / 60.0 + 40.0 / 60.0 * point.frr);
    // Counted one by one: 120 searches and 20 that failed.
    let hits = found.ranks[&1].count;
    close(summary.rank1_with_fta.expect("searches"), as_f64(hits) / 140.0);
    let point = &found.points[0];
    let missed = point.fnir.count + 20 * (point.fnir.of / 120);
    close(
        point.fnir_with_fta,
        as_f64(missed) / as_f64(point.fnir.of / 120 * 140),
    );
}

#[test]
fn intervals_count_searches_and_not_the_galleries_they_are_made_in() {
    let report = Report::new(&Set::new(simulated(40, 4, 64)).expect("a set"), PLAN, None);
    let fnir = &report.identification.points[0].fnir;
    // 120 searches, each in four galleries.
    assert_eq!(fnir.of, 480);
    let [low, high] = fnir.interval;
    let [wider, _] = interval::clopper_pearson(fnir.count / 4, 120);
    let [_, higher] = interval::clopper_pearson(fnir.count.div_ceil(4), 120);
    close(low, wider);
    close(high, higher);
    assert!(low <= fnir.share && fnir.share <= high);
    let once = Share::new(3, 480).of_trials(120);
    close(once.interval[0], 0.0);
    close(once.interval[1], interval::clopper_pearson(1, 120)[1]);
}

#[test]
fn without_an_error_every_palm_is_one_trial() {
    let drawn = Some([0.1, 0.2]);
    let shown = |count| Some(Share::new(count, 1_500).by_palm(drawn, 100).shown_interval());
    // 1,500 pairs of 100 palms bound a rate no better than 100 palms do.
    assert_eq!(shown(0), Some(interval::clopper_pearson(0, 100)));
    assert_eq!(shown(1_500), Some(interval::clopper_pearson(100, 100)));
    assert_eq!(shown(1), drawn);
    let tally = |errors, trials| Tally { errors, trials };
    let some = [tally(0, 15), tally(0, 15), tally(0, 0)];
    assert_eq!(
        Share::new(0, 30).drawn(&some, 1).by_palm,
        Some(interval::clopper_pearson(0, 2)),
        "one palm was not tried"
    );
    assert_eq!(Share::new(0, 0).drawn(&[], 1).by_palm, None);
}

#[test]
fn a_simulated_population_has_the_figures_it_was_fitted_to() {
    let set = Set::new(simulated(100, 10, 512)).expect("a set");
    let report = Report::new(&set, PLAN, None);
    let summary = &report.summary;
    assert_eq!((summary.mated, summary.non_mated), (4_500, 495_000));
    assert!(summary.eer < 0.02, "{}", summary.eer);
    let [low, high] = summary.eer_interval.expect("drawn");
    assert!(
        low <= summary.eer && summary.eer <= high && high < 0.05,
        "{low} {high}"
    );
    // Three false matches or more are to be expected down to 1e-5, and at 1e-6 not one.
    assert!(summary.tar_at_fmr_1e5.is_some() && summary.tar_at_fmr_1e6.is_none());
    let rules: Vec<bool> = report.verification.iter().map(|point| point.rule_of_30).collect();
    assert_eq!(rules, [true, true, true, false]);
    for point in &report.verification {
        assert!(point.fmr.share <= point.fmr_max * 1.000_001);
        let [low, high] = point.fnmr.by_palm.expect("drawn");
        assert!(low <= point.fnmr.share && point.fnmr.share <= high, "{point:?}");
    }
    assert!(
        summary.tar_at_fmr_1e4.expect("enough") > 0.95,
        "{:?}",
        summary.tar_at_fmr_1e4
    );
    assert!(summary.rank1.expect("searches") > 0.97, "{:?}", summary.rank1);
    let identification = &report.identification;
    assert_eq!((identification.references, identification.searches), (100, 900));
    assert_eq!(identification.gallery, Some([80, 80]));
    // 900 searches by strangers: 1 % and no less.
    assert_eq!(identification.points.len(), 2);
    assert!(summary.fnir_at_fpir_1e2.expect("enough") >= 1.0 - summary.rank1.expect("searches") - 0.01);
}

#[test]
fn curves_fall_from_everything_to_nothing() {
    let report = Report::new(&Set::new(simulated(30, 4, 64)).expect("a set"), PLAN, None);
    for curve in [&report.det, &report.identification.curve] {
        assert!(curve.len() > 30, "{}", curve.len());
        close(curve[0][1], 1.0);
        let pairs = || curve.iter().zip(curve.iter().skip(1));
        assert!(pairs().all(|(a, b)| a[0] < b[0] && a[1] >= b[1] && a[2] <= b[2]));
    }
    close(report.det[0][2], 0.0);
    // On beyond the last non-mated score, to where nearly no mated one is left.
    let [_, fmr, fnmr] = *report.det.last().expect("points");
    assert!(fmr == 0.0 && fnmr > 0.98, "{fmr} {fnmr}");
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let set = Set::new(simulated(20, 3, 64)).expect("a set");
    let encoder = Encoder::new("thenar-palm", "1").expect("valid");
    let report = Report::new(&set, PLAN, Some(encoder));
    let text = serde_json::to_string(&report).expect("JSON");
    let read = Report::read(text.as_bytes()).expect("a report");
    // Its other numbers come back but for their last digit.
    assert_eq!(
        (read.scores == report.scores, &read.encoder),
        (true, &report.encoder)
    );
    assert_eq!(read.verification.len(), report.verification.len());
    assert_eq!(read.identification.ranks.len(), report.identification.ranks.len());
    let rates = read.rates().expect("sound");
    assert_eq!((rates.mated.total(), rates.non_mated.total()), (60, 1_710));
}

#[test]
fn counts_that_are_not_those_of_a_report_are_refused() {
    let report = Report::new(&Set::new(simulated(20, 3, 64)).expect("a set"), PLAN, None);
    let with = |change: fn(&mut Report)| {
        let mut changed = report.clone();
        change(&mut changed);
        changed.rates().expect_err("refused")
    };
    let changes: [fn(&mut Report); 4] = [
        |r| r.summary.mated += 1,
        |r| r.scores.non_mated.counts[0] += 1,
        |r| r.scores.mated.step = 1.0,
        |r| {
            r.summary.mated = 0;
            r.scores.mated.counts.clear();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(matches!(with(change), ReportError::Scores), "{number}");
    }
}

#[test]
fn another_format_is_told_as_such_whatever_else_is_in_it() {
    let told = |text: &str| Report::read(text.as_bytes()).expect_err("refused").to_string();
    assert_eq!(told("{\"summary\":7,\"format\":1}"), "has format 1; 2 is read");
    assert!(told("{\"format\":2}").starts_with("is no report of thenar eval: missing field"));
    assert!(told("{}").starts_with("is no report of thenar eval: missing field `format`"));
    assert!(told("x").starts_with("is no report of thenar eval: expected value"));
}
