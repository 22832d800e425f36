//! Tests of loading: what is loaded is all that the catalog counts, or nothing is served.

use std::fs;

use super::super::fixture::{DIM, capture, close, consent, node, reopen, signature, tenant, transform};
use super::super::node::{Enrollment, NewReference, Node};
use crate::model::subject::Hand;
use crate::model::tenant::TenantState;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent, UsageKind};

async fn enroll(node: &dyn Node, subjects: std::ops::Range<u32>) {
    for subject in subjects {
        let subject_id = format!("s{subject}").parse().expect("an id");
        let enrollment = Enrollment {
            tenant: tenant(),
            transform: transform(7),
            request_id: format!("r{subject}").parse().expect("an id"),
            request_digest: [5; 32],
            references: vec![NewReference {
                signature: signature(DIM),
                hand: Hand::Left,
                capture: capture(),
            }],
            consent: consent(),
            links: Vec::new(),
            usage: UsageEvent {
                at: Timestamp(5),
                kind: UsageKind::Enroll,
                outcome: Outcome::Done,
                subject_id: Some(format!("s{subject}").parse().expect("an id")),
                site: None,
                principal: "desk".parse().expect("a name"),
                request_id: format!("r{subject}").parse().expect("an id"),
            },
            subject_id,
        };
        node.enroll(enrollment).await.expect("enrolled");
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
    println!("{state:?}");
    close(node).await;
}
