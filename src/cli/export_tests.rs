//! Tests of the document: of each reference it is told that a signature is held.

use super::*;

#[test]
fn every_reference_says_that_its_signature_is_held() {
    let subject = api::Subject {
        subject_id: "ada".to_owned(),
        references: vec![api::Reference::default(), api::Reference::default()],
        ..api::Subject::default()
    };
    let record = record(&subject, 256);
    let references = record["references"].as_array().expect("a list");
    assert_eq!(references.len(), 2);
    for reference in references {
        assert_eq!(reference["signature"]["coordinates"], 256);
    }
    assert_eq!(record["subject_id"], "ada");
}
