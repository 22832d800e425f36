//! The catalog of a tenant's next generation: a copy sealed with another data key. Gives it no name and opens it for nobody.

use std::sync::Arc;

use rusqlite::TransactionBehavior;
use zeroize::Zeroizing;

use super::{Tenant, tenant};
use crate::model::tenant::TenantSpec;
use crate::storage::catalog::connection::{self, CopyTarget, Writer};
use crate::storage::catalog::page::PageSeal;
use crate::storage::catalog::pending::{self, PendingSeal};
use crate::storage::catalog::seam::NextGeneration;
use crate::storage::catalog::segments;
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::mark::Mark;
use crate::storage::store::CATALOG_FILE;

/// Copies a catalog and its mark as they are after the last transaction of `writer`.
pub(super) fn copy(writer: &Writer, of: &Tenant, next: &NextGeneration<'_>) -> Result<(), StorageError> {
    let path = next.path.join(CATALOG_FILE);
    let file = durable::create_file(&path)?;
    let seal = Arc::new(PageSeal::new(next.data_key));
    writer.copy_to(CopyTarget::open(&path, &seal)?)?;
    let mut conn = connection::open_writer(&path, &seal)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (number, copied) in next.segments {
        segments::replace(&tx, *number, &copied.written, &copied.gone)?;
    }
    let next_seal = PendingSeal::new(&of.spec.id, next.data_key);
    let mut rows = pending::all(&tx)?;
    let row_len = 2 * of.spec.dimension.get();
    let mut exact = Zeroizing::new(Vec::with_capacity(rows.len() * row_len));
    for (reference, sealed) in &rows {
        exact.extend_from_slice(&of.seal.open(*reference, sealed)?);
    }
    if let Some(convert) = next.convert {
        convert.exact(&mut exact);
        let spec = TenantSpec {
            transform: convert.transform().clone(),
            ..tenant::spec(&tx)?
        };
        tenant::set_spec(&tx, &spec)?;
    }
    for ((reference, sealed), exact) in rows.iter_mut().zip(exact.chunks_exact(row_len)) {
        *sealed = next_seal.seal(*reference, exact);
    }
    // Every page of the table is zeroed, so that no row sealed with the former key stays.
    pending::replace_all(&tx, &rows)?;
    tx.commit()?;
    connection::close_whole(conn)?;
    file.sync_all().map_err(|e| StorageError::io("fsync", &path, e))?;
    Mark::create(next.path, next.data_key, writer.state().commits)
}
