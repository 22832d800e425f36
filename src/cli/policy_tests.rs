//! Tests of the policy's options.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Whole {
    #[command(flatten)]
    policy: PolicyOptions,
}

fn parse(options: &[&str]) -> Result<PolicyOptions, String> {
    Whole::try_parse_from([&["thenar"], options].concat())
        .map(|whole| whole.policy)
        .map_err(|e| e.to_string())
}

#[test]
fn the_default_is_a_target_rate() {
    let policy = parse(&[]).expect("valid").message().expect("valid");
    assert!(
        matches!(policy.threshold_rule, Some(ThresholdRule::TargetFpir(t)) if t.gallery_size == 1_000_000)
    );
}

#[test]
fn a_score_and_a_rate_exclude_each_other() {
    let policy = parse(&["--threshold", "0.5"])
        .expect("valid")
        .message()
        .expect("valid");
    assert_eq!(policy.threshold_rule, Some(ThresholdRule::Threshold(0.5)));
    assert!(parse(&["--threshold", "0.5", "--target-fpir", "0.1"]).is_err());
}

#[test]
fn rates_and_scores_out_of_range_are_usage_errors() {
    for options in [
        ["--threshold", "1.5"],
        ["--threshold", "0"],
        ["--target-fpir", "0.6"],
        ["--target-fpir", "0"],
    ] {
        let error = parse(&options).expect("parsed").message().expect_err("refused");
        assert_eq!(error.exit_code(), 2, "{options:?}");
    }
    assert!(parse(&["--margin", "0.6"]).is_err());
    assert!(parse(&["--quality-min", "101"]).is_err());
}

#[test]
fn proof_is_asked_for_by_a_flag() {
    for (options, expected) in [(vec![], false), (vec!["--deterministic"], true)] {
        let policy = parse(&options).expect("valid").message().expect("valid");
        assert_eq!(policy.deterministic, expected);
    }
}

#[test]
fn grants_name_a_role_and_kinds() {
    let policy = parse(&["--grant", "scanner=badge-id,loyalty-id"]).expect("valid");
    let message = policy.message().expect("valid");
    let grant = message.link_grants.first().expect("one");
    assert_eq!(grant.role, "scanner");
    assert_eq!(
        grant.kinds,
        [
            i32::from(api::LinkKind::BadgeId),
            i32::from(api::LinkKind::LoyaltyId)
        ]
    );
    for bad in ["scanner", "guest=badge-id", "scanner=fax"] {
        assert!(parse(&["--grant", bad]).is_err(), "{bad}");
    }
}

#[test]
fn retention_is_asked_for_by_options() {
    let retention = |options: &[&str]| {
        let policy = parse(options).expect("valid").message().expect("valid");
        policy
            .retention
            .map(|asked| (asked.idle_days_max, asked.consent_end))
    };
    assert_eq!(retention(&[]), None);
    assert_eq!(retention(&["--consent-end"]), Some((0, true)));
    assert_eq!(retention(&["--idle-days-max", "90"]), Some((90, false)));
    assert!(parse(&["--idle-days-max", "36501"]).is_err());
}

#[test]
fn a_change_leaves_what_it_does_not_name() {
    let new = |options: &[&str]| parse(options).expect("valid").message().expect("valid");
    let present = new(&[
        "--threshold=0.6",
        "--margin=0.1",
        "--pad-required",
        "--idle-days-max=90",
        "--consent-end",
        "--grant=scanner=badge-id",
        "--grant=operator=loyalty-id",
    ]);
    let changed = |options: &[&str]| {
        let options = parse(options).expect("valid");
        options.over(present.clone()).expect("valid")
    };
    assert_eq!(changed(&[]), present);
    let other = changed(&["--pad-required=false", "--idle-days-max=0", "--grant=scanner="]);
    assert_eq!(
        other,
        new(&[
            "--threshold=0.6",
            "--margin=0.1",
            "--consent-end",
            "--grant=operator=loyalty-id"
        ])
    );
    let rate = changed(&["--gallery-size=5000"]);
    let expected = api::TargetFpir {
        gallery_size: 5_000,
        ..FPIR_OF_A_NEW_TENANT
    };
    assert_eq!(rate.threshold_rule, Some(ThresholdRule::TargetFpir(expected)));
    assert_eq!(
        changed(&["--idle-days-max=0", "--consent-end=false"]).retention,
        None
    );
}
