//! The upload of an import: a header, then rows as fast as the server takes them. Reads no file and makes no rows.

use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Client;
use super::api::import_request::Part;
use super::api::{ImportHeader, ImportRequest, ImportResponse, ImportRows};

/// Most bytes of coordinates in one message.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Most rows in one message; the server takes 8,192.
pub const CHUNK_ROWS_MAX: usize = 8_192;
/// Messages that wait while the network is busy.
const CHUNKS_WAITING_MAX: usize = 4;

/// Rows of one message, for rows of `row_bytes` each; at least 1.
pub fn chunk_rows(row_bytes: usize) -> usize {
    (CHUNK_BYTES_MAX / row_bytes.max(1)).clamp(1, CHUNK_ROWS_MAX)
}

/// Where the rows go in. Dropping it ends the upload; the server refuses one that is short.
pub struct RowSender {
    messages: mpsc::Sender<ImportRequest>,
}

impl RowSender {
    /// Waits until there is room. `false`: the server has ended the call; its answer says why.
    pub fn send_blocking(&self, rows: ImportRows) -> bool {
        let message = ImportRequest {
            part: Some(Part::Rows(rows)),
        };
        self.messages.blocking_send(message).is_ok()
    }
}

/// Runs an import whose rows `produce` makes on a blocking thread.
///
/// An error of `produce` ends the upload early, which changes nothing on the server, and wins over what the server then says.
pub async fn import<E, F>(
    client: &Client,
    header: ImportHeader,
    produce: F,
) -> Result<Result<ImportResponse, Status>, E>
where
    E: Send + 'static,
    F: FnOnce(RowSender) -> Result<(), E> + Send + 'static,
{
    let (messages, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let first = ImportRequest {
        part: Some(Part::Header(header)),
    };
    let requests = tokio_stream::once(first).chain(ReceiverStream::new(receiver));
    let producer = tokio::task::spawn_blocking(move || produce(RowSender { messages }));
    let answer = client.enrollment().import(requests).await;
    producer.await.expect("the producer does not panic")?;
    Ok(answer.map(tonic::Response::into_inner))
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
