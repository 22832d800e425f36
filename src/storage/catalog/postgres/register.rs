//! The register of a cluster's nodes in a database: its rows are read into [`Members`], which decides, and what it changed is written back. It is of no tenant, and clear.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use crate::cluster::members::{Life, Members, Registered, Suspect};
use crate::cluster::placement::{NODES_MAX, NodeId};
use crate::storage::catalog::code::int;
use crate::storage::database::Database;
use crate::storage::database::transaction::{Statement, Transaction, Uncommitted, misread, statement};
use crate::storage::error::StorageError;

/// Longest address of a node, in bytes.
pub const ADDRESS_MAX: usize = 1_024;
/// How often a transaction is done that the server calls off for others' sake.
const TRIES: usize = 5;

const LIVES: [(Life, i16); 4] = [
    (Life::Joining, 1),
    (Life::Serving, 2),
    (Life::Draining, 3),
    (Life::Gone, 4),
];

/// The generation of the members, locked: whoever changes who owns what goes one at a time.
const LOCK: &str = "SELECT generation FROM cluster WHERE id = 1 FOR UPDATE";
const GENERATION: &str = "SELECT generation FROM cluster WHERE id = 1";
const NODES: &str = "SELECT node, generation, life, beat, weight, address FROM node";
/// A node that changes its life, or is fenced: waits for the transactions that it has begun.
const LOCK_NODE: &str =
    "SELECT node, generation, life, beat, weight, address FROM node WHERE node = $1 FOR UPDATE";
/// A node that begins a transaction: whoever fences it waits, and its own beats don't.
const STANDING: &str =
    "SELECT node, generation, life, beat, weight, address FROM node WHERE node = $1 FOR KEY SHARE";
const BEAT: &str =
    "SELECT node, generation, life, beat, weight, address FROM node WHERE node = $1 FOR NO KEY UPDATE";
const PUT: &str =
    "INSERT INTO node (node, generation, life, beat, weight, address) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (node) DO UPDATE SET generation = $2, life = $3, beat = $4, weight = $5, address = $6";
const PUT_BEAT: &str = "UPDATE node SET beat = $2 WHERE node = $1";

/// Which node it is, and by which registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The node.
    pub node: NodeId,
    /// What its registration gave it.
    pub generation: u64,
}

/// The register as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The nodes.
    pub members: Members,
    /// Where each of them is asked.
    pub addresses: BTreeMap<NodeId, String>,
}

/// Registers a node, for the first time or again. From now on nothing counts that it did not do by this registration.
pub(super) fn register(
    database: &Database,
    node: NodeId,
    weight: u32,
    address: &str,
) -> Result<Standing, StorageError> {
    if address.len() > ADDRESS_MAX {
        return Err(StorageError::Limit {
            limit: "bytes of a node's address",
            max: ADDRESS_MAX as u64,
            value: address.len() as u64,
        });
    }
    let generation = change(database, node, |members, known| {
        address.clone_into(known);
        Ok(members.register(node, weight))
    })?;
    Ok(Standing { node, generation })
}

/// A node goes on in its life.
pub(super) fn advance(database: &Database, who: Standing, to: Life) -> Result<(), StorageError> {
    change(database, who.node, |members, _| {
        Ok(members.advance(who.node, who.generation, to)?)
    })
}

/// Fences a node, unless it gave a sign of life since it was seen. Says whether it is gone now by this. Of whoever looks: `by` has to be in the register itself.
pub(super) fn fence(database: &Database, by: Standing, suspect: &Suspect) -> Result<bool, StorageError> {
    repeat(|| {
        // The nodes' rows first: a suspect that was stopped within a transaction has its own locked, and who waits for that keeps everybody else from nothing.
        let (transaction, rows) = database.begin_all(vec![
            statement!(LOCK_NODE, bytes(suspect.node)),
            standing(by.node),
            statement!(LOCK),
        ])?;
        let [node, own, generation] = sets(database, rows)?;
        let generation = generation_of(database, generation.first())?;
        check(database, by, own.first())?;
        let mut register = of(database, generation, &node)?;
        let is_fenced = register.members.fence(suspect);
        put(database, transaction, suspect.node, generation, &register)?;
        Ok(is_fenced)
    })
}

/// A sign of life.
pub(super) fn beat(database: &Database, who: Standing) -> Result<(), StorageError> {
    repeat(|| {
        let (transaction, rows) = database.begin(statement!(BEAT, bytes(who.node)))?;
        let mut register = of(database, 0, &rows)?;
        register.members.beat(who.node, who.generation)?;
        let beat = register
            .members
            .nodes()
            .get(&who.node)
            .map_or(0, |node| node.beat);
        committed(
            transaction,
            vec![statement!(PUT_BEAT, bytes(who.node), int(beat))],
        )
    })
}

/// All nodes, as they are at one moment.
pub(super) fn read(database: &Database) -> Result<Register, StorageError> {
    let [generation, nodes] = sets(database, database.read(statements().into())?)?;
    of_rows(database, &generation, &nodes)
}

/// What to read the register by, among other things.
pub(super) fn statements() -> [Statement; 2] {
    [statement!(GENERATION), statement!(NODES)]
}

/// Of what [`statements`] read.
pub(super) fn of_rows(
    database: &Database,
    generation: &[Row],
    nodes: &[Row],
) -> Result<Register, StorageError> {
    of(database, generation_of(database, generation.first())?, nodes)
}

/// Begins a transaction of a node: its row, which stays as it is until the transaction's end.
pub(super) fn standing(node: NodeId) -> Statement {
    statement!(STANDING, bytes(node))
}

/// Whether a node still is who it thinks (W2), by its row.
pub(super) fn check(database: &Database, who: Standing, row: Option<&Row>) -> Result<Members, StorageError> {
    let members = of_node(database, row)?;
    members.check(who.node, who.generation)?;
    Ok(members)
}

/// The register as far as it is of one node, by its row.
pub(super) fn of_node(database: &Database, row: Option<&Row>) -> Result<Members, StorageError> {
    let rows = row.map(std::slice::from_ref).unwrap_or_default();
    Ok(of(database, 0, rows)?.members)
}

/// A node's id as a column.
pub(super) fn bytes(node: NodeId) -> Vec<u8> {
    node.0.to_be_bytes().to_vec()
}

/// As a column has where a node stands.
pub(super) fn number(life: Life) -> i16 {
    let number = LIVES.iter().find(|(known, _)| *known == life);
    number.expect("each has one").1
}

/// The node in a column.
pub(super) fn node(column: &[u8]) -> Option<NodeId> {
    Some(NodeId(u128::from_be_bytes(column.try_into().ok()?)))
}

/// One change of a node's row, and of who owns what.
fn change<T>(
    database: &Database,
    node: NodeId,
    mut rule: impl FnMut(&mut Members, &mut String) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    repeat(|| {
        let count = statement!(
            "SELECT count(*) FROM node WHERE node <> $1 AND life <> 4",
            bytes(node)
        );
        let (transaction, rows) =
            database.begin_all(vec![statement!(LOCK_NODE, bytes(node)), statement!(LOCK), count])?;
        let [nodes, generation, others] = sets(database, rows)?;
        let generation = generation_of(database, generation.first())?;
        let mut register = of(database, generation, &nodes)?;
        let address = register.addresses.entry(node).or_default();
        let done = rule(&mut register.members, address)?;
        let others = others.first().and_then(|row| row.try_get::<_, i64>(0).ok());
        let nodes = others.map_or(0, i64::unsigned_abs) + 1;
        if nodes > NODES_MAX as u64 {
            return Err(StorageError::Limit {
                limit: "nodes of a cluster",
                max: NODES_MAX as u64,
                value: nodes,
            });
        }
        put(database, transaction, node, generation, &register)?;
        Ok(done)
    })
}

/// Writes back what the rule changed.
fn put(
    database: &Database,
    transaction: Transaction,
    node: NodeId,
    before: u64,
    register: &Register,
) -> Result<(), StorageError> {
    let members = &register.members;
    if members.generation() == before {
        return committed(transaction, Vec::new());
    }
    let now = members
        .nodes()
        .get(&node)
        .ok_or_else(|| misread(database, "a node that changes is not in its register"))?;
    let life = LIVES
        .iter()
        .find(|(life, _)| *life == now.life)
        .map(|(_, code)| *code);
    let life = life.expect("every life has a code");
    let address = register.addresses.get(&node).cloned().unwrap_or_default();
    let generation = statement!(
        "UPDATE cluster SET generation = $1 WHERE id = 1",
        int(members.generation())
    );
    let put = statement!(
        PUT,
        bytes(node),
        int(now.generation),
        life,
        int(now.beat),
        i64::from(now.weight),
        address
    );
    committed(transaction, vec![generation, put])
}

fn of(database: &Database, generation: u64, rows: &[Row]) -> Result<Register, StorageError> {
    let (mut nodes, mut addresses) = (BTreeMap::new(), BTreeMap::new());
    for row in rows {
        let read =
            registered(row).ok_or_else(|| misread(database, "a row of its table `node` can't be read"))?;
        let (node, registered, address) = read;
        nodes.insert(node, registered);
        addresses.insert(node, address);
    }
    let members = Members::of(generation, nodes);
    Ok(Register { members, addresses })
}

fn registered(row: &Row) -> Option<(NodeId, Registered, String)> {
    let uint = |column| u64::try_from(row.try_get::<_, i64>(column).ok()?).ok();
    let code: i16 = row.try_get(2).ok()?;
    let (life, _) = LIVES.iter().find(|(_, of)| *of == code)?;
    let registered = Registered {
        generation: uint(1)?,
        life: *life,
        beat: uint(3)?,
        weight: u32::try_from(uint(4)?).ok()?,
    };
    Some((node(row.try_get(0).ok()?)?, registered, row.try_get(5).ok()?))
}

fn generation_of(database: &Database, row: Option<&Row>) -> Result<u64, StorageError> {
    let generation = row.and_then(|row| row.try_get::<_, i64>(0).ok());
    let generation = generation.and_then(|generation| u64::try_from(generation).ok());
    generation.ok_or_else(|| misread(database, "its table `cluster` has no generation"))
}

/// Rows by statement.
pub(super) fn sets<const N: usize>(
    database: &Database,
    rows: Vec<Vec<Row>>,
) -> Result<[Vec<Row>; N], StorageError> {
    rows.try_into()
        .map_err(|_| misread(database, "it answers other statements than it was asked"))
}

fn committed(transaction: Transaction, last: Vec<Statement>) -> Result<(), StorageError> {
    transaction.commit(last).map_err(uncommitted)
}

/// Of a transaction that changes nothing that its caller has in memory.
pub(super) fn uncommitted(error: Uncommitted) -> StorageError {
    match error {
        Uncommitted::Undone(error) => error,
        Uncommitted::Unknown(problem) => StorageError::Uncertain(problem),
    }
}

/// Does what the server called off for others' sake again.
pub(super) fn repeat<T>(mut work: impl FnMut() -> Result<T, StorageError>) -> Result<T, StorageError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match work() {
            Err(StorageError::Database { passing: true, .. }) if tried < TRIES => {}
            done => return done,
        }
    }
}
