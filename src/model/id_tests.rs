//! Tests of the identifiers: what is accepted, what is refused, and that refusals name the field.

use super::*;

#[test]
fn labels_and_names_are_accepted() {
    for good in ["a", "acme-2", "0", &"x".repeat(TENANT_ID_LEN_MAX)] {
        assert_eq!(good.parse::<TenantId>().expect("valid").as_str(), good);
    }
    for good in ["a", "A.b_c-9", "..", &"y".repeat(NAME_LEN_MAX)] {
        assert_eq!(good.parse::<SubjectId>().expect("valid").as_str(), good);
    }
}

#[test]
fn a_tenant_id_is_never_a_path() {
    for bad in [
        "",
        ".",
        "..",
        "a/b",
        "A",
        "-a",
        "a-",
        "a b",
        "ä",
        &"x".repeat(TENANT_ID_LEN_MAX + 1),
    ] {
        let refusal = bad.parse::<TenantId>().expect_err(bad);
        assert_eq!(refusal.field, "tenant");
    }
}

#[test]
fn a_refusal_names_field_value_and_limit() {
    let long = "s".repeat(NAME_LEN_MAX + 1);
    let text = long
        .parse::<SubjectId>()
        .expect_err("too long")
        .within("subject")
        .to_string();
    assert_eq!(text, "subject.subject_id: is 65 bytes long; 1 to 64 are allowed");
    let text = "a b".parse::<RequestId>().expect_err("space").to_string();
    assert!(text.starts_with("request_id: \"a b\""), "{text}");
}

#[test]
fn serde_checks_too() {
    assert!(serde_json::from_str::<TenantId>("\"../x\"").is_err());
    assert_eq!(
        serde_json::to_string(&"t1".parse::<TenantId>().expect("valid")).expect("json"),
        "\"t1\""
    );
}
