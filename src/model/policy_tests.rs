//! Tests of the policy's limits.

use super::*;

fn policy() -> Policy {
    Policy {
        threshold: ThresholdRule::Score(0.5),
        margin: 0.02,
        quality_min: 30,
        pad_required: false,
        links: BTreeMap::from([(Role::Scanner, vec![LinkKind::LoyaltyId])]),
        deterministic: false,
        retention: Retention::default(),
        sealed_probes: false,
    }
}

#[test]
fn limits_hold() {
    assert_eq!(policy().check(), Ok(()));
    let refuses = |change: fn(&mut Policy), field: &str| {
        let mut changed = policy();
        change(&mut changed);
        assert_eq!(changed.check().expect_err(field).field, field);
    };
    refuses(|p| p.threshold = ThresholdRule::Score(0.0), "policy.threshold");
    refuses(
        |p| p.threshold = ThresholdRule::Score(f32::NAN),
        "policy.threshold",
    );
    refuses(
        |p| {
            p.threshold = ThresholdRule::TargetFpir {
                fpir: 0.6,
                gallery_size: 1,
            }
        },
        "policy.target_fpir.fpir",
    );
    refuses(
        |p| {
            p.threshold = ThresholdRule::TargetFpir {
                fpir: 0.1,
                gallery_size: 0,
            }
        },
        "policy.target_fpir.gallery_size",
    );
    refuses(|p| p.margin = f32::NAN, "policy.margin");
    refuses(|p| p.margin = 0.6, "policy.margin");
    refuses(|p| p.quality_min = 101, "policy.quality_min");
    refuses(
        |p| drop(p.links.insert(Role::Admin, vec![LinkKind::BadgeId])),
        "policy.link_grants",
    );
    refuses(
        |p| drop(p.links.insert(Role::Operator, vec![LinkKind::BadgeId; 2])),
        "policy.link_grants",
    );
}

#[test]
fn links_are_for_the_roles_named() {
    assert_eq!(policy().links_for(Role::Scanner), [LinkKind::LoyaltyId]);
    assert!(policy().links_for(Role::Operator).is_empty());
}

#[test]
fn a_policy_goes_through_json_and_unknown_fields_are_refused() {
    let text = serde_json::to_string(&policy()).expect("json");
    assert_eq!(serde_json::from_str::<Policy>(&text).expect("same"), policy());
    let odd = text.replacen('{', "{\"extra\":1,", 1);
    assert!(serde_json::from_str::<Policy>(&odd).is_err());
}

#[test]
fn a_policy_of_before_a_setting_was_there_is_read_and_written_as_it_was() {
    let old = r#"{"threshold":{"score":0.5},"margin":0.02,"quality_min":30,"pad_required":false,"links":{"scanner":["loyalty_id"]}}"#;
    let read: Policy = serde_json::from_str(old).expect("an old policy");
    assert_eq!(read, policy());
    assert_eq!(serde_json::to_string(&read).expect("json"), old);
    let proved = Policy {
        deterministic: true,
        sealed_probes: true,
        ..read
    };
    let text = serde_json::to_string(&proved).expect("json");
    assert_eq!(serde_json::from_str::<Policy>(&text).expect("same"), proved);
}

#[test]
fn retention_is_off_unless_asked_for_and_has_limits() {
    assert!(policy().retention.is_off());
    let with = |idle_days_max| Policy {
        retention: Retention {
            idle_days_max,
            consent_end: true,
        },
        ..policy()
    };
    for days in [None, Some(1), Some(IDLE_DAYS_MAX)] {
        let kept = with(days);
        kept.check().expect("within the limits");
        let text = serde_json::to_string(&kept).expect("json");
        assert_eq!(serde_json::from_str::<Policy>(&text).expect("same"), kept);
    }
    for days in [0, IDLE_DAYS_MAX + 1] {
        let refusal = with(Some(days)).check().expect_err("refused");
        assert_eq!(refusal.field, "policy.retention.idle_days_max");
    }
}

#[test]
fn a_comparison_may_be_wrong_so_much_more_rarely_than_an_identification() {
    assert!((fmr_of_fpir(0.01, 1) - 0.01).abs() < 1e-15);
    // 1 − (1 − f)² = 0.19 at f = 0.1.
    assert!((fmr_of_fpir(0.19, 2) - 0.1).abs() < 1e-15);
    let small = fmr_of_fpir(1e-3, 1_000_000_000_000);
    assert!((small / 1.000_500_333e-15 - 1.0).abs() < 1e-6, "{small:e}");
}
