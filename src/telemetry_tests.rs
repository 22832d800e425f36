//! Tests of the logging set-up.

use super::*;

#[test]
fn filters_are_parsed_and_refused_with_an_example() {
    assert!(parse("info,thenar=debug").is_ok());
    let error = parse("info,thenar=loudest").expect_err("no such level");
    assert!(error.contains("loudest") && error.contains("info,thenar=debug"));
}
