//! Promise: whoever has the receipt of an erasure can hold it against the files, with the keys or without them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use thenar::proto::v1;

use crate::harness::{World, palm};

/// Writes a receipt as the command line does.
fn write(path: &Path, answer: &v1::EraseResponse) {
    let hex = |bytes: &[u8]| thenar::keys::encoding::to_hex(bytes);
    let json = json!({
        "receipt_json": answer.receipt_json,
        "signature": hex(&answer.signature),
        "public_key": hex(&answer.public_key),
    });
    std::fs::write(path, json.to_string()).expect("written");
}

/// Exit code, answer and error of `thenar receipt verify`.
fn verify(receipt: &Path, options: &[&str]) -> (i32, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args(["receipt", "verify", "--json"])
        .arg(receipt)
        .args(options)
        .output()
        .expect("it runs");
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("it ends"), answer, error)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A world in which `ada` was erased and purged, her receipt, and a copy of her segment as it was before.
async fn purged(world: &World) -> (v1::EraseResponse, PathBuf, Vec<u8>) {
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..50).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    let segment = world.segment_files("acme").remove(0);
    let before = std::fs::read(&segment).expect("readable");
    let erased = operator.erase("erase", "i-7").await.expect("erased");
    (operator.await_purged(erased.erasure).await, segment, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_holds_beside_the_server_until_a_row_is_put_back() {
    let world = World::start().await;
    let (answer, segment, before) = purged(&world).await;
    let dir = tempfile::tempdir().expect("a directory");
    let receipt = dir.path().join("receipt.json");
    write(&receipt, &answer);
    let data = world.data();
    let (code, said, error) = verify(&receipt, &["--data", text(&data)]);
    assert_eq!((code, &said["verdict"]), (0, &json!("HOLDS")), "{error}");
    assert_eq!(said["removed"]["references"], 1);
    assert_eq!(said["searched"]["rows"], 50);
    assert!(said["searched"]["windows"].as_u64() > Some(10_000), "{said}");
    let key = thenar::keys::encoding::to_hex(&answer.public_key);
    let (code, said, _) = verify(&receipt, &["--public-key", &key]);
    assert_eq!((code, &said["verdict"]), (0, &json!("SIGNED")));
    std::fs::write(&segment, &before).expect("put back");
    for options in [
        vec!["--data", text(&data)],
        vec!["--data", text(&data), "--public-key", &key],
    ] {
        let (code, said, error) = verify(&receipt, &options);
        assert_eq!((code, &said["verdict"]), (1, &json!("VIOLATED")));
        assert_eq!(said["searched"]["found"][0]["path"], text(&segment));
        assert!(error.contains("violated"), "{error}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_are_changed_or_of_others_are_refused() {
    let world = World::start().await;
    let (answer, ..) = purged(&world).await;
    let dir = tempfile::tempdir().expect("a directory");
    let receipt = dir.path().join("receipt.json");
    let data = world.data();
    let refused = |answer: &v1::EraseResponse, options: &[&str]| {
        write(&receipt, answer);
        let (code, said, error) = verify(&receipt, options);
        assert_eq!((code, said), (1, Value::Null));
        error
    };
    let mut changed = answer.clone();
    changed.receipt_json = changed.receipt_json.replace("i-7", "i-8");
    let error = refused(&changed, &["--data", text(&data)]);
    assert!(error.contains("signature does not fit"), "{error}");
    let elsewhere = World::prepare();
    let error = refused(&answer, &["--data", text(&elsewhere.data())]);
    assert!(error.contains("another key"), "{error}");
    let error = refused(&answer, &["--public-key", &"00".repeat(32)]);
    assert!(error.contains("another key"), "{error}");
    // A tenant that is not here, or not any more.
    world.admin().await.drop_tenant("acme").await.expect("dropped");
    let error = refused(&answer, &["--data", text(&data)]);
    assert!(error.contains("tenant acme has no directory"), "{error}");
    world.create_tenant("acme").await;
    write(&receipt, &answer);
    let (code, said, _) = verify(&receipt, &["--data", text(&data)]);
    assert_eq!((code, &said["verdict"]), (1, &json!("VIOLATED")));
    assert_eq!(
        said["searched"]["catalog"]["contradictions"],
        json!(["the catalog has no erasure 1"])
    );
    world.stop().await;
}
