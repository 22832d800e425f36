//! Tests of what is said of a threshold, of files that are no reports, and of tenants that the scores are not for.

use super::*;
use crate::cli::eval::tests::report_of;

fn answer(report: &Report, fpir: f64, gallery_size: u64) -> Answer {
    let rates = report.rates().expect("sound");
    Answer {
        found: calibrate(&rates, fmr_of_fpir(fpir, gallery_size)).expect("a threshold"),
        target_fpir: fpir,
        gallery_size,
        model_threshold: Some(0.5),
        tenant: None,
    }
}

fn tenant(name: &str, version: &str, dimension: u32) -> api::Tenant {
    api::Tenant {
        encoder: Some(api::Encoder {
            name: name.to_owned(),
            version: version.to_owned(),
        }),
        dimension,
        ..api::Tenant::default()
    }
}

#[test]
fn a_counted_threshold_and_an_extrapolated_one_are_told_apart() {
    let report = report_of(60, 4);
    let counted = text(&answer(&report, 0.01, 1));
    assert!(
        counted.contains("counted among 28320 non-mated comparisons"),
        "{counted}"
    );
    assert!(
        counted.contains("for an FPIR of 1.00 % among 1 references"),
        "{counted}"
    );
    assert!(
        !counted.contains("EXTRAPOLATED") && counted.contains("not set: no --tenant"),
        "{counted}"
    );
    let beyond = text(&answer(&report, 0.01, 1_000));
    assert!(beyond.contains("EXTRAPOLATED: 105 times as rare"), "{beyond}");
    assert!(!beyond.contains("does not belong"), "{beyond}");
}

#[test]
fn a_score_that_does_not_belong_to_the_tail_is_named() {
    let mut report = report_of(60, 4);
    refuse_doubtful(&answer(&report, 0.01, 1_000).found).expect("nothing odd");
    let scores = &mut report.scores.non_mated;
    scores.counts.resize(scores.counts.len() + 1_500, 0);
    *scores.counts.last_mut().expect("there are some") = 1;
    report.summary.non_mated += 1;
    let answer = answer(&report, 0.01, 1_000);
    let told = text(&answer);
    assert!(told.contains("does not belong to that tail"), "{told}");
    // It would match, so no tenant gets that threshold.
    let refused = refuse_doubtful(&answer.found).expect_err("below a false match");
    assert!(
        matches!(refused, CalibrationError::Odd { highest, threshold } if highest >= threshold),
        "{refused}"
    );
}

#[test]
fn a_guess_is_set_for_no_tenant() {
    let report = report_of(60, 4);
    let refused = |fpir, gallery_size| refuse_doubtful(&answer(&report, fpir, gallery_size).found);
    refused(0.01, 1).expect("counted");
    refused(0.01, 1_000).expect("105 times");
    let error = refused(0.01, 100_000).expect_err("10,500 times").to_string();
    assert!(
        error.contains("times as rare") && error.contains("1000"),
        "{error}"
    );
}

#[test]
fn names_for_scripts_are_there() {
    let json = serde_json::to_value(answer(&report_of(60, 4), 0.01, 1_000)).expect("JSON");
    for key in [
        "threshold",
        "estimate",
        "interval",
        "fmr",
        "basis",
        "fnmr",
        "times",
        "shape",
        "model_threshold",
    ] {
        assert!(!json[key].is_null(), "{key} is missing in {json}");
    }
    assert_eq!(
        (&json["basis"], &json["tenant"]),
        (&"extrapolated".into(), &serde_json::Value::Null)
    );
}

#[test]
fn scores_are_for_tenants_with_such_signatures_alone() {
    let mut report = report_of(4, 3);
    let acme: TenantId = "acme".parse().expect("a name");
    let same = |report: &Report, other: &api::Tenant| {
        same_signatures(&acme, other, report).map_err(|e| e.to_string())
    };
    assert_eq!(same(&report, &tenant("test", "1", 64)), Ok(()));
    assert_eq!(
        same(&report, &tenant("test", "2", 64)),
        Err("tenant acme has signatures of test/2 with 64 dimensions; the scores are of test/1 with 64 dimensions".to_owned())
    );
    assert!(same(&report, &tenant("test", "1", 128)).is_err());
    report.encoder = None;
    assert_eq!(same(&report, &tenant("test", "2", 64)), Ok(()));
    assert!(
        same(&report, &tenant("test", "2", 128))
            .expect_err("refused")
            .contains("an unknown encoder")
    );
}

#[test]
fn what_is_no_report_is_refused_by_its_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let told = |path: &Path| read(path).expect_err("refused").to_string();
    assert!(told(dir.path()).contains(REPORT_FILE), "a folder without one");
    std::fs::write(dir.path().join(REPORT_FILE), "{\"format\":2}").expect("written");
    assert!(told(dir.path()).contains("report.json: is no report of thenar eval: missing field"));
    std::fs::write(dir.path().join(REPORT_FILE), "{\"format\":3}").expect("written");
    assert!(told(dir.path()).ends_with("report.json: has format 3; 2 is read"));
}

#[test]
fn rates_have_limits() {
    assert!(rate("0.5").is_ok());
    for text in ["0", "-1", "0.51", "NaN", "x"] {
        assert!(rate(text).is_err(), "{text}");
    }
}
