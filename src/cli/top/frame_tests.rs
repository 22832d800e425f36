//! Test of the frame: a fixed pair of readings and the text that is shown of it.

use super::*;
use crate::cli::top::reading::Reading;

fn read(text: &str) -> Reading {
    Reading::parse(text).expect("of the format")
}

const BEFORE: &str = "\
thenar_requests_total{method=\"Identify\",code=\"OK\"} 100
thenar_requests_total{method=\"Verify\",code=\"OK\"} 7
thenar_request_seconds_bucket{method=\"Identify\",le=\"0.001\"} 0
thenar_request_seconds_bucket{method=\"Identify\",le=\"0.002\"} 100
thenar_request_seconds_bucket{method=\"Identify\",le=\"+Inf\"} 100
thenar_request_seconds_sum{method=\"Identify\"} 0.15
thenar_request_seconds_count{method=\"Identify\"} 100
thenar_rows_searched_total 1000000
thenar_survivors_total 50
";

const NOW: &str = "\
thenar_requests_total{method=\"Identify\",code=\"OK\"} 900
thenar_requests_total{method=\"Identify\",code=\"RESOURCE_EXHAUSTED\"} 12
thenar_requests_total{method=\"Verify\",code=\"OK\"} 7
thenar_request_seconds_bucket{method=\"Identify\",le=\"0.001\"} 400
thenar_request_seconds_bucket{method=\"Identify\",le=\"0.002\"} 880
thenar_request_seconds_bucket{method=\"Identify\",le=\"+Inf\"} 900
thenar_request_seconds_sum{method=\"Identify\"} 1.35
thenar_request_seconds_count{method=\"Identify\"} 900
thenar_refusals_total{limit=\"queue_max\"} 12
thenar_decisions_total{decision=\"match\"} 700
thenar_decisions_total{decision=\"no_match\"} 100
thenar_recent_matches_total{outcome=\"hit\"} 20
thenar_recent_matches_total{outcome=\"miss\"} 60
thenar_queue_seconds_bucket{le=\"0.0001\"} 800
thenar_queue_seconds_bucket{le=\"+Inf\"} 800
thenar_queue_seconds_sum 0.04
thenar_queue_seconds_count 800
thenar_batch_probes_bucket{le=\"1\"} 0
thenar_batch_probes_bucket{le=\"2\"} 400
thenar_batch_probes_bucket{le=\"+Inf\"} 400
thenar_batch_probes_sum 800
thenar_batch_probes_count 400
thenar_rows_searched_total 9000000
thenar_survivors_total 850
thenar_handshakes_refused_total 3
thenar_tenants{state=\"ready\"} 3
thenar_tenants{state=\"unavailable\"} 1
thenar_node_up{node=\"match-1\"} 1
thenar_node_up{node=\"match-2\"} 0
thenar_device_up{device=\"gpu/Some \\n Card\"} 1
thenar_device_full{device=\"gpu/Some \\n Card\"} 1
thenar_device_rows{device=\"gpu/Some \\n Card\"} 2500000
thenar_device_bytes{device=\"gpu/Some \\n Card\"} 104857600
thenar_device_losses_total{device=\"gpu/Some \\n Card\"} 1
thenar_certificate_expiry_seconds{which=\"server\"} 950400
thenar_certificate_expiry_seconds{which=\"crl\"} 86000
";

const SHOWN: &str = "\
a second            all     of these
calls               406     Identify 406
codes               406     OK 400, RESOURCE_EXHAUSTED 6.0
refused at a limit  6.0     queue_max 6.0
decisions           400     match 350, no_match 50
recent matches      40      hit 10, miss 30
rows searched       4.00 M  0.0100 % survived
handshakes refused  1.5     3 in all

                    a second  mean    p50     p90     p99
Identify            400       1.5 ms  1.0 ms  1.8 ms  > 2.0 ms
IdentifyStream      0         -       -       -       -
queue wait          400       50 µs   50 µs   90 µs   99 µs
scan                0         -       -       -       -
rescore             0         -       -       -       -
commit              0         -       -       -       -
probes of a batch   200       2       2       2       2
writes of a commit  0         -       -       -       -

tenants           3 ready, 1 unavailable
match nodes       match-1 up, match-2 DOWN
GPUs              gpu/Some \u{fffd} Card up, FULL, 2.50 M rows, 100 MiB, lost 1 times
certificates end  crl HAS ENDED, server in 10.0 days
";

#[test]
fn a_fixed_pair_of_readings_is_shown_so() {
    let since = Since::new(read(BEFORE), read(NOW), 2.0);
    assert_eq!(figures(&since, 86_400.0), SHOWN);
}

#[test]
fn a_server_that_counted_nothing_is_shown_too() {
    let since = Since::new(Reading::default(), Reading::default(), 1.0);
    let shown = figures(&since, 0.0);
    assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
    assert_eq!(shown.lines().count(), SHOWN.lines().count());
}

#[test]
fn figures_keep_three_digits() {
    assert_eq!(
        [0.0, 0.25, 9.94, 10.4, 9_999.0].map(rate),
        ["0", "0.2", "9.9", "10", "9999"]
    );
    assert_eq!(
        [12_345.0, 1_234_567.0, 2.5e9].map(amount),
        ["12.3 k", "1.23 M", "2.50 G"]
    );
    assert_eq!(
        [0.000_25, 0.0025, 2.5].map(duration),
        ["250 µs", "2.5 ms", "2.50 s"]
    );
}
