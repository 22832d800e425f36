//! Tests of the text format and of a server that began anew.

use super::*;

fn parsed(text: &str) -> Reading {
    Reading::parse(text).expect("of the format")
}

#[test]
fn series_are_read_with_their_labels() {
    let reading = parsed(
        "# HELP calls Calls\n# TYPE calls counter\ncalls{method=\"A\",code=\"OK\"} 3\n\
         calls{method=\"A\",code=\"NO\"} 2 1700000000000\n\ncalls{method=\"B\",code=\"OK\",} 1.5e1\nup 1\nnothing{} NaN\n",
    );
    assert_eq!(
        reading.by("calls", "method"),
        BTreeMap::from([("A", 5.0), ("B", 15.0)])
    );
    assert_eq!(
        reading.by("calls", "code"),
        BTreeMap::from([("OK", 18.0), ("NO", 2.0)])
    );
    assert!((reading.sum("calls", &[("method", "A"), ("code", "OK")]) - 3.0).abs() < f64::EPSILON);
    assert!((reading.sum("up", &[]) - 1.0).abs() < f64::EPSILON);
    assert!(reading.sum("nothing", &[]).is_nan());
    assert!(reading.of("call", &[]).next().is_none(), "a name is whole");
}

#[test]
fn escapes_and_braces_in_values_are_part_of_them() {
    let reading = parsed(r#"up{device="a \"b\" \\ c}, d=\n",other="x"} 1"#);
    let expected = "a \"b\" \\ c}, d=\n";
    assert_eq!(reading.by("up", "device"), BTreeMap::from([(expected, 1.0)]));
    assert_eq!(reading.by("up", "other"), BTreeMap::from([("x", 1.0)]));
}

#[test]
fn what_is_no_metric_is_refused_with_its_line() {
    for bad in [
        "<html>",
        "up",
        "up one",
        "{a=\"b\"} 1",
        "up{a=\"b\" 1",
        "up{a=\"b} 1",
        "up{a} 1",
        "a-b 1",
    ] {
        let error = Reading::parse(&format!("fine 1\n{bad}\n")).expect_err(bad);
        assert_eq!(error.line, 2, "{bad}");
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}

#[test]
fn a_server_that_began_anew_is_noticed() {
    let before = parsed("a_total{m=\"x\"} 5\na_total{m=\"y\"} 1\nlevel 9\ns_bucket{le=\"1\"} 2\n");
    let begins = |text| parsed(text).began_anew(&before);
    assert!(!begins(
        "a_total{m=\"x\"} 5\na_total{m=\"y\"} 2\nlevel 1\ns_bucket{le=\"1\"} 3\nnew_total 1\n"
    ));
    assert!(
        begins("a_total{m=\"x\"} 4\na_total{m=\"y\"} 9\ns_bucket{le=\"1\"} 3\n"),
        "one fell"
    );
    assert!(begins("a_total{m=\"x\"} 5\na_total{m=\"y\"} 1\n"), "one is gone");
    assert!(begins(""), "all are gone");
}
