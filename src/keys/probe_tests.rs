//! Tests of sealed probes: opened by their tenant's key alone and for what they are bound to, also those that another implementation sealed.

use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305;
use rustls::crypto::hpke::{Hpke, HpkePublicKey};

use super::*;
use crate::keys::encoding::from_hex;
use crate::model::id::{ProbeKeyId, RequestId};
use crate::model::principal::Principal;

const SCANNER: &str = "/tenant/acme/scanner/gate-1";
const CAPTURED_MS: u64 = 1_800_000_000_123;
const PLAIN: &[u8] = b"a palm";

/// What a seal is bound to, owned.
struct Bound(TenantId, Principal, RequestId);

impl Bound {
    fn new(tenant: &str, scanner: &str, request_id: &str) -> Self {
        Self(
            tenant.parse().expect("valid"),
            Principal::from_path(scanner).expect("valid"),
            request_id.parse().expect("valid"),
        )
    }

    fn binding(&self) -> ProbeBinding<'_> {
        ProbeBinding {
            tenant: &self.0,
            scanner: &self.1,
            request_id: &self.2,
        }
    }
}

fn bound() -> Bound {
    Bound::new("acme", SCANNER, "r-1")
}

fn key(byte: u8, tenant: &str) -> ProbeKey {
    ProbeKey::new(
        &SecretKey::from_bytes([byte; 32]),
        &tenant.parse().expect("valid"),
    )
}

fn sealed() -> SealedProbe {
    seal(key(1, "acme").public(), &bound().binding(), CAPTURED_MS, PLAIN).expect("sealed")
}

/// The same probe with other parts.
fn with(key_id: &ProbeKeyId, enc: &[u8], ciphertext: &[u8], captured_ms: u64) -> SealedProbe {
    SealedProbe::new(key_id.clone(), enc, ciphertext, captured_ms).expect("of the right sizes")
}

#[test]
fn a_probe_opens_for_whom_and_what_it_was_sealed_for() {
    let plain = key(1, "acme").open(&sealed(), &bound().binding());
    assert_eq!(plain.expect("opens").as_slice(), PLAIN);
    // Made again, as after a restart, the key is the same.
    assert_eq!(key(1, "acme").public(), key(1, "acme").public());
    assert_ne!(sealed().mark(), sealed().mark(), "no two seals are alike");
}

#[test]
fn every_part_of_what_it_is_bound_to_counts() {
    let (acme, sealed) = (key(1, "acme"), sealed());
    for other in [
        Bound::new("other", SCANNER, "r-1"),
        Bound::new("acme", "/tenant/acme/scanner/gate-2", "r-1"),
        Bound::new("acme", "/tenant/acme/operator/gate-1", "r-1"),
        Bound::new("acme", SCANNER, "r-2"),
    ] {
        let refused = acme.open(&sealed, &other.binding());
        assert!(matches!(refused, Err(KeyError::ProbeSealed)));
    }
    let other_id: ProbeKeyId = "0011223344556677".parse().expect("valid");
    for other in [
        with(&other_id, sealed.enc(), sealed.ciphertext(), CAPTURED_MS),
        with(
            sealed.key_id(),
            sealed.enc(),
            sealed.ciphertext(),
            CAPTURED_MS + 1,
        ),
    ] {
        let refused = acme.open(&other, &bound().binding());
        assert!(matches!(refused, Err(KeyError::ProbeSealed)));
    }
}

#[test]
fn another_key_and_every_changed_bit_are_refused() {
    let sealed = sealed();
    for other in [key(2, "acme"), key(1, "other")] {
        assert_ne!(other.public(), key(1, "acme").public());
        let refused = other.open(&sealed, &bound().binding());
        assert!(matches!(refused, Err(KeyError::ProbeSealed)));
    }
    // The highest bit of an encapsulated key says nothing to X25519, so that the mark would change for nothing if the seal did not hold it.
    let whole = [sealed.enc().as_slice(), sealed.ciphertext()].concat();
    for bit in 0..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (enc, ciphertext) = changed.split_at(PROBE_KEY_LEN);
        let refused = key(1, "acme").open(
            &with(sealed.key_id(), enc, ciphertext, CAPTURED_MS),
            &bound().binding(),
        );
        assert!(matches!(refused, Err(KeyError::ProbeSealed)), "bit {bit}");
    }
    let nowhere = with(sealed.key_id(), &[0; 32], sealed.ciphertext(), CAPTURED_MS);
    let refused = key(1, "acme").open(&nowhere, &bound().binding());
    assert!(matches!(refused, Err(KeyError::ProbeSealed)));
}

#[test]
fn a_key_that_is_no_point_to_agree_on_seals_nothing() {
    let mut public = key(1, "acme").public().clone();
    public.bytes = [0; 32];
    let refused = seal(&public, &bound().binding(), CAPTURED_MS, PLAIN);
    assert_eq!(refused.err().expect("refused").field, "public_key");
}

#[test]
fn what_another_implementation_seals_opens() {
    let acme = key(1, "acme");
    let public = HpkePublicKey(acme.public().bytes.to_vec());
    let data = bound().binding().associated_data(&acme.public().id, CAPTURED_MS);
    let (enc, ciphertext) = DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305
        .seal(b"thenar probe v1", &data, PLAIN, &public)
        .expect("sealed");
    let sealed = with(&acme.public().id, &enc.0, &ciphertext, CAPTURED_MS);
    let plain = acme.open(&sealed, &bound().binding()).expect("opens");
    assert_eq!(plain.as_slice(), PLAIN);
}

/// The value behind `name` in the test vector of docs/api.md.
fn documented(name: &str) -> String {
    let text = include_str!("../../docs/api.md");
    let found = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "));
    found
        .unwrap_or_else(|| panic!("{name} is in docs/api.md"))
        .to_owned()
}

fn documented_bytes(name: &str) -> Vec<u8> {
    from_hex(&documented(name)).expect("hexadecimal digits").to_vec()
}

#[test]
fn the_test_vector_of_the_documentation_holds() {
    let bytes: [u8; 32] = documented_bytes("private_key").try_into().expect("32 bytes");
    let public_key = documented_bytes("public_key");
    let documented_key = ProbeKey {
        private: SecretKey::from_bytes(bytes),
        public: ProbePublicKey {
            id: documented("key_id").parse().expect("valid"),
            bytes: public_key.try_into().expect("32 bytes"),
        },
    };
    let bound = Bound::new(
        &documented("tenant"),
        &documented("scanner"),
        &documented("request_id"),
    );
    let captured_ms = documented("capture_time_ms").parse().expect("a number");
    let binding = bound.binding();
    assert_eq!(documented("info").as_bytes(), INFO);
    assert_eq!(
        documented_bytes("aad"),
        binding.associated_data(&documented_key.public.id, captured_ms)
    );
    let sealed = with(
        &documented_key.public.id,
        &documented_bytes("enc"),
        &documented_bytes("ciphertext"),
        captured_ms,
    );
    let plain = documented_key.open(&sealed, &binding).expect("opens");
    assert_eq!(plain.as_slice(), documented_bytes("plaintext"));
}
