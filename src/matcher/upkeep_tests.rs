//! Tests of the pause after a failure, and of a log that is kept short.

use super::*;
use crate::matcher::fixture;
use crate::matcher::node::Node;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_goes_into_the_catalog() {
    let (node, dir) = fixture::node().await;
    let id = fixture::tenant();
    let mut long = fixture::enrollment(1);
    // It is in a table and in an index.
    long.consent.policy_version = "x".repeat(4 << 20);
    node.enroll(long).await.expect("enrolled");
    let tenant = node.live(&id).expect("served");
    let kept_up = tokio::task::spawn_blocking(move || tenant.keep_up(1_000));
    kept_up.await.expect("it ends");
    let catalog = dir
        .path()
        .join("data/tenants")
        .join(id.as_str())
        .join("catalog.db");
    let len = std::fs::metadata(catalog).expect("there").len();
    assert!(len > 8 << 20, "{len} bytes");
    fixture::close(node).await;
}
