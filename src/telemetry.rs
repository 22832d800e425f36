//! Metric names, logging set-up, traces. Never sees a signature, key or personal field; labels have few values.

pub mod traces;

use std::io::{self, IsTerminal};

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use tracing_subscriber::EnvFilter;

/// Requests, by `method` and gRPC `code`.
pub const REQUESTS_TOTAL: &str = "thenar_requests_total";
/// Time from a request's arrival to its answer, by `method`, in seconds.
pub const REQUEST_SECONDS: &str = "thenar_request_seconds";
/// Decisions of Identify, by `decision`.
pub const DECISIONS: &str = "thenar_decisions_total";
/// Calls refused at a limit, by `limit`.
pub const REFUSALS: &str = "thenar_refusals_total";
/// Identifications at sites with recent matches, by `outcome`: `hit` saved a scan, `refuted` cost a comparison, `miss` neither.
pub const RECENT_MATCHES: &str = "thenar_recent_matches_total";
/// Sealed probes by `outcome`, and plain ones that were refused for want of a seal.
pub const SEALED_PROBES: &str = "thenar_sealed_probes_total";
/// Probes of scanners whose best score was just below the threshold.
pub const NEAR_MISSES: &str = "thenar_near_misses_total";
/// Times that a scanner was held up for near misses with one subject.
pub const CLIMBS: &str = "thenar_climbs_total";
/// TLS handshakes that failed.
pub const HANDSHAKES_REFUSED: &str = "thenar_handshakes_refused_total";
/// Connections that are past their handshake.
pub const CONNECTIONS: &str = "thenar_connections";
/// Times that the system gave no connection.
pub const ACCEPTS_FAILED: &str = "thenar_accepts_failed_total";
/// Connections closed at a limit, by `limit`.
pub const CONNECTIONS_REFUSED: &str = "thenar_connections_refused_total";
/// When a certificate (`which`: server, node, ca) or the list of those taken back (crl) ends, in seconds since 1970.
pub const CERTIFICATE_EXPIRY: &str = "thenar_certificate_expiry_seconds";
/// Sets of TLS files that were read again, by `outcome`: loaded or refused.
pub const TLS_RELOADS: &str = "thenar_tls_reloads_total";
/// Whether a front's calls reach a match node, by `node`.
pub const NODE_UP: &str = "thenar_node_up";
/// Time a probe waited for its scan to begin, in seconds.
pub const QUEUE_SECONDS: &str = "thenar_queue_seconds";
/// Probes of one gallery that were scanned together.
pub const BATCH_PROBES: &str = "thenar_batch_probes";
/// Time of one round of scans, in seconds.
pub const SCAN_SECONDS: &str = "thenar_scan_seconds";
/// Time the survivors of a probe took to be read and scored, in seconds.
pub const RESCORE_SECONDS: &str = "thenar_rescore_seconds";
/// Rows that a scan could not dismiss.
pub const SURVIVORS: &str = "thenar_survivors_total";
/// Rows searched.
pub const ROWS_SEARCHED: &str = "thenar_rows_searched_total";
/// Searches that had to score every row since too many survived.
pub const EXHAUSTIVE: &str = "thenar_exhaustive_searches_total";
/// Writes of one transaction.
pub const COMMIT_WRITES: &str = "thenar_commit_writes";
/// Time of one transaction, in seconds.
pub const COMMIT_SECONDS: &str = "thenar_commit_seconds";
/// Erasures whose files are clean.
pub const ERASURES_PURGED: &str = "thenar_erasures_purged_total";
/// Subjects erased as a policy's retention says.
pub const RETENTION_ERASURES: &str = "thenar_retention_erasures_total";
/// Tenants by `state`; of a node of a cluster those of which it is to have something, `incomplete` where it lacks some of that, and `unavailable` where that is damaged.
pub const TENANTS: &str = "thenar_tenants";
/// Bytes of codes in host memory.
pub const RESIDENT_BYTES: &str = "thenar_resident_bytes";
/// Whether a GPU can be used, by `device`.
pub const DEVICE_UP: &str = "thenar_device_up";
/// Whether a GPU's memory did not suffice, by `device`.
pub const DEVICE_FULL: &str = "thenar_device_full";
/// Rows that a GPU holds, by `device`.
pub const DEVICE_ROWS: &str = "thenar_device_rows";
/// Bytes that they take, by `device`.
pub const DEVICE_BYTES: &str = "thenar_device_bytes";
/// Times that a GPU was lost, by `device`.
pub const DEVICE_LOSSES: &str = "thenar_device_losses_total";
/// Times that a lost GPU was opened again or tried to be, by `device`.
pub const DEVICE_RETRIES: &str = "thenar_device_retries_total";

/// Spans of traces by `outcome`: exported to the collector, or lost to one that refused them, failed, or was too slow.
pub const SPANS: &str = "thenar_spans_total";

/// Tells the recorder what each metric is.
pub fn describe() {
    describe_counter!(REQUESTS_TOTAL, "Requests, by method and gRPC code");
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "From a request's arrival to its answer, by method"
    );
    describe_counter!(DECISIONS, "Decisions of Identify");
    describe_counter!(REFUSALS, "Calls refused at a limit, by its name");
    describe_counter!(
        RECENT_MATCHES,
        "Identifications that recent matches were looked at for, by outcome"
    );
    describe_counter!(SEALED_PROBES, "Sealed probes, by outcome");
    describe_counter!(NEAR_MISSES, "Probes of scanners just below the threshold");
    describe_counter!(
        CLIMBS,
        "Times that a scanner was held up for near misses with one subject"
    );
    describe_counter!(HANDSHAKES_REFUSED, "TLS handshakes that failed");
    describe_gauge!(CONNECTIONS, "Connections that are past their handshake");
    describe_counter!(
        ACCEPTS_FAILED,
        "Times that the system gave no connection, for instance for want of descriptors"
    );
    describe_counter!(CONNECTIONS_REFUSED, "Connections closed at a limit, by its name");
    describe_gauge!(
        CERTIFICATE_EXPIRY,
        Unit::Seconds,
        "When a certificate or a revocation list ends, since 1970, by which"
    );
    describe_counter!(TLS_RELOADS, "Sets of TLS files read again, by outcome");
    describe_gauge!(NODE_UP, "1 for a match node that calls reach, by node");
    describe_histogram!(
        QUEUE_SECONDS,
        Unit::Seconds,
        "Time a probe waited for its scan to begin"
    );
    describe_histogram!(BATCH_PROBES, "Probes of one gallery that were scanned together");
    describe_histogram!(SCAN_SECONDS, Unit::Seconds, "Time of one round of scans");
    describe_histogram!(
        RESCORE_SECONDS,
        Unit::Seconds,
        "Time the survivors of a probe took to be read and scored"
    );
    describe_counter!(SURVIVORS, "Rows that a scan could not dismiss");
    describe_counter!(ROWS_SEARCHED, "Rows searched");
    describe_counter!(EXHAUSTIVE, "Searches that had to score every row");
    describe_histogram!(COMMIT_WRITES, "Writes of one transaction");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time of one transaction");
    describe_counter!(ERASURES_PURGED, "Erasures whose files are clean");
    describe_counter!(RETENTION_ERASURES, "Subjects erased as a policy's retention says");
    describe_gauge!(TENANTS, "Tenants by state");
    describe_gauge!(RESIDENT_BYTES, Unit::Bytes, "Bytes of codes in host memory");
    describe_gauge!(DEVICE_UP, "1 for a GPU that can be used, by device");
    describe_gauge!(DEVICE_FULL, "1 for a GPU whose memory did not suffice, by device");
    describe_gauge!(DEVICE_ROWS, "Rows that a GPU holds, by device");
    describe_gauge!(
        DEVICE_BYTES,
        Unit::Bytes,
        "Bytes of codes that a GPU holds, by device"
    );
    describe_counter!(DEVICE_LOSSES, "Times that a GPU was lost, by device");
    describe_counter!(DEVICE_RETRIES, "Attempts to open a lost GPU again, by device");
    describe_counter!(SPANS, "Spans of traces, by outcome");
}

/// Logs to standard error from now on. `THENAR_LOG` overrides the filter; a second call changes nothing.
pub fn init_logging(filter: &str, json: bool) -> Result<(), String> {
    let chosen = std::env::var("THENAR_LOG").unwrap_or_else(|_| filter.to_owned());
    let filter = parse(&chosen)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // An error means that logging is set up already, as in tests with several servers.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    Ok(())
}

/// What the network's libraries warn of is a caller's doing, once for each connection or handshake, and has counters of its own. A filter that names
/// them is followed: of two directives for one target the later one holds.
const QUIET: &str = "error,h2=error,hyper=error,rustls=error";

fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|error| format!("log filter {filter:?}: {error}; an example is info,thenar=debug"))
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
