//! `thenar migrate local-to-cluster` and `discard-local`: moves the tenants of a data directory into a cluster, while no server has the directory open. Nodes and fronts of the cluster may run.
//!
//! What a tenant needs on each side of the network goes to the keyring of that side: its data key and the secret of its catalog to the match nodes', its rotation and the key of its links to the fronts'.

use std::sync::Arc;

use super::config::{Config, LimitError};
use super::{ServerError, catalog};
use crate::keys::keyring::{Keyring, Purpose, Renewable};
use crate::keys::secret::SecretKey;
use crate::keys::text::TextStore;
use crate::keys::transform::Rotation;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::data_dir::{self, DataDir};
use crate::storage::database::CatalogKeys;
use crate::storage::error::StorageError;
use crate::storage::journal::Journal;
use crate::storage::objects::ObjectStore;
use crate::storage::objects::text::{CATALOG_KEYRING, FRONT_KEYRING, MATCH_KEYRING, ObjectText};
use crate::storage::relocate::{Destination, Relocation, check_discard, relocated};
pub use crate::storage::relocate::{Relocated, Step as RelocationStep};

/// Where tenants are and where they go.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// The server that has them.
    pub from: &'a Config,
    /// Its front, where that is a server of its own.
    pub from_front: Option<&'a Config>,
    /// A match node of the cluster.
    pub node: &'a Config,
    /// A front of the cluster.
    pub front: &'a Config,
}

/// Relocates some tenants of a data directory, or all of them, one after the other; `watch` is told which and how far. One that was relocated before is told again. `done` is told of each that is the cluster's.
pub fn relocate(
    sides: &Sides<'_>,
    tenants: &[TenantId],
    watch: &mut dyn FnMut(&TenantId, RelocationStep),
    done: &mut dyn FnMut(&TenantId, &Relocated),
) -> Result<(), ServerError> {
    in_cluster(sides.node)?;
    in_cluster(sides.front)?;
    in_one_cluster(sides.node, sides.front)?;
    let dir = open(sides.from)?;
    let keyring = keyring(sides.from)?;
    let front_keyring = sides.from_front.map(self::keyring).transpose()?;
    let (database, store) = catalog::shared_store(sides.node)?;
    check_started(&store)?;
    let shared = |name, config: &Config| -> Result<Keyring, ServerError> {
        let text = Arc::new(ObjectText::new(&store, name));
        Ok(Keyring::open_in(text, config.keks()?)?)
    };
    let nodes = shared(MATCH_KEYRING, sides.node)?;
    let fronts = shared(FRONT_KEYRING, sides.front)?;
    let journal = Journal::open(&sides.from.journal_path(), keyring.signer())?;
    let to = Destination {
        database: &database,
        store: &store,
        signer: nodes.signer(),
    };
    for id in &named(&dir, tenants)? {
        let keys = catalog_keys(&keyring, id)?;
        let relocation = Relocation::new(&dir, id, &keys, &to);
        let of_front = front_keys(front_keyring.as_ref().unwrap_or(&keyring), &relocation.spec()?)?;
        let signers = keyring.signer_keys(id)?;
        let mut hand_over = || {
            nodes.adopt(
                id,
                &[
                    (Purpose::Data, keys.data_key.clone()),
                    (Purpose::Catalog, keys.secret.clone()),
                ],
                Some(&signers),
            )?;
            fronts.adopt(id, &of_front, None)?;
            Ok(())
        };
        let told = relocation.run(
            (keyring.signer(), &signers, &journal),
            &mut |step| watch(id, step),
            &mut hand_over,
        )?;
        done(id, &told);
    }
    Ok(())
}

/// Destroys what a data directory has of tenants that were relocated, keys first, also those of its front. Without names all such; one that is not in the cluster is an error.
pub fn discard_local(
    (from, from_front): (&Config, Option<&Config>),
    node: &Config,
    tenants: &[TenantId],
) -> Result<Vec<TenantId>, ServerError> {
    let dir = open(from)?;
    let keyring = keyring(from)?;
    let front_keyring = from_front.map(self::keyring).transpose()?;
    let (database, store) = catalog::shared_store(node)?;
    check_started(&store)?;
    let of = match tenants {
        [] => relocated(&dir)?,
        named_tenants => named(&dir, named_tenants)?,
    };
    for id in &of {
        check_discard(&dir, id, (&database, &store))?;
    }
    for id in &of {
        if let Some(keyring) = &front_keyring {
            keyring.destroy(id)?;
        }
        keyring.destroy(id)?;
        dir.remove_tenant(id)?;
    }
    Ok(of)
}

/// A data directory whose catalogs are in it.
fn open(config: &Config) -> Result<DataDir, ServerError> {
    data_dir::tenants(&config.data)?;
    Ok(DataDir::open(&config.data)?)
}

fn keyring(config: &Config) -> Result<Keyring, ServerError> {
    Ok(Keyring::open(&config.data.join("keyring"), config.keks()?)?)
}

fn in_cluster(config: &Config) -> Result<(), LimitError> {
    if config.cluster.enabled {
        return Ok(());
    }
    Err(LimitError {
        setting: "cluster.enabled",
        problem: "is not set: tenants are relocated to a cluster, by the configurations of one of its match nodes and of one of its fronts".to_owned(),
    })
}

/// Of two servers of one cluster what has to be the same is.
fn in_one_cluster(node: &Config, front: &Config) -> Result<(), LimitError> {
    let differs = [
        ("catalog.address", node.catalog.address == front.catalog.address),
        (
            "storage.objects.url",
            node.storage.objects.url == front.storage.objects.url,
        ),
    ];
    match differs.into_iter().find(|(_, is_same)| !is_same) {
        None => Ok(()),
        Some((setting, _)) => Err(LimitError {
            setting,
            problem: "is another one for the front than for the node: they are not of one cluster, or one of them is mistyped".to_owned(),
        }),
    }
}

/// Refuses a store that has not all keyrings of a cluster. They are its servers' to make: whoever makes them in a store that is mistyped has keys where nobody looks for them.
fn check_started(store: &ObjectStore) -> Result<(), ServerError> {
    for name in [MATCH_KEYRING, FRONT_KEYRING, CATALOG_KEYRING] {
        if ObjectText::new(store, name).version()?.is_none() {
            return Err(LimitError {
                setting: "storage.objects.url",
                problem: format!(
                    "is {store}, which has no {name}: either it is not the store of the cluster, or no match node and no front of that was ever started"
                ),
            }
            .into());
        }
    }
    Ok(())
}

/// The tenants that are named, or all of the directory.
fn named(dir: &DataDir, tenants: &[TenantId]) -> Result<Vec<TenantId>, StorageError> {
    let there = dir.tenants()?;
    if tenants.is_empty() {
        return Ok(there);
    }
    match tenants.iter().find(|id| !there.contains(id)) {
        Some(unknown) => Err(StorageError::TenantUnknown(unknown.clone())),
        None => Ok(tenants.to_vec()),
    }
}

/// The data key of a tenant, and the secret that its catalog gets, which its keyring keeps so that what is cut off can be gone on with.
fn catalog_keys(keyring: &Keyring, id: &TenantId) -> Result<CatalogKeys, ServerError> {
    let problem = |problem: &str| StorageError::relocation(id, problem);
    if keyring.is_dropped(id) {
        return Err(problem("it is being dropped: start its server, and drop it again").into());
    }
    if [Renewable::Data, Renewable::Transform]
        .into_iter()
        .any(|of| keyring.is_rotating(id, of))
    {
        let rotating = "a rotation of its keys is under way: start its server, and wait until that has ended";
        return Err(problem(rotating).into());
    }
    let data_key = keyring.get(id, Purpose::Data)?;
    Ok(CatalogKeys {
        data_key: data_key.ok_or_else(|| problem("the keyring has no data key of it"))?,
        secret: keyring.get_or_create(id, Purpose::Catalog)?,
    })
}

/// What fronts need of a tenant. Of two tiers each has a keyring, and only that of the front has the rotation by which palms were enrolled.
fn front_keys(keyring: &Keyring, spec: &TenantSpec) -> Result<Vec<(Purpose, SecretKey)>, ServerError> {
    let (id, transform) = (&spec.id, &spec.transform);
    let problem = |problem: &str| StorageError::relocation(id, problem);
    let mut keys = Vec::new();
    for purpose in [Purpose::Transform, Purpose::Link] {
        let key = keyring.get(id, purpose)?;
        keys.push((
            purpose,
            key.ok_or_else(|| problem("the front's keyring has no key of it"))?,
        ));
    }
    let is_it = |key| *Rotation::derive(key, transform.version, spec.dimension).id() == *transform;
    match keys.first() {
        Some((Purpose::Transform, key)) if is_it(key) => Ok(keys),
        _ => Err(problem(
            "this keyring has another rotation than that by which its palms were enrolled: where the front was a server of its own, name its configuration (--from-front-config)",
        )
        .into()),
    }
}
