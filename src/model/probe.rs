//! A sealed probe and what its seal is bound to. Seals and opens nothing; `keys` does.

use super::id::{ProbeKeyId, RequestId, TenantId};
use super::principal::Principal;
use super::reject::Rejected;
use super::timestamp::Timestamp;

/// Bytes of a public key, and of an encapsulated one (RFC 9180, section 7.1).
pub const PROBE_KEY_LEN: usize = 32;
/// Bytes of a seal's tag (RFC 9180, section 7.3).
pub const PROBE_TAG_LEN: usize = 16;
/// Longest ciphertext with its tag, in bytes: a signature of 2,048 coordinates takes 8 KiB.
pub const PROBE_CIPHERTEXT_LEN_MAX: usize = 16 << 10;

const MICROS_PER_MILLI: i64 = 1_000;

/// What scanners seal probes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbePublicKey {
    /// Another one for each key.
    pub id: ProbeKeyId,
    /// X25519.
    pub bytes: [u8; PROBE_KEY_LEN],
}

/// What tells one sealed probe from every other: the encapsulated key, which is random, and the tag.
pub type ProbeMark = [u8; PROBE_KEY_LEN + PROBE_TAG_LEN];

/// A probe that is sealed, not yet known to be authentic. Its parts have the sizes that they must have.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedProbe {
    key_id: ProbeKeyId,
    enc: [u8; PROBE_KEY_LEN],
    ciphertext: Vec<u8>,
    captured_ms: i64,
}

/// Of whom a probe must come, and under which request, for its seal to open.
#[derive(Debug, Clone, Copy)]
pub struct ProbeBinding<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// Who calls.
    pub scanner: &'a Principal,
    /// The caller's id of the request.
    pub request_id: &'a RequestId,
}

impl SealedProbe {
    /// Checks the sizes. `captured_ms` is in milliseconds since the Unix epoch.
    pub fn new(
        key_id: ProbeKeyId,
        enc: &[u8],
        ciphertext: &[u8],
        captured_ms: u64,
    ) -> Result<Self, Rejected> {
        let size = |field: &str, found: usize, allowed: &str| {
            Rejected::new(field, format!("is {found} bytes long; {allowed} are required"))
        };
        let captured_ms = i64::try_from(captured_ms)
            .ok()
            .filter(|ms| ms.checked_mul(MICROS_PER_MILLI).is_some())
            .ok_or_else(|| Rejected::new("capture_time_ms", format!("{captured_ms} is no time")))?;
        let lengths = PROBE_TAG_LEN + 1..=PROBE_CIPHERTEXT_LEN_MAX;
        if !lengths.contains(&ciphertext.len()) {
            let allowed = format!("{} to {}", lengths.start(), lengths.end());
            return Err(size("ciphertext", ciphertext.len(), &allowed));
        }
        Ok(Self {
            key_id,
            enc: enc
                .try_into()
                .map_err(|_| size("enc", enc.len(), &PROBE_KEY_LEN.to_string()))?,
            ciphertext: ciphertext.to_vec(),
            captured_ms,
        })
    }

    /// Which key it was sealed with.
    pub fn key_id(&self) -> &ProbeKeyId {
        &self.key_id
    }

    /// The encapsulated key.
    pub fn enc(&self) -> &[u8; PROBE_KEY_LEN] {
        &self.enc
    }

    /// Ciphertext and tag.
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// When the palm was captured, in whole milliseconds.
    pub fn captured_at(&self) -> Timestamp {
        Timestamp(self.captured_ms * MICROS_PER_MILLI)
    }

    /// The same in milliseconds since the Unix epoch.
    pub fn captured_ms(&self) -> u64 {
        u64::try_from(self.captured_ms).expect("made from one")
    }

    /// The same for the same sealed bytes. Nobody but its sender makes another that opens.
    pub fn mark(&self) -> ProbeMark {
        let mut mark = [0; PROBE_KEY_LEN + PROBE_TAG_LEN];
        let (enc, tag) = mark.split_at_mut(PROBE_KEY_LEN);
        enc.copy_from_slice(&self.enc);
        tag.copy_from_slice(
            self.ciphertext
                .last_chunk::<PROBE_TAG_LEN>()
                .expect("checked when made"),
        );
        mark
    }
}

impl ProbeBinding<'_> {
    /// What a seal is bound to: tenant, key id, scanner and request id, each after its length in 2 bytes, then the capture time in
    /// 8. Numbers are big-endian.
    pub fn associated_data(&self, key_id: &ProbeKeyId, captured_ms: u64) -> Vec<u8> {
        let mut data = Vec::new();
        let scanner = self.scanner.path();
        for part in [
            self.tenant.as_str(),
            key_id.as_str(),
            &scanner,
            self.request_id.as_str(),
        ] {
            let length = u16::try_from(part.len()).expect("ids are short");
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data.extend_from_slice(&captured_ms.to_be_bytes());
        data
    }
}
