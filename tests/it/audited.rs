//! Promise: whoever kept a checkpoint of the history sees what was done to it since, and an erasure is no such thing.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use thenar::proto::v1::Decision;

use crate::harness::{World, copy_tree, palm};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thenar"))
        .arg("audit")
        .args(arguments)
        .output()
        .expect("it runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Has `thenar audit checkpoint` write a checkpoint of a tenant to a file, and gives what was signed.
fn keep(world: &World, to: &Path) -> Value {
    let server = format!("https://{}", world.address());
    let data = world.data();
    let options = [
        "--server",
        &server,
        "--server-name",
        "localhost",
        "--data",
        text(&data),
    ];
    let output = run(&[&["checkpoint", "--tenant", "acme"], options.as_slice()].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(to, &output.stdout).expect("written");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let signed = document["checkpoint_json"].as_str().expect("a text");
    serde_json::from_str(signed).expect("JSON")
}

/// Exit code, answer about the tenant and error of `thenar audit verify`.
fn verify(data: &Path, options: &[&str]) -> (i32, Value, String) {
    let output = run(&[&["verify", "--json", "--data", text(data)], options].concat());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        output.status.code().expect("it ends"),
        answer["tenants"][0].clone(),
        error,
    )
}

/// A checkpoint of another key, or changed, is refused by its name.
fn refuses_what_is_not_signed(data: &Path, kept: &Path) {
    let (code, _, error) = verify(data, &["--public-key", &"00".repeat(32), "--against", text(kept)]);
    assert!(code == 1 && error.contains("another key"), "{error}");
    let signed = std::fs::read_to_string(kept).expect("readable");
    let changed = signed.replace("event\\\":8", "event\\\":7");
    assert_ne!(changed, signed);
    let forged = kept.with_file_name("forged.json");
    std::fs::write(&forged, changed).expect("written");
    let (code, _, error) = verify(data, &["--against", text(&forged)]);
    assert!(
        code == 1 && error.contains("forged.json: the signature does not fit"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_holds_beside_the_server_until_an_older_state_is_put_back() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    for seed in 1..=3 {
        operator
            .enroll(&format!("s-{seed}"), &palm(seed))
            .await
            .expect("enrolled");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let [early, late] = ["early.json", "late.json"].map(|name| dir.path().join(name));
    let signed = keep(&world, &early);
    assert_eq!((&signed["tenant"], &signed["event"]), (&json!("acme"), &json!(3)));
    let data = world.data();
    let older = dir.path().join("older");
    copy_tree(&world.tenant_path("acme"), &older, &[]);
    for seed in [1, 2, 2, 9] {
        operator.identify(&palm(seed)).await.expect("answered");
    }
    let erased = operator.erase("erase", "s-2").await.expect("erased");
    operator.await_purged(erased.erasure).await;
    let answer = operator.identify(&palm(2)).await.expect("answered");
    assert_eq!(answer.decision(), Decision::NoMatch);
    let signed = keep(&world, &late);
    assert_eq!(
        (&signed["event"], &signed["events_erased"]),
        (&json!(8), &json!(3))
    );

    let key = thenar::keys::encoding::to_hex(&erased.public_key);
    let against = ["--against", text(&early), "--against", text(&late)];
    let (code, found, error) = verify(&data, &[against.as_slice(), &["--public-key", &key]].concat());
    assert_eq!((code, &found["holds"]), (0, &json!(true)), "{found} {error}");
    let figures = ["events", "erased", "last", "confirmed"].map(|name| found["history"][name].clone());
    assert_eq!(figures, [5, 3, 8, 8].map(|figure| json!(figure)));
    refuses_what_is_not_signed(&data, &late);

    let world = world
        .restart_after(|world| {
            let tenant = world.tenant_path("acme");
            let newer = dir.path().join("newer");
            std::fs::rename(&tenant, &newer).expect("moved away");
            copy_tree(&older, &tenant, &[]);
            let (code, found, error) = verify(&data, &["--against", text(&early)]);
            assert_eq!((code, &found["holds"]), (0, &json!(true)), "{found} {error}");
            let (code, found, error) = verify(&data, &against);
            assert_eq!((code, &found["holds"]), (1, &json!(false)));
            let fault = &found["history"]["faults"][0];
            let what = fault["what"].as_str().expect("words");
            let ends = format!("the history ends at event 3, {} says 8", late.display());
            assert!(what.starts_with(&ends) && fault["event"] == 4, "{fault}");
            assert!(
                error.contains("tenants whose history does not hold: 1"),
                "{error}"
            );
            std::fs::remove_dir_all(&tenant).expect("removed");
            std::fs::rename(&newer, &tenant).expect("put back");
        })
        .await;
    let (code, found, _) = verify(&data, &against);
    assert_eq!((code, &found["holds"]), (0, &json!(true)));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_administrators_have_checkpoints_made_and_nobody_else() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    for (role, may) in [
        ("scanner", false),
        ("enroller", false),
        ("operator", true),
        ("admin", true),
    ] {
        let mut caller = world.caller("acme", role, "one").await;
        let answer = caller.checkpoint("").await;
        assert_eq!(answer.is_ok(), may, "{role}: {answer:?}");
    }
    assert!(world.admin().await.checkpoint("acme").await.is_ok());
    world.stop().await;
}
