//! Keys of epochs, in one small text that lies apart from what they seal: once a key is gone from it, no copy of what it sealed opens. Knows no rows.
//!
//! The text is replaced whole, and what it held before is gone then, as the keyring's is. It is in a file, which one process at a time changes, or where many machines share it. Those keep a *spare* in it, the key
//! of the next epoch to begin, so that nobody has to wait for the text once it has begun.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cells::INCARNATION_LEN;
use super::encoding::{from_hex, to_hex};
use super::envelope::Envelope;
use super::error::KeyError;
use super::file;
use super::held::{Done, Form, Held};
use super::secret::SecretKey;
use super::text::{FileText, TextStore};

const FORMAT: u32 = 1;
/// Of a text with a spare.
const FORMAT_SPARE: u32 = 2;
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
    incarnation_in(&parsed.body).ok_or_else(|| damaged("it names no incarnation".to_owned()))
}

/// What the text holds, as JSON: the body and a keyed digest of the body's JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochFile {
    format: u32,
    body: Body,
    hmac_sha256: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// Of the tenant, in hexadecimal.
    incarnation: String,
    /// Wrapped keys by epoch.
    keys: BTreeMap<u64, String>,
    /// The last of them, where it has sealed nothing: nobody was given it to begin an epoch with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spare: Option<u64>,
}

/// Where the keys of the epochs of one incarnation of a tenant are kept. Every change is durable before it returns, and what it found otherwise than it looked
/// is no change.
pub trait Epochs: Send + Sync {
    /// Of the tenant whose they are.
    fn incarnation(&self) -> [u8; INCARNATION_LEN];

    /// Where they are, as errors name it.
    fn path(&self) -> &Path;

    /// The key of an epoch; `None` before there is one and once the epoch is over.
    fn read(&self, epoch: u64) -> Result<Option<SecretKey>, KeyError>;

    /// The same as far as it is in memory.
    fn known(&self, epoch: u64) -> Result<Option<SecretKey>, KeyError>;

    /// Whether the spare that is in memory has sealed something by the time of this epoch, so that another one is there to be read.
    fn may_look_ahead(&self, epoch: u64) -> bool;

    /// Reads what other machines have changed.
    fn look_ahead(&self) -> Result<(), KeyError>;

    /// The key of an epoch that may begin after this one: nobody was given it before, since one that did not come may have sealed something.
    fn begin(&self, after: u64) -> Result<(u64, SecretKey), KeyError>;

    /// Destroys the keys of the epochs before this one: nothing that was sealed then opens any more, wherever a copy of it lies.
    fn end_before(&self, epoch: u64) -> Result<(), KeyError>;
}

/// Keys of epochs in a text.
pub struct EpochKeys {
    held: Held<EpochForm>,
    incarnation: [u8; INCARNATION_LEN],
}

/// Wraps the keys of one tenant's epochs.
struct EpochForm(Envelope);

impl EpochKeys {
    /// Makes the file, with a key of the first epoch. One that is there already is refused.
    pub fn create(
        path: &Path,
        data_key: &SecretKey,
        incarnation: [u8; INCARNATION_LEN],
    ) -> Result<Self, KeyError> {
        Self::create_in(Arc::new(FileText::new(path)), data_key, incarnation)
    }

    /// The same wherever texts are kept.
    pub fn create_in(
        store: Arc<dyn TextStore>,
        data_key: &SecretKey,
        incarnation: [u8; INCARNATION_LEN],
    ) -> Result<Self, KeyError> {
        let form = EpochForm::new(data_key);
        let mut body = Body {
            incarnation: to_hex(&incarnation),
            keys: BTreeMap::new(),
            spare: None,
        };
        form.add(&mut body, FIRST_EPOCH);
        if store.is_shared() {
            form.add_spare(&mut body);
        }
        let held = Held::create(store, form, body)?;
        Ok(Self { held, incarnation })
    }

    /// Reads the file, authenticates it and clears away what a crash left beside it.
    pub fn open(path: &Path, data_key: &SecretKey) -> Result<Self, KeyError> {
        let keys = Self::open_in(Arc::new(FileText::new(path)), data_key)?;
        keys.held.store().settle()?;
        Ok(keys)
    }

    /// Reads the keys wherever texts are kept, and authenticates them. Clears nothing away.
    pub fn open_in(store: Arc<dyn TextStore>, data_key: &SecretKey) -> Result<Self, KeyError> {
        let held = Held::open(store, EpochForm::new(data_key))?;
        let incarnation = held.with(incarnation_in);
        let incarnation = incarnation.expect("it was looked for when the text was read");
        Ok(Self { held, incarnation })
    }
}

impl Epochs for EpochKeys {
    fn incarnation(&self) -> [u8; INCARNATION_LEN] {
        self.incarnation
    }

    fn path(&self) -> &Path {
        self.held.store().path()
    }

    /// What another machine has begun meanwhile is read; what one has ended may be given until something is read again.
    fn read(&self, epoch: u64) -> Result<Option<SecretKey>, KeyError> {
        self.held.find(|body| self.key(body, epoch))
    }

    fn known(&self, epoch: u64) -> Result<Option<SecretKey>, KeyError> {
        self.held.with(|body| self.key(body, epoch))
    }

    fn may_look_ahead(&self, epoch: u64) -> bool {
        self.held
            .with(|body| body.spare.is_some_and(|spare| spare <= epoch))
    }

    fn look_ahead(&self) -> Result<(), KeyError> {
        self.held.refresh().map(drop)
    }

    fn begin(&self, after: u64) -> Result<(u64, SecretKey), KeyError> {
        let (form, is_shared) = (self.held.form(), self.held.store().is_shared());
        self.held.change(|body| {
            let spare = body.spare.take().filter(|spare| *spare > after);
            let epoch = spare.unwrap_or_else(|| {
                let next = body.last().max(after) + 1;
                form.add(body, next);
                next
            });
            let key = self.key(body, epoch)?.ok_or_else(|| KeyError::Damaged {
                path: self.path().to_owned(),
                problem: format!("it lacks the key of epoch {epoch}, which it says is the next one"),
            })?;
            if is_shared {
                form.add_spare(body);
            }
            Ok(Done::Changed((epoch, key)))
        })
    }

    fn end_before(&self, epoch: u64) -> Result<(), KeyError> {
        self.held.change(|body| {
            let first = body.keys.keys().next().copied();
            if first.is_none_or(|first| first >= epoch) {
                return Ok(Done::Same(()));
            }
            body.keys.retain(|of, _| *of >= epoch);
            Ok(Done::Changed(()))
        })
    }
}

impl EpochKeys {
    fn key(&self, body: &Body, epoch: u64) -> Result<Option<SecretKey>, KeyError> {
        let wrapped = body.keys.get(&epoch);
        wrapped
            .map(|wrapped| self.held.form().unwrap(body, epoch, wrapped, self.path()))
            .transpose()
    }
}

impl EpochForm {
    fn new(data_key: &SecretKey) -> Self {
        Self(Envelope::new(&data_key.derive(&[b"epochs"])))
    }

    /// Adds a new key.
    fn add(&self, body: &mut Body, epoch: u64) {
        let place = ["epoch", &body.incarnation, &epoch.to_string()];
        let wrapped = self.0.wrap(&SecretKey::random(), &place);
        body.keys.insert(epoch, wrapped);
    }

    fn add_spare(&self, body: &mut Body) {
        let next = body.last() + 1;
        self.add(body, next);
        body.spare = Some(next);
    }

    fn unwrap(&self, body: &Body, epoch: u64, wrapped: &str, path: &Path) -> Result<SecretKey, KeyError> {
        let place = ["epoch", &body.incarnation, &epoch.to_string()];
        self.0.unwrap(wrapped, &place).map_err(|_| KeyError::Damaged {
            path: path.to_owned(),
            problem: format!("the key of epoch {epoch} does not open"),
        })
    }
}

impl Form for EpochForm {
    type Body = Body;

    fn parse(&self, text: &str, store: &dyn TextStore) -> Result<Body, KeyError> {
        let damaged = |problem: &str| KeyError::Damaged {
            path: store.path().to_owned(),
            problem: problem.to_owned(),
        };
        let EpochFile {
            format,
            body,
            hmac_sha256,
        } = serde_json::from_str(text).map_err(|_| damaged("it holds no keys of epochs"))?;
        if format != FORMAT && format != FORMAT_SPARE {
            return Err(KeyError::Format {
                path: store.path().to_owned(),
                found: format,
                expected: FORMAT_SPARE,
            });
        }
        if !self.0.verify(body.json().as_bytes(), &hmac_sha256) {
            return Err(damaged(
                "its content does not fit its digest (hmac_sha256), or the tenant's data key is another one",
            ));
        }
        incarnation_in(&body).ok_or_else(|| damaged("it names no incarnation"))?;
        Ok(body)
    }

    fn text(&self, body: &Body) -> String {
        let file = EpochFile {
            format: body.spare.map_or(FORMAT, |_| FORMAT_SPARE),
            hmac_sha256: self.0.digest(body.json().as_bytes()),
            body: body.clone(),
        };
        serde_json::to_string(&file).expect("numbers are valid JSON keys")
    }
}

impl Body {
    /// The last epoch that there is a key of.
    fn last(&self) -> u64 {
        self.keys.keys().next_back().copied().unwrap_or_default()
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers are valid JSON keys")
    }
}

fn incarnation_in(body: &Body) -> Option<[u8; INCARNATION_LEN]> {
    from_hex(&body.incarnation)?.as_slice().try_into().ok()
}

#[cfg(test)]
#[path = "epochs_tests.rs"]
mod tests;
