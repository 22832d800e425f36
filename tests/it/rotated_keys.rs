//! Promise: a tenant's data key is rotated while it is served, nobody notices, and nothing is left under the former one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thenar::proto::v1::{self, Decision};
use thenar::server::verify;

use crate::harness::{Caller, World, contains, palm};

async fn rotate(admin: &mut Caller, request_id: &str) -> v1::Tenant {
    let request = v1::RotateKeyRequest {
        request_id: request_id.to_owned(),
        tenant: "acme".to_owned(),
        purpose: v1::KeyPurpose::Data.into(),
    };
    let answer = admin.admin.rotate_key(request).await;
    answer.expect("rotated").into_inner()
}

/// Asks for palms that are enrolled and for one that is not until `over`; returns how often.
async fn scan(mut scanner: Caller, over: Arc<AtomicBool>) -> u64 {
    let mut asked = 0;
    while !over.load(Ordering::Acquire) {
        for seed in [asked % 500, 1_000, 9_000] {
            let answer = scanner.identify(&palm(seed)).await.expect("answered");
            match seed {
                77 | 9_000 => assert_eq!(answer.decision(), Decision::NoMatch, "{seed}"),
                1_000 => assert_eq!(answer.subject_id, "pending"),
                seed => assert_eq!(answer.subject_id, format!("i-{seed}")),
            }
        }
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_key_is_rotated_while_scanners_ask() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..500).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    operator.enroll("pending", &palm(1_000)).await.expect("enrolled");
    let erased = operator.erase("erase", "i-77").await.expect("erased");
    let stats = operator.stats("acme").await.expect("figures");
    let former: Vec<u8> = std::fs::read(&world.segment_files("acme")[0]).expect("readable");

    let over = Arc::new(AtomicBool::new(false));
    let mut scanners = Vec::new();
    for name in ["gate-1", "gate-2", "gate-3"] {
        let scanner = world.caller("acme", "scanner", name).await;
        scanners.push(tokio::spawn(scan(scanner, Arc::clone(&over))));
    }
    let mut admin = world.admin().await;
    for (n, request_id) in ["first", "first", "second"].into_iter().enumerate() {
        assert!(!rotate(&mut admin, request_id).await.rotating);
        let enrolled = format!("after-{n}");
        operator.enroll(&enrolled, &palm(2_000)).await.expect("enrolled");
        assert_eq!(
            operator
                .identify(&palm(2_000))
                .await
                .expect("answered")
                .subject_id,
            enrolled
        );
        operator
            .erase(&format!("erase-{n}"), &enrolled)
            .await
            .expect("erased");
    }
    over.store(true, Ordering::Release);
    for scanner in scanners {
        assert!(scanner.await.expect("every answer was right") > 0);
    }
    operator.await_purged(erased.erasure).await;

    let sound = |world: &World| {
        for (tenant, found) in verify(&world.config(), None).expect("verified") {
            let found = found.expect("it has a key");
            assert!(
                found.faults.is_empty() && found.orphans.is_empty(),
                "{tenant}: {found:?}"
            );
        }
    };
    let world = world.restart_after(sound).await;
    let mut operator = world.operator("acme").await;
    let now = operator.stats("acme").await.expect("figures");
    assert_eq!((now.subjects, now.references), (stats.subjects, stats.references));
    for (seed, subject) in [(3, "i-3"), (1_000, "pending")] {
        assert_eq!(
            operator.identify(&palm(seed)).await.expect("answered").subject_id,
            subject
        );
        assert!(
            !operator.usage(subject).await.expect("answered").events.is_empty(),
            "{subject}"
        );
    }
    assert_eq!(
        operator.identify(&palm(77)).await.expect("answered").decision(),
        Decision::NoMatch
    );
    let bytes = world.all_bytes("acme");
    // Behind the header and the first blocks, where every byte is sealed.
    assert!(
        !contains(&bytes, &former[8_192..8_256]),
        "the former file is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_by_administrators_alone_and_by_name() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let request = |purpose: i32| v1::RotateKeyRequest {
        request_id: "r".to_owned(),
        tenant: "acme".to_owned(),
        purpose,
    };
    let mut operator = world.operator("acme").await;
    let refused = operator
        .admin
        .rotate_key(request(1))
        .await
        .expect_err("not an operator's");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let mut admin = world.admin().await;
    let refused = admin
        .admin
        .rotate_key(request(0))
        .await
        .expect_err("no key is named");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("purpose"), "{}", refused.message());
}
