//! Tests of what is read of metrics and of threads' processor time.

use std::time::Instant;

use super::*;

#[test]
fn lines_of_one_metric_are_added_by_label() {
    let text = "# HELP thenar_requests_total calls\n\
                thenar_requests_total{method=\"Identify\",code=\"OK\"} 7\n\
                thenar_requests_total{method=\"Verify\",code=\"OK\"} 2\n\
                thenar_requests_total{method=\"Identify\",code=\"INTERNAL\"} 1\n\
                thenar_connections 12\n\
                thenar_connections_refused_total{limit=\"listen.connections_max\"} 3\n";
    let counters = Counters {
        text: text.to_owned(),
    };
    assert!((counters.sum("thenar_requests_total", "") - 10.0).abs() < 1e-9);
    assert!((counters.sum("thenar_requests_total", "code=\"OK\"") - 9.0).abs() < 1e-9);
    assert!((counters.sum("thenar_connections", "") - 12.0).abs() < 1e-9);
    assert!(counters.sum("thenar_absent", "").abs() < 1e-9);
}

#[test]
fn the_time_of_threads_of_one_name_is_told() {
    let spin = std::thread::Builder::new().name("spins".to_owned()).spawn(|| {
        while cpu_of_threads("spins").is_ok_and(|time| time < 0.05) {
            std::hint::spin_loop();
        }
        Instant::now()
    });
    spin.expect("started").join().expect("it counts its own time");
    assert!(cpu_of_threads("nobody").expect("read").abs() < 1e-9);
}
