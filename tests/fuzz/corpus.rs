//! The saved inputs of each target, and how the code under test makes the valid ones. Mutates nothing.
#![expect(
    clippy::unnecessary_wraps,
    reason = "fields of messages are optional on the wire"
)]
#![expect(clippy::too_many_lines, reason = "one list of all requests")]

use std::path::{Path, PathBuf};

use prost::Message;
use thenar::keys::keyring::{Keyring, Purpose};
use thenar::keys::receipt::ReceiptSigner;
use thenar::model::erasure::{ErasureReceipt, ErasureState};
use thenar::model::timestamp::Timestamp;
use thenar::proto::matching::v1 as matching;
use thenar::proto::v1 as public;
use thenar::storage::fuzzing;

use crate::pictures;
use crate::targets::kek;

/// Set to write the valid inputs anew.
const WRITE: &str = "THENAR_WRITE_CORPUS";
const DIM: usize = 32;

/// The folder of a target.
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(target)
}

#[test]
fn corpus() {
    if std::env::var_os(WRITE).is_none() {
        return;
    }
    files();
    for (method, bytes) in public_requests() {
        save(
            "public_request",
            &format!("{method:02}"),
            &[&[method], &bytes[..]].concat(),
        );
    }
    for (method, bytes) in match_requests() {
        save(
            "match_request",
            &format!("{method:02}"),
            &[&[method], &bytes[..]].concat(),
        );
    }
}

fn save(target: &str, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(folder(target)).expect("made");
    std::fs::write(folder(target).join(name), bytes).expect("written");
}

fn files() {
    let dir = tempfile::tempdir().expect("a directory");
    let read = |name: &str| std::fs::read(dir.path().join(name)).expect("written above");
    fuzzing::write_segment(dir.path()).expect("written");
    save("segment", "five-rows", &read(&fuzzing::segment_file()));
    fuzzing::write_mark(dir.path()).expect("written");
    save("mark", "new", &read(fuzzing::MARK_FILE));
    let keyring = Keyring::create(&dir.path().join("keyring"), &kek()).expect("made");
    save("keyring", "empty", &read("keyring"));
    for tenant in ["acme", "other"] {
        let tenant = tenant.parse().expect("a valid id");
        keyring.get_or_create(&tenant, Purpose::Data).expect("made");
    }
    save("keyring", "two-tenants", &read("keyring"));
    let receipt = ErasureReceipt {
        erasure: 1,
        tenant: "acme".parse().expect("a valid id"),
        subject_id: "anna".parse().expect("a valid id"),
        erased_at: Timestamp(1_700_000_000_000_000),
        purged_at: Some(Timestamp(1_700_000_001_000_000)),
        state: ErasureState::Purged,
        sealed_row_sha256: vec!["00".repeat(32)],
        sealed_row_search: Vec::new(),
        removed: None,
    };
    let signed = ReceiptSigner::new(&kek()).sign(&receipt);
    save("receipt", "purged", &serde_json::to_vec(&signed).expect("valid"));
    for (name, bytes) in pictures::valid() {
        save("image", name, &bytes);
    }
    save("config", "example", include_bytes!("../../thenar.example.toml"));
    let lines = include_str!("../../thenar.example.toml").lines();
    let all: Vec<&str> = lines
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .collect();
    save("config", "all", all.join("\n").as_bytes());
    for (name, element, shape, rows) in [("f4", "<f4", "(3, 32)", 3), ("f2", "<f2", "(32,)", 1)] {
        let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
        bytes.extend(header.as_bytes());
        for at in 0..rows * DIM {
            let value = if at % DIM == 0 { 1.0_f32 } else { 0.0 };
            if element == "<f4" {
                bytes.extend(value.to_le_bytes());
            } else {
                bytes.extend(half::f16::from_f32(value).to_le_bytes());
            }
        }
        save("npy", name, &bytes);
    }
}

fn unit() -> Vec<u8> {
    let coordinate = |at: usize| if at == 0 { 1.0_f32 } else { 0.0 };
    (0..DIM).flat_map(|at| coordinate(at).to_le_bytes()).collect()
}

fn time() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: 1_700_000_000,
        nanos: 1_000,
    })
}

fn encoder() -> Option<public::Encoder> {
    Some(public::Encoder {
        name: "palm".into(),
        version: "1".into(),
    })
}

fn signature() -> public::Signature {
    public::Signature {
        data: unit().into(),
        element_type: public::ElementType::F32.into(),
        encoder: encoder(),
        hand: public::Hand::Right.into(),
        quality: 80,
        capture_time: time(),
        pad_verdict: public::PadVerdict::BonaFide.into(),
    }
}

fn consent() -> Option<public::Consent> {
    Some(public::Consent {
        policy_version: "1".into(),
        purpose: "doors".into(),
        give_time: time(),
        expire_time: time(),
        method: public::ConsentMethod::InApp.into(),
    })
}

fn link() -> public::Link {
    public::Link {
        kind: public::LinkKind::BadgeId.into(),
        value: "B-1".into(),
    }
}

fn due() -> Option<matching::Due> {
    Some(matching::Due {
        retention: policy().and_then(|policy| policy.retention),
        as_of: consent().and_then(|consent| consent.give_time),
    })
}

fn policy() -> Option<public::Policy> {
    Some(public::Policy {
        threshold_rule: Some(public::policy::ThresholdRule::TargetFpir(public::TargetFpir {
            fpir: 1e-6,
            gallery_size: 1_000,
        })),
        margin: 0.05,
        quality_min: 30,
        pad_required: true,
        link_grants: vec![public::LinkGrant {
            role: "scanner".into(),
            kinds: vec![public::LinkKind::BadgeId.into()],
        }],
        deterministic: true,
        retention: Some(public::Retention {
            idle_days_max: 730,
            consent_end: true,
        }),
        sealed_probes: true,
    })
}

fn public_requests() -> Vec<(u8, Vec<u8>)> {
    use public::import_request::Part;
    let (tenant, request_id, subject_id) = ("acme".to_owned(), "r-1".to_owned(), "anna".to_owned());
    let (site, probe) = ("gate-1".to_owned(), Some(signature()));
    let identify = public::IdentifyRequest {
        tenant: tenant.clone(),
        request_id: request_id.clone(),
        probe: probe.clone(),
        site: site.clone(),
        candidates_max: 3,
        sealed_probe: None,
    };
    let verify = public::VerifyRequest {
        tenant: tenant.clone(),
        request_id: request_id.clone(),
        subject_id: subject_id.clone(),
        probe: None,
        site: site.clone(),
        sealed_probe: Some(public::SealedProbe {
            key_id: "0011223344556677".into(),
            enc: vec![7; 32].into(),
            ciphertext: signature().encode_to_vec().into(),
            capture_time_ms: 1_800_000_000_123,
        }),
    };
    let investigate = public::InvestigateRequest {
        tenant: tenant.clone(),
        request_id: request_id.clone(),
        probe,
        site: site.clone(),
        candidates_max: 3,
    };
    let enroll = public::EnrollRequest {
        tenant: tenant.clone(),
        request_id: request_id.clone(),
        subject_id: subject_id.clone(),
        signatures: vec![signature(), signature()],
        consent: consent(),
        links: vec![link()],
        site,
    };
    let erase = public::EraseRequest {
        tenant: tenant.clone(),
        request_id: request_id.clone(),
        subject: Some(public::erase_request::Subject::Link(link())),
    };
    let get_subject = public::GetSubjectRequest {
        tenant: tenant.clone(),
        subject: Some(public::get_subject_request::Subject::SubjectId(
            subject_id.clone(),
        )),
    };
    let export = public::ExportSubjectRequest {
        tenant: tenant.clone(),
        subject: Some(public::export_subject_request::Subject::SubjectId(
            subject_id.clone(),
        )),
    };
    let list_usage = public::ListUsageRequest {
        tenant: tenant.clone(),
        subject_id: subject_id.clone(),
        page_size: 10,
        page_token: thenar::service::page::token("usage//", &7_u64.to_be_bytes()),
    };
    let get_erasure = public::GetErasureRequest {
        tenant: tenant.clone(),
        erasure: 1,
    };
    let import = public::ImportRequest {
        part: Some(Part::Header(public::ImportHeader {
            tenant: tenant.clone(),
            request_id: request_id.clone(),
            encoder: encoder(),
            element_type: public::ElementType::F32.into(),
            hand: public::Hand::Left.into(),
            quality: 80,
            consent: consent(),
            rows: 2,
            first_row: 1,
        })),
    };
    let get_import = public::GetImportRequest {
        tenant: tenant.clone(),
        request_id: request_id.clone(),
    };
    let create = public::CreateTenantRequest {
        request_id: request_id.clone(),
        tenant: tenant.clone(),
        dimension: 32,
        encoder: encoder(),
        policy: policy(),
    };
    let list_tenants = public::ListTenantsRequest {
        page_size: 10,
        page_token: thenar::service::page::token("tenants", b"acme"),
    };
    let drop_tenant = public::DropTenantRequest {
        request_id,
        tenant: tenant.clone(),
    };
    vec![
        (0, identify.encode_to_vec()),
        (1, verify.encode_to_vec()),
        (2, investigate.encode_to_vec()),
        (3, enroll.encode_to_vec()),
        (4, erase.encode_to_vec()),
        (5, get_subject.encode_to_vec()),
        (6, list_usage.encode_to_vec()),
        (7, get_erasure.encode_to_vec()),
        (8, import.encode_to_vec()),
        (9, create.encode_to_vec()),
        (
            10,
            public::GetTenantRequest {
                tenant: tenant.clone(),
            }
            .encode_to_vec(),
        ),
        (11, list_tenants.encode_to_vec()),
        (12, drop_tenant.encode_to_vec()),
        (14, export.encode_to_vec()),
        (15, get_import.encode_to_vec()),
        (13, public::GetStatsRequest { tenant }.encode_to_vec()),
    ]
}

fn transform() -> Option<matching::TransformId> {
    Some(matching::TransformId {
        version: 1,
        digest: vec![7; 32].into(),
    })
}

fn match_requests() -> Vec<(u8, Vec<u8>)> {
    use matching::import_request::Part;
    let (tenant, request_id, subject_id) = ("acme".to_owned(), "r-1".to_owned(), "anna".to_owned());
    let probe = Some(matching::Vectors { data: unit().into() });
    let digest: prost::bytes::Bytes = vec![7; 32].into();
    let capture = Some(matching::Capture {
        hand: public::Hand::Left.into(),
        quality: 80,
        capture_time: time(),
        pad_verdict: public::PadVerdict::BonaFide.into(),
    });
    let event = Some(public::UsageEvent {
        time: time(),
        kind: public::UsageKind::Enroll.into(),
        outcome: public::UsageOutcome::Done.into(),
        retake_reason: 0,
        subject_id: subject_id.clone(),
        site: "gate-1".into(),
        principal: "scanner-1".into(),
        request_id: request_id.clone(),
    });
    let subject = Some(matching::SubjectRef {
        subject: Some(matching::subject_ref::Subject::Link(matching::LinkLookup {
            kind: public::LinkKind::BadgeId.into(),
            lookup: digest.clone(),
        })),
    });
    let spec = matching::TenantSpec {
        tenant: tenant.clone(),
        dimension: 32,
        encoder: encoder(),
        transform: transform(),
        policy: policy(),
        create_time: time(),
    };
    let search = matching::SearchRequest {
        tenant: tenant.clone(),
        probe: probe.clone(),
        threshold: 0.5,
        candidates_max: 3,
        links: vec![public::LinkKind::BadgeId.into()],
        transform: transform(),
        deterministic: false,
        only_subject_id: "ada".to_owned(),
    };
    let rank = matching::RankRequest {
        tenant: tenant.clone(),
        probe: probe.clone(),
        candidates_max: 3,
        transform: transform(),
        deterministic: false,
    };
    let compare = matching::CompareRequest {
        tenant: tenant.clone(),
        subject_id: subject_id.clone(),
        probe: probe.clone(),
        transform: transform(),
    };
    let enroll = matching::EnrollRequest {
        tenant: tenant.clone(),
        request_id: request_id.clone(),
        request_digest: digest.clone(),
        subject_id: subject_id.clone(),
        references: vec![matching::NewReference {
            signature: probe.clone(),
            hand: public::Hand::Left.into(),
            capture,
        }],
        consent: consent(),
        links: vec![matching::SealedLink {
            kind: public::LinkKind::BadgeId.into(),
            lookup: digest.clone(),
            sealed: vec![7; 40].into(),
        }],
        usage: event.clone(),
        transform: transform(),
    };
    let rows = matching::ImportRequest {
        part: Some(Part::Rows(matching::ImportRows {
            rows: probe,
            subject_ids: vec![subject_id.clone()],
        })),
    };
    let get_import = matching::GetImportRequest {
        tenant: tenant.clone(),
        request_id: request_id.clone(),
    };
    let erase = matching::EraseRequest {
        tenant: tenant.clone(),
        request_id,
        request_digest: digest,
        subject: subject.clone(),
        only_if: due(),
    };
    let usage = matching::ListUsageRequest {
        tenant: tenant.clone(),
        subject_id,
        before: Some(7),
        limit: 10,
    };
    vec![
        (
            0,
            matching::GetTenantRequest {
                tenant: tenant.clone(),
            }
            .encode_to_vec(),
        ),
        (1, spec.encode_to_vec()),
        (
            2,
            matching::DropTenantRequest {
                tenant: tenant.clone(),
            }
            .encode_to_vec(),
        ),
        (3, search.encode_to_vec()),
        (4, rank.encode_to_vec()),
        (5, compare.encode_to_vec()),
        (6, enroll.encode_to_vec()),
        (7, rows.encode_to_vec()),
        (8, erase.encode_to_vec()),
        (
            9,
            matching::GetErasureRequest {
                tenant: tenant.clone(),
                erasure: 1,
            }
            .encode_to_vec(),
        ),
        (
            10,
            matching::GetSubjectRequest {
                tenant: tenant.clone(),
                subject,
            }
            .encode_to_vec(),
        ),
        (
            14,
            matching::ListDueRequest {
                tenant: tenant.clone(),
                due: due(),
                limit: 10,
            }
            .encode_to_vec(),
        ),
        (15, get_import.encode_to_vec()),
        (
            11,
            matching::RecordUsageRequest {
                tenant,
                event,
                event_id: vec![7; 16].into(),
            }
            .encode_to_vec(),
        ),
        (12, usage.encode_to_vec()),
        (13, Vec::new()),
    ]
}
