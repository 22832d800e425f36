//! Tests of batch sizes: read from the metrics' text, the difference of two readings, none of nothing.

use super::*;

const BEFORE: &str = "\
# TYPE thenar_batch_probes histogram
thenar_batch_probes_bucket{le=\"1\"} 3
thenar_batch_probes_bucket{le=\"128\"} 3
thenar_batch_probes_bucket{le=\"+Inf\"} 3
thenar_batch_probes_sum 3
thenar_batch_probes_count 3
";
const AFTER: &str = "\
HTTP/1.1 200 OK

thenar_scan_seconds_count 500
thenar_batch_probes_bucket{le=\"1\"} 4
thenar_batch_probes_bucket{le=\"128\"} 6
thenar_batch_probes_bucket{le=\"+Inf\"} 7
thenar_batch_probes_sum 404
thenar_batch_probes_count 7
";

#[test]
fn two_readings_make_batches() {
    let batches = Batches::parse(AFTER).since(&Batches::parse(BEFORE));
    assert!((batches.mean().expect("some") - 401.0 / 4.0).abs() < 1e-9);
    assert_eq!(
        batches.to_string(),
        "100 on average (to 1: 1, to 128: 2, to inf: 1)"
    );
}

#[test]
fn the_first_batches_have_none_before_them() {
    let batches = Batches::parse(AFTER).since(&Batches::parse("HTTP/1.1 200 OK\n\n"));
    assert_eq!(batches, Batches::parse(AFTER));
}

#[test]
fn a_server_that_counted_nothing_has_no_mean() {
    assert!(Batches::parse("").mean().is_err());
    let same = Batches::parse(AFTER);
    assert!(same.since(&same).mean().is_err());
}
