//! Tests of the names of gRPC's codes.

use super::*;

#[test]
fn every_code_has_its_own_name() {
    let names: std::collections::BTreeSet<_> = (0..=16).map(|c| code_name(tonic::Code::from(c))).collect();
    assert_eq!(names.len(), 17);
    assert!(names.contains("RESOURCE_EXHAUSTED"));
}
