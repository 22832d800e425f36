//! Tests of quotas with a clock that the test moves.

use governor::clock::FakeRelativeClock;

use super::*;
use crate::front::fixture::id;

fn scanner(tenant: &str, name: &str) -> Principal {
    Principal::from_path(&format!("/tenant/{tenant}/scanner/{name}")).expect("a principal")
}

fn quotas(config: QuotaConfig) -> (Quotas<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Quotas::with_clock(config, clock.clone()), clock)
}

fn per_second(per_second: u32, burst: u32) -> Quota {
    Quota {
        per_second,
        burst,
        at_once: 0,
    }
}

/// How many calls one after the other are let in, and why the next one is not.
fn calls(quotas: &Quotas<FakeRelativeClock>, tenant: &str, name: &str) -> (usize, NodeError) {
    for let_in in 0..1_000 {
        if let Err(refusal) = quotas.enter(&scanner(tenant, name), &id(tenant)) {
            return (let_in, refusal);
        }
    }
    panic!("no limit");
}

fn limit(refusal: &NodeError) -> (&'static str, u64, Duration) {
    match refusal {
        NodeError::Exhausted {
            limit,
            value,
            retry_after,
        } => (limit, *value, *retry_after),
        other => panic!("{other}"),
    }
}

#[test]
fn a_scanner_is_told_when_to_try_again_and_then_let_in() {
    let (quotas, clock) = quotas(QuotaConfig {
        scanner: per_second(10, 25),
        ..QuotaConfig::default()
    });
    let (let_in, refusal) = calls(&quotas, "acme", "gate-1");
    assert_eq!(let_in, 25);
    let (name, value, wait) = limit(&refusal);
    assert_eq!((name, value), ("quotas.scanner.per_second", 10));
    assert_eq!(wait, Duration::from_millis(100));
    assert_eq!(calls(&quotas, "acme", "gate-2").0, 25, "another one");
    clock.advance(wait);
    assert_eq!(calls(&quotas, "acme", "gate-1").0, 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(calls(&quotas, "acme", "gate-1").0, 10);
}

#[test]
fn a_tenant_beyond_its_quota_leaves_others_alone_and_a_name_has_its_own() {
    let (quotas, _) = quotas(QuotaConfig {
        tenant: per_second(20, 0),
        tenants: BTreeMap::from([(id("large"), per_second(50, 0))]),
        ..QuotaConfig::default()
    });
    let (let_in, refusal) = calls(&quotas, "acme", "gate-1");
    assert_eq!(let_in, 20);
    assert_eq!(limit(&refusal).0, "quotas.tenant.per_second");
    assert_eq!(calls(&quotas, "acme", "gate-2").0, 0, "of the same tenant");
    assert_eq!(calls(&quotas, "other", "gate-1").0, 20);
    assert_eq!(calls(&quotas, "large", "gate-1").0, 50);
}

#[test]
fn a_scanner_beyond_its_quota_takes_nothing_of_its_tenants() {
    let (quotas, _) = quotas(QuotaConfig {
        scanner: per_second(5, 0),
        tenant: per_second(12, 0),
        ..QuotaConfig::default()
    });
    for _ in 0..10 {
        calls(&quotas, "acme", "broken");
    }
    assert_eq!(calls(&quotas, "acme", "gate-1").0, 5);
    let (let_in, refusal) = calls(&quotas, "acme", "gate-2");
    assert_eq!(let_in, 2);
    assert_eq!(limit(&refusal).0, "quotas.tenant.per_second");
}

#[test]
fn calls_under_way_are_counted_until_they_end() {
    let (quotas, _) = quotas(QuotaConfig {
        scanner: Quota {
            at_once: 2,
            ..Quota::default()
        },
        tenant: Quota {
            at_once: 3,
            ..Quota::default()
        },
        ..QuotaConfig::default()
    });
    let enter = |name| quotas.enter(&scanner("acme", name), &id("acme"));
    let refused = |name| limit(&enter(name).err().expect("refused")).0;
    let first = enter("gate-1").expect("let in");
    let _second = enter("gate-1").expect("let in");
    assert_eq!(refused("gate-1"), "quotas.scanner.at_once");
    let _third = enter("gate-2").expect("let in");
    assert_eq!(refused("gate-2"), "quotas.tenant.at_once");
    drop(first);
    enter("gate-2").expect("let in");
    enter("gate-1").expect("a refusal by the tenant's quota gave the scanner's place back");
}

#[test]
fn nothing_is_counted_where_no_quota_is_set() {
    let (quotas, _) = quotas(QuotaConfig {
        scanner: Quota::default(),
        ..QuotaConfig::default()
    });
    for _ in 0..10_000 {
        quotas
            .enter(&scanner("acme", "gate-1"), &id("acme"))
            .expect("let in");
    }
    assert_eq!(quotas.used.entry_count(), 0);
}

#[test]
fn one_principal_records_no_more_than_a_device_could_by_default() {
    let (quotas, clock) = quotas(QuotaConfig::default());
    let (let_in, refusal) = calls(&quotas, "acme", "gate-1");
    assert_eq!(let_in, 200);
    assert_eq!(
        limit(&refusal),
        ("quotas.scanner.per_second", 200, Duration::from_millis(5))
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(calls(&quotas, "acme", "gate-1").0, 200);
}

#[test]
fn one_principal_has_so_many_calls_under_way_at_most_by_default() {
    let (quotas, clock) = quotas(QuotaConfig::default());
    let enter = |name| quotas.enter(&scanner("acme", name), &id("acme"));
    let slowly = |_| {
        clock.advance(Duration::from_millis(5));
        enter("gate-1").expect("let in")
    };
    let under_way: Vec<Place> = (0..256).map(slowly).collect();
    let refusal = enter("gate-1").err().expect("refused").to_string();
    assert!(refusal.contains("quotas.scanner.at_once"), "{refusal}");
    enter("gate-2").expect("another one");
    drop(under_way);
    enter("gate-1").expect("let in again");
}
