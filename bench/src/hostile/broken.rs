//! Handshakes that break: garbage, a certificate of another authority, none, and callers who hang up after their first words.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::field::{Field, every};
use crate::Failure;

/// Kinds of a broken handshake.
const KINDS: [&str; 4] = ["garbage", "foreign", "bare", "aborted"];

/// Breaks so many handshakes a second for as long as it is polled.
pub async fn run(field: Arc<Field>, per_second: u32) {
    let mut kinds = KINDS.into_iter().cycle();
    every(per_second, move || {
        let (field, kind) = (Arc::clone(&field), kinds.next().unwrap_or("garbage"));
        async move {
            if one(&field, kind).await.is_ok() {
                field.did(kind);
            } else {
                field.did("not_connected");
            }
        }
    })
    .await;
}

/// An error says that there was not even a connection.
async fn one(field: &Field, kind: &str) -> Result<(), Failure> {
    let mut stream = field.sources.connect(field.address).await?;
    match kind {
        "garbage" => {
            // No record of TLS begins so (RFC 8446, section 5.1).
            let _ = stream.write_all(&[0xff; 200]).await;
            let _ = stream.read(&mut [0; 16]).await;
        }
        "aborted" => {
            stream.write_all(&field.bare.hello()?).await?;
            // The server has answered, and so done its part of the work.
            let _ = stream.read(&mut [0; 16]).await;
        }
        kind => {
            let mask = if kind == "foreign" {
                &field.foreign
            } else {
                &field.bare
            };
            if let Ok(mut stream) = mask.shake_hands(stream).await {
                let _ = stream.read(&mut [0; 16]).await;
            }
        }
    }
    Ok(())
}
