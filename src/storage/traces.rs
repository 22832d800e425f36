//! Looks for sealed rows in bytes, at every offset: a fingerprint slides along, SHA-256 confirms. Opens no file.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::erase::sha256;
use crate::keys::aead::{NONCE_LEN, TAG_LEN};
use crate::keys::encoding::{from_hex, to_hex};
use crate::model::erasure::{ErasureReceipt, SearchKey};
use crate::model::signature::{DIM_MAX, Dimension};
use crate::storage::segment::format::{Plane, ROW_ID_LEN};

/// Base of the fingerprint, modulo 2⁶⁴.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Upper bits of a fingerprint that tell most windows from all that is looked for.
const FILTER_BITS: u32 = 12;
/// No sealed row is longer.
const LEN_MAX: usize = 2 * DIM_MAX + NONCE_LEN + TAG_LEN + ROW_ID_LEN;

/// How to look for a sealed row.
pub(super) fn search_key(sealed: &[u8]) -> SearchKey {
    SearchKey {
        bytes: u32::try_from(sealed.len()).expect("a row is far below 4 GiB"),
        fingerprint: to_hex(&fingerprint(sealed).to_be_bytes()),
    }
}

/// Σ bᵢ·BASE^(n−1−i) modulo 2⁶⁴: that of a window follows from that of the one before. Zeros have 0.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| {
        sum.wrapping_mul(BASE).wrapping_add(u64::from(*byte))
    })
}

/// The sealed rows that a receipt lists.
pub(super) struct Traces {
    digests: BTreeSet<[u8; 32]>,
    lengths: Vec<OfLength>,
}

/// Those of one length.
struct OfLength {
    len: usize,
    /// `None` where the receipt has no fingerprints: then every window is hashed.
    keys: Option<Keys>,
}

struct Keys {
    fingerprints: BTreeSet<u64>,
    /// Whether one of them has these upper bits.
    filter: Vec<bool>,
    /// What a byte that leaves the window takes with it.
    leaving: [u64; 256],
}

impl Traces {
    /// The rows of a receipt. One without fingerprints doesn't say how long its rows are; their `dimension` does. An error says
    /// what is missing.
    pub(super) fn new(receipt: &ErasureReceipt, dimension: Option<Dimension>) -> Result<Self, String> {
        let mut digests = BTreeSet::new();
        for text in &receipt.sealed_row_sha256 {
            let digest = from_hex(text).and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
            digests.insert(digest.ok_or("it lists a row by what is no SHA-256")?);
        }
        let keys = &receipt.sealed_row_search;
        let lengths = match dimension {
            _ if keys.len() == receipt.sealed_row_sha256.len() => with_fingerprints(keys)?,
            Some(dimension) if keys.is_empty() => {
                Vec::from(lengths_of(dimension).map(|len| OfLength { len, keys: None }))
            }
            None if keys.is_empty() => {
                return Err("it is of an earlier release and does not say how long its rows are".to_owned());
            }
            _ => return Err("it does not say of each row how to look for it".to_owned()),
        };
        Ok(Self { digests, lengths })
    }

    /// Bytes of the longest row.
    pub(super) fn len_max(&self) -> usize {
        self.lengths.iter().map(|of| of.len).max().unwrap_or(0)
    }

    /// Whether these are the bytes of a row.
    pub(super) fn has(&self, bytes: &[u8]) -> bool {
        self.digests.contains(&sha256(bytes))
    }

    /// Looks at every window that begins within the first `starts` bytes. Returns where rows begin, and how many windows there were.
    pub(super) fn find(&self, bytes: &[u8], starts: usize) -> (Vec<usize>, u64) {
        let (mut found, mut windows) = (Vec::new(), 0);
        for of in &self.lengths {
            let len = bytes.len().min(starts + of.len - 1);
            let bytes = bytes.get(..len).expect("at most all");
            windows += (len + 1).saturating_sub(of.len) as u64;
            match &of.keys {
                Some(keys) => self.slide(bytes, of.len, keys, &mut found),
                None => self.hash_each(bytes, of.len, &mut found),
            }
        }
        (found, windows)
    }

    fn slide(&self, bytes: &[u8], len: usize, keys: &Keys, found: &mut Vec<usize>) {
        let Some((first, entering)) = bytes.split_at_checked(len) else {
            return;
        };
        let mut confirm = |at: usize| {
            let window = bytes.get(at..at + len).expect("within");
            if self.has(window) {
                found.push(at);
            }
        };
        let mut sum = fingerprint(first);
        if keys.has(sum) {
            confirm(0);
        }
        for (at, (leaves, enters)) in (1..).zip(bytes.iter().zip(entering)) {
            let lost = keys.leaving.get(usize::from(*leaves)).expect("a byte");
            sum = sum
                .wrapping_mul(BASE)
                .wrapping_add(u64::from(*enters).wrapping_sub(*lost));
            if keys.has(sum) {
                confirm(at);
            }
        }
    }

    fn hash_each(&self, bytes: &[u8], len: usize, found: &mut Vec<usize>) {
        let mut zeros = 0;
        for (end, byte) in (1..).zip(bytes) {
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            // A sealed row is never all zero, and much of a catalog is.
            let Some(at) = usize::checked_sub(end, len).filter(|_| zeros < len) else {
                continue;
            };
            if self.has(bytes.get(at..end).expect("within")) {
                found.push(at);
            }
        }
    }
}

impl Keys {
    fn new(fingerprints: BTreeSet<u64>, len: usize) -> Self {
        let mut filter = vec![false; 1 << FILTER_BITS];
        for fingerprint in &fingerprints {
            *filter.get_mut(upper(*fingerprint)).expect("as many as there are") = true;
        }
        // It was multiplied once a byte that came after it, and once more now.
        let power = (0..len).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        Self {
            fingerprints,
            filter,
            leaving: std::array::from_fn(|byte| power.wrapping_mul(byte as u64)),
        }
    }

    fn has(&self, sum: u64) -> bool {
        *self.filter.get(upper(sum)).expect("as many as there are") && self.fingerprints.contains(&sum)
    }
}

fn upper(fingerprint: u64) -> usize {
    usize::try_from(fingerprint >> (u64::BITS - FILTER_BITS)).expect("few bits")
}

fn with_fingerprints(keys: &[SearchKey]) -> Result<Vec<OfLength>, String> {
    let mut by_length: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for key in keys {
        let len = usize::try_from(key.bytes)
            .ok()
            .filter(|len| (1..=LEN_MAX).contains(len));
        let fingerprint = from_hex(&key.fingerprint)
            .and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok())
            .map(u64::from_be_bytes);
        let (Some(len), Some(fingerprint)) = (len, fingerprint) else {
            return Err(format!(
                "it says of a row of {} bytes how to look for it, and can't be followed",
                key.bytes
            ));
        };
        by_length.entry(len).or_default().insert(fingerprint);
    }
    let of = |(len, fingerprints)| OfLength {
        len,
        keys: Some(Keys::new(fingerprints, len)),
    };
    Ok(by_length.into_iter().map(of).collect())
}

/// Bytes of a sealed row in a segment, and of a pending one.
fn lengths_of(dimension: Dimension) -> [usize; 2] {
    [
        Plane::Exact.stride(dimension),
        NONCE_LEN + 2 * dimension.get() + TAG_LEN,
    ]
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
