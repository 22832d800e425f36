//! `thenar data journal`: the erasure journal of a data directory or of a cluster as a new file, for `data restore` and for safekeeping. Changes nothing.

use std::path::Path;
use std::sync::Arc;

use super::config::Config;
use super::{ServerError, catalog};
use crate::keys::keyring::Keyring;
use crate::storage::cluster::journal::SharedJournal;
use crate::storage::journal;
pub use crate::storage::journal::Counts;
use crate::storage::objects::text::{MATCH_KEYRING, ObjectText};

/// Writes it; one that is not as it was written is refused. Of a cluster by the configuration of a match node.
pub fn export_journal(config: &Config, to: &Path) -> Result<Counts, ServerError> {
    let keks = config.keks()?;
    if !config.cluster.enabled {
        let keyring = Keyring::read(&config.data.join("keyring"), keks)?;
        return Ok(journal::export(&config.journal_path(), to, &keyring.signer())?);
    }
    let store = catalog::shared_bucket(config)?;
    let keyring = Keyring::open_in(Arc::new(ObjectText::new(&store, MATCH_KEYRING)), keks)?;
    Ok(SharedJournal::new(&store).export(to, &keyring.signer())?)
}
