//! Tests of rates, of quantiles from buckets and of counters that begin anew.

use super::*;

fn since(before: &str, now: &str, seconds: f64) -> Since {
    let read = |text| Reading::parse(text).expect("of the format");
    Since::new(read(before), read(now), seconds)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn rates_are_of_the_interval() {
    let since = since(
        "c_total{m=\"a\"} 10\nc_total{m=\"b\"} 4\n",
        "c_total{m=\"a\"} 30\nc_total{m=\"b\"} 4\nc_total{m=\"c\"} 2\n",
        2.0,
    );
    assert!(!since.began_anew);
    assert_eq!(
        since.rates_by("c_total", "m"),
        [("a", 10.0), ("b", 0.0), ("c", 1.0)]
    );
    assert!(near(since.rate("c_total", &[]), 11.0));
    assert!(near(since.rate("c_total", &[("m", "a")]), 10.0));
    assert!(near(since.rate("no_total", &[]), 0.0));
}

#[test]
fn all_that_a_server_counts_which_began_anew_is_new() {
    // One counter has passed its former value already; it began anew all the same.
    let since = since(
        "c_total{m=\"a\"} 10\nc_total{m=\"b\"} 4\nt_bucket{le=\"+Inf\"} 100\nt_sum 5\nt_count 100\n",
        "c_total{m=\"a\"} 6\nc_total{m=\"b\"} 8\nt_bucket{le=\"+Inf\"} 3\nt_sum 6\nt_count 3\n",
        2.0,
    );
    assert!(since.began_anew);
    assert_eq!(since.rates_by("c_total", "m"), [("a", 3.0), ("b", 4.0)]);
    let histogram = since.histogram("t", &[]);
    assert!(near(histogram.count, 3.0));
    assert!(near(histogram.mean().expect("some"), 2.0));
}

/// Within the interval: 10 up to 1, 80 up to 2, 8 up to 4, 2 above. Another method's are in the way.
fn skewed() -> Histogram {
    let since = since(
        "t_bucket{m=\"a\",le=\"1\"} 5\nt_bucket{m=\"a\",le=\"2\"} 7\nt_bucket{m=\"a\",le=\"4\"} 7\n\
         t_bucket{m=\"a\",le=\"+Inf\"} 7\nt_sum{m=\"a\"} 9\nt_count{m=\"a\"} 7\n",
        "t_bucket{m=\"a\",le=\"1\"} 15\nt_bucket{m=\"a\",le=\"2\"} 97\nt_bucket{m=\"a\",le=\"4\"} 105\n\
         t_bucket{m=\"a\",le=\"+Inf\"} 107\nt_sum{m=\"a\"} 209\nt_count{m=\"a\"} 107\n\
         t_bucket{m=\"b\",le=\"1\"} 900\nt_bucket{m=\"b\",le=\"+Inf\"} 900\nt_sum{m=\"b\"} 1\nt_count{m=\"b\"} 900\n",
        1.0,
    );
    since.histogram("t", &[("m", "a")])
}

#[test]
fn quantiles_come_from_the_buckets_of_the_interval() {
    let histogram = skewed();
    assert!(near(histogram.count, 100.0));
    assert!(near(histogram.mean().expect("some"), 2.0));
    let about = |q| match histogram.quantile(q) {
        Some(Quantile::About(value)) => value,
        other => panic!("{other:?}"),
    };
    assert!(near(about(0.05), 0.5));
    assert!(near(about(0.1), 1.0));
    assert!(near(about(0.5), 1.5));
    assert!(near(about(0.9), 2.0));
    assert!(near(about(0.94), 3.0));
    assert_eq!(histogram.quantile(0.99), Some(Quantile::Above(4.0)));
}

#[test]
fn nothing_has_no_quantile() {
    let text = "t_bucket{le=\"1\"} 5\nt_bucket{le=\"+Inf\"} 5\nt_sum 1\nt_count 5\n";
    let histogram = since(text, text, 1.0).histogram("t", &[]);
    assert_eq!(histogram.quantile(0.5), None);
    assert_eq!(histogram.mean(), None);
    assert_eq!(since("", "", 1.0).histogram("t", &[]).quantile(0.5), None);
}

#[test]
fn a_histogram_without_a_label_is_of_all_its_series() {
    let now = "t_bucket{m=\"a\",le=\"1\"} 1\nt_bucket{m=\"a\",le=\"+Inf\"} 1\nt_bucket{m=\"b\",le=\"1\"} 0\n\
               t_bucket{m=\"b\",le=\"+Inf\"} 1\n";
    let histogram = since("", now, 1.0).histogram("t", &[]);
    assert_eq!(histogram.up_to, [(1.0, 1.0), (f64::INFINITY, 2.0)]);
}
