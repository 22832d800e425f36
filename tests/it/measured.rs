//! Promise: figures come from commands. The demo runs small, checks itself and prints what it measured.

use std::process::Command;

#[test]
fn the_demo_checks_itself_and_prints_its_figures() {
    let output = Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args([
            "demo",
            "--palms",
            "3000",
            "--scanners",
            "4",
            "--seconds",
            "2",
            "--backend",
            "cpu",
            "--json",
        ])
        .output()
        .expect("the demo starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last = text.lines().last().expect("it prints something");
    let figures: serde_json::Value = serde_json::from_str(last).expect("the last line is JSON");
    let keys = [
        "palms",
        "identifications",
        "rate_per_s",
        "p50_ms",
        "p99_ms",
        "fnir",
        "fpir",
        "cross_tenant_matches",
        "found_after_enrol",
        "found_after_erase",
        "lost_after_restart",
        "backend",
        "certificate",
    ];
    let object = figures.as_object().expect("an object");
    for key in keys {
        assert!(object.contains_key(key), "{key} is missing in {last}");
    }
    assert_eq!(object.len(), keys.len(), "{last}");
    assert_eq!(figures["palms"], 3_000);
    assert_eq!(figures["cross_tenant_matches"], 0);
    assert_eq!(figures["lost_after_restart"], 0);
    assert_eq!(figures["found_after_enrol"], true);
    assert_eq!(figures["found_after_erase"], false);
    assert!(figures["identifications"].as_u64().expect("a count") > 0);
    assert!(figures["p50_ms"].as_f64().expect("a figure") <= figures["p99_ms"].as_f64().expect("a figure"));
}
