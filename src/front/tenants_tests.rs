//! Tests of the registry of tenants: rotations are checked, bounded and derived again, answers outdated.

use super::*;
use crate::keys::secret::SecretKey;
use crate::model::policy::{Policy, ThresholdRule};
use crate::model::signature::{Dimension, Encoder};
use crate::model::tenant::TransformId;
use crate::model::timestamp::Timestamp;

struct Fixture {
    keyring: Arc<Keyring>,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let kek = SecretKey::from_bytes([1; 32]);
        let keyring = Keyring::create(&dir.path().join("keyring"), &kek).expect("made");
        Self {
            keyring: Arc::new(keyring),
            _dir: dir,
        }
    }

    fn tenants(&self, rotations_bytes_max: u64) -> Tenants {
        Tenants::new(
            Arc::clone(&self.keyring),
            rotations_bytes_max,
            &RecentConfig::default(),
        )
    }

    fn spec(&self, id: &str) -> TenantSpec {
        let id: TenantId = id.parse().expect("valid");
        let dimension = Dimension::new(32).expect("valid");
        let key = self.keyring.get_or_create(&id, Purpose::Transform).expect("made");
        TenantSpec {
            dimension,
            encoder: Encoder::new("palm", "1").expect("valid"),
            transform: Rotation::derive(&key, 1, dimension).id().clone(),
            policy: Policy {
                threshold: ThresholdRule::TargetFpir {
                    fpir: 0.01,
                    gallery_size: 1_000,
                },
                margin: 0.0,
                quality_min: 0,
                pad_required: false,
                links: std::collections::BTreeMap::new(),
                deterministic: false,
                retention: crate::model::policy::Retention::default(),
                sealed_probes: false,
            },
            created_at: Timestamp(1),
            id,
        }
    }
}

const PLENTY: u64 = 1 << 20;

#[test]
fn a_tenant_is_known_with_its_threshold_and_rotation() {
    let fixture = Fixture::new();
    let tenants = fixture.tenants(PLENTY);
    assert!(tenants.get(&"acme".parse().expect("valid")).is_none());
    let tenant = tenants.insert(fixture.spec("acme")).expect("taken in");
    assert!(tenant.threshold > 0.5 && tenant.threshold < 1.0);
    assert!(tenants.resident_rotation(&tenant).is_none());
    let rotation = tenants.rotation(&tenant).expect("derived");
    assert_eq!(*rotation.id(), tenant.spec.transform);
    assert!(Arc::ptr_eq(
        &rotation,
        &tenants.resident_rotation(&tenant).expect("kept")
    ));
    tenants.remove(tenant.id());
    assert!(tenants.get(tenant.id()).is_none() && tenants.resident_rotation(&tenant).is_none());
}

#[test]
fn the_same_spec_again_changes_nothing_and_another_does() {
    let fixture = Fixture::new();
    let tenants = fixture.tenants(PLENTY);
    let tenant = tenants.insert(fixture.spec("acme")).expect("taken in");
    let again = tenants.insert(fixture.spec("acme")).expect("taken in");
    assert!(Arc::ptr_eq(&tenant, &again));
    let mut spec = fixture.spec("acme");
    spec.policy.margin = 0.1;
    let changed = tenants.insert(spec).expect("taken in");
    assert!(!Arc::ptr_eq(&tenant, &changed));
    assert_ne!(tenant.epoch(), changed.epoch());
}

#[test]
fn a_wrong_rotation_is_refused_in_words_and_remembered() {
    let fixture = Fixture::new();
    let tenants = fixture.tenants(PLENTY);
    let mut spec = fixture.spec("acme");
    spec.transform = TransformId {
        version: 1,
        digest: [0xab; 32],
    };
    let tenant = tenants.insert(spec).expect("taken in");
    for _ in 0..2 {
        let error = tenants.rotation(&tenant).err().expect("refused").to_string();
        for words in [
            "tenant acme is unavailable",
            "abababababababab",
            "bring back the keyring",
        ] {
            assert!(error.contains(words), "{error}");
        }
    }
    assert!(tenants.known_mismatch(tenant.id()).is_some());
    assert!(tenants.resident_rotation(&tenant).is_none());
}

#[test]
fn a_tenant_without_keys_is_refused() {
    let (fixture, elsewhere) = (Fixture::new(), Fixture::new());
    let error = fixture
        .tenants(PLENTY)
        .insert(elsewhere.spec("acme"))
        .err()
        .expect("refused");
    assert!(matches!(&error, FrontError::TransformMismatch { .. }), "{error}");
    assert!(error.to_string().contains("holds no keys"), "{error}");
}

#[test]
fn rotations_beyond_the_limit_are_derived_again() {
    let fixture = Fixture::new();
    // Room for two rotations of 32 dimensions.
    let tenants = fixture.tenants(2 * 32 * 32 * 4);
    for number in 0..6 {
        let tenant = tenants
            .insert(fixture.spec(&format!("t{number}")))
            .expect("taken in");
        tenants.rotation(&tenant).expect("derived");
    }
    tenants.rotations.run_pending_tasks();
    assert!(tenants.rotations.entry_count() <= 2);
    for number in 0..6 {
        let id = format!("t{number}").parse().expect("valid");
        let tenant = tenants.get(&id).expect("known");
        tenants.rotation(&tenant).expect("derived again");
    }
}

#[test]
fn all_are_derived_at_once_and_the_wrong_ones_named() {
    let fixture = Fixture::new();
    let tenants = fixture.tenants(PLENTY);
    for number in 0..20 {
        let mut spec = fixture.spec(&format!("t{number}"));
        if number == 7 {
            spec.transform.digest = [0; 32];
        }
        tenants.insert(spec).expect("taken in");
    }
    let failed = tenants.derive_all();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].0.as_str(), "t7");
    let id = "t19".parse().expect("valid");
    assert!(
        tenants
            .resident_rotation(&tenants.get(&id).expect("known"))
            .is_some()
    );
}

#[test]
fn outdated_answers_have_an_epoch_that_never_was() {
    let fixture = Fixture::new();
    let tenants = fixture.tenants(PLENTY);
    let (a, b) = (
        tenants.insert(fixture.spec("a")).expect("taken in"),
        tenants.insert(fixture.spec("b")).expect("taken in"),
    );
    let before = [a.epoch(), b.epoch()];
    tenants.outdate_answers(&a);
    assert!(!before.contains(&a.epoch()));
    assert_eq!(b.epoch(), before[1]);
    tenants.remove(a.id());
    let anew = tenants.insert(fixture.spec("a")).expect("taken in");
    assert!(anew.epoch() > a.epoch());
}
