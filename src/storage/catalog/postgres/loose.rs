//! Objects of a tenant that are not listed and may be in the store: what a node is about to put, and what a purge put another one in the place of. Reaches no store, and lists nothing.
//!
//! Whoever puts an object first records it here as its own, with the generation of the keys that seal it. It is listed in the transaction that takes that row away, and where the row is not its own any more, it lists nothing. A purge first takes
//! the rows of nodes that are gone from them, and removes what is nobody's. So what it removes can't be listed by anybody, however late a writer comes; and what it was kept from removing is found by the next one.

use std::collections::BTreeSet;

use ulid::Ulid;

use super::register::{self, Standing};
use super::shared::SharedCatalog;
use super::{Owner, Tenant};
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::storage::catalog::code::int;
use crate::storage::database::transaction::{Statement, Transaction, statement};
use crate::storage::error::StorageError;

const INTEND: &str =
    "INSERT INTO loose (tenant, ulid, node, generation, key_generation) VALUES ($1, $2, $3, $4, $5)";
const TAKE: &str = "DELETE FROM loose WHERE tenant = $1 AND ulid = $2 AND node = $3 AND generation = $4";
const ABANDON: &str = "UPDATE loose SET node = NULL, generation = NULL
    WHERE tenant = $1 AND ulid = $2 AND node = $3 AND generation = $4";
const LISTED: &str = "SELECT 1 FROM segment WHERE tenant = $1 AND ulid = $2";
const LET_LOOSE: &str = "INSERT INTO loose (tenant, ulid, key_generation) SELECT $1, ulid, $3 FROM unnest($2::bytea[]) AS u(ulid)";
const TAKE_ALL: &str =
    "DELETE FROM loose WHERE tenant = $1 AND ulid = ANY($2) AND node = $3 AND generation = $4";
/// What is of a node that is gone, by whatever registration it was, is nobody's.
const DISOWN: &str = "UPDATE loose l SET node = NULL, generation = NULL WHERE l.tenant = $1 AND l.node IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM node n WHERE n.node = l.node AND n.generation = l.generation AND n.life <> $2)";
/// What is listed stays, whatever anybody wrote here.
const NOBODYS: &str = "SELECT l.ulid, l.key_generation FROM loose l WHERE l.tenant = $1 AND l.node IS NULL
    AND NOT EXISTS (SELECT 1 FROM segment s WHERE s.tenant = l.tenant AND s.ulid = l.ulid)";
const REMOVED: &str = "DELETE FROM loose WHERE tenant = $1 AND node IS NULL AND ulid = ANY($2)";

impl Tenant {
    /// Takes a node's own object from those that are not listed, as it is listed. Where it is not there, or nobody's by now, nothing is to be listed.
    pub(super) fn take_loose(
        &self,
        transaction: &Transaction,
        standing: Standing,
        ulid: Ulid,
    ) -> Result<(), StorageError> {
        if transaction.execute(self.of_node(TAKE, standing, ulid))? == 1 {
            return Ok(());
        }
        Err(StorageError::RowsMoved(self.id.clone()))
    }

    /// The same for several objects at once.
    pub(super) fn take_all_loose(
        &self,
        transaction: &Transaction,
        standing: Standing,
        ulids: &[Ulid],
    ) -> Result<(), StorageError> {
        let node = register::bytes(standing.node);
        let taken = statement!(
            TAKE_ALL,
            self.number,
            bytes(ulids),
            node,
            int(standing.generation)
        );
        if transaction.execute(taken)? == ulids.len() as u64 {
            return Ok(());
        }
        Err(StorageError::RowsMoved(self.id.clone()))
    }

    /// Objects that are sealed with these keys are not listed any more.
    pub(super) fn let_loose(
        &self,
        transaction: &Transaction,
        ulids: &[Ulid],
        key_generation: u32,
    ) -> Result<(), StorageError> {
        let generation = i64::from(key_generation);
        transaction
            .execute(statement!(LET_LOOSE, self.number, bytes(ulids), generation))
            .map(drop)
    }
}

fn bytes(ulids: &[Ulid]) -> Vec<Vec<u8>> {
    ulids.iter().map(|ulid| ulid.to_bytes().to_vec()).collect()
}

impl Owner {
    fn of_node(&self, sql: &'static str, standing: Standing, ulid: Ulid) -> Statement {
        let (node, ulid) = (register::bytes(standing.node), ulid.to_bytes().to_vec());
        statement!(sql, self.number, ulid, node, int(standing.generation))
    }
}

impl SharedCatalog {
    /// Changes of the catalog by now, and the last one of its gallery.
    pub fn changes(&self) -> Result<(u64, u64), StorageError> {
        let state = self.tenant.head()?.state;
        Ok((state.commits, state.sequence))
    }

    /// Nodes that may still have a copy of an object which was not listed any more by this change of the catalog.
    pub fn untidy(&self, commits: u64) -> Result<BTreeSet<NodeId>, StorageError> {
        let watched = self.tenant.watched()?;
        Ok(watched.followers.untidy(&watched.members, commits))
    }

    /// Records that this node is about to put an object, which it lists by [`SharedCatalog::warm`] or [`SharedCatalog::replace`], or gives up by [`SharedCatalog::abandon`]. To be called before the
    /// object is put.
    pub fn intend(&self, ulid: Ulid) -> Result<(), StorageError> {
        self.intend_with(ulid, self.tenant.key_generation)
    }

    /// The same for an object that is sealed with keys of this generation.
    pub(in crate::storage) fn intend_with(
        &self,
        ulid: Ulid,
        key_generation: u32,
    ) -> Result<(), StorageError> {
        let standing = self.standing;
        self.writer.lock().transact(
            |tenant, transaction, _| {
                let mut intend = tenant.of_node(INTEND, standing, ulid);
                intend.1.push(Box::new(i64::from(key_generation)));
                transaction.execute(intend).map(drop)
            },
            |()| Ok(false),
        )
    }

    /// Gives up to list an object, also where it is not known whether it was listed. False where it was: then it stays so. An object that was given up is removed by the next purge.
    ///
    /// Whoever was fenced lists nothing any more: fencing waited for its transactions, so that what is listed then is final.
    pub fn abandon(&self, ulid: Ulid) -> Result<bool, StorageError> {
        let standing = self.standing;
        let given_up = self
            .writer
            .lock()
            .transact_with_any_keys(|tenant, transaction, _| {
                transaction.execute(tenant.of_node(ABANDON, standing, ulid))?;
                let ulid = ulid.to_bytes().to_vec();
                Ok(transaction
                    .query(statement!(LISTED, tenant.number, ulid))?
                    .is_empty())
            });
        match given_up {
            Err(StorageError::Fenced(_)) => Ok(!self.lists(ulid)?),
            given_up => given_up,
        }
    }

    /// Whether an object is listed now.
    fn lists(&self, ulid: Ulid) -> Result<bool, StorageError> {
        let tenant = &*self.tenant;
        let listed = statement!(LISTED, tenant.number, ulid.to_bytes().to_vec());
        let rows = tenant.database.read(vec![listed])?;
        Ok(rows.iter().any(|rows| !rows.is_empty()))
    }

    /// Objects that nobody lists nor can list any more, and that may be in the store, each with the generation of keys that it is sealed with: those of nodes that are gone, too.
    pub fn unlisted(&self) -> Result<Vec<(Ulid, u32)>, StorageError> {
        self.writer.lock().transact(
            |tenant, transaction, _| {
                let gone = register::number(Life::Gone);
                transaction.execute(statement!(DISOWN, tenant.number, gone))?;
                let rows = transaction.query(statement!(NOBODYS, tenant.number))?;
                let ulids = rows.iter().map(|row| {
                    let columns = tenant.columns("loose", row);
                    let ulid = columns.get::<&[u8]>(0)?.try_into();
                    let ulid = ulid.map_err(|_| columns.fault("an object's name is none"))?;
                    Ok((Ulid::from_bytes(ulid), columns.small(1)?))
                });
                ulids.collect::<Result<Vec<_>, _>>()
            },
            |_| Ok(false),
        )
    }

    /// These of [`SharedCatalog::unlisted`] are in the store no more.
    pub fn removed(&self, ulids: &[Ulid]) -> Result<(), StorageError> {
        if ulids.is_empty() {
            return Ok(());
        }
        self.writer.lock().transact(
            |tenant, transaction, _| {
                transaction
                    .execute(statement!(REMOVED, tenant.number, bytes(ulids)))
                    .map(drop)
            },
            |()| Ok(false),
        )
    }
}
