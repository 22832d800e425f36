//! The wires of one process of a cluster: to the database, to the object store, and those by which fronts reach it and it is asked how it is. Hits nobody by itself.

use std::sync::Arc;

use super::namespace::Namespace;
use super::postgres::Postgres;
use super::store::Store;
use super::wire::{Condition, End, Wire};
use crate::Failure;

/// All of them. Whoever has them makes connections nowhere else.
pub struct Wires {
    database: Wire,
    store: Option<Wire>,
    door: Option<Wire>,
    /// Of its own, which nobody harms: with its network that is lost too.
    _metrics: Option<Wire>,
    /// The process's own network, where it has one.
    namespace: Option<Arc<Namespace>>,
    /// Of the database, for a configuration.
    pub catalog: String,
    /// Lines below `[storage.objects]`.
    pub objects: String,
    /// Where fronts reach it.
    pub advertised: Option<String>,
    /// Where it is asked how it is, if that is elsewhere than it listens.
    pub asked: Option<String>,
}

/// Where a process listens.
pub struct Listens<'a> {
    /// To fronts, where it is a node.
    pub door: Option<&'a str>,
    /// To whoever asks how it is.
    pub metrics: &'a str,
}

impl Wires {
    /// Of the process of this name, which may have a network of its own. A store that is a directory has none.
    pub async fn lay(
        name: &str,
        (database, store): (&Postgres, &Store),
        listens: &Listens<'_>,
        namespace: Option<Arc<Namespace>>,
    ) -> Result<Self, Failure> {
        let own = namespace.as_ref();
        let (to_database, catalog) = laid_to_database(name, database, own)?;
        let (mut metrics, mut asked) = (None, None);
        if own.is_some() {
            let (wire, from) = into(listens.metrics, own).await?;
            (metrics, asked) = (Some(wire), Some(from));
        }
        let mut wires = Self {
            database: to_database,
            store: None,
            door: None,
            _metrics: metrics,
            catalog,
            objects: store.settings(None),
            advertised: None,
            asked,
            namespace: None,
        };
        if let Some(address) = store.address() {
            let end = to(address);
            let (wire, from) = match own {
                None => Wire::tcp(end).await?,
                Some(own) => {
                    let (wire, from) = Wire::from_within(own, end)?;
                    (wire, from.to_string())
                }
            };
            wires.objects = store.settings(Some(&from));
            wires.store = Some(wire);
        }
        if let Some(address) = listens.door {
            let (wire, from) = into(address, own).await?;
            wires.advertised = Some(from);
            wires.door = Some(wire);
        }
        wires.namespace = namespace;
        Ok(wires)
    }

    /// From now on all of them are like this.
    pub fn set(&self, condition: Condition) {
        self.set_database(condition);
        self.set_store(condition);
        self.set_door(condition);
    }

    /// The process is cut off from everybody, or no more. In a network of its own what it sends is lost then, and it is told that nobody is there where it connects; who connects to it hears nothing.
    pub fn cut_off(&self, is_cut: bool) -> Result<(), Failure> {
        // Before anybody goes on over it.
        if let Some(namespace) = &self.namespace {
            namespace.set(!is_cut)?;
        }
        self.set(if is_cut { Condition::Cut } else { Condition::Open });
        Ok(())
    }

    /// The one to the database.
    pub fn set_database(&self, condition: Condition) {
        self.database.set(condition);
    }

    /// The one to the store.
    pub fn set_store(&self, condition: Condition) {
        self.store.iter().for_each(|wire| wire.set(condition));
    }

    /// The one by which fronts reach it.
    pub fn set_door(&self, condition: Condition) {
        self.door.iter().for_each(|wire| wire.set(condition));
    }
}

/// The wire to the database, and what a configuration says of it.
fn laid_to_database(
    name: &str,
    database: &Postgres,
    own: Option<&Arc<Namespace>>,
) -> Result<(Wire, String), Failure> {
    let socket = database.socket();
    let end = move || End::Unix(socket());
    if let Some(own) = own {
        let (wire, from) = Wire::from_within(own, end)?;
        return Ok((wire, Postgres::address_at(from)));
    }
    let folder = database.folder_of(name)?;
    let wire = Wire::unix(&Postgres::socket_in(&folder), end)?;
    Ok((wire, Postgres::address_in(&folder)))
}

/// The wire from outside to where a process listens.
async fn into(address: &str, own: Option<&Arc<Namespace>>) -> Result<(Wire, String), Failure> {
    let Some(own) = own else {
        return Ok(Wire::tcp(to(address)).await?);
    };
    let (own, address) = (Arc::clone(own), address.parse()?);
    Ok(Wire::tcp(move || End::Within(Arc::clone(&own), address)).await?)
}

fn to(address: &str) -> impl Fn() -> End + Send + Sync + 'static {
    let end = End::Tcp(address.to_owned());
    move || end.clone()
}
