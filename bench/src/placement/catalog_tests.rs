//! Tests of the estimate of the catalog's load: few ask one by one, many together.

use super::*;
use crate::placement::population::tenants;

#[track_caller]
fn near(value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 1e-3, "{value} for {expected}");
}

#[test]
fn who_comes_alone_has_a_round_alone() {
    near(rounds(0.1, 0.002), 0.1);
    near(rounds(500.0, 0.002), 1.0 / (0.002 + 0.002 / std::f64::consts::E));
    near(rounds(1e6, 0.002), 500.0);
    assert!(rounds(0.0, 0.002).abs() < 1e-12);
}

#[test]
fn queries_are_bounded_by_fronts_and_by_the_locks_of_tenants() {
    let tenants = tenants(1_000, 4, 0.0).expect("ids");
    let traffic = |identifications| Traffic {
        fronts: 10,
        identifications,
        head_ms: 2.0,
    };
    let busy = Catalog::of(&tenants, 50, traffic(1e9));
    near(busy.heads, 10.0 * 500.0);
    near(busy.uses, 4.0 / 0.006);
    near(busy.queries, 5_000.0 + 2_000.0 + 50.0 + 50.0);
    let calm = Catalog::of(&tenants, 50, traffic(0.1));
    near(calm.heads, 0.1);
    near(calm.uses, 0.1);
    assert_eq!(calm.bytes, 536_000);
}
