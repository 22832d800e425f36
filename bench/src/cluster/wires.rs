//! The wires of one process of a cluster: to the database, to the object store, and the one by which fronts reach it. Hits nobody by itself.

use super::postgres::Postgres;
use super::store::Store;
use super::wire::{Condition, End, Wire};
use crate::Failure;

/// All of them. Whoever has them makes connections nowhere else.
pub struct Wires {
    database: Wire,
    store: Option<Wire>,
    door: Option<Wire>,
    /// Of the database, for a configuration.
    pub catalog: String,
    /// Lines below `[storage.objects]`.
    pub objects: String,
    /// Where fronts reach it.
    pub advertised: Option<String>,
}

impl Wires {
    /// Of the process of this name; `listens`, where it is a node, says at which address. A store that is a directory has none.
    pub async fn lay(
        name: &str,
        database: &Postgres,
        store: &Store,
        listens: Option<&str>,
    ) -> Result<Self, Failure> {
        let socket = database.socket();
        let folder = database.folder_of(name)?;
        let to_database = Wire::unix(&Postgres::socket_in(&folder), move || End::Unix(socket()))?;
        let mut wires = Self {
            database: to_database,
            store: None,
            door: None,
            catalog: Postgres::address_in(&folder),
            objects: store.settings(None),
            advertised: None,
        };
        if let Some(address) = store.address() {
            let (wire, from) = Wire::tcp(to(address)).await?;
            wires.objects = store.settings(Some(&from));
            wires.store = Some(wire);
        }
        if let Some(address) = listens {
            let (wire, from) = Wire::tcp(to(address)).await?;
            wires.advertised = Some(from);
            wires.door = Some(wire);
        }
        Ok(wires)
    }

    /// From now on all of them are like this.
    pub fn set(&self, condition: Condition) {
        self.set_database(condition);
        self.set_store(condition);
        self.set_door(condition);
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

fn to(address: &str) -> impl Fn() -> End + Send + Sync + 'static {
    let end = End::Tcp(address.to_owned());
    move || end.clone()
}
