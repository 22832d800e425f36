//! Which keys open the keyrings, by the configuration.

use super::Config;
use crate::keys::error::KeyError;
use crate::keys::keyring::Keks;
use crate::keys::provider::KekSource;

/// Where the key-encryption key of a keyring comes from.
pub struct KekSources {
    /// The present one.
    pub present: KekSource,
    /// The one that is to take its place; none outside of a cluster.
    pub next: Option<KekSource>,
    /// The setting that names that.
    pub next_setting: &'static str,
}

impl KekSources {
    fn load(&self) -> Result<Keks, KeyError> {
        let next = self.next.as_ref().map(KekSource::load).transpose()?;
        Ok(Keks::new(&self.present.load()?, next.as_ref()))
    }
}

impl Config {
    /// The keyring's key: as set, or the file that `thenar init` made.
    pub fn kek_source(&self) -> KekSource {
        self.kek
            .clone()
            .unwrap_or_else(|| KekSource::File(self.data.join("kek")))
    }

    /// The key that backups are sealed with.
    pub fn backup_kek_source(&self) -> KekSource {
        self.backup_kek.clone().unwrap_or_else(|| self.kek_source())
    }

    /// Of the server's own keyring.
    pub fn kek_sources(&self) -> KekSources {
        KekSources {
            present: self.kek_source(),
            next: self.cluster.next_kek.clone().filter(|_| self.cluster.enabled),
            next_setting: "cluster.next_kek",
        }
    }

    /// Of the keyring with the secrets of a cluster's catalogs.
    pub fn catalog_kek_sources(&self) -> KekSources {
        let Some(present) = &self.cluster.catalog_kek else {
            return self.kek_sources();
        };
        KekSources {
            present: present.clone(),
            next: self.cluster.next_catalog_kek.clone(),
            next_setting: "cluster.next_catalog_kek",
        }
    }

    /// What opens the server's own keyring.
    pub fn keks(&self) -> Result<Keks, KeyError> {
        self.kek_sources().load()
    }

    /// What opens the keyring with the secrets of a cluster's catalogs.
    pub fn catalog_keks(&self) -> Result<Keks, KeyError> {
        self.catalog_kek_sources().load()
    }
}
