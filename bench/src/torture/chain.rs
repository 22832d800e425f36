//! Holds a tenant's history against its chain and the last checkpoint that was given out, beside the server that serves it. Changes nothing.

use std::path::Path;
use std::time::Duration;

use thenar::model::checkpoint::SignedCheckpoint;
use thenar::server::config::Config;
use thenar::server::{Audited, ServerError, audit};

use super::deeds::Deeds;
use super::verdict::Wrong;

/// How often it is tried: a rotation of keys may exchange the files just then.
const TRIES: usize = 5;
/// Rest in between.
const REST: Duration = Duration::from_millis(200);

/// Audits the history, and has a new checkpoint made for the next time.
pub async fn check(deeds: &Deeds, data: &Path) {
    let kept = deeds.tenant.checkpoint().clone();
    match audited(deeds, data, kept).await {
        Ok(audited) => {
            for (_, found) in audited {
                let faults = found.map(|found| found.faults).unwrap_or_default();
                for fault in faults {
                    deeds.broken(Wrong::Lost, "history", fault.what);
                }
            }
        }
        Err(error) => deeds.broken(Wrong::Unexpected, "history", error),
    }
    if let Ok(signed) = deeds.desk.checkpoint().await {
        *deeds.tenant.checkpoint() = Some(SignedCheckpoint {
            checkpoint_json: signed.checkpoint_json,
            signature: signed.signature.to_vec(),
            public_key: signed.public_key.to_vec(),
        });
    }
}

async fn audited(deeds: &Deeds, data: &Path, kept: Option<SignedCheckpoint>) -> Result<Vec<Audited>, String> {
    let config = Config {
        data: data.to_owned(),
        ..Config::default()
    };
    let tenant = deeds.tenant.name.parse().map_err(|e| format!("{e}"))?;
    let kept: Vec<_> = kept
        .map(|kept| ("the last checkpoint".to_owned(), kept))
        .into_iter()
        .collect();
    let look = move || -> Result<Vec<Audited>, ServerError> {
        for _ in 1..TRIES {
            match audit(&config, Some(&tenant), &[], &kept) {
                Ok(audited) => return Ok(audited),
                Err(_) => std::thread::sleep(REST),
            }
        }
        audit(&config, Some(&tenant), &[], &kept)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked
        .expect("it does not panic")
        .map_err(|error| error.to_string())
}
