//! One certificate that asks far more often than its quota allows. Its palms are nobody's.

use std::sync::Arc;

use thenar::cli::simulated::capture;
use thenar::client::{Client, api};

use super::field::{Field, every};

/// Asks so many times a second for as long as it is polled, about the palm in `data`.
pub async fn run(field: Arc<Field>, client: Client, data: Vec<u8>, per_second: u32) {
    let message = api::IdentifyRequest {
        probe: Some(capture(data.into())),
        ..Default::default()
    };
    every(per_second, move || {
        let (field, client, message) = (Arc::clone(&field), client.clone(), message.clone());
        async move {
            match client.identity().identify(message).await {
                Ok(_) => field.did("let_in"),
                Err(status) if status.code() == tonic::Code::ResourceExhausted => field.did("refused"),
                Err(_) => field.did("failed"),
            }
        }
    })
    .await;
}
