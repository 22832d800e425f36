//! Keyed digests of requests, so that a repetition is told from another request under the same id. A plain hash of a
//! signature would be biometric data at rest; this one says nothing without the tenant's link key.

use serde::Serialize;
use zeroize::Zeroizing;

use super::command::{Enroll, Identify, Import, RawSignature, SubjectSelector, Verify};
use crate::keys::encoding::to_hex;
use crate::keys::mac::MacKey;
use crate::keys::secret::SecretKey;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::Link;
use crate::model::policy::Policy;
use crate::model::signature::ElementType;

/// Bytes of the digest that make a subject's id: 128 bits don't meet by chance.
const SUBJECT_ID_LEN: usize = 16;

/// Makes the digests of one tenant.
pub(super) struct Digests(MacKey);

impl Digests {
    /// Derives the key from the tenant's link key.
    pub(super) fn new(link_key: &SecretKey) -> Self {
        Self(MacKey::new(&link_key.derive(&[b"request digest"])))
    }

    /// `probe` is that of the request in the clear: sealed once more, it is the same question.
    pub(super) fn identify(&self, request: &Identify, probe: &RawSignature) -> [u8; 32] {
        let mut content = Content::new("identify");
        content.signature(probe);
        content.json(&request.site);
        content.json(&request.candidates_max);
        self.finish(&content)
    }

    /// As [`Digests::identify`].
    pub(super) fn verify(&self, request: &Verify, probe: &RawSignature) -> [u8; 32] {
        let mut content = Content::new("verify");
        content.json(&request.subject_id);
        content.signature(probe);
        content.json(&request.site);
        self.finish(&content)
    }

    pub(super) fn enroll(&self, request: &Enroll) -> [u8; 32] {
        let mut content = Content::new("enroll");
        content.json(&request.subject_id);
        content.json(&request.signatures.len());
        for signature in &request.signatures {
            content.signature(signature);
        }
        content.json(&request.consent);
        content.json(&request.links.len());
        for link in &request.links {
            content.link(link);
        }
        content.json(&request.site);
        self.finish(&content)
    }

    /// Of the header alone: the rows are checked when they come, and are taken in all or not at all.
    pub(super) fn import(&self, header: &Import) -> [u8; 32] {
        let mut content = Content::new("import");
        content.json(&(&header.encoder, header.hand, header.quality, header.rows));
        content.json(&element_code(header.element));
        content.json(&header.consent);
        self.finish(&content)
    }

    pub(super) fn policy(&self, policy: &Policy) -> [u8; 32] {
        let mut content = Content::new("policy");
        content.json(policy);
        self.finish(&content)
    }

    pub(super) fn erase(&self, subject: &SubjectSelector) -> [u8; 32] {
        let mut content = Content::new("erase");
        match subject {
            SubjectSelector::Id(id) => content.json(id),
            SubjectSelector::Link(link) => content.link(link),
        }
        self.finish(&content)
    }

    /// An id for a subject that came without one: the same for a repetition, another for everything else. `row` is
    /// the place among the subjects of the request.
    pub(super) fn subject_id(&self, request_id: &RequestId, digest: &[u8; 32], row: u64) -> SubjectId {
        let whole = self.0.digest(&[
            b"subject id",
            request_id.as_str().as_bytes(),
            digest,
            &row.to_le_bytes(),
        ]);
        to_hex(whole.split_at(SUBJECT_ID_LEN).0)
            .parse()
            .expect("hexadecimal digits are allowed")
    }

    fn finish(&self, content: &Content) -> [u8; 32] {
        self.0.digest(&[&content.0])
    }
}

/// What was asked, each part preceded by its length. Wiped when dropped.
struct Content(Zeroizing<Vec<u8>>);

impl Content {
    fn new(method: &str) -> Self {
        let mut content = Self(Zeroizing::new(Vec::new()));
        content.part(method.as_bytes());
        content
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn json(&mut self, value: &impl Serialize) {
        let text = serde_json::to_vec(value).expect("plain values have a JSON form");
        self.part(&text);
    }

    fn signature(&mut self, raw: &RawSignature) {
        self.part(&raw.data);
        self.json(&element_code(raw.element));
        self.json(&(&raw.encoder, &raw.capture));
    }

    fn link(&mut self, link: &Link) {
        self.part(&[link.kind.code()]);
        self.part(link.value().as_bytes());
    }
}

fn element_code(element: ElementType) -> u8 {
    match element {
        ElementType::F16 => 1,
        ElementType::F32 => 2,
    }
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
