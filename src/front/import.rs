//! Import: many subjects at once, all of them or none. Checks row after row, protects in batches, keeps no more than two messages in memory.

use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::authorize::{self, Method};
use super::command::{Import, RawRowStream, RawRows};
use super::error::FrontError;
use super::identity::Caller;
use super::tenants::Tenant;
use super::{Front, admit, enroll};
use crate::keys::transform::Rotation;
use crate::matcher::node::{
    IMPORT_CHUNK_ROWS_MAX, ImportChunk, ImportHeader, ImportProgress, ImportStream, Imported, NodeError,
};
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::reject::Rejected;
use crate::model::signature::{ElementType, Signature};
use crate::model::subject::{Capture, PadVerdict};
use crate::model::timestamp::Timestamp;

/// Messages that are prepared at the same time: one on its way while the next is checked.
const PREPARED_MAX: usize = 2;

impl Front {
    /// Takes in many new subjects, one signature each; durable and searchable when it returns.
    pub async fn import(
        &self,
        caller: &Caller,
        header: Import,
        rows: RawRowStream,
    ) -> Result<Imported, FrontError> {
        // First of all who asks, so that nobody learns anything about another tenant.
        let member = authorize::gallery(caller, Method::Import, header.tenant.as_ref())?;
        // Without consent nothing of the palms is so much as looked at.
        let consent = enroll::check_consent(header.consent.as_ref())?;
        let tenant = self.tenant_of(&member).await?;
        check_header(&header, &tenant)?;
        let rotation = self.rotation(&tenant).await?;
        let request_digest = tenant.digests.import(&header);
        let node_header = ImportHeader {
            tenant: tenant.id().clone(),
            transform: tenant.spec.transform.clone(),
            request_id: header.request_id.clone(),
            request_digest,
            rows: header.rows,
            first_row: header.first_row,
            hand: header.hand,
            capture: Capture {
                hand: Some(header.hand),
                quality: header.quality,
                captured_at: Timestamp::now(),
                // A file from elsewhere tells nothing of liveness; the operator answers for it.
                pad: PadVerdict::NotPerformed,
            },
            consent,
        };
        let preparer = Arc::new(Preparer {
            tenant: Arc::clone(&tenant),
            rotation,
            element: header.element,
            request_id: header.request_id,
            request_digest,
        });
        // The node ends the import, and changes nothing, at the first error in the stream. Rows come only once, so one
        // for a tenant that was made anew is not tried again here; the caller's next import finds the tenant of now.
        let chunks = prepared(preparer, rows, header.rows, header.first_row);
        let answer = self.routes.node(tenant.id())?.import(node_header, chunks).await;
        self.heard(&tenant, answer)
    }

    /// How far an import has come.
    pub async fn import_progress(
        &self,
        caller: &Caller,
        named: Option<TenantId>,
        request: &RequestId,
    ) -> Result<ImportProgress, FrontError> {
        let member = authorize::gallery(caller, Method::GetImport, named.as_ref())?;
        let tenant = self.tenant_of(&member).await?;
        let node = self.routes.node(tenant.id())?;
        let answer = node.import_progress(tenant.id(), request).await;
        self.heard(&tenant, answer)
    }
}

fn check_header(header: &Import, tenant: &Tenant) -> Result<(), Rejected> {
    admit::encoder(&header.encoder, &tenant.spec)?;
    admit::quality(header.quality)?;
    let quality_min = tenant.spec.policy.quality_min;
    if header.quality < quality_min {
        return Err(Rejected::new(
            "quality",
            format!(
                "{} is below the tenant's minimum of {quality_min}",
                header.quality
            ),
        ));
    }
    if header.rows == 0 {
        return Err(Rejected::new(
            "rows",
            "is 0; the number of rows that follow is expected",
        ));
    }
    // Before any row is numbered.
    if header.first_row > header.rows {
        return Err(Rejected::new(
            "first_row",
            format!(
                "is {}; the header announces {} rows",
                header.first_row, header.rows
            ),
        ));
    }
    Ok(())
}

/// Rows as they come, checked, protected and cut to size, in their order.
fn prepared(preparer: Arc<Preparer>, rows: RawRowStream, announced: u64, first_row: u64) -> ImportStream {
    let mut count = RowCount {
        announced,
        came: first_row,
        row_size: preparer.row_size(),
    };
    rows.map(Some)
        .chain(stream::once(async { None }))
        .map(move |message| count.take(message))
        .map(move |message| prepare(Arc::clone(&preparer), message))
        .buffered(PREPARED_MAX)
        .flat_map(|chunks| {
            stream::iter(match chunks {
                Ok(chunks) => chunks.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        })
        .boxed()
}

async fn prepare(
    preparer: Arc<Preparer>,
    message: Result<Option<(u64, RawRows)>, NodeError>,
) -> Result<Vec<ImportChunk>, NodeError> {
    match message? {
        Some((row_first, raw)) => tokio::task::spawn_blocking(move || preparer.chunks(row_first, &raw))
            .await
            .map_err(|error| NodeError::Internal(format!("a background task ended early: {error}")))?,
        None => Ok(Vec::new()),
    }
}

/// Holds the rows that come against the number that was announced.
struct RowCount {
    announced: u64,
    /// With those that came before this stream.
    came: u64,
    row_size: usize,
}

impl RowCount {
    /// Numbers a message by its first row; `None` is the end of the stream.
    fn take(
        &mut self,
        message: Option<Result<RawRows, NodeError>>,
    ) -> Result<Option<(u64, RawRows)>, NodeError> {
        let announced = self.announced;
        let Some(raw) = message.transpose()? else {
            return if self.came == announced {
                Ok(None)
            } else {
                // A caller who hangs up ends the stream just as one who has no more rows.
                let reason = format!("the header announces {announced} rows and {} came", self.came);
                Err(NodeError::ImportBrokenOff { reason })
            };
        };
        let row_first = self.came;
        let rows = (raw.data.len() / self.row_size) as u64;
        // No sum, so that none can be too large: what came is never more than was announced.
        if rows > announced - row_first {
            let came = row_first.saturating_add(rows);
            let problem = format!("the header announces {announced} and at least {came} came");
            return Err(Rejected::new("rows", problem).into());
        }
        self.came += rows;
        Ok(Some((row_first, raw)))
    }
}

/// Turns messages into chunks.
struct Preparer {
    tenant: Arc<Tenant>,
    rotation: Arc<Rotation>,
    element: ElementType,
    request_id: RequestId,
    request_digest: [u8; 32],
}

impl Preparer {
    /// Bytes of a row as it comes.
    fn row_size(&self) -> usize {
        self.tenant.spec.dimension.get() * self.element.size()
    }

    /// The chunks of one message whose first row has this number in the import, from 0.
    fn chunks(&self, row_first: u64, raw: &RawRows) -> Result<Vec<ImportChunk>, NodeError> {
        let row_size = self.row_size();
        let rows = raw.data.len() / row_size;
        if raw.data.len() != rows * row_size || rows == 0 {
            return Err(Rejected::new(
                "rows.data",
                format!(
                    "is {} bytes long; whole rows of {row_size} bytes (dimension {} in {:?}) are expected, at least one",
                    raw.data.len(),
                    self.tenant.spec.dimension.get(),
                    self.element,
                ),
            )
            .into());
        }
        if !raw.subject_ids.is_empty() && raw.subject_ids.len() != rows {
            return Err(Rejected::new(
                "rows.subject_ids",
                format!(
                    "has {} entries for {rows} rows; one a row, or none at all, are expected",
                    raw.subject_ids.len()
                ),
            )
            .into());
        }
        let mut chunks = Vec::with_capacity(rows.div_ceil(IMPORT_CHUNK_ROWS_MAX));
        let mut row = row_first;
        let mut ids_given = raw.subject_ids.iter();
        for data in raw.data.chunks(IMPORT_CHUNK_ROWS_MAX * row_size) {
            let (mut values, mut subject_ids) =
                (Vec::with_capacity(data.len() / self.element.size()), Vec::new());
            for bytes in data.chunks_exact(row_size) {
                values.extend_from_slice(self.parse(row, bytes)?.values());
                subject_ids.push(ids_given.next().cloned().unwrap_or_else(|| self.subject_id(row)));
                row += 1;
            }
            self.rotation.protect_rows(&mut values);
            chunks.push(ImportChunk { values, subject_ids });
        }
        Ok(chunks)
    }

    /// A refusal names the row's number in the whole import.
    fn parse(&self, row: u64, bytes: &[u8]) -> Result<Signature, Rejected> {
        Signature::parse(bytes, self.element, self.tenant.spec.dimension)
            .map_err(|refusal| Rejected::new(format!("rows[{row}]"), refusal.problem))
    }

    fn subject_id(&self, row: u64) -> SubjectId {
        self.tenant
            .digests
            .subject_id(&self.request_id, &self.request_digest, row)
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
