//! Tests of sums over metrics: by label, over the other labels, none of what is not there.

use super::*;

const TEXT: &str = "\
HTTP/1.1 200 OK

# TYPE thenar_requests_total counter
thenar_requests_total{method=\"Identify\",code=\"OK\"} 40
thenar_requests_total{method=\"IdentifyStream\",code=\"OK\"} 7
thenar_requests_total{method=\"Identify\",code=\"UNAVAILABLE\"} 2
thenar_requests_total_other{method=\"Identify\",code=\"OK\"} 100
thenar_node_up{node=\"match-1\"} 0
thenar_node_up{node=\"match-2\"} 1
";

#[test]
fn values_with_the_label_are_summed_and_no_others() {
    let sum = |value| sum(TEXT, "thenar_requests_total", "method", value);
    assert!((sum("Identify") - 42.0).abs() < 1e-9);
    assert!((sum("IdentifyStream") - 7.0).abs() < 1e-9);
    assert!(sum("Verify").abs() < 1e-9);
}

#[test]
fn a_single_value_is_its_own_sum() {
    assert!(sum(TEXT, "thenar_node_up", "node", "match-1").abs() < 1e-9);
    assert!((sum(TEXT, "thenar_node_up", "node", "match-2") - 1.0).abs() < 1e-9);
}
