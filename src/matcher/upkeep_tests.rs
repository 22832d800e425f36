//! Tests of the pause after a failure.

use super::*;

#[test]
fn a_tenant_rests_longer_after_each_failure_and_not_after_a_success() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut rest = Rest::default();
    assert!(!rest.is_under_way(at(0)));
    rest.after(false, at(0));
    assert!(rest.is_under_way(at(0)) && !rest.is_under_way(at(1)));
    rest.after(false, at(10));
    assert!(rest.is_under_way(at(11)) && !rest.is_under_way(at(12)));
    for _ in 0..20 {
        rest.after(false, at(100));
    }
    assert!(
        rest.is_under_way(at(159)) && !rest.is_under_way(at(160)),
        "a minute at most"
    );
    rest.after(true, at(200));
    assert!(!rest.is_under_way(at(200)));
    rest.after(false, at(300));
    assert!(!rest.is_under_way(at(301)), "from the beginning");
}
