//! Promise: an import that breaks off goes on from where it was, and until it is whole nothing of it is there.

use std::process::{Command, Output};
use std::time::Instant;

use thenar::proto::v1::{self, Decision};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::harness::{Caller, DIM, Line, PATIENCE, World, import_messages, palm};

type Row = (String, Vec<f32>);

fn rows(count: u64) -> Vec<Row> {
    (0..count).map(|n| (format!("i-{n}"), palm(n))).collect()
}

/// Begins an import of all rows and hangs up once the server has `came` of them.
pub async fn hang_up(operator: &mut Caller, rows: &[Row], came: usize) {
    let (sender, receiver) = mpsc::channel(1);
    let mut messages = import_messages("import", rows, 0);
    messages.truncate(1 + came.div_ceil(1_000));
    let mut enrollment = operator.enrollment.clone();
    let call = tokio::spawn(async move { enrollment.import(ReceiverStream::new(receiver)).await });
    for message in messages {
        sender.send(message).await.expect("taken");
    }
    while progress(operator).await.rows_taken < came as u64 {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.expect_err("hung up").is_cancelled());
    // The stream has no end of its own.
    std::mem::forget(sender);
}

async fn progress(operator: &mut Caller) -> v1::ImportProgress {
    operator.import_progress("import").await.expect("told")
}

/// Sends the rows from `first_row` on, once the server has seen that the caller before is gone.
pub async fn go_on(
    operator: &mut Caller,
    rows: &[Row],
    first_row: usize,
) -> Result<v1::ImportResponse, Status> {
    let start = Instant::now();
    loop {
        let messages = tokio_stream::iter(import_messages("import", rows, first_row));
        match operator.enrollment.import(messages).await {
            Err(status) if status.code() == Code::ResourceExhausted && start.elapsed() < PATIENCE => {
                tokio::task::yield_now().await;
            }
            answer => return answer.map(tonic::Response::into_inner),
        }
    }
}

async fn check_found(operator: &mut Caller, seeds: &[u64]) {
    for &seed in seeds {
        let answer = operator.identify(&palm(seed)).await.expect("answered");
        assert_eq!(answer.subject_id, format!("i-{seed}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_goes_on_later() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    world.create_tenant("other").await;
    let mut operator = world.operator("acme").await;
    let rows = rows(3_000);
    hang_up(&mut operator, &rows, 2_000).await;
    let expected = v1::ImportProgress {
        rows_taken: 2_000,
        rows: 3_000,
        done: None,
    };
    assert_eq!(progress(&mut operator).await, expected);
    let theirs = world.operator("other").await.import_progress("import").await;
    assert_eq!(theirs.expect("told"), v1::ImportProgress::default());
    for seed in [0, 1_999] {
        let answer = operator.identify(&palm(seed)).await.expect("answered");
        assert_eq!(answer.decision(), Decision::NoMatch, "not whole yet");
    }
    assert_eq!(operator.stats("acme").await.expect("figures").subjects, 0);

    let refused = go_on(&mut operator, &rows, 1_000)
        .await
        .expect_err("not the next row");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("2000 rows"), "{}", refused.message());
    let imported = go_on(&mut operator, &rows, 2_000).await.expect("imported");
    assert_eq!(imported.imported, 3_000);
    let done = v1::ImportProgress {
        rows_taken: 3_000,
        rows: 3_000,
        done: Some(imported),
    };
    assert_eq!(progress(&mut operator).await, done);
    check_found(&mut operator, &[0, 1_999, 2_000, 2_999]).await;
    assert_eq!(operator.stats("acme").await.expect("figures").subjects, 3_000);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_nothing_but_ids_is_refused_by_their_number() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let mut messages = import_messages("import", &rows(1), 0);
    // Two bytes each, in a message just below the limit.
    let ids = 2_000_000;
    messages[1].part = Some(v1::import_request::Part::Rows(v1::ImportRows {
        subject_ids: vec![String::new(); ids],
        ..Default::default()
    }));
    let answer = operator.enrollment.import(tokio_stream::iter(messages)).await;
    let refused = answer.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let named = format!("rows.subject_ids: has {ids} entries");
    assert!(refused.message().contains(&named), "{refused:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_it_begins_again() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let rows = rows(3_000);
    hang_up(&mut world.operator("acme").await, &rows, 2_000).await;
    let world = world.restart().await;
    let mut operator = world.operator("acme").await;
    assert_eq!(progress(&mut operator).await, v1::ImportProgress::default());
    let refused = go_on(&mut operator, &rows, 2_000).await.expect_err("let go of");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert_eq!(
        operator.import("import", &rows).await.expect("imported").imported,
        3_000
    );
    check_found(&mut operator, &[0, 2_999]).await;
    world.stop().await;
}

/// A `NumPy` file of single precision.
fn npy(rows: u64) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {DIM}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend((0..rows).flat_map(palm).flat_map(f32::to_le_bytes));
    bytes
}

/// Runs `thenar import` of 20,000 rows through `port`.
async fn command(world: &World, port: u16, options: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let (cert, key) = world.member("acme", "operator", "importer");
    let ids: Vec<String> = (0..20_000).map(|n| format!("i-{n}\n")).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_thenar"));
    command
        .arg("import")
        .arg(file("palms.npy", &npy(20_000)))
        .args([
            "--encoder",
            "test/1",
            "--hand",
            "right",
            "--policy-version",
            "1",
            "--purpose",
            "tests",
        ])
        .args(["--expires", "2096-01-01T00:00:00Z", "--consent-method", "in-app"])
        .args(["--server", &format!("https://localhost:{port}")])
        .args(options);
    for (option, path) in [
        ("--ids", file("ids", ids.concat().as_bytes())),
        ("--ca", world.ca()),
        ("--cert", file("cert.pem", cert.as_bytes())),
        ("--key", file("key.pem", key.as_bytes())),
    ] {
        command.arg(option).arg(path);
    }
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("ended")
        .expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_goes_on_by_itself() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    // Of 5 MB in five messages.
    let line = Line::to(world.address(), 3 << 20).await;
    let output = command(&world, line.port, &["--json"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("trying to go on"), "{told}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["imported"], 20_000);
    assert!(
        line.passed() < 7_500_000,
        "{} bytes: it did not begin again",
        line.passed()
    );
    let mut operator = world.operator("acme").await;
    check_found(&mut operator, &[0, 4_096, 8_192, 12_288, 19_999]).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_repeated_is_answered_the_same() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let port = world
        .address()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    let options = [
        "--json",
        "--request-id",
        "mine",
        "--given",
        "2026-01-01T00:00:00Z",
    ];
    let first = command(&world, port.expect("a port"), &options).await;
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let again = command(&world, port.expect("a port"), &options).await;
    assert_eq!(again.stdout, first.stdout);
    world.stop().await;
}
