//! Promise: `thenar top` shows what a running server does, and says so when there is none.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use thenar::server::{Mode, Server};

use super::harness::{PATIENCE, World, knock, palm, policy};

fn top(metrics: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args(["top", "--once", "--interval", "0.5", "--metrics", metrics])
        .output()
        .expect("it starts")
}

/// The cells of the row that begins with `name`.
fn cells<'a>(frame: &'a str, name: &str) -> Vec<&'a str> {
    let row = frame.lines().find_map(|line| line.strip_prefix(name));
    let row = row.unwrap_or_else(|| panic!("no {name} in\n{frame}"));
    row.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_shown_as_it_works_and_told_as_gone() {
    let world = World::prepare();
    let mut config = world.config();
    config.metrics.enabled = true;
    config.metrics.address = ([127, 0, 0, 1], 0).into();
    let server = Server::start(config, Mode::Serve).await.expect("it starts");
    let metrics = server.metrics_address().expect("metrics are told").to_string();
    let (address, ca) = (server.address().to_string(), world.ca());
    let admin = knock(&address, &ca, Some(world.administrator())).await;
    let created = admin.expect("let in").create_tenant("acme", policy(0.5)).await;
    created.expect("created");
    let member = world.member("acme", "operator", "ops");
    let mut operator = knock(&address, &ca, Some(member)).await.expect("let in");
    operator.enroll("ada", &palm(1)).await.expect("enrolled");

    let ended = AtomicBool::new(false);
    let asked = metrics.clone();
    let watch = async {
        let shown = tokio::task::spawn_blocking(move || top(&asked)).await;
        ended.store(true, Ordering::Release);
        shown.expect("it ends")
    };
    let work = async {
        while !ended.load(Ordering::Acquire) {
            operator.identify(&palm(1)).await.expect("answered");
        }
    };
    let both = tokio::time::timeout(PATIENCE, async { tokio::join!(watch, work) });
    let (shown, ()) = both.await.expect("within the bound");
    let frame = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success(), "{frame}");
    assert!(
        frame.starts_with(&format!("thenar {metrics}: answers\n")),
        "{frame}"
    );
    assert!(cells(&frame, "calls")[1].contains("Identify "), "{frame}");
    assert!(cells(&frame, "codes")[1].contains("OK "), "{frame}");
    assert!(cells(&frame, "decisions")[1].contains("match "), "{frame}");
    assert!(
        cells(&frame, "certificates end")[0].contains("server in "),
        "{frame}"
    );
    for timed in ["Identify ", "queue wait", "scan", "rescore", "probes of a batch"] {
        let cells = cells(&frame, timed);
        assert_eq!(cells.len(), 5, "{frame}");
        assert!(!cells.contains(&"-") && cells[0] != "0", "{frame}");
    }

    drop(operator);
    server.stop().await.expect("it stops well");
    let gone = top(&metrics);
    let told = String::from_utf8_lossy(&gone.stderr);
    assert_eq!(gone.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("no metrics from {metrics}")), "{told}");
}
