//! Who has the tenants of a cluster: a keyring that its nodes share, and what database and object store have of each. Any node makes and drops them; loads nothing, and searches nothing.
//!
//! *Making*: keys, keys of epochs, a row that nobody lists; then it is looked whether the keys are there still, and only then is it listed. *Dropping*: a mark beside the keys, an entry of the erasure journal, rows, segments, keys of epochs, keys. Each step may be done again, and by
//! another node. A drop that comes while a tenant is made either finds its row, or is found by its maker, who then takes the row back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::on_cluster::{Keyholder, TenantKeys};
use crate::keys::epochs::EpochKeys;
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose, Renewable};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::cluster::Cluster;
use crate::storage::database::{CatalogKeys, Database};
use crate::storage::error::StorageError;
use crate::storage::objects::Objects;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::key::Home;
use crate::storage::objects::text::CATALOG_KEYRING;
use crate::storage::on_cluster::{ClusterEngines, Incarnation, KEY_GENERATION};

/// A front reads the keyring for tenants that it doesn't know so often in a row, and then once each [`LOOK_EVERY`]: where such are asked for more often it can't say meanwhile whether they are there.
const LOOKS_MAX: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest wait of a front for the keyring.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// How often a tenant is begun to be made where makings that were cut off stand in the way.
const TRIES: usize = 8;

/// The tenants of a cluster, as a node has them. Calls block.
pub struct ClusterHome {
    keyring: Arc<Keyring>,
    /// Has the catalogs' secrets for fronts.
    catalogs: Arc<Keyring>,
    engines: ClusterEngines,
    /// The keys of epochs that were read, of the tenant's last incarnation and generation of keys: one for all who use them here, so that they see at once what one of them changes.
    epochs: Mutex<HashMap<TenantId, Read>>,
    secrets: Mutex<Secrets>,
}

/// Of which incarnation and generation of keys, and the keys of their epochs.
type Read = ((Incarnation, u32), Arc<EpochKeys>);

/// The catalogs' secrets by a version of the keyring.
#[derive(Default)]
struct Secrets {
    version: Option<u64>,
    of: BTreeMap<TenantId, SecretKey>,
    /// The version that fronts were given.
    published: Option<u64>,
    /// Whether the keyring could not be read last time, which was told.
    is_behind: bool,
    /// Whether that was since this node was not told what wraps it.
    is_passed_over: bool,
}

impl ClusterHome {
    /// Over the keyring that all nodes of the cluster share, its database and its object store. `catalogs` is the keyring that fronts read.
    pub fn new(
        keyring: Arc<Keyring>,
        catalogs: Arc<Keyring>,
        cluster: Arc<Cluster>,
        database: &Database,
        objects: &Objects,
    ) -> Self {
        Self {
            keyring,
            catalogs,
            engines: ClusterEngines::new(database, cluster, objects),
            epochs: Mutex::default(),
            secrets: Mutex::default(),
        }
    }

    /// Gives fronts the catalogs' secrets as the keyring has them now.
    fn publish(&self) -> Result<(), KeyError> {
        self.catalogs.mirror(Purpose::Catalog, || {
            self.keyring.refresh()?;
            self.keyring.all(Purpose::Catalog)
        })
    }

    /// The same where whoever made or dropped a tenant may have died before. What can't be written now is written with a later look.
    fn publish_for(&self, version: u64) {
        match self.publish() {
            Ok(()) => self.secrets.lock().published = Some(version),
            Err(error) => {
                tracing::warn!(%error, "fronts can't be given the secrets of the catalogs: tenants that were made just now are unknown to them");
            }
        }
    }

    /// The keys of the tenant's catalog and segments, by what is in memory; `None` where it lacks one, or is being dropped.
    fn catalog_keys(&self, id: &TenantId) -> Result<Option<CatalogKeys>, StorageError> {
        let get = |purpose| self.keyring.get(id, purpose);
        let (Some(secret), Some(data_key)) = (get(Purpose::Catalog)?, get(Purpose::Data)?) else {
            return Ok(None);
        };
        let is_dropped = self.keyring.is_dropped(id);
        Ok((!is_dropped).then_some(CatalogKeys { secret, data_key }))
    }

    /// The keys of epochs of this incarnation and generation of keys, read once.
    fn epochs(
        &self,
        id: &TenantId,
        of: (Incarnation, u32),
        data_key: &SecretKey,
    ) -> Result<Arc<EpochKeys>, StorageError> {
        if let Some(epochs) = self.known_epochs(id, of) {
            return Ok(epochs);
        }
        let read = Arc::new(self.engines.epochs(id, (&of.0, of.1), data_key)?);
        let mut known = self.epochs.lock();
        // Whoever read them meanwhile has them for all.
        if let Some((here, epochs)) = known.get(id)
            && *here == of
        {
            return Ok(Arc::clone(epochs));
        }
        known.insert(id.clone(), (of, Arc::clone(&read)));
        Ok(read)
    }

    fn known_epochs(&self, id: &TenantId, of: (Incarnation, u32)) -> Option<Arc<EpochKeys>> {
        let known = self.epochs.lock();
        let (here, epochs) = known.get(id)?;
        (*here == of).then(|| Arc::clone(epochs))
    }

    /// Ends the making of one whose row there is, or takes the row away where nobody has its keys. Says whether it is there.
    fn take_up(
        &self,
        id: &TenantId,
        incarnation: Incarnation,
        keys: &CatalogKeys,
    ) -> Result<bool, StorageError> {
        let made = self
            .epochs(id, (incarnation, KEY_GENERATION), &keys.data_key)
            .and_then(|epochs| self.engines.end_making(id, keys, epochs, self.keyring.signer()));
        match made {
            Ok(()) => Ok(true),
            Err(error) if error.is_away() || error.may_be_done() => Err(error),
            // It was made with keys that a drop has destroyed since, or is gone.
            Err(_) => Ok(!self.engines.give_up_making(id, &incarnation)?),
        }
    }

    /// Ends the drop that has this mark, if nobody did.
    fn end_drop(&self, id: &TenantId, mark: &SecretKey) -> Result<(), StorageError> {
        loop {
            let found = self.engines.incarnations(id)?;
            // Looked for before: while the drop's mark stands nobody makes the tenant anew, so that all of these are to go.
            self.keyring.refresh()?;
            if found.is_empty() || self.keyring.get(id, Purpose::Dropped)?.as_ref() != Some(mark) {
                break;
            }
            let secret = self.keyring.get(id, Purpose::Catalog)?;
            for incarnation in &found {
                let by = (secret.as_ref(), &self.keyring.signer());
                self.engines.record_drop(id, incarnation, by)?;
                self.engines.remove(id, incarnation)?;
            }
        }
        self.keyring.end_drop_of(id, mark)?;
        Ok(())
    }

    /// Ends the making of what this node began to make.
    fn end_making(
        &self,
        id: &TenantId,
        incarnation: Incarnation,
        keys: &CatalogKeys,
    ) -> Result<(), StorageError> {
        self.keyring.refresh()?;
        let are_there = self
            .catalog_keys(id)?
            .is_some_and(|now| now.secret == keys.secret);
        if are_there && self.take_up(id, incarnation, keys)? {
            return Ok(());
        }
        // It was dropped while it was made.
        self.engines.give_up_making(id, &incarnation)?;
        Err(StorageError::TenantUnknown(id.clone()))
    }
}

impl Keyholder for ClusterHome {
    /// Where the keyring can't be reached, or is wrapped by a key-encryption key that this node was not told, those that were known last: a tenant that was made meanwhile is unknown here until it can, and one that was dropped has no rows.
    fn secrets(&self) -> Result<BTreeMap<TenantId, SecretKey>, StorageError> {
        let version = self.keyring.refresh();
        let mut secrets = self.secrets.lock();
        match version {
            Err(error) if (error.is_away() || error.is_wrong_kek()) && secrets.version.is_some() => {
                secrets.is_passed_over = error.is_wrong_kek();
                if !secrets.is_behind {
                    tracing::warn!(%error, "the keyring of the cluster can't be read: tenants that are made from now on are not known here");
                    secrets.is_behind = true;
                }
            }
            Err(error) => return Err(error.into()),
            Ok(version) => {
                (secrets.is_behind, secrets.is_passed_over) = (false, false);
                if secrets.version != Some(version) {
                    secrets.of = self.keyring.all(Purpose::Catalog)?;
                    secrets.version = Some(version);
                    // Keys of epochs are there while their tenant has others.
                    self.epochs
                        .lock()
                        .retain(|tenant, _| secrets.of.contains_key(tenant));
                }
                if secrets.published != Some(version) {
                    drop(secrets);
                    self.publish_for(version);
                    secrets = self.secrets.lock();
                }
            }
        }
        Ok(secrets.of.clone())
    }

    fn secret(&self, id: &TenantId) -> Result<Option<SecretKey>, StorageError> {
        Ok(self.secrets()?.remove(id))
    }

    fn is_passed_over(&self) -> bool {
        self.secrets.lock().is_passed_over
    }

    /// Where the next data key is the one that opens this generation, it takes the place of the present one: whoever rotated died between the two.
    fn keys(&self, id: &TenantId, key_generation: u32) -> Result<TenantKeys, StorageError> {
        let unknown = || StorageError::TenantUnknown(id.clone());
        let row = self.engines.row(id)?.ok_or_else(unknown)?;
        // After the row, so that they are not older than it.
        self.keyring.refresh()?;
        let CatalogKeys { secret, data_key } = self.catalog_keys(id)?.ok_or_else(unknown)?;
        let of = (row.incarnation, key_generation);
        let (epochs, data_key) = match self.epochs(id, of, &data_key) {
            Ok(epochs) => (epochs, data_key),
            Err(error) => {
                let Some(next) = self.keyring.known(id, Purpose::DataNext)? else {
                    return Err(error);
                };
                match self.engines.epochs(id, (&of.0, of.1), &next) {
                    Ok(_) => {}
                    Err(away) if away.is_away() => return Err(away),
                    Err(_) => return Err(error),
                }
                // Before anybody here has one without the other.
                self.keyring.end_rotation(id, Renewable::Data, &next)?;
                (self.epochs(id, of, &next)?, next)
            }
        };
        Ok(TenantKeys {
            epochs,
            secret,
            data_key,
            signer: self.keyring.signer(),
        })
    }

    fn forget_former(&self, id: &TenantId, key_generation: u32) -> Result<(), StorageError> {
        let unknown = || StorageError::TenantUnknown(id.clone());
        let row = self.engines.row(id)?.ok_or_else(unknown)?;
        self.engines
            .forget_former_epochs(id, &row.incarnation, key_generation)
    }
}

impl ClusterHome {
    /// The next data key of a tenant as it is there, which has the generation before this one, and the keys of that generation's epochs: new ones, or those of a rotation that is under way or was cut off.
    pub fn begin_rotation(
        &self,
        home: &Home,
        key_generation: u32,
    ) -> Result<(SecretKey, Arc<EpochKeys>), StorageError> {
        let id = &home.tenant;
        let unknown = || StorageError::TenantUnknown(id.clone());
        let row = self.engines.row(id)?.ok_or_else(unknown)?;
        if Home::of(id, &row.incarnation) != *home {
            return Err(StorageError::KeysRotated(id.clone()));
        }
        let secret = self.keyring.get(id, Purpose::Catalog)?.ok_or_else(unknown)?;
        let check = || match self.engines.key_generation(id, &secret)? {
            now if now + 1 == key_generation => Ok(()),
            _ => Err(StorageError::KeysRotated(id.clone())),
        };
        // Who comes late makes no key; and who was stopped in between uses none that is of a later generation.
        check()?;
        let next = self.keyring.begin_rotation(id, Renewable::Data)?;
        let next = next.ok_or_else(unknown)?;
        check()?;
        let of = (&row.incarnation, key_generation);
        let epochs = self.engines.next_epochs(id, of, &next)?;
        Ok((next, Arc::new(epochs)))
    }

    /// The next data key is the present one from now on, and the former one is destroyed. For whoever has made it count: everybody else proves that it does by opening the tenant.
    pub fn end_rotation(&self, id: &TenantId, next: &SecretKey) -> Result<(), StorageError> {
        Ok(self.keyring.end_rotation(id, Renewable::Data, next)?)
    }

    /// Whether a rotation was begun and not ended, as far as is known here.
    pub fn is_rotating(&self, id: &TenantId) -> bool {
        self.keyring.is_rotating(id, Renewable::Data)
    }
}

impl ClusterHome {
    /// Makes a tenant: its keys, and its row. Fronts know of it when this returns. One that is there is [`StorageError::TenantExists`]; what a making that was cut off left is taken up, or removed.
    pub fn create(&self, spec: &TenantSpec) -> Result<(), StorageError> {
        let made = self.make(spec);
        if matches!(made, Ok(()) | Err(StorageError::TenantExists(_))) {
            self.publish()?;
        }
        made
    }

    /// Removes a tenant for good: noted first, then its rows, so that nothing can be listed any more, then its objects, then its keys. Where it is cut off it is done again; one of which there is
    /// nothing is [`StorageError::TenantUnknown`].
    pub fn remove(&self, id: &TenantId) -> Result<(), StorageError> {
        self.drop(id)?;
        Ok(self.publish()?)
    }

    fn make(&self, spec: &TenantSpec) -> Result<(), StorageError> {
        let id = &spec.id;
        for _ in 0..TRIES {
            self.keyring.refresh()?;
            if let Some(mark) = self.keyring.get(id, Purpose::Dropped)? {
                self.end_drop(id, &mark)?;
            }
            let keys = CatalogKeys {
                secret: self.keyring.get_or_create(id, Purpose::Catalog)?,
                data_key: self.keyring.get_or_create(id, Purpose::Data)?,
            };
            if let Some(row) = self.engines.row(id)? {
                if row.is_made || self.take_up(id, row.incarnation, &keys)? {
                    return Err(StorageError::TenantExists(id.clone()));
                }
                continue;
            }
            match self.engines.begin_making(spec, &keys) {
                // Somebody was faster; the next look says whether he has made it.
                Err(StorageError::InTheMaking { .. }) => {}
                begun => return self.end_making(id, begun?, &keys),
            }
        }
        Err(StorageError::InTheMaking {
            server: self.engines.server().to_owned(),
            tenant: id.clone(),
        })
    }

    fn drop(&self, id: &TenantId) -> Result<(), StorageError> {
        for _ in 0..2 {
            if let Some(mark) = self.keyring.begin_drop(id)? {
                return self.end_drop(id, &mark);
            }
            let Some(row) = self.engines.row(id)? else {
                return Err(StorageError::TenantUnknown(id.clone()));
            };
            // One that was made and has no keys may be somebody else's, unless it was made just now.
            if !row.is_made && self.engines.give_up_making(id, &row.incarnation)? {
                return Ok(());
            }
        }
        Err(StorageError::CatalogKey {
            server: self.engines.server().to_owned(),
            tenant: id.clone(),
        })
    }
}

/// The catalogs' secrets as a front has them, which opens no catalog but heads.
pub struct CatalogSecrets {
    keyring: Arc<Keyring>,
    look: Arc<Mutex<Look>>,
}

/// Looks at the keyring, one at a time.
struct Look {
    /// How many may follow at once.
    left: u32,
    /// Since when they have been so many.
    since: Instant,
    is_under_way: bool,
}

impl Look {
    /// Whether there may be another one now, which is counted.
    fn take(&mut self, now: Instant) -> bool {
        let regained = now.duration_since(self.since).as_millis() / LOOK_EVERY.as_millis();
        let regained = u32::try_from(regained).unwrap_or(u32::MAX);
        if regained > 0 {
            self.left = self.left.saturating_add(regained).min(LOOKS_MAX);
            self.since = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl CatalogSecrets {
    /// Of the keyring that match nodes keep for fronts.
    pub fn new(catalogs: Arc<Keyring>) -> Self {
        Self {
            keyring: catalogs,
            look: Arc::new(Mutex::new(Look {
                left: LOOKS_MAX,
                since: Instant::now(),
                is_under_way: false,
            })),
        }
    }

    /// Reads the keyring again, where that was not done too often, and waits for that no longer than [`LOOK_MAX`]: the heads of other tenants are waiting as well.
    fn look(&self) -> Result<(), StorageError> {
        {
            let mut look = self.look.lock();
            if look.is_under_way {
                return Err(unread("it is being read, which takes long"));
            }
            if !look.take(Instant::now()) {
                return Err(unread("it was read a moment ago, and often"));
            }
            look.is_under_way = true;
        }
        let (done, outcome) = sync_channel(1);
        let (keyring, look) = (Arc::clone(&self.keyring), Arc::clone(&self.look));
        let reading = thread::Builder::new().name("thenar-keyring".to_owned());
        let started = reading.spawn(move || {
            let read = keyring.refresh();
            look.lock().is_under_way = false;
            // Who gave up waiting needs no answer.
            let _ = done.send(read);
        });
        if started.is_err() {
            self.look.lock().is_under_way = false;
            return Err(unread("no thread can be started"));
        }
        match outcome.recv_timeout(LOOK_MAX) {
            Ok(read) => Ok(read.map(drop)?),
            Err(_) => Err(unread("it does not come in time")),
        }
    }
}

fn unread(problem: &str) -> StorageError {
    StorageError::Object(ObjectError::Unreachable {
        store: "the object store".to_owned(),
        object: CATALOG_KEYRING.to_owned(),
        problem: problem.to_owned(),
    })
}

impl Keyholder for CatalogSecrets {
    fn secrets(&self) -> Result<BTreeMap<TenantId, SecretKey>, StorageError> {
        self.keyring.refresh()?;
        Ok(self.keyring.all(Purpose::Catalog)?)
    }

    /// As it is in memory.
    fn secret(&self, tenant: &TenantId) -> Result<Option<SecretKey>, StorageError> {
        Ok(self.keyring.known(tenant, Purpose::Catalog)?)
    }

    fn look_again(&self) -> Result<(), StorageError> {
        self.look()
    }

    fn keys(&self, _tenant: &TenantId, _key_generation: u32) -> Result<TenantKeys, StorageError> {
        Err(StorageError::NotBuilt("opening a tenant's catalog at a front"))
    }

    fn forget_former(&self, _tenant: &TenantId, _key_generation: u32) -> Result<(), StorageError> {
        Err(StorageError::NotBuilt("destroying a tenant's keys at a front"))
    }
}

#[cfg(test)]
#[path = "cluster_home_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "cluster_home_rotate_tests.rs"]
mod rotate_tests;
