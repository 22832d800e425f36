//! A tenant's row: counters, chain, epoch and spec under one MAC. Whoever changes anything locks it first, so that the number of changes decides who goes on.

use tokio_postgres::Row;

use super::columns::clear;
use super::rows::TABLES;
use super::{Tenant, damaged};
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
         subjects, refs, pending, erasures_open, segments, tombstones, since_event, since_erasure, erased, event, chain, mac"
    };
}

/// Numbers of a head.
const NUMBERS: usize = 18;
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
    pub(super) chain: Chain,
}

/// Whose row it is in a database, with its keys.
pub(super) struct Identity {
    pub(super) number: i64,
    pub(super) cells: CellKeys,
}

/// Reads the row by the tenant's name.
pub(super) fn by_name(id: &TenantId) -> Statement {
    statement!(
        concat!("SELECT ", columns!(), " FROM tenant WHERE name = $1"),
        id.as_str().to_owned()
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
            chain: Chain {
                since: ChainStart::default(),
                erased: 0,
                event: 0,
                head: [0; 32],
            },
        }
    }

    /// Of a row that was read, which must be what was written and of this tenant.
    pub(super) fn of(tenant: &Tenant, row: Option<&Row>) -> Result<Self, StorageError> {
        let Some(row) = row else {
            return Err(tenant.damaged("tenant", "its row is gone"));
        };
        let columns = tenant.columns("tenant", row);
        let mut numbers = [0; NUMBERS];
        for (at, number) in (FIRST_NUMBER..).zip(&mut numbers) {
            *number = columns.uint(at)?;
        }
        let number: i64 = columns.get(0)?;
        let (sealed, chain): (&[u8], &[u8]) = (columns.get(2)?, columns.get(21)?);
        let parts = mac_parts(&tenant.id, number, sealed, &numbers, chain);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        if !tenant.cells.verify("tenant", &parts, columns.get(22)?) {
            return Err(columns.fault("its counters were changed"));
        }
        let head = chain
            .try_into()
            .map_err(|_| columns.fault("the head of its chain is none"))?;
        let spec = tenant.open_cell("tenant", &[], sealed)?;
        Ok(Self::from_numbers(spec, &numbers, head))
    }

    /// Adds the row of a new tenant.
    pub(super) fn insert(&self, id: &TenantId, identity: &Identity, incarnation: &[u8]) -> Statement {
        let values = self.values(id, identity.number, &identity.cells);
        let mut statement = statement!(
            "INSERT INTO tenant (tenant, spec, epoch, commits, sequence, last_reference, last_subject, last_segment, last_erasure,
                    last_usage, subjects, refs, pending, erasures_open, segments, tombstones, since_event, since_erasure, erased,
                    event, chain, mac, name, incarnation)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"
        );
        statement.1 = values;
        statement.1.push(Box::new(id.as_str().to_owned()));
        statement.1.push(Box::new(incarnation.to_vec()));
        statement
    }

    /// Puts this in the place of what the row says.
    pub(super) fn update(&self, tenant: &Tenant) -> Statement {
        let mut statement = statement!(
            "UPDATE tenant SET spec = $2, epoch = $3, commits = $4, sequence = $5, last_reference = $6, last_subject = $7,
                    last_segment = $8, last_erasure = $9, last_usage = $10, subjects = $11, refs = $12, pending = $13,
                    erasures_open = $14, segments = $15, tombstones = $16, since_event = $17, since_erasure = $18, erased = $19,
                    event = $20, chain = $21, mac = $22
             WHERE tenant = $1"
        );
        statement.1 = self.values(&tenant.id, tenant.number, &tenant.cells);
        statement
    }

    /// Refuses a catalog that has other rows than its head counts.
    pub(super) fn check_counts(&self, tenant: &Tenant, row: Option<&Row>) -> Result<(), StorageError> {
        let row = row.ok_or_else(|| tenant.damaged("tenant", "its rows can't be counted"))?;
        let columns = tenant.columns("tenant", row);
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
            chain.since.event,
            chain.since.erasure,
            chain.erased,
            chain.event,
        ]
    }

    fn from_numbers(spec: TenantSpec, numbers: &[u64; NUMBERS], head: [u8; 32]) -> Self {
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
            since_event,
            since_erasure,
            erased,
            event,
        ] = *numbers;
        Self {
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
            chain: Chain {
                since: ChainStart {
                    event: since_event,
                    erasure: since_erasure,
                },
                erased,
                event,
                head,
            },
        }
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
