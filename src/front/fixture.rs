//! For tests: a front before a match node in memory, and requests that are right until a test changes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::{
    CreateTenant, Enroll, Enrollment, Identify, Probe, RawSignature, SubjectSelector, Verify,
};
use super::fake::FakeNode;
use super::identity::Caller;
use super::revocation::Standing;
use super::route::Routes;
use super::{Front, FrontConfig};
use crate::keys::keyring::Keyring;
use crate::keys::secret::SecretKey;
use crate::matcher::node::Node;
use crate::model::consent::{Consent, ConsentMethod};
use crate::model::link::LinkKind;
use crate::model::policy::{Policy, ThresholdRule};
use crate::model::principal::{Principal, Role};
use crate::model::signature::{Dimension, ElementType, Encoder};
use crate::model::subject::{Capture, Hand, PadVerdict};
use crate::model::timestamp::Timestamp;

/// Dimension of the tests' tenants.
pub(super) const DIM: usize = 64;

/// A front before a fake node, with two tenants, `acme` and `other`.
pub(super) struct Fixture {
    pub(super) front: Arc<Front>,
    pub(super) node: Arc<FakeNode>,
    pub(super) keyring: Arc<Keyring>,
    dir: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let kek = SecretKey::from_bytes([1; 32]);
        let keyring = Arc::new(Keyring::create(&dir.path().join("keyring"), &kek).expect("made"));
        let node = Arc::new(FakeNode::default());
        let front = front(&keyring, &node);
        let fixture = Self {
            front,
            node,
            keyring,
            dir,
        };
        for tenant in ["acme", "other"] {
            fixture
                .front
                .create_tenant(&caller("/admin/root"), create(tenant))
                .await
                .expect("created");
        }
        fixture
    }

    /// A keyring of somebody else, with the keys of now.
    pub(super) fn keyring_copy(&self) -> Arc<Keyring> {
        let kek = SecretKey::from_bytes([1; 32]);
        let path = self.dir.path().join("copy");
        self.keyring.save_as(&path, &kek, |_| true).expect("written");
        Arc::new(Keyring::open(&path, &kek).expect("opens"))
    }

    /// The first row of `acme` as the node has it.
    pub(super) fn row(&self) -> Vec<f32> {
        self.node.0.lock().tenants[&id("acme")].rows[0].2.clone()
    }

    /// Enrols palm `number` under this subject id.
    pub(super) async fn enroll(&self, tenant: &str, subject: &str, number: u32) {
        let request = Enroll {
            request_id: id(&format!("enrol-{subject}")),
            subject_id: Some(id(subject)),
            ..enroll(number)
        };
        let enroller = caller(&format!("/tenant/{tenant}/enroller/e"));
        let answer = self.front.enroll(&enroller, request).await.expect("enrolled");
        assert!(matches!(answer, Enrollment::Done(_)));
    }
}

/// Another front before the same node and with the same keys.
pub(super) fn front(keyring: &Arc<Keyring>, node: &Arc<FakeNode>) -> Arc<Front> {
    let node: Arc<dyn Node> = Arc::clone(node) as _;
    Front::new(config(), Arc::clone(keyring), Routes::single(node))
}

/// Parses an id that is known to be valid.
pub(super) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("valid")
}

pub(super) fn caller(path: &str) -> Caller {
    Caller {
        principal: Principal::from_path(path).expect("valid"),
        valid_until: Timestamp(i64::MAX),
        standing: Standing::default(),
    }
}

pub(super) fn encoder() -> Encoder {
    Encoder::new("palm", "1").expect("valid")
}

pub(super) fn create(tenant: &str) -> CreateTenant {
    CreateTenant {
        tenant: id(tenant),
        request_id: id("create"),
        dimension: Dimension::new(DIM).expect("valid"),
        encoder: encoder(),
        policy: Policy {
            threshold: ThresholdRule::Score(0.5),
            margin: 0.05,
            quality_min: 30,
            pad_required: true,
            links: BTreeMap::from([
                (Role::Scanner, vec![LinkKind::PaymentToken]),
                (Role::Enroller, vec![LinkKind::PhoneNumber]),
                (Role::Operator, vec![LinkKind::PaymentToken, LinkKind::AccountId]),
            ]),
            deterministic: false,
            retention: crate::model::policy::Retention::default(),
            sealed_probes: false,
        },
    }
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

/// Palm `number`: unit vectors, nearly orthogonal to each other.
pub(super) fn palm(number: u32) -> Vec<f32> {
    let mut state = u64::from(number) * 2 + 1;
    let signs = (0..DIM).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if state >> 63 == 0 { 0.125 } else { -0.125 }
    });
    signs.collect()
}

pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn raw(values: &[f32]) -> RawSignature {
    RawSignature {
        data: bytes(values).into(),
        element: ElementType::F32,
        encoder: encoder(),
        capture: Capture {
            hand: Some(Hand::Right),
            quality: 80,
            captured_at: Timestamp(1),
            pad: PadVerdict::BonaFide,
        },
    }
}

/// The signature of a probe that is not sealed.
pub(super) fn plain(probe: &mut Probe) -> &mut RawSignature {
    match probe {
        Probe::Plain(raw) => raw,
        Probe::Sealed { .. } => panic!("it is sealed"),
    }
}

pub(super) fn identify(request_id: &str, values: &[f32]) -> Identify {
    Identify {
        tenant: None,
        request_id: id(request_id),
        probe: Probe::Plain(raw(values)),
        site: Some(id("gate")),
        candidates_max: 0,
        deadline: None,
    }
}

pub(super) fn verify(request_id: &str, subject: &str, values: &[f32]) -> Verify {
    Verify {
        tenant: None,
        request_id: id(request_id),
        subject_id: id(subject),
        probe: Probe::Plain(raw(values)),
        site: None,
        deadline: None,
    }
}

pub(super) fn enroll(number: u32) -> Enroll {
    Enroll {
        tenant: None,
        request_id: id("enrol"),
        subject_id: None,
        signatures: vec![raw(&palm(number))],
        consent: Some(consent()),
        links: Vec::new(),
        site: None,
    }
}

/// The settings of a front that is asked faster than devices ask.
pub(super) fn config() -> FrontConfig {
    let mut config = FrontConfig::default();
    config.quotas.scanner.per_second = 0;
    config.quotas.scanner.burst = 0;
    config
}

/// Erases `ada`, enrolled in `acme`.
pub(super) async fn erase_ada(front: &Front) {
    let selector = SubjectSelector::Id(id("ada"));
    let enroller = caller("/tenant/acme/enroller/e");
    let erased = front.erase(&enroller, None, id("erase"), selector).await;
    erased.expect("erased");
}

/// Enrols palm 2 of `ada` in `acme`.
pub(super) async fn enroll_ada_with_another(front: &Front) {
    let request = Enroll {
        request_id: id("another"),
        subject_id: Some(id("ada")),
        ..enroll(2)
    };
    let enroller = caller("/tenant/acme/enroller/e");
    front.enroll(&enroller, request).await.expect("enrolled");
}
