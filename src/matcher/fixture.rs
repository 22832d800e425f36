//! For tests: a node in a temporary directory with one tenant, and the parts of requests to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::home::Home;
use super::local::{LocalNode, MatcherConfig};
use super::node::{Enrollment, ImportHeader, NewReference, Node, NodeError, SearchQuery, TransformChange};
use crate::engine::{BackendChoice, Engine, EngineConfig, LockMemory};
use crate::keys::keyring::Keyring;
use crate::keys::secret::SecretKey;
use crate::keys::transform::Rotation as Haar;
use crate::keys::transform::conversion::Conversion;
use crate::model::consent::{Consent, ConsentMethod};
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::policy::{Policy, ThresholdRule};
use crate::model::signature::{Dimension, Encoder, Signature};
use crate::model::subject::{Capture, Hand, PadVerdict};
use crate::model::tenant::{TenantSpec, TransformId};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent, UsageKind, UsageRecord};
use crate::storage::data_dir::DataDir;
use crate::storage::journal::{JOURNAL_FILE, Journal};

pub(super) const DIM: usize = 32;

pub(super) fn tenant() -> TenantId {
    "acme".parse().expect("an id")
}

pub(super) fn request() -> RequestId {
    "r-1".parse().expect("an id")
}

pub(super) fn transform(digest: u8) -> TransformId {
    TransformId {
        version: 1,
        digest: [digest; 32],
    }
}

/// A unit vector of any dimension.
pub(super) fn signature(dimension: usize) -> Signature {
    let mut values = vec![0.0; dimension];
    values.splice(..2, [0.6, 0.8]);
    Signature::new(values, Dimension::new(dimension).expect("a dimension")).expect("a unit vector")
}

pub(super) fn consent() -> Consent {
    Consent {
        policy_version: "1".to_owned(),
        purpose: "entry".to_owned(),
        given_at: Timestamp(1),
        expires_at: Timestamp(i64::MAX),
        method: ConsentMethod::AtDevice,
    }
}

pub(super) fn capture() -> Capture {
    Capture {
        hand: Some(Hand::Left),
        quality: 90,
        captured_at: Timestamp(1),
        pad: PadVerdict::BonaFide,
    }
}

pub(super) fn import_header(transform: TransformId, rows: u64) -> ImportHeader {
    ImportHeader {
        tenant: tenant(),
        transform,
        request_id: "r-2".parse().expect("an id"),
        request_digest: [6; 32],
        rows,
        first_row: 0,
        hand: Hand::Right,
        capture: capture(),
        consent: consent(),
    }
}

/// A palm that no other number has.
pub(super) fn palm(number: usize) -> Signature {
    let mut values = vec![0.0; DIM];
    values.splice(..1, [0.6]);
    values[1 + number % (DIM - 1)] = if number < DIM { 0.8 } else { -0.8 };
    Signature::new(values, Dimension::new(DIM).expect("valid")).expect("a unit vector")
}

/// Of one who has that palm.
pub(super) fn enrollment(number: usize) -> Enrollment {
    let request_id: RequestId = format!("enroll-{number}").parse().expect("an id");
    let subject_id: SubjectId = format!("s{number}").parse().expect("an id");
    Enrollment {
        tenant: tenant(),
        transform: transform(7),
        request_id: request_id.clone(),
        request_digest: [5; 32],
        subject_id: subject_id.clone(),
        references: vec![NewReference {
            signature: palm(number),
            hand: Hand::Left,
            capture: capture(),
        }],
        consent: consent(),
        links: Vec::new(),
        usage: UsageEvent {
            at: Timestamp(1),
            kind: UsageKind::Enroll,
            outcome: Outcome::Done,
            subject_id: Some(subject_id),
            site: None,
            principal: "enroller".parse().expect("a name"),
            request_id,
        },
    }
}

/// A use without a match.
pub(super) fn used(request: &str) -> UsageRecord {
    UsageEvent {
        at: Timestamp(2),
        kind: UsageKind::Identify,
        outcome: Outcome::NoMatch,
        subject_id: None,
        site: None,
        principal: "scanner".parse().expect("a name"),
        request_id: request.parse().expect("an id"),
    }
    .into()
}

/// Stops a node; all that it held is let go of when this returns.
pub(super) async fn close(node: Arc<LocalNode>) {
    node.drain().await;
    let released = node.dir().released();
    drop(node);
    released.cancelled().await;
}

/// A node on what such a node left.
pub(super) fn reopen(dir: &tempfile::TempDir) -> Arc<LocalNode> {
    reopen_with(dir, &EngineConfig::default())
}

/// One thread of a CPU.
pub(super) fn engine() -> Engine {
    engine_of(&EngineConfig::default())
}

/// The same, with whatever else is set.
fn engine_of(config: &EngineConfig) -> Engine {
    let engine = Engine::start(EngineConfig {
        backend: BackendChoice::Cpu,
        threads: 1,
        lock_memory: LockMemory::Off,
        ..config.clone()
    });
    engine.expect("started")
}

/// The node again, with settings of the engine, but for where it scans.
pub(super) fn reopen_with(dir: &tempfile::TempDir, engine: &EngineConfig) -> Arc<LocalNode> {
    let keyring =
        Keyring::open(&dir.path().join("keyring"), &SecretKey::from_bytes([1; 32])).expect("opened");
    let journal = Journal::open(&dir.path().join(JOURNAL_FILE), keyring.signer()).expect("opened");
    let engine = engine_of(engine);
    let data = DataDir::open(dir.path().join("data")).expect("opened");
    let home = Home::new(data, Arc::new(keyring), None);
    LocalNode::open(home.expect("joined"), journal, engine, MatcherConfig::default()).expect("opened")
}

/// The tenant, whose rotation is number 7.
pub(super) fn spec() -> TenantSpec {
    TenantSpec {
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
            retention: crate::model::policy::Retention::default(),
            sealed_probes: false,
        },
        created_at: Timestamp(1),
    }
}

/// A node with an empty tenant.
pub(super) async fn node() -> (Arc<LocalNode>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    DataDir::init(&data).expect("made");
    let keyring = Keyring::create(&dir.path().join("keyring"), &SecretKey::from_bytes([1; 32]));
    drop(keyring.expect("made"));
    let node = reopen(&dir);
    node.create_tenant(spec()).await.expect("created");
    (node, dir)
}

/// A rotation of the tenant, and what takes the palms of the tests to it.
#[derive(Clone)]
pub(super) struct Space {
    pub(super) transform: TransformId,
    pub(super) conversion: Option<Arc<Conversion>>,
}

impl Space {
    pub(super) fn palm(&self, number: usize) -> Signature {
        let palm = palm(number);
        let mut values = palm.values().to_vec();
        if let Some(conversion) = &self.conversion {
            conversion.convert_rows(&mut values);
        }
        Signature::new(values, palm.dimension()).expect("a unit vector")
    }

    pub(super) fn enrollment(&self, number: usize) -> Enrollment {
        let mut enrollment = enrollment(number);
        enrollment.transform = self.transform.clone();
        enrollment.references[0].signature = self.palm(number);
        enrollment
    }

    /// The best candidate.
    pub(super) async fn search(&self, node: &impl Node, number: usize) -> Result<Option<String>, NodeError> {
        let answer = node.search(self.query(number)).await?;
        Ok(answer
            .candidates
            .first()
            .map(|found| found.subject_id.to_string()))
    }

    pub(super) fn query(&self, number: usize) -> SearchQuery {
        SearchQuery {
            only: None,
            tenant: tenant(),
            transform: self.transform.clone(),
            probe: self.palm(number),
            threshold: 0.9,
            candidates_max: 2,
            links: Vec::new(),
            deterministic: true,
            deadline: None,
        }
    }
}

/// What [`node`] is made with.
pub(super) fn first() -> Space {
    Space {
        transform: transform(7),
        conversion: None,
    }
}

pub(super) fn second() -> Space {
    after(8)
}

pub(super) fn after(digest: u8) -> Space {
    let dimension = Dimension::new(DIM).expect("valid");
    let haar = |seed| Haar::derive(&SecretKey::from_bytes([seed; 32]), 1, dimension);
    Space {
        transform: TransformId {
            version: 2,
            ..transform(digest)
        },
        conversion: Some(Arc::new(haar(1).to(&haar(digest)))),
    }
}

/// From the first rotation.
pub(super) fn change(to: &Space) -> TransformChange {
    TransformChange {
        from: transform(7),
        to: to.transform.clone(),
        conversion: Arc::clone(to.conversion.as_ref().expect("it is another one")),
    }
}
