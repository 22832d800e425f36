//! One palm against one subject: the subject's rows as the catalog has them now, scored one by one. Searches nobody else.

use std::cell::Cell;
use std::collections::BTreeSet;

use crate::matcher::node::{CompareQuery, NodeError};
use crate::matcher::parts::on_cluster::OnCluster;
use crate::matcher::parts::on_cluster::opened::Opened;
use crate::matcher::search::{check_dimension, in_time, score_of};
use crate::storage::cluster::SubjectRows;
use crate::storage::cluster::segments::Segments;
use crate::storage::error::StorageError;
use crate::storage::objects::error::ObjectError;
use crate::storage::place::StoredRow;

/// How often rows are read that move on meanwhile.
const READINGS_MAX: usize = 3;

/// The best canonical score among the subject's references. Blocks.
pub(super) fn compare(cluster: &OnCluster, query: &CompareQuery) -> Result<f32, NodeError> {
    let tenant = &query.tenant;
    let unknown = || NodeError::SubjectUnknown(tenant.clone());
    check_dimension(&query.probe, cluster.catalog(tenant)?.dimension)?;
    let is_stale = Cell::new(false);
    for tried in 1..=READINGS_MAX {
        in_time(query.deadline)?;
        let find = |opened: &Opened| {
            // The tenant may have been made anew since the probe was protected: then its rows mean nothing to it.
            is_stale.set(opened.transform != query.transform);
            if is_stale.get() {
                return Ok(None);
            }
            let _reading = cluster.segments().copies().begin(&opened.keys.home);
            let Some(rows) = opened.catalog.rows_of(&query.subject_id)? else {
                return Ok(None);
            };
            rows_in_the_clear(opened, cluster.segments(), rows, tried > 1).map(Some)
        };
        match cluster.find(tenant, find, Option::is_none)? {
            None if is_stale.get() => {
                return Err(NodeError::TransformStale {
                    tenant: tenant.clone(),
                });
            }
            None => return Err(unknown()),
            Some(Some(rows)) => {
                let scores = rows.iter().map(|row| score_of(query.probe.values(), row));
                return scores.reduce(f32::max).ok_or_else(unknown);
            }
            Some(None) => {}
        }
    }
    Err(NodeError::TenantUnavailable {
        tenant: tenant.clone(),
        reason: "a subject's rows are not where its catalog has them, in every try to read them".to_owned(),
    })
}

/// A subject's rows; `None` where one of them is not where it was said to be: it was erased, or moved on, since then.
fn rows_in_the_clear(
    opened: &Opened,
    segments: &Segments,
    rows: SubjectRows,
    anew: bool,
) -> Result<Option<Vec<StoredRow>>, StorageError> {
    let mut found = rows.pending;
    let numbers: BTreeSet<u32> = rows.placed.keys().copied().collect();
    let objects = opened.objects(segments, &numbers, anew)?;
    for (number, wanted) in rows.placed {
        let Some(object) = objects.get(&number) else {
            return Ok(None);
        };
        let places: Vec<u32> = wanted.iter().map(|(row, _)| *row).collect();
        let read = match segments.exact(&opened.keys, object, &places) {
            // Another object may hold it by now.
            Err(StorageError::Object(ObjectError::Missing { .. } | ObjectError::Forgotten { .. }))
                if !anew =>
            {
                return Ok(None);
            }
            read => read?,
        };
        for ((_, reference), row) in wanted.iter().zip(read) {
            match row {
                Some(row) if row.id.reference == *reference => found.push(row),
                _ => return Ok(None),
            }
        }
    }
    Ok(Some(found))
}
