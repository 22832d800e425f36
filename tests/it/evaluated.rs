//! Promise: an evaluation says how well palms are told apart, and sets a tenant's threshold by what it counted, never by itself.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use thenar::model::signature::Dimension;
use thenar::population::Population;
use thenar::proto::v1::policy::ThresholdRule;

use crate::harness::{DIM, World};

const PALMS: u64 = 100;
const SAMPLES: u64 = 4;

fn thenar(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args(arguments)
        .output()
        .expect("it runs")
}

/// The last line of what a command that did well has said.
fn last_line(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
    serde_json::from_str(text.lines().last().expect("it says something")).expect("JSON")
}

/// Writes signatures of simulated palms, and their labels.
fn write(dir: &Path) {
    let population = Population::new(7, Dimension::new(DIM).expect("valid"));
    let rows = PALMS * SAMPLES;
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {DIM}), }}\n");
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
    npy.extend(header.as_bytes());
    let mut labels = "palm,sample\n".to_owned();
    for (palm, sample) in (0..PALMS).flat_map(|palm| (0..SAMPLES).map(move |sample| (palm, sample))) {
        npy.extend(
            population
                .probe(palm, sample)
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
        labels.push_str(&[palm.to_string(), sample.to_string()].join(","));
        labels.push('\n');
    }
    std::fs::write(dir.join("palms.npy"), npy).expect("written");
    std::fs::write(dir.join("labels.csv"), labels).expect("written");
}

fn evaluate(dir: &Path, encoder: &str) -> Value {
    let path = |name: &str| dir.join(name).display().to_string();
    let (signatures, labels, report) = (path("palms.npy"), path("labels.csv"), path("report"));
    let options = [
        "--signatures",
        &signatures,
        "--labels",
        &labels,
        "--report",
        &report,
    ];
    last_line(&thenar(
        &[&["eval", "--json", "--encoder", encoder], options.as_slice()].concat(),
    ))
}

#[test]
fn an_evaluation_ends_with_its_figures() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path());
    let figures = evaluate(dir.path(), "test/1");
    let pairs = PALMS * SAMPLES * (PALMS * SAMPLES - 1) / 2;
    let mated = PALMS * SAMPLES * (SAMPLES - 1) / 2;
    assert_eq!(figures["mated"], mated);
    assert_eq!(figures["non_mated"], pairs - mated);
    assert_eq!(figures["failed_to_acquire"], 0);
    for share in [
        "eer",
        "tar_at_fmr_1e2",
        "tar_at_fmr_1e4",
        "rank1",
        "fta",
        "fnir_at_fpir_1e2",
    ] {
        let value = figures[share].as_f64().expect("a number");
        assert!((0.0..=1.0).contains(&value), "{share}: {value}");
    }
    // 79,200 pairs: at 1e-5 not one false match would have to be expected.
    assert_eq!(figures["tar_at_fmr_1e5"], Value::Null);
    assert!(
        figures["eer"].as_f64() < figures["tar_at_fmr_1e4"].as_f64(),
        "{figures}"
    );
    let page = std::fs::read_to_string(dir.path().join("report/report.html")).expect("written");
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg"));
    let report = std::fs::read(dir.path().join("report/report.json")).expect("written");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["summary"]["eer"], figures["eer"]);
}

#[test]
fn a_folder_of_palms_is_encoded_and_evaluated() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let images = path("images");
    let drawn = thenar(&["palm", "draw", "--out", &images, "--palms", "6", "--samples", "3"]);
    assert!(
        drawn.status.success(),
        "{}",
        String::from_utf8_lossy(&drawn.stderr)
    );
    std::fs::write(dir.path().join("images/000007_01.png"), "no image").expect("written");
    let pattern = r"(?<palm>\d+)_(?<sample>\d+)\.";
    let report = path("report");
    let output = thenar(&[
        "eval",
        &images,
        "--pattern",
        pattern,
        "--roi",
        "--report",
        &report,
        "--json",
    ]);
    let figures = last_line(&output);
    assert_eq!(
        (&figures["captures"], &figures["failed_to_acquire"]),
        (&19.into(), &1.into())
    );
    assert_eq!(
        (&figures["mated"], &figures["non_mated"]),
        (&18.into(), &135.into())
    );
    assert_eq!(
        (&figures["rank1"], &figures["failed_to_enrol"]),
        (&1.0.into(), &1.into())
    );
    assert!(figures["eer"].as_f64().expect("a share") < 0.2, "{figures}");
    let failed = std::fs::read_to_string(dir.path().join("report/failed.csv")).expect("written");
    assert_eq!(failed, "reason,file\nnot-an-image,\"000007_01.png\"\n");
    let report = std::fs::read(dir.path().join("report/report.json")).expect("written");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["encoder"]["name"], "thenar-palm");
    assert_eq!(report["failures"]["not-an-image"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_set_where_a_tenant_is_named_and_for_its_signatures_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path());
    evaluate(dir.path(), "test/1");
    let world = World::start().await;
    world.create_tenant("acme").await;
    let server = format!("https://{}", world.address());
    let (data, report) = (
        world.data().display().to_string(),
        dir.path().join("report").display().to_string(),
    );
    let calibrate = |more: &[&str]| {
        let target = [
            "calibrate",
            &report,
            "--json",
            "--target-fpir",
            "0.01",
            "--gallery-size",
            "1000",
        ];
        let output = thenar(&[&target, more].concat());
        (output.status.success(), output)
    };
    let to = [
        "--tenant",
        "acme",
        "--server",
        &server,
        "--server-name",
        "localhost",
        "--data",
        &data,
    ];
    let threshold_of = async || {
        let tenant = world.admin().await.tenant("acme").await.expect("it is there");
        tenant.policy.expect("served").threshold_rule.expect("it has one")
    };
    let before = threshold_of().await;
    let found = last_line(&calibrate(&[]).1);
    assert_eq!(
        (&found["basis"], &found["tenant"]),
        (&"extrapolated".into(), &Value::Null)
    );
    assert_eq!(threshold_of().await, before, "nobody was named");

    let set = last_line(&calibrate(&to).1);
    let threshold = set["threshold"].as_f64().expect("a score");
    assert_eq!(
        (&set["threshold"], &set["tenant"]),
        (&found["threshold"], &"acme".into())
    );
    let ThresholdRule::Threshold(now) = threshold_of().await else {
        panic!("a score was set");
    };
    assert!(
        (f64::from(now) - threshold).abs() < 1e-9,
        "{now} is not {threshold}"
    );

    evaluate(dir.path(), "other/1");
    let (done, refused) = calibrate(&to);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!done && error.contains("the scores are of other/1"), "{error}");
    world.stop().await;
}
