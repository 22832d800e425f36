//! Keys of epochs, in one small file that lies apart from what they seal: once a key is gone from it, no copy of what it sealed opens. Knows no rows.
//!
//! The file is replaced whole, and what it held before is overwritten, as the keyring's is. One process at a time changes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::cells::INCARNATION_LEN;
use super::encoding::{from_hex, to_hex};
use super::envelope::Envelope;
use super::error::KeyError;
use super::file;
use super::secret::SecretKey;

const FORMAT: u32 = 1;
/// The epoch that a tenant begins with.
pub const FIRST_EPOCH: u64 = 1;

/// The incarnation that a file of keys names, without a key and so not authenticated: enough to find what goes with it.
pub fn incarnation_of(path: &Path) -> Result<[u8; INCARNATION_LEN], KeyError> {
    let damaged = |problem: String| KeyError::Damaged {
        path: path.to_owned(),
        problem,
    };
    let parsed: EpochFile =
        serde_json::from_str(&file::read(path)?).map_err(|error| damaged(error.to_string()))?;
    from_hex(&parsed.body.incarnation)
        .and_then(|bytes| bytes.as_slice().try_into().ok())
        .ok_or_else(|| damaged("it names no incarnation".to_owned()))
}

/// What the file holds, as JSON: the body and a keyed digest of the body's JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochFile {
    format: u32,
    body: Body,
    hmac_sha256: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    /// Of the tenant, in hexadecimal.
    incarnation: String,
    /// Wrapped keys by epoch.
    keys: BTreeMap<u64, String>,
}

/// Where the keys of the epochs of one incarnation of a tenant are kept. Every change is durable before it returns, and what it found otherwise than it looked
/// is no change.
pub trait Epochs: Send + Sync {
    /// Of the tenant whose they are.
    fn incarnation(&self) -> [u8; INCARNATION_LEN];

    /// Where they are, as errors name it.
    fn path(&self) -> &Path;

    /// The key of an epoch; `None` before the epoch begins and once it is over.
    fn read(&self, epoch: u64) -> Result<Option<SecretKey>, KeyError>;

    /// A new key, of an epoch that may begin after this one: of a number that no key had before, since one that did not come may have sealed something.
    fn begin(&self, after: u64) -> Result<(u64, SecretKey), KeyError>;

    /// Destroys the keys of the epochs before this one: nothing that was sealed then opens any more, wherever a copy of it lies.
    fn end_before(&self, epoch: u64) -> Result<(), KeyError>;
}

/// Keys of epochs in a file, which one process at a time changes.
pub struct EpochKeys {
    path: PathBuf,
    envelope: Envelope,
    incarnation: [u8; INCARNATION_LEN],
    body: Mutex<Body>,
}

impl EpochKeys {
    /// Makes the file, with a key of the first epoch. One that is there already is refused.
    pub fn create(
        path: &Path,
        data_key: &SecretKey,
        incarnation: [u8; INCARNATION_LEN],
    ) -> Result<Self, KeyError> {
        let envelope = envelope(data_key);
        let mut body = Body {
            incarnation: to_hex(&incarnation),
            keys: BTreeMap::new(),
        };
        let first = body.wrapped(&envelope, FIRST_EPOCH, &SecretKey::random());
        body.keys.insert(FIRST_EPOCH, first);
        file::create(path, &whole(&envelope, &body))?;
        Ok(Self {
            path: path.to_owned(),
            envelope,
            incarnation,
            body: Mutex::new(body),
        })
    }

    /// Reads the file, authenticates it and clears away what a crash left beside it.
    pub fn open(path: &Path, data_key: &SecretKey) -> Result<Self, KeyError> {
        let envelope = envelope(data_key);
        let (body, incarnation) = read(path, &envelope)?;
        file::clear(path)?;
        Ok(Self {
            path: path.to_owned(),
            envelope,
            incarnation,
            body: Mutex::new(body),
        })
    }

    fn change(&self, body: &mut Body, change: impl FnOnce(&mut Body)) -> Result<(), KeyError> {
        let mut changed = body.clone();
        change(&mut changed);
        file::replace(&self.path, &whole(&self.envelope, &changed))?;
        *body = changed;
        Ok(())
    }

    fn unwrap(&self, body: &Body, epoch: u64, wrapped: &str) -> Result<SecretKey, KeyError> {
        let place = ["epoch", &body.incarnation, &epoch.to_string()];
        self.envelope
            .unwrap(wrapped, &place)
            .map_err(|_| KeyError::Damaged {
                path: self.path.clone(),
                problem: format!("the key of epoch {epoch} does not open"),
            })
    }
}

impl Epochs for EpochKeys {
    fn incarnation(&self) -> [u8; INCARNATION_LEN] {
        self.incarnation
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, epoch: u64) -> Result<Option<SecretKey>, KeyError> {
        let body = self.body.lock();
        let wrapped = body.keys.get(&epoch);
        wrapped
            .map(|wrapped| self.unwrap(&body, epoch, wrapped))
            .transpose()
    }

    fn begin(&self, after: u64) -> Result<(u64, SecretKey), KeyError> {
        let mut body = self.body.lock();
        let last = body.keys.keys().next_back().copied().unwrap_or_default();
        let epoch = last.max(after) + 1;
        let key = SecretKey::random();
        self.change(&mut body, |body| {
            let wrapped = body.wrapped(&self.envelope, epoch, &key);
            body.keys.insert(epoch, wrapped);
        })?;
        Ok((epoch, key))
    }

    fn end_before(&self, epoch: u64) -> Result<(), KeyError> {
        let mut body = self.body.lock();
        let first = body.keys.keys().next().copied();
        if first.is_none_or(|first| first >= epoch) {
            return Ok(());
        }
        self.change(&mut body, |body| body.keys.retain(|of, _| *of >= epoch))
    }
}

impl Body {
    fn wrapped(&self, envelope: &Envelope, epoch: u64, key: &SecretKey) -> String {
        envelope.wrap(key, &["epoch", &self.incarnation, &epoch.to_string()])
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers are valid JSON keys")
    }
}

fn envelope(data_key: &SecretKey) -> Envelope {
    Envelope::new(&data_key.derive(&[b"epochs"]))
}

fn read(path: &Path, envelope: &Envelope) -> Result<(Body, [u8; INCARNATION_LEN]), KeyError> {
    let damaged = |problem: &str| KeyError::Damaged {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let text = file::read(path)?;
    let EpochFile {
        format,
        body,
        hmac_sha256,
    } = serde_json::from_str(&text).map_err(|_| damaged("it holds no keys of epochs"))?;
    if format != FORMAT {
        return Err(KeyError::Format {
            path: path.to_owned(),
            found: format,
            expected: FORMAT,
        });
    }
    if !envelope.verify(body.text().as_bytes(), &hmac_sha256) {
        return Err(damaged(
            "its content does not fit its digest (hmac_sha256), or the tenant's data key is another one",
        ));
    }
    let incarnation = from_hex(&body.incarnation).and_then(|bytes| bytes.as_slice().try_into().ok());
    let incarnation = incarnation.ok_or_else(|| damaged("it names no incarnation"))?;
    Ok((body, incarnation))
}

/// The text of the file.
fn whole(envelope: &Envelope, body: &Body) -> String {
    let file = EpochFile {
        format: FORMAT,
        hmac_sha256: envelope.digest(body.text().as_bytes()),
        body: body.clone(),
    };
    serde_json::to_string(&file).expect("numbers are valid JSON keys")
}

#[cfg(test)]
#[path = "epochs_tests.rs"]
mod tests;
