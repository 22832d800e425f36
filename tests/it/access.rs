//! Promise: a person gets everything that is held on them, as one document.

use std::process::Command;

use serde_json::{Value, json};
use thenar::proto::v1;

use crate::harness::{Caller, World, consent, palm, signature};

/// More events than a page of the history has.
const USES: usize = 1_100;

/// Exit code and document of `thenar export` with a certificate of this role.
fn export(world: &World, role: &str, options: &[&str]) -> (i32, Value) {
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = world.member("acme", role, "desk");
    let [cert_path, key_path] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    std::fs::write(&cert_path, cert).expect("written");
    std::fs::write(&key_path, key).expect("written");
    let port = world.address().rsplit(':').next().expect("a port").to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args(["export", "--server", &format!("https://localhost:{port}")])
        .arg("--ca")
        .arg(world.ca())
        .arg("--cert")
        .arg(&cert_path)
        .arg("--key")
        .arg(&key_path)
        .args(options)
        .output()
        .expect("it runs");
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().expect("it ends"), document)
}

fn link(kind: v1::LinkKind, value: &str) -> v1::Link {
    v1::Link {
        kind: kind.into(),
        value: value.to_owned(),
    }
}

/// Enrols `ada`, erases her and enrols her again, with two palms and two links. Returns the erasure's number.
async fn twice_enrolled(operator: &mut Caller) -> u64 {
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    let erased = operator.erase("erase", "ada").await.expect("erased");
    let request = v1::EnrollRequest {
        request_id: "again".into(),
        subject_id: "ada".into(),
        signatures: vec![signature(&palm(2)), signature(&palm(3))],
        consent: Some(consent()),
        links: vec![
            link(v1::LinkKind::BadgeId, "7"),
            link(v1::LinkKind::PhoneNumber, "+43"),
        ],
        ..Default::default()
    };
    operator.enrollment.enroll(request).await.expect("enrolled");
    erased.erasure
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_record_links_history_and_earlier_erasures() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let erased = twice_enrolled(&mut operator).await;
    operator.enroll("bob", &palm(4)).await.expect("enrolled");
    for _ in 0..USES {
        operator.verify("ada", &palm(2)).await.expect("answered");
    }
    for options in [["--subject", "ada"], ["--link", "badge-id=7"]] {
        let (code, document) = export(&world, "operator", &options);
        assert_eq!(code, 0);
        let subject = &document["subject"];
        assert_eq!(subject["subject_id"], "ada");
        assert_eq!(subject["consent"]["purpose"], consent().purpose);
        assert_eq!(subject["references"].as_array().map(Vec::len), Some(2));
        assert_eq!(
            subject["references"][0]["signature"]["coordinates"],
            crate::harness::DIM
        );
        let mut values: Vec<&str> = subject["links"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|link| link["value"].as_str())
            .collect();
        values.sort_unstable();
        assert_eq!(
            values,
            ["+43", "7"],
            "all links, though the policy hands out none"
        );
        let history = document["history"].as_array().expect("a list");
        assert_eq!(
            history.len(),
            USES + 1,
            "every page, and nothing of the enrolment that was erased"
        );
        assert!(history.iter().all(|event| event["subject_id"] == "ada"));
        assert_eq!(document["erasures"][0]["erasure"], erased);
        assert!(!document.to_string().contains("bob"));
    }
    assert_eq!(
        export(&world, "enroller", &["--subject", "ada"]).0,
        1,
        "for operators alone"
    );
    assert_eq!(
        export(&world, "operator", &["--subject", "eve"]).0,
        1,
        "nobody of that id"
    );
    operator.erase("erase-again", "ada").await.expect("erased");
    let (code, document) = export(&world, "operator", &["--subject", "ada"]);
    assert_eq!(
        (code, &document["subject"], &document["history"]),
        (0, &Value::Null, &json!([]))
    );
    assert_eq!(document["erasures"].as_array().map(Vec::len), Some(2));
    world.stop().await;
}
