//! A catalog in a database as it was at one moment, for whoever copies it: counted, authenticated row by row, piece by piece. Changes nothing and locks no row.

use std::sync::Arc;

use super::head::{self, Head, Identity};
use super::pieces::{Pieces, RequestPlace};
use super::register::sets;
use super::rows::select;
use super::{Owner, Tenant};
use crate::cluster::view::Segment;
use crate::keys::epochs::Epochs;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::storage::catalog::relocate::{ErasureRow, Piece, Summary, Table};
use crate::storage::catalog::segments::SegmentEntry;
use crate::storage::database::Database;
use crate::storage::database::transaction::{Moment, statement};
use crate::storage::error::StorageError;

/// The highest number that there may be.
const LAST: u64 = i64::MAX.cast_unsigned();
const SEGMENTS: &str = select!(segment, "FROM segment WHERE tenant = $1 ORDER BY number");

/// The moment, for as long as this lives.
pub(in crate::storage) struct Dump {
    tenant: Arc<Tenant>,
    moment: Moment,
    head: Head,
    /// Those that hold rows; what is only warming holds none yet.
    segments: Vec<SegmentEntry>,
}

/// Of which generation of keys a tenant is now.
pub(in crate::storage) fn key_generation(
    database: &Database,
    id: &TenantId,
    secret: &SecretKey,
) -> Result<u32, StorageError> {
    let rows = database.read(vec![head::by_name(id.as_str())])?;
    let row = rows.first().and_then(|rows| rows.first());
    let row = row.ok_or_else(|| StorageError::TenantUnknown(id.clone()))?;
    let (Identity { number, cells }, _) = Identity::of(database, (id, row), secret)?;
    let owner = Owner {
        database: database.clone(),
        id: id.clone(),
        number,
        cells,
    };
    Ok(Head::of(&owner, Some(row))?.key_generation)
}

impl Dump {
    /// Takes a tenant as it is now, by the epochs of this generation of its keys. Refuses one of which there are not as many rows as its row counts.
    pub(in crate::storage) fn take(
        database: &Database,
        id: &TenantId,
        secret: &SecretKey,
        (key_generation, epochs, signer): (u32, Arc<dyn Epochs>, ReceiptSigner),
    ) -> Result<Self, StorageError> {
        let tenant = Tenant::find(database, id, secret, epochs, signer)?;
        let (moment, rows) = database.moment(vec![
            head::select(tenant.number),
            head::counts(tenant.number),
            statement!(SEGMENTS, tenant.number),
        ])?;
        let [row, counts, segments] = sets(database, rows)?;
        if row.is_empty() {
            return Err(StorageError::TenantUnknown(id.clone()));
        }
        let head = Head::of(&tenant, row.first())?;
        if head.state.commits == 0 {
            return Err(StorageError::TenantUnknown(id.clone()));
        }
        if head.key_generation != key_generation {
            return Err(StorageError::KeysRotated(id.clone()));
        }
        head.check_counts(&tenant, counts.first())?;
        let mut live = Vec::new();
        for row in &segments {
            let (entry, state) = tenant.segment_row(row)?;
            if matches!(state, Segment::Live { .. }) {
                live.push(entry);
            }
        }
        Ok(Self {
            tenant,
            moment,
            head,
            segments: live,
        })
    }

    /// The segments that hold rows, by number.
    pub(in crate::storage) fn segments(&self) -> &[SegmentEntry] {
        &self.segments
    }

    /// What it says of the tenant.
    pub(in crate::storage) fn summary(&self) -> Summary {
        Summary {
            spec: self.head.spec.clone(),
            state: self.head.state,
            chain: self.head.chain,
            segments: self.segments.len() as u64,
        }
    }

    /// Hands out all rows, so many at a time, in an order in which no row names one that has not come.
    pub(in crate::storage) fn each(
        &self,
        limit: u64,
        mut each: impl FnMut(Piece) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let read = |statements| self.moment.read(statements);
        let pieces = Pieces::new(&self.tenant, &read);
        for table in Table::ALL {
            match table {
                Table::Segments => each(Piece::Segments(self.segments.clone()))?,
                Table::Requests => {
                    let (mut place, mut before): (RequestPlace, u64) = ((i64::MIN, Vec::new()), 0);
                    while let Some((requests, ended)) = pieces.requests_after(&place, limit)? {
                        let came = requests.len() as u64;
                        each(Piece::Requests(before, requests))?;
                        (place, before) = (ended, before + came);
                    }
                }
                numbered => {
                    // Restores pass over numbers, more than could be counted through.
                    let mut first = 0;
                    loop {
                        let mut piece = pieces.between(numbered, (first, LAST), limit)?;
                        let Some(last) = piece.last() else { break };
                        if let Piece::Erasures(erasures) = &mut piece {
                            self.leave_warming(erasures);
                        }
                        each(piece)?;
                        first = last + 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Of who was erased while a row of theirs was on its way into a segment that is warming, no segment holds a row yet.
    fn leave_warming(&self, erasures: &mut [ErasureRow]) {
        let is_live = |(segment, _): &(u32, u32)| {
            let found = self.segments.binary_search_by_key(segment, |entry| entry.number);
            found.is_ok()
        };
        for (_, place) in erasures.iter_mut().flat_map(|row| &mut row.buried) {
            *place = place.filter(is_live);
        }
    }

    /// Whether it failed because the epoch has ended since whose key opens what was pending: the next moment has another one.
    pub(in crate::storage) fn is_over(&self, error: &StorageError) -> Result<bool, StorageError> {
        let tenant = &*self.tenant;
        let is_lacking = matches!(error, StorageError::Damaged { path, .. } if path == tenant.epochs.path());
        if !is_lacking {
            return Ok(false);
        }
        let rows = tenant.database.read(vec![head::select(tenant.number)])?;
        let row = rows.first().and_then(|rows| rows.first());
        match row {
            Some(row) => Ok(Head::of(tenant, Some(row))?.epoch > self.head.epoch),
            None => Ok(true),
        }
    }
}
