//! Promise: an acknowledged enrolment is found by the next identification.

use thenar::proto::v1::Decision;

use crate::harness::{World, palm};

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_is_found_by_the_next_call() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    for n in 0..50 {
        let subject = format!("s-{n}");
        operator.enroll(&subject, &palm(n)).await.expect("enrolled");
        let answer = operator.identify(&palm(n)).await.expect("answered");
        assert_eq!(answer.decision(), Decision::Match, "palm {n}");
        assert_eq!(answer.subject_id, subject);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_enrolments_at_once_are_each_found_at_once() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut tasks = Vec::new();
    for worker in 0..8_u64 {
        let mut operator = world.operator("acme").await;
        tasks.push(tokio::spawn(async move {
            for n in 0..25 {
                let seed = worker * 1_000 + n;
                let subject = format!("s-{seed}");
                operator.enroll(&subject, &palm(seed)).await.expect("enrolled");
                let answer = operator.identify(&palm(seed)).await.expect("answered");
                assert_eq!((answer.decision(), answer.subject_id), (Decision::Match, subject));
            }
        }));
    }
    for task in tasks {
        task.await.expect("every palm was found");
    }
    let stats = world.operator("acme").await.stats("acme").await.expect("figures");
    assert_eq!((stats.subjects, stats.references), (200, 200));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolments_beside_imports_are_found_at_once_and_stay_found() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut tasks = Vec::new();
    for worker in 1..5_u64 {
        let mut operator = world.operator("acme").await;
        tasks.push(tokio::spawn(async move {
            let seeds = worker * 1_000..worker * 1_000 + 50;
            for again in [false, true] {
                for seed in seeds.clone() {
                    let subject = format!("s-{seed}");
                    if !again {
                        operator.enroll(&subject, &palm(seed)).await.expect("enrolled");
                    }
                    let answer = operator.identify(&palm(seed)).await.expect("answered");
                    assert_eq!((answer.decision(), answer.subject_id), (Decision::Match, subject));
                }
            }
        }));
    }
    let mut operator = world.operator("acme").await;
    for import in 0..60 {
        let seeds = 100_000 + import * 10..100_000 + import * 10 + 10;
        let rows: Vec<_> = seeds.map(|seed| (format!("i-{seed}"), palm(seed))).collect();
        operator
            .import(&format!("import-{import}"), &rows)
            .await
            .expect("imported");
    }
    for task in tasks {
        task.await.expect("every palm was found");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_found_at_once_and_survives_a_restart() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..3_000).map(|n| (format!("i-{n}"), palm(n))).collect();
    let imported = operator.import("import-1", &rows).await.expect("imported");
    assert_eq!(imported.imported, 3_000);
    let again = operator
        .import("import-1", &rows)
        .await
        .expect("answered the same");
    assert_eq!(again, imported);
    for n in [0, 1, 1_499, 2_999] {
        let answer = operator.identify(&palm(n)).await.expect("answered");
        assert_eq!(answer.subject_id, format!("i-{n}"));
    }
    let world = world.restart().await;
    let mut operator = world.operator("acme").await;
    for n in [0, 7, 2_999] {
        assert_eq!(
            operator.identify(&palm(n)).await.expect("answered").subject_id,
            format!("i-{n}")
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_import_leaves_nothing() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    operator.enroll("i-2500", &palm(9_000)).await.expect("enrolled");
    let rows: Vec<(String, Vec<f32>)> = (0..3_000).map(|n| (format!("i-{n}"), palm(n))).collect();
    let refusal = operator
        .import("import-1", &rows)
        .await
        .expect_err("i-2500 is there already");
    assert_eq!(refusal.code(), tonic::Code::AlreadyExists, "{refusal:?}");
    assert!(refusal.message().contains("i-2500"), "{}", refusal.message());
    let stats = operator.stats("acme").await.expect("figures");
    assert_eq!((stats.subjects, stats.segments), (1, 0));
    assert_eq!(
        operator.identify(&palm(1)).await.expect("answered").decision(),
        Decision::NoMatch
    );
    world.stop().await;
}
