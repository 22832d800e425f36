//! Tests of reading deadlines.

use super::*;

#[test]
fn every_unit_is_read() {
    let cases = [
        ("2H", Duration::from_hours(2)),
        ("3M", Duration::from_mins(3)),
        ("5S", Duration::from_secs(5)),
        ("250m", Duration::from_millis(250)),
        ("40u", Duration::from_micros(40)),
        ("99999999n", Duration::from_nanos(99_999_999)),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Some(expected), "{text}");
    }
}

#[test]
fn what_is_no_timeout_is_none() {
    for text in ["", "S", "5", "5s", "-5S", "123456789S", "5 S", "5µ", "+5S"] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn a_header_becomes_a_point_in_time() {
    let mut headers = HeaderMap::new();
    assert_eq!(of(&headers), None);
    headers.insert("grpc-timeout", "10S".parse().expect("a value"));
    let left = of(&headers).expect("a deadline") - Instant::now();
    assert!(left > Duration::from_secs(9) && left <= Duration::from_secs(10));
}
