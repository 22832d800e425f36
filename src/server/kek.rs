//! `thenar keys rotate kek`: wraps the keyring by another key-encryption key, while no server runs. No key of a tenant changes.

use std::path::Path;

use super::ServerError;
use super::config::{Config, LimitError};
use crate::keys::error::KeyError;
use crate::keys::keyring::Keyring;
use crate::keys::provider::KekSource;
use crate::keys::secret::SecretKey;
use crate::storage::data_dir::DataDir;

/// Wraps the keyring by the key that comes from `to`; without it, by a new random key that takes the place of the present key file. Gives where the key
/// comes from afterwards. At each moment there is a key that opens the keyring; a rotation that was cut off is finished by repeating it.
/// The present key file is overwritten only where backups have a key of their own or the `former_key_is_kept` elsewhere.
pub fn rotate_kek(
    config: &Config,
    to: Option<&KekSource>,
    former_key_is_kept: bool,
) -> Result<KekSource, ServerError> {
    if config.cluster.enabled {
        let problem = "is set: the keyrings of a cluster are in its bucket, and their key-encryption keys can't be rotated yet; nothing was changed";
        return Err(LimitError {
            setting: "cluster.enabled",
            problem: problem.to_owned(),
        }
        .into());
    }
    // A server has the old key in memory.
    let _no_server = DataDir::open(&config.data)?;
    let keyring = config.data.join("keyring");
    let present = config.kek_source();
    present.clear_leftovers()?;
    if let Some(to) = to {
        rewrap(&keyring, &present.load()?, &to.load()?)?;
        return Ok(to.clone());
    }
    let KekSource::File(file) = &present else {
        return Err(KeyError::NoNewKek.into());
    };
    if config.backup_kek.is_none() && !former_key_is_kept {
        return Err(KeyError::FormerKeyNeeded(file.clone()).into());
    }
    // The new key is durable before anything needs it.
    let next = KekSource::next_of_file(file)?;
    rewrap(&keyring, &present.load()?, &next)?;
    KekSource::promote_next_of_file(file)?;
    Ok(present)
}

fn rewrap(path: &Path, old: &SecretKey, new: &SecretKey) -> Result<(), KeyError> {
    match Keyring::open(path, old) {
        Ok(keyring) => keyring.rewrap(new),
        // A rotation that was cut off may have come this far.
        Err(wrong @ KeyError::WrongKek { .. }) => Keyring::open(path, new).map(drop).map_err(|_| wrong),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "kek_tests.rs"]
mod tests;
