//! What a data directory notes of a tenant that leaves it. Decides nothing.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::keys::encoding::from_hex;
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::on_cluster::Incarnation;

/// Beside a tenant's catalog: that it is on its way, or gone.
const NOTE_FILE: &str = "relocated";

/// What the directory notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// Of the tenant there, in hexadecimal.
    pub(super) incarnation: String,
    /// The database there.
    pub(super) to: String,
    /// The object store there.
    pub(super) store: String,
    /// Changes of the catalog here as of the beginning.
    pub(super) commits: u64,
    /// Whether it is served here no more.
    pub(super) is_over: bool,
}

impl Note {
    /// Of a tenant's directory; `None` where it has none.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = dir.join(NOTE_FILE);
        let text = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|e| StorageError::io("read", &path, e))?,
        };
        let note: Self =
            serde_json::from_slice(&text).map_err(|e| StorageError::damaged(&path, e.to_string()))?;
        match note.incarnation() {
            Some(_) => Ok(Some(note)),
            None => Err(StorageError::damaged(&path, "it names no incarnation")),
        }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), StorageError> {
        let text = serde_json::to_vec(self).expect("plain values have a JSON form");
        durable::write_file(&dir.join(NOTE_FILE), &text)
    }

    pub(super) fn over(self) -> Self {
        Self {
            is_over: true,
            ..self
        }
    }

    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        from_hex(&self.incarnation)?.as_slice().try_into().ok()
    }
}
