//! Promise: load is measured from outside, at what it was told and nothing else, and every answer is checked.

use std::path::Path;
use std::process::{Command, Output};

use super::harness::World;

/// Runs `thenar load` against a world beside its server, which goes on meanwhile.
async fn load(world: &World, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thenar"));
    command
        .arg("load")
        .args([Path::new("--data"), &world.data()])
        .args(more);
    tokio::task::spawn_blocking(move || command.output().expect("it starts"))
        .await
        .expect("it ends")
}

fn text(output: &Output) -> String {
    let read = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", read(&output.stdout), read(&output.stderr))
}

fn json(output: &Output) -> serde_json::Value {
    let out = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(out.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_comes_is_counted_once_and_no_answer_is_wrong() {
    let world = World::start().await;
    let server = format!("https://{}", world.address());
    let folder = tempfile::tempdir().expect("a directory");
    let page = folder.path().join("load.html");
    let page_option = page.to_str().expect("a plain path");
    let options = [
        "--server",
        &server,
        "--tenant",
        "gate=40",
        "--tenant",
        "door=20",
        "--bursts",
        "0.5:5",
        "--seconds",
        "1",
        "--scanners",
        "3",
        "--enroll",
        "300",
        "--dim",
        "64",
        "--deadline-ms",
        "60000",
        "--html",
        page_option,
        "--json",
    ];
    let output = load(&world, &options).await;
    assert!(output.status.success(), "{}", text(&output));
    let report = json(&output);
    let all = &report["all"];
    let count = |key: &str| all[key].as_u64().expect("a count");
    let due: u64 = (0..2)
        .map(|tenant| report["tenants"][tenant]["due"].as_u64().expect("a count"))
        .sum();
    // Five in a wave to each tenant, and about sixty at random.
    assert!((10 + 20..10 + 120).contains(&due), "{report}");
    assert_eq!(count("due"), due);
    assert_eq!(count("answered"), due, "{report}");
    assert_eq!((count("wrong"), count("unsent")), (0, 0), "{report}");
    let judged: u64 = ["found", "nobody", "missed", "ambiguous"].map(count).iter().sum();
    assert_eq!(judged, due, "{report}");
    assert!(count("found") > due / 2, "{report}");
    assert_eq!(report["tenants"][1]["palms"], 300);
    assert!(std::fs::read_to_string(page).expect("written").contains("<svg"));

    // The tenants are there now, and full: they are not filled again.
    let output = load(
        &world,
        &[
            "--server",
            &server,
            "--tenant",
            "gate=10",
            "--seconds",
            "1",
            "--json",
        ],
    )
    .await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(json(&output)["tenants"][0]["palms"], 300);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_address_and_real_tenants_are_refused() {
    let world = World::start().await;
    let server = format!("https://{}", world.address());
    world.create_tenant("acme").await;
    for (options, code, words) in [
        (
            ["--server", "https://192.0.2.1:7443"],
            2,
            "--yes-aim-at 192.0.2.1",
        ),
        (["--server", &server], 1, "not for simulated palms"),
    ] {
        let output = load(
            &world,
            &[&options[..], &["--tenant", "acme", "--seconds", "1"]].concat(),
        )
        .await;
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(words), "{}", text(&output));
    }
    let output = load(&world, &["--server", &server, "--tenant", "nobody"]).await;
    assert!(text(&output).contains("--enroll"), "{}", text(&output));
    world.stop().await;
}
