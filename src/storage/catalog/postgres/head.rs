//! A tenant's row: counters, chain, epoch and spec under one MAC. Whoever changes anything locks it first, so that the number of changes decides who goes on.

use std::num::NonZeroU32;

use tokio_postgres::Row;

use super::columns::clear;
use super::rows::TABLES;
use super::{Owner, damaged};
use crate::cluster::view;
use crate::keys::cells::{CellKeys, INCARNATION_LEN};
use crate::keys::secret::SecretKey;
use crate::model::checkpoint::ChainStart;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::catalog::chain::Chain;
use crate::storage::catalog::code::int;
use crate::storage::catalog::state::State;
use crate::storage::database::Database;
use crate::storage::database::transaction::{Statement, Value, statement};
use crate::storage::error::StorageError;

/// The tenant's columns, in the order that a head is read in.
macro_rules! columns {
    () => {
        "tenant, incarnation, spec, epoch, commits, sequence, last_reference, last_subject, last_segment, last_erasure, last_usage,
         subjects, refs, pending, erasures_open, segments, tombstones, list, group_segments, key_generation,
         since_event, since_erasure, erased, event, chain, mac"
    };
}

/// So many segments are a group of a tenant that is made.
const GROUP_SEGMENTS: NonZeroU32 = NonZeroU32::new(16).expect("it is not zero");
/// Numbers of a head.
const NUMBERS: usize = 21;
/// Where the number is among the columns.
pub(super) const NUMBER: usize = 0;
/// Where the incarnation is among the columns.
pub(super) const INCARNATION: usize = 1;
/// Where the name is, where it is read.
pub(super) const NAME: usize = 26;
/// Where they begin among the columns.
const FIRST_NUMBER: usize = 3;

/// The tenant's row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) spec: TenantSpec,
    /// The one whose key seals pending rows.
    pub(super) epoch: u64,
    pub(super) state: State,
    /// Rows of the table of segments.
    pub(super) segments: u64,
    /// Rows of the table of tombstones that are in a segment.
    pub(super) tombstones: u64,
    /// Version of the list of segments.
    pub(super) list: u64,
    /// So many segments are a group.
    pub(super) group_segments: NonZeroU32,
    /// Of the keys of its segments.
    pub(super) key_generation: u32,
    pub(super) chain: Chain,
}

/// Whose row it is in a database, with its keys.
pub(super) struct Identity {
    pub(super) number: i64,
    pub(super) cells: CellKeys,
}

/// Reads the row by the tenant's name.
pub(super) fn by_name(name: &str) -> Statement {
    statement!(
        concat!("SELECT ", columns!(), " FROM tenant WHERE name = $1"),
        name.to_owned()
    )
}

/// Reads the rows of these tenants, each with its name, but for those in the making.
pub(super) fn by_names(names: Vec<String>) -> Statement {
    statement!(
        concat!(
            "SELECT ",
            columns!(),
            ", name FROM tenant WHERE name = ANY($1) AND commits > 0"
        ),
        names
    )
}

/// Reads the row.
pub(super) fn select(tenant: i64) -> Statement {
    statement!(
        concat!("SELECT ", columns!(), " FROM tenant WHERE tenant = $1"),
        tenant
    )
}

/// Reads the row and locks it until the transaction's end.
pub(super) fn lock(tenant: i64) -> Statement {
    statement!(
        concat!("SELECT ", columns!(), " FROM tenant WHERE tenant = $1 FOR UPDATE"),
        tenant
    )
}

/// Counts rows as the head of a tenant counts them: subjects, refs, pending, `erasures_open`, segments, tombstones.
pub(super) fn counts(tenant: i64) -> Statement {
    statement!(
        "SELECT (SELECT count(*) FROM subject WHERE tenant = $1), (SELECT count(*) FROM reference WHERE tenant = $1),
                (SELECT count(*) FROM pending WHERE tenant = $1), (SELECT count(*) FROM erasure WHERE tenant = $1 AND NOT purged),
                (SELECT count(*) FROM segment WHERE tenant = $1), (SELECT count(*) FROM tombstone WHERE tenant = $1 AND segment IS NOT NULL)",
        tenant
    )
}

impl Identity {
    /// Who a row is of, by the catalog's secret. Where nothing opens it is the secret that is wrong.
    pub(super) fn of(
        database: &Database,
        (id, row): (&TenantId, &Row),
        secret: &SecretKey,
    ) -> Result<(Self, [u8; INCARNATION_LEN]), StorageError> {
        let fault = |fault| damaged(database, id, "tenant", fault);
        let read = || Some((row.try_get(0).ok()?, row.try_get::<_, &[u8]>(1).ok()?));
        let (number, incarnation): (i64, &[u8]) = read().ok_or_else(|| fault("its row can't be read"))?;
        let incarnation = incarnation
            .try_into()
            .map_err(|_| fault("its incarnation is none"))?;
        let cells = CellKeys::new(secret, incarnation, TABLES);
        let spec: &[u8] = row.try_get(2).map_err(|_| fault("its row can't be read"))?;
        if cells.open("tenant", &[], spec).is_err() {
            return Err(StorageError::CatalogKey {
                server: database.server().to_owned(),
                tenant: id.clone(),
            });
        }
        Ok((Self { number, cells }, incarnation))
    }
}

impl Head {
    /// Of a tenant that has nobody yet.
    pub(super) fn new(spec: &TenantSpec, epoch: u64) -> Self {
        Self {
            spec: spec.clone(),
            epoch,
            state: State::default(),
            segments: 0,
            tombstones: 0,
            list: 0,
            group_segments: GROUP_SEGMENTS,
            key_generation: 1,
            chain: Chain {
                since: ChainStart::default(),
                erased: 0,
                event: 0,
                head: [0; 32],
            },
        }
    }

    /// Of a row that was read, which must be what was written and of this tenant.
    pub(super) fn of(owner: &Owner, row: Option<&Row>) -> Result<Self, StorageError> {
        let Some(row) = row else {
            return Err(owner.damaged("tenant", "its row is gone"));
        };
        let columns = owner.columns("tenant", row);
        let mut numbers = [0; NUMBERS];
        for (at, number) in (FIRST_NUMBER..).zip(&mut numbers) {
            *number = columns.uint(at)?;
        }
        let number: i64 = columns.get(0)?;
        let (sealed, chain): (&[u8], &[u8]) = (columns.get(2)?, columns.get(24)?);
        let parts = mac_parts(&owner.id, number, sealed, &numbers, chain);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        if !owner.cells.verify("tenant", &parts, columns.get(25)?) {
            return Err(columns.fault("its counters were changed"));
        }
        let head = chain
            .try_into()
            .map_err(|_| columns.fault("the head of its chain is none"))?;
        let spec = owner.open_cell("tenant", &[], sealed)?;
        let read = Self::from_numbers(spec, &numbers, head);
        read.ok_or_else(|| columns.fault("a number is none that there can be"))
    }

    /// Adds the row of a new tenant, under this name.
    pub(super) fn insert(
        &self,
        (name, id): (String, &TenantId),
        identity: &Identity,
        incarnation: &[u8],
    ) -> Statement {
        let values = self.values(id, identity.number, &identity.cells);
        let mut statement = statement!(
            "INSERT INTO tenant (tenant, spec, epoch, commits, sequence, last_reference, last_subject, last_segment, last_erasure,
                    last_usage, subjects, refs, pending, erasures_open, segments, tombstones, list, group_segments,
                    key_generation, since_event, since_erasure, erased, event, chain, mac, name, incarnation)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
                    $25, $26, $27)"
        );
        statement.1 = values;
        statement.1.push(Box::new(name));
        statement.1.push(Box::new(incarnation.to_vec()));
        statement
    }

    /// Puts this in the place of what the row says.
    pub(super) fn update(&self, owner: &Owner) -> Statement {
        let mut statement = statement!(
            "UPDATE tenant SET spec = $2, epoch = $3, commits = $4, sequence = $5, last_reference = $6, last_subject = $7,
                    last_segment = $8, last_erasure = $9, last_usage = $10, subjects = $11, refs = $12, pending = $13,
                    erasures_open = $14, segments = $15, tombstones = $16, list = $17, group_segments = $18, key_generation = $19,
                    since_event = $20, since_erasure = $21, erased = $22, event = $23, chain = $24, mac = $25
             WHERE tenant = $1"
        );
        statement.1 = self.values(&owner.id, owner.number, &owner.cells);
        statement
    }

    /// As the rules of a cluster take it.
    pub(super) fn of_gallery(&self, owner: &Owner) -> view::Head {
        view::Head {
            edition: view::Edition {
                incarnation: owner.incarnation(),
                key_generation: self.key_generation,
            },
            sequence: self.state.sequence,
            list: self.list,
            group_segments: self.group_segments,
        }
    }

    /// Refuses tombstones in segments that are not as many as it counts.
    pub(super) fn check_tombstones(&self, owner: &Owner, found: u64) -> Result<(), StorageError> {
        if found == self.tombstones {
            return Ok(());
        }
        let fault = format!(
            "it has {found} tombstones in segments; its counters say {}",
            self.tombstones
        );
        Err(owner.damaged("tenant", &fault))
    }

    /// Refuses a catalog that has other rows than its head counts.
    pub(super) fn check_counts(&self, owner: &Owner, row: Option<&Row>) -> Result<(), StorageError> {
        let row = row.ok_or_else(|| owner.damaged("tenant", "its rows can't be counted"))?;
        let columns = owner.columns("tenant", row);
        let counted = [
            ("subjects", self.state.subjects),
            ("references", self.state.references),
            ("pending rows", self.state.pending),
            ("open erasures", self.state.erasures_open),
            ("segments", self.segments),
            ("tombstones in segments", self.tombstones),
        ];
        for (at, (what, count)) in counted.into_iter().enumerate() {
            let found = columns.uint(at)?;
            if found != count {
                return Err(columns.fault(&format!("it has {found} {what}; its counters say {count}")));
            }
        }
        Ok(())
    }

    fn values(&self, id: &TenantId, number: i64, cells: &CellKeys) -> Vec<Value> {
        let spec = serde_json::to_vec(&self.spec).expect("plain values have a JSON form");
        let sealed = cells.seal("tenant", &[], &spec);
        let numbers = self.numbers();
        let parts = mac_parts(id, number, &sealed, &numbers, &self.chain.head);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mac = cells.mac("tenant", &parts);
        let mut values: Vec<Value> = vec![Box::new(number), Box::new(sealed)];
        for number in numbers {
            values.push(Box::new(int(number)));
        }
        values.push(Box::new(self.chain.head.to_vec()));
        values.push(Box::new(mac.to_vec()));
        values
    }

    /// In the order of the columns.
    fn numbers(&self) -> [u64; NUMBERS] {
        let Self { state, chain, .. } = self;
        [
            self.epoch,
            state.commits,
            state.sequence,
            state.last_reference,
            state.last_subject,
            state.last_segment,
            state.last_erasure,
            state.last_usage,
            state.subjects,
            state.references,
            state.pending,
            state.erasures_open,
            self.segments,
            self.tombstones,
            self.list,
            u64::from(self.group_segments.get()),
            u64::from(self.key_generation),
            chain.since.event,
            chain.since.erasure,
            chain.erased,
            chain.event,
        ]
    }

    /// `None` where a number is none that there can be.
    fn from_numbers(spec: TenantSpec, numbers: &[u64; NUMBERS], head: [u8; 32]) -> Option<Self> {
        let [
            epoch,
            commits,
            sequence,
            last_reference,
            last_subject,
            last_segment,
            last_erasure,
            last_usage,
            subjects,
            references,
            pending,
            erasures_open,
            segments,
            tombstones,
            list,
            group_segments,
            key_generation,
            since_event,
            since_erasure,
            erased,
            event,
        ] = *numbers;
        Some(Self {
            spec,
            epoch,
            state: State {
                commits,
                sequence,
                last_reference,
                last_subject,
                last_segment,
                last_erasure,
                last_usage,
                subjects,
                references,
                pending,
                erasures_open,
            },
            segments,
            tombstones,
            list,
            group_segments: NonZeroU32::new(u32::try_from(group_segments).ok()?)?,
            key_generation: u32::try_from(key_generation).ok()?,
            chain: Chain {
                since: ChainStart {
                    event: since_event,
                    erasure: since_erasure,
                },
                erased,
                event,
                head,
            },
        })
    }
}

/// All of a row but its incarnation, which the key is of.
fn mac_parts(
    id: &TenantId,
    number: i64,
    spec: &[u8],
    numbers: &[u64; NUMBERS],
    chain: &[u8],
) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = clear![id.as_str().as_bytes()[..], number, spec[..], chain[..]]
        .iter()
        .map(|part| part.to_vec())
        .collect();
    parts.extend(numbers.iter().map(|number| number.to_le_bytes().to_vec()));
    parts
}
