//! Metric names and logging set-up. Never sees a signature, key or personal field.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// Environment variable that overrides the configured log filter.
pub const LOG_VARIABLE: &str = "THENAR_LOG";

/// Calls answered, by `method` and gRPC `code`; probes of a stream count each.
pub const REQUESTS_TOTAL: &str = "thenar_requests_total";
/// Time from a call's arrival to its answer, by `method`.
pub const REQUEST_SECONDS: &str = "thenar_request_seconds";
/// Connections open now, by `listener`.
pub const CONNECTIONS: &str = "thenar_connections";
/// Connections turned away, by `listener` and `reason`: limit, handshake, timeout.
pub const CONNECTIONS_REFUSED_TOTAL: &str = "thenar_connections_refused_total";
/// 1 while the server is ready, 0 while it loads or drains.
pub const READY: &str = "thenar_ready";
/// Probes of one scan.
pub const BATCH_PROBES: &str = "thenar_batch_probes";
/// Time of one scan of the coarse stages, by `backend`.
pub const SCAN_SECONDS: &str = "thenar_scan_seconds";
/// References dismissed or scored, all scans together.
pub const ROWS_SEARCHED_TOTAL: &str = "thenar_rows_searched_total";
/// Rows that the coarse stages could not dismiss.
pub const SURVIVORS_TOTAL: &str = "thenar_survivors_total";
/// Time of exact rescoring of one search.
pub const RESCORE_SECONDS: &str = "thenar_rescore_seconds";
/// Scans that wait for the engine.
pub const QUEUE_DEPTH: &str = "thenar_queue_depth";
/// Bytes of codes in memory.
pub const RESIDENT_BYTES: &str = "thenar_resident_bytes";
/// Tenants, by `state`.
pub const TENANTS: &str = "thenar_tenants";
/// References that are in no segment yet.
pub const PENDING_REFERENCES: &str = "thenar_pending_references";
/// Erasures acknowledged whose files are not clean yet.
pub const ERASURES_PENDING: &str = "thenar_erasures_pending";
/// Time of a durable commit of a group of writes.
pub const COMMIT_SECONDS: &str = "thenar_commit_seconds";
/// Decisions, by `decision`: match, `no_match`, retake.
pub const DECISIONS_TOTAL: &str = "thenar_decisions_total";
/// Identifications answered from recent answers under the same request id.
pub const ANSWERS_REPEATED_TOTAL: &str = "thenar_answers_repeated_total";

/// Tells the recorder what each name means. Call it once after the recorder is set.
pub fn describe() {
    for (name, text) in [
        (REQUESTS_TOTAL, "calls answered, by method and code"),
        (
            CONNECTIONS_REFUSED_TOTAL,
            "connections turned away, by listener and reason",
        ),
        (ROWS_SEARCHED_TOTAL, "references dismissed or scored"),
        (SURVIVORS_TOTAL, "rows that the coarse stages could not dismiss"),
        (DECISIONS_TOTAL, "decisions, by decision"),
        (
            ANSWERS_REPEATED_TOTAL,
            "identifications answered again under the same request id",
        ),
    ] {
        describe_counter!(name, text);
    }
    for (name, text) in [
        (REQUEST_SECONDS, "time from a call's arrival to its answer"),
        (SCAN_SECONDS, "time of one scan of the coarse stages"),
        (RESCORE_SECONDS, "time of exact rescoring of one search"),
        (COMMIT_SECONDS, "time of a durable commit of a group of writes"),
    ] {
        describe_histogram!(name, Unit::Seconds, text);
    }
    describe_histogram!(BATCH_PROBES, Unit::Count, "probes of one scan");
    for (name, unit, text) in [
        (CONNECTIONS, Unit::Count, "connections open now, by listener"),
        (READY, Unit::Count, "1 while the server is ready"),
        (QUEUE_DEPTH, Unit::Count, "scans that wait for the engine"),
        (RESIDENT_BYTES, Unit::Bytes, "bytes of codes in memory"),
        (TENANTS, Unit::Count, "tenants, by state"),
        (PENDING_REFERENCES, Unit::Count, "references in no segment yet"),
        (
            ERASURES_PENDING,
            Unit::Count,
            "erasures whose files are not clean yet",
        ),
    ] {
        describe_gauge!(name, unit, text);
    }
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log filter {filter:?} is not understood: {problem}; an example is info,thenar=debug")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody set it up before.
    #[error("logging is set up already in this process")]
    Twice,
}

/// Sends logs to standard error, as lines of text or of JSON. `THENAR_LOG` in the environment goes before `filter`.
pub fn init(filter: &str, json: bool) -> Result<(), TelemetryError> {
    let filter = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| filter.to_owned());
    let layer = parse(&filter)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(layer)
        .with_writer(std::io::stderr);
    let set = if json {
        logs.json().try_init()
    } else {
        logs.try_init()
    };
    set.map_err(|_| TelemetryError::Twice)
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|problem| TelemetryError::Filter {
        filter: filter.to_owned(),
        problem: problem.to_string(),
    })
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
