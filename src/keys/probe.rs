//! Sealed probes: HPKE (RFC 9180, base mode) from whoever captures a palm to the front of its tenant. Remembers no probe and looks at no clock.

use aws_lc_rs::digest::{SHA256, digest};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};
use zeroize::Zeroizing;

use super::encoding::to_hex;
use super::error::KeyError;
use super::secret::{SECRET_LEN, SecretKey};
use crate::model::id::TenantId;
use crate::model::probe::{PROBE_KEY_LEN, ProbeBinding, ProbePublicKey, SealedProbe};
use crate::model::reject::Rejected;

/// The scheme and its version: another one for any other suite or layout.
const INFO: &[u8] = b"thenar probe v1";
/// Bytes of a key's digest that make its id.
const KEY_ID_LEN: usize = 8;

/// A tenant's key pair that probes are sealed for.
pub struct ProbeKey {
    /// As RFC 9180 serialises it.
    private: SecretKey,
    public: ProbePublicKey,
}

impl ProbeKey {
    /// Derives the pair from the tenant's link key, which the front alone has.
    pub fn new(link_key: &SecretKey, tenant: &TenantId) -> Self {
        let seed = link_key.derive(&[b"sealed probe", tenant.as_str().as_bytes()]);
        let (private, public) = X25519HkdfSha256::derive_keypair(seed.expose().as_slice());
        let mut private_bytes = Zeroizing::new([0; SECRET_LEN]);
        private.write_exact(private_bytes.as_mut_slice());
        let bytes: [u8; PROBE_KEY_LEN] = public.to_bytes().into();
        let hash = digest(&SHA256, &bytes);
        let id = to_hex(hash.as_ref().split_at(KEY_ID_LEN).0);
        Self {
            private: SecretKey::from_bytes(*private_bytes),
            public: ProbePublicKey {
                id: id.parse().expect("hexadecimal digits are allowed"),
                bytes,
            },
        }
    }

    /// What scanners are given.
    pub fn public(&self) -> &ProbePublicKey {
        &self.public
    }

    /// What was sealed, if it was sealed with this key and for this binding and nothing was changed since. Wiped when dropped.
    pub fn open(
        &self,
        sealed: &SealedProbe,
        binding: &ProbeBinding<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(self.private.expose().as_slice())
            .expect("serialised by the constructor");
        let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(sealed.enc())
            .map_err(|_| KeyError::ProbeSealed)?;
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private,
            &enc,
            INFO,
            sealed.ciphertext(),
            &binding.associated_data(sealed.key_id(), sealed.captured_ms()),
        )
        .map(Zeroizing::new)
        .map_err(|_| KeyError::ProbeSealed)
    }
}

/// Seals a probe that was captured at `captured_ms`, in milliseconds since the Unix epoch.
pub fn seal(
    key: &ProbePublicKey,
    binding: &ProbeBinding<'_>,
    captured_ms: u64,
    probe: &[u8],
) -> Result<SealedProbe, Rejected> {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&key.bytes).expect("of the right length");
    let data = binding.associated_data(&key.id, captured_ms);
    let (enc, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        INFO,
        probe,
        &data,
    )
    .map_err(|error| Rejected::new("public_key", format!("takes no probe: {error}")))?;
    SealedProbe::new(key.id.clone(), &enc.to_bytes(), &ciphertext, captured_ms)
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
