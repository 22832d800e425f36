//! Tests of the node: what is protected with another rotation than the tenant's is refused before anything else.

use futures::{StreamExt, stream};

use super::*;
use crate::engine::{BackendChoice, EngineConfig, LockMemory};
use crate::keys::secret::SecretKey;
use crate::matcher::node::NewReference;
use crate::model::consent::{Consent, ConsentMethod};
use crate::model::id::RequestId;
use crate::model::policy::{Policy, ThresholdRule};
use crate::model::signature::{Dimension, Encoder, Signature};
use crate::model::subject::{Capture, Hand, PadVerdict};
use crate::model::tenant::TransformId;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageKind};

const DIM: usize = 32;

fn tenant() -> TenantId {
    "acme".parse().expect("an id")
}

fn request() -> RequestId {
    "r-1".parse().expect("an id")
}

fn transform(digest: u8) -> TransformId {
    TransformId {
        version: 1,
        digest: [digest; 32],
    }
}

/// A unit vector of any dimension.
fn signature(dimension: usize) -> Signature {
    let mut values = vec![0.0; dimension];
    values.splice(..2, [0.6, 0.8]);
    Signature::new(values, Dimension::new(dimension).expect("a dimension")).expect("a unit vector")
}

fn consent() -> Consent {
    Consent {
        policy_version: "1".to_owned(),
        purpose: "entry".to_owned(),
        given_at: Timestamp(1),
        expires_at: Timestamp(i64::MAX),
        method: ConsentMethod::AtDevice,
    }
}

fn capture() -> Capture {
    Capture {
        hand: Some(Hand::Left),
        quality: 90,
        captured_at: Timestamp(1),
        pad: PadVerdict::BonaFide,
    }
}

fn query(transform: TransformId, dimension: usize) -> SearchQuery {
    SearchQuery {
        tenant: tenant(),
        transform,
        probe: signature(dimension),
        threshold: 0.5,
        candidates_max: 5,
        links: Vec::new(),
        deterministic: false,
        deadline: None,
    }
}

fn comparison(transform: TransformId, dimension: usize) -> CompareQuery {
    CompareQuery {
        tenant: tenant(),
        transform,
        subject_id: "ada".parse().expect("an id"),
        probe: signature(dimension),
        deadline: None,
    }
}

fn enrollment(transform: TransformId, dimension: usize) -> Enrollment {
    Enrollment {
        tenant: tenant(),
        transform,
        request_id: request(),
        request_digest: [5; 32],
        subject_id: "ada".parse().expect("an id"),
        references: vec![NewReference {
            signature: signature(dimension),
            hand: Hand::Left,
            capture: capture(),
        }],
        consent: consent(),
        links: Vec::new(),
        usage: UsageEvent {
            at: Timestamp(5),
            kind: UsageKind::Enroll,
            outcome: Outcome::Done,
            subject_id: Some("ada".parse().expect("an id")),
            site: None,
            principal: "desk".parse().expect("a name"),
            request_id: request(),
        },
    }
}

fn import_header(transform: TransformId, rows: u64) -> ImportHeader {
    ImportHeader {
        tenant: tenant(),
        transform,
        request_id: "r-2".parse().expect("an id"),
        request_digest: [6; 32],
        rows,
        hand: Hand::Right,
        capture: capture(),
        consent: consent(),
    }
}

/// A node with an empty tenant whose rotation is number 7.
async fn node() -> (Arc<LocalNode>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    DataDir::init(&data).expect("made");
    let keyring = Keyring::create(&dir.path().join("keyring"), &SecretKey::from_bytes([1; 32]));
    let engine = Engine::start(EngineConfig {
        backend: BackendChoice::Cpu,
        threads: 1,
        lock_memory: LockMemory::Off,
        ..EngineConfig::default()
    });
    let node = LocalNode::open(
        DataDir::open(&data).expect("opened"),
        Arc::new(keyring.expect("made")),
        engine.expect("started"),
        MatcherConfig::default(),
    )
    .expect("opened");
    let spec = TenantSpec {
        id: tenant(),
        dimension: Dimension::new(DIM).expect("a dimension"),
        encoder: Encoder::new("palm", "1").expect("an encoder"),
        transform: transform(7),
        policy: Policy {
            threshold: ThresholdRule::Score(0.5),
            margin: 0.05,
            quality_min: 30,
            pad_required: true,
            links: BTreeMap::new(),
            deterministic: false,
        },
        created_at: Timestamp(1),
    };
    node.create_tenant(spec).await.expect("created");
    (node, dir)
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what a call gave")]
fn assert_stale<T: std::fmt::Debug>(answer: Result<T, NodeError>) {
    assert!(
        matches!(&answer, Err(NodeError::TransformStale { tenant: id }) if *id == tenant()),
        "{answer:?}"
    );
}

#[tokio::test]
async fn questions_under_another_rotation_are_refused_and_not_answered_with_nobody() {
    let (node, _dir) = node().await;
    node.enroll(enrollment(transform(7), DIM))
        .await
        .expect("enrolled");
    let found = node.search(query(transform(7), DIM)).await.expect("answered");
    assert_eq!(found.candidates.len(), 1);
    let another_version = TransformId {
        version: 2,
        ..transform(7)
    };
    for wrong in [transform(8), another_version] {
        // Of a wrong dimension too: the rotation is looked at first.
        for dimension in [DIM, 2 * DIM] {
            assert_stale(node.search(query(wrong.clone(), dimension)).await);
            assert_stale(node.compare(comparison(wrong.clone(), dimension)).await);
        }
    }
    node.drain().await;
}

#[tokio::test]
async fn writes_under_another_rotation_are_refused_and_leave_nothing() {
    let (node, _dir) = node().await;
    for dimension in [DIM, 2 * DIM] {
        assert_stale(node.enroll(enrollment(transform(8), dimension)).await);
    }
    for rows in [0, 1] {
        let chunks = stream::empty().boxed();
        assert_stale(node.import(import_header(transform(8), rows), chunks).await);
    }
    let status = node.tenant(&tenant()).await.expect("there");
    assert_eq!((status.stats.references, status.stats.sequence), (0, 0));
    // The request id was not used up.
    node.enroll(enrollment(transform(7), DIM))
        .await
        .expect("enrolled");
    // A repetition is not answered from memory either.
    assert_stale(node.enroll(enrollment(transform(8), DIM)).await);
    node.drain().await;
}
