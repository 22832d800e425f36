//! Connections that rest: HTTP/2 that answers pings and asks nothing. Keeps as many as the server lets it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};
use h2::client::SendRequest;
use tokio::sync::watch;

use super::field::{Field, every};
use super::wire::{Mask, speak};
use crate::Failure;

/// Handshakes at once: far below what one address may have.
const HANDSHAKES_AT_ONCE: usize = 32;
/// How long a connection is looked at before it counts as kept.
const LOOK: Duration = Duration::from_millis(500);
/// Further attempts a second once all were made.
const ATTEMPTS_PER_SECOND: u32 = 20;

/// Opens `count` connections, of all certificates in turn or of the first alone, tells `is_up`, and goes on trying.
pub async fn run(field: Arc<Field>, count: usize, one_caller: bool, is_up: watch::Sender<bool>) {
    let open = move |field: Arc<Field>| async move {
        let mask = match field.masks.first() {
            Some(first) if one_caller => first.clone(),
            _ => field.mask()?.clone(),
        };
        open(&field, &mask).await
    };
    let attempts = stream::iter(0..count).map(|_| open(Arc::clone(&field)));
    let mut kept: Vec<SendRequest<Bytes>> = attempts
        .buffer_unordered(HANDSHAKES_AT_ONCE)
        .filter_map(async |outcome| outcome.ok())
        .collect()
        .await;
    // In TLS 1.3 a client hears of its refusal only after its own handshake.
    tokio::time::sleep(LOOK).await;
    let mut alive = Vec::new();
    let mut looks: FuturesUnordered<_> = kept.drain(..).map(SendRequest::ready).collect();
    while let Some(look) = looks.next().await {
        alive.extend(look.ok());
    }
    for _ in &alive {
        field.did("kept");
    }
    is_up.send_replace(true);
    every(ATTEMPTS_PER_SECOND, move || {
        let attempt = open(Arc::clone(&field));
        async move {
            if let Ok(connection) = attempt.await {
                tokio::time::sleep(LOOK).await;
                drop(connection);
            }
        }
    })
    .await;
    drop(alive);
}

async fn open(field: &Field, mask: &Mask) -> Result<SendRequest<Bytes>, Failure> {
    field.did("attempts");
    let stream = field.sources.connect(field.address).await?;
    speak(mask.shake_hands(stream).await?).await
}
