//! Tests of loading: what is loaded is all that the catalog counts, or nothing is served.

use std::fs;

use super::super::fixture::{close, enrollment, node, reopen, tenant};
use super::super::node::Node;
use crate::model::tenant::TenantState;

async fn enroll(node: &impl Node, numbers: std::ops::Range<usize>) {
    for number in numbers {
        node.enroll(enrollment(number)).await.expect("enrolled");
    }
}

#[tokio::test]
async fn a_catalog_with_the_log_of_an_earlier_moment_is_not_served() {
    let (node, dir) = node().await;
    let files =
        ["catalog.db-wal", "catalog.mark"].map(|name| dir.path().join("data/tenants/acme").join(name));
    enroll(&node, 0..60).await;
    close(node).await;
    let node = reopen(&dir);
    enroll(&node, 60..80).await;
    let earlier = files.each_ref().map(|file| fs::read(file).expect("there"));
    enroll(&node, 80..200).await;
    close(node).await;
    // What is in the log goes over pages that were changed since; each page, the log and the mark are authentic.
    for (file, bytes) in files.iter().zip(earlier) {
        fs::write(file, bytes).expect("written");
    }
    let node = reopen(&dir);
    let state = node.tenant(&tenant()).await.expect("there").state;
    assert!(matches!(&state, TenantState::Unavailable(_)), "{state:?}");
    close(node).await;
}
