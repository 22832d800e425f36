//! Promise: what was acknowledged survives `kill -9`; a gallery that can't be read whole is unavailable, never empty.

use thenar::proto::v1::{Decision, UsageKind};
use tonic::Code;

use crate::harness::{Child, World, palm};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_changes_survive_kill_nine() {
    let world = World::prepare();
    let mut child = Child::start(&world).await;
    child.create_tenant("acme").await;
    let mut kept = Vec::new();
    for round in 0..3_u64 {
        let mut workers = Vec::new();
        for worker in 0..4_u64 {
            let mut operator = child.operator("acme").await;
            workers.push(tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0..u64::MAX {
                    let seed = round * 1_000_000 + worker * 10_000 + n;
                    if operator.enroll(&format!("s-{seed}"), &palm(seed)).await.is_err() {
                        break;
                    }
                    acknowledged.push(seed);
                }
                acknowledged
            }));
        }
        // Killed in the middle of writes: as soon as some dozens are in.
        let mut watcher = child.operator("acme").await;
        let target = kept.len() as u64 + 60;
        while watcher.stats("acme").await.expect("figures").subjects < target {}
        child.kill();
        for worker in workers {
            kept.extend(worker.await.expect("ended"));
        }
        child = Child::start(&world).await;
        let mut operator = child.operator("acme").await;
        for &seed in &kept {
            let answer = operator.identify(&palm(seed)).await.expect("answered");
            assert_eq!(answer.subject_id, format!("s-{seed}"), "acknowledged and lost");
        }
    }
    let gone = kept.pop().expect("some were enrolled");
    let mut operator = child.operator("acme").await;
    operator
        .erase("erase", &format!("s-{gone}"))
        .await
        .expect("erased");
    child.kill();
    child = Child::start(&world).await;
    let mut operator = child.operator("acme").await;
    assert_eq!(
        operator.identify(&palm(gone)).await.expect("answered").decision(),
        Decision::NoMatch
    );
    child.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_given_is_in_the_history_after_kill_nine() {
    let world = World::prepare();
    let mut child = Child::start(&world).await;
    child.create_tenant("acme").await;
    let mut operator = child.operator("acme").await;
    operator.enroll("s", &palm(1)).await.expect("enrolled");
    operator
        .identify_as("the-request", &palm(1))
        .await
        .expect("answered");
    child.kill();
    child = Child::start(&world).await;
    let events = child
        .operator("acme")
        .await
        .usage("")
        .await
        .expect("history")
        .events;
    let found = events
        .iter()
        .find(|event| event.request_id == "the-request")
        .expect("recorded");
    assert_eq!(
        (found.kind(), found.subject_id.as_str()),
        (UsageKind::Identify, "s")
    );
    child.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_makes_its_tenant_unavailable_and_no_other() {
    let world = World::start().await;
    for tenant in ["acme", "other"] {
        world.create_tenant(tenant).await;
        let rows: Vec<(String, Vec<f32>)> = (0..100).map(|n| (format!("i-{n}"), palm(n))).collect();
        world
            .operator(tenant)
            .await
            .import("import", &rows)
            .await
            .expect("imported");
    }
    let world = world
        .restart_after(|world| {
            let file = world.segment_files("acme").pop().expect("one segment");
            let mut bytes = std::fs::read(&file).expect("readable");
            bytes[5_000] ^= 1;
            std::fs::write(&file, bytes).expect("writable");
        })
        .await;
    let refusal = world
        .operator("acme")
        .await
        .identify(&palm(1))
        .await
        .expect_err("damaged");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    assert!(
        refusal.message().contains("acme") && refusal.message().contains(".seg"),
        "{}",
        refusal.message()
    );
    let answer = world
        .operator("other")
        .await
        .identify(&palm(1))
        .await
        .expect("served");
    assert_eq!(answer.subject_id, "i-1");
    let tenant = world
        .admin()
        .await
        .tenant("acme")
        .await
        .expect("listed all the same");
    assert!(tenant.reason.contains(".seg"), "{}", tenant.reason);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_done_once() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let first = operator.enroll_as("r-1", "s", &palm(1)).await.expect("enrolled");
    let again = operator
        .enroll_as("r-1", "s", &palm(1))
        .await
        .expect("answered the same");
    assert_eq!(first, again);
    let refusal = operator
        .enroll_as("r-1", "other", &palm(2))
        .await
        .expect_err("used for something else");
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal:?}");
    assert!(refusal.message().contains("r-1"), "{}", refusal.message());
    assert_eq!(operator.stats("acme").await.expect("figures").references, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_verified_beside_a_server_and_without_one() {
    let world = World::prepare();
    let child = Child::start(&world).await;
    child.create_tenant("acme").await;
    child.create_tenant("bank").await;
    let mut operator = child.operator("acme").await;
    for seed in 0..20 {
        operator
            .enroll(&format!("s-{seed}"), &palm(seed))
            .await
            .expect("enrolled");
    }
    let (code, text) = verify(&world);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("acme") && line.ends_with("20 rows  sound")),
        "{text}"
    );
    child.kill();
    let (code, text) = verify(&world);
    assert_eq!(code, Some(0), "{text}");
    let catalog = world.tenant_path("bank").join("catalog.db");
    let mut bytes = std::fs::read(&catalog).expect("readable");
    bytes[5_000] ^= 1;
    std::fs::write(&catalog, bytes).expect("written");
    let (code, text) = verify(&world);
    assert_eq!(code, Some(1), "{text}");
    let named = "catalog.db is damaged: the page at byte 4096 fails authentication";
    assert!(text.contains("bank: ") && text.contains(named), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("acme") && line.ends_with("sound")),
        "{text}"
    );
}

/// Exit code and standard output of `thenar data verify`.
fn verify(world: &World) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args(["data", "verify", "--data"])
        .arg(world.data())
        .output()
        .expect("started");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("text"),
    )
}
