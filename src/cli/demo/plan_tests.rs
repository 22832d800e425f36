//! Tests of the demo's plan: who is who.

use crate::client::api::policy::ThresholdRule;

use super::super::super::simulated::subject_id;
use super::*;

pub(in crate::cli::demo) fn plan(palms: u64) -> Plan {
    Plan {
        population: Population::new(SEED, dim()),
        dim: dim(),
        palms,
        scanners: 2,
        duration: Duration::from_secs(1),
    }
}

fn dim() -> Dimension {
    Dimension::new(256).expect("valid")
}

#[test]
fn nobody_is_two_people() {
    let plan = plan(100);
    assert!(LEAVER < plan.palms);
    assert!(plan.newcomer() >= plan.palms + OTHER_PALMS);
    assert_ne!(subject_id(LEAVER), subject_id(plan.newcomer()));
}

#[test]
fn a_sample_is_spread_and_has_nobody_twice() {
    let plan = plan(1_000);
    let some: Vec<u64> = plan.sample(10).collect();
    assert_eq!(some, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    let all: std::collections::BTreeSet<u64> = plan.sample(5_000).collect();
    assert_eq!(all.len(), 1_000);
}

#[test]
fn the_other_tenant_has_a_stricter_target() {
    let fpir = |tenant: &TenantId| {
        let policy = plan(100).tenant_request(tenant).policy.expect("set");
        match policy.threshold_rule {
            Some(ThresholdRule::TargetFpir(target)) => target.fpir,
            other => panic!("{other:?}"),
        }
    };
    assert!(fpir(&office()) < fpir(&arena()) / 100.0);
}
