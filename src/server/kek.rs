//! `thenar keys rotate kek`: wraps keyrings by another key-encryption key. That of a data directory while no server runs, those of a cluster while all of them do. No key of a tenant changes.

use std::path::Path;
use std::sync::Arc;

use super::ServerError;
use super::backup::Side;
use super::catalog::shared_bucket;
use super::config::{Config, LimitError};
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keks, Keyring};
use crate::keys::provider::KekSource;
use crate::keys::secret::SecretKey;
use crate::storage::data_dir::DataDir;
use crate::storage::objects::text::{CATALOG_KEYRING, FRONT_KEYRING, MATCH_KEYRING, ObjectText};

/// Wraps the keyring by the key that comes from `to`; without it, by a new random key that takes the place of the present key file. Gives where the key
/// comes from afterwards. At each moment there is a key that opens the keyring; a rotation that was cut off is finished by repeating it.
/// The present key file is overwritten only where backups have a key of their own or the `former_key_is_kept` elsewhere.
pub fn rotate_kek(
    config: &Config,
    to: Option<&KekSource>,
    former_key_is_kept: bool,
) -> Result<KekSource, ServerError> {
    if config.cluster.enabled {
        let problem = "is set: every server of a cluster has to know the new key before anything is wrapped by it; name that as cluster.next_kek in all configurations, start them anew, and repeat this without a source, and without --former-key-kept. Nothing was changed";
        return Err(refused("cluster.enabled", problem));
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
    // A rotation that was cut off may have come so far that the new one opens it.
    Keyring::open(path, Keks::new(old, Some(new)))?.rewrap()
}

/// Wraps the keyrings of one side of a cluster by the keys that `cluster.next_kek` and `cluster.next_catalog_kek` name: by the configuration of a match node theirs and that of the catalogs' secrets, by
/// the configuration of a front that of the fronts. Gives their names in the bucket. Servers that know both keys go on meanwhile, any others can't read the keyring from then on. May be repeated.
pub fn rotate_shared_keks(config: &Config, side: Side) -> Result<Vec<&'static str>, ServerError> {
    if !config.cluster.enabled {
        let problem = "is not set: the keyring of a server by itself has one side";
        return Err(refused("cluster.enabled", problem));
    }
    let own = config.kek_sources();
    let wrapped = match side {
        Side::Nodes => vec![
            (MATCH_KEYRING, own),
            (CATALOG_KEYRING, config.catalog_kek_sources()),
        ],
        Side::Fronts => vec![(FRONT_KEYRING, own)],
    };
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for (name, sources) in wrapped {
        let present = sources.present.load()?;
        let Some(next) = sources.next else {
            others.push((sources.next_setting, present));
            continue;
        };
        let next = next.load()?;
        if present == next {
            let problem = "is the key that it is to take the place of; nothing was changed";
            return Err(refused(sources.next_setting, problem));
        }
        chosen.push((name, present, next));
    }
    // Whoever destroys the former key then would lose the other keyring.
    let is_former = |key: &SecretKey| chosen.iter().any(|(_, present, _)| present == key);
    for (setting, key) in others {
        if is_former(&key) {
            let problem = "is not set, and the key whose place it takes is the same as the one that is rotated; nothing was changed";
            return Err(refused(setting, problem));
        }
    }
    if chosen.iter().any(|(_, _, next)| is_former(next)) {
        let problem =
            "is a key that the other keyring is wrapped by, and that is to be destroyed; nothing was changed";
        return Err(refused("cluster.next_kek", problem));
    }
    if chosen.is_empty() {
        let problem = "is not set: it names the key that is to wrap the keyring of this side, in the configuration of each of its servers; nothing was changed";
        return Err(refused("cluster.next_kek", problem));
    }
    let store = shared_bucket(config)?;
    let open = |(name, present, next): &(&'static str, SecretKey, SecretKey)| {
        let text = Arc::new(ObjectText::new(&store, *name));
        Ok((*name, Keyring::open_in(text, Keks::new(present, Some(next)))?))
    };
    // All of them, before any is changed.
    let keyrings = chosen.iter().map(open).collect::<Result<Vec<_>, ServerError>>()?;
    let rewrap = |(name, keyring): (&'static str, Keyring)| Ok(keyring.rewrap().map(|()| name)?);
    keyrings.into_iter().map(rewrap).collect()
}

fn refused(setting: &'static str, problem: &str) -> ServerError {
    let problem = problem.to_owned();
    LimitError { setting, problem }.into()
}

#[cfg(test)]
#[path = "kek_tests.rs"]
mod tests;
