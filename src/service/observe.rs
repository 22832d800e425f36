//! Counts and times calls, and lets writes run to their end. Changes no answer.

use std::time::Instant;

use tonic::{Code, Status};

use super::status;
use crate::proto;
use crate::telemetry::traces::Stage;
use crate::telemetry::{self, traces};

/// Runs a call and records how it went under the method's name.
pub async fn observed<T>(
    method: &'static str,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    traces::lap(Stage::Receive);
    let started = Instant::now();
    let outcome = call.await;
    record(method, started, outcome.as_ref().err());
    outcome
}

/// Records one call, or one probe of a stream.
pub fn record(method: &'static str, started: Instant, refusal: Option<&Status>) {
    let code = refusal.map_or(Code::Ok, Status::code);
    metrics::counter!(telemetry::REQUESTS_TOTAL, "method" => method, "code" => proto::code_name(code))
        .increment(1);
    metrics::histogram!(telemetry::REQUEST_SECONDS, "method" => method).record(started.elapsed());
}

/// Runs a write on a task of its own, so that a caller who hangs up does not stop it half way: it is done once or
/// not at all, and a repetition under the same request id gets its answer.
pub async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    match tokio::spawn(traces::carried(write)).await {
        Ok(outcome) => outcome,
        Err(error) => Err(status::internal(&error.to_string(), "")),
    }
}
