//! Slow loris: clients that begin and then say one byte at a time, in the handshake, the preface, the headers and the body. Waits for no answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::field::{Field, always};
use super::limits::request;
use super::wire::{PREFACE, speak};
use crate::Failure;

/// Time between two bytes.
const PAUSE: Duration = Duration::from_millis(500);
/// Clients of each kind.
pub const EACH: u32 = 160;
/// Silent handshakes at once: twice what one address may have.
pub const SILENT: u32 = 256;

/// Where a client slows down.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Handshake,
    Preface,
    Headers,
    Body,
}

/// Has them come for as long as it is polled.
pub async fn run(field: Arc<Field>) {
    let stages = [Stage::Handshake, Stage::Preface, Stage::Headers, Stage::Body];
    let all = stages.map(|stage| {
        let field = Arc::clone(&field);
        always(EACH, move || {
            let field = Arc::clone(&field);
            async move {
                // It is closed at last; that is what is measured.
                let _ = one(&field, stage).await;
                field.did(match stage {
                    Stage::Handshake => "handshakes_ended",
                    Stage::Preface => "prefaces_ended",
                    Stage::Headers => "headers_ended",
                    Stage::Body => "bodies_ended",
                });
            }
        })
    });
    let [handshakes, prefaces, headers, bodies] = all;
    tokio::join!(handshakes, prefaces, headers, bodies);
}

/// Handshakes alone, as many as one address may have and as many again.
pub async fn silent(field: Arc<Field>) {
    always(SILENT, move || {
        let field = Arc::clone(&field);
        async move {
            let _ = one(&field, Stage::Handshake).await;
        }
    })
    .await;
}

async fn one(field: &Field, stage: Stage) -> Result<(), Failure> {
    let mut stream = field.sources.connect(field.address).await?;
    let mask = field.mask()?;
    if matches!(stage, Stage::Handshake) {
        field.did("handshakes_begun");
        return trickle(&mut stream, &mask.hello()?).await;
    }
    let mut stream = mask.shake_hands(stream).await?;
    match stage {
        Stage::Handshake | Stage::Preface => {
            field.did("prefaces_begun");
            trickle(&mut stream, PREFACE).await
        }
        Stage::Headers => {
            field.did("headers_begun");
            stream.write_all(PREFACE).await?;
            // HEADERS of 16,000 bytes on stream 1 (RFC 9113, section 6.2), of which one comes at a time.
            stream.write_all(&[0, 0x3e, 0x80, 1, 0, 0, 0, 0, 1]).await?;
            trickle(&mut stream, &[0x82; 16_000]).await
        }
        Stage::Body => {
            let mut sender = speak(stream).await?;
            let (answer, mut body) = sender.send_request(request("Identify", &[])?, false)?;
            field.did("bodies_begun");
            // A message of 10,000 bytes.
            body.send_data(Bytes::from_static(&[0, 0, 0, 0x27, 0x10]), false)?;
            let trickled = async {
                loop {
                    tokio::time::sleep(PAUSE).await;
                    if body.send_data(Bytes::from_static(&[0]), false).is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = trickled => {}
                _ = answer => {}
            }
            Ok(())
        }
    }
}

async fn trickle(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Failure> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        stream.flush().await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
