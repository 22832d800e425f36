//! Tests of keys: a name is one key's or none's.

use super::*;
use crate::storage::objects::testing::object_key;

#[test]
fn a_key_is_written_as_it_is_read() {
    let key = object_key(Ulid::from_bytes([7; 16]));
    let name = key.to_string();
    assert_eq!(name, "tenants/acme.7/3/070W3GE1R70W3GE1R70W3GE1R7.seg");
    assert_eq!(ObjectKey::parse(&name), Some(key));
}

#[test]
fn what_no_key_is_written_as_is_none() {
    let name = object_key(Ulid::from_bytes([7; 16])).to_string();
    for (from, to) in [
        ("tenants/", "tenant/"),
        ("acme.7", "acme"),
        ("acme.7", "acme.07"),
        ("acme.7", "Acme.7"),
        ("acme.7", "../x.7"),
        ("/3/", "/+3/"),
        (".seg", ".seg.tmp"),
        (".seg", ".seg/x"),
        ("070W", "070w"),
    ] {
        let changed = name.replacen(from, to, 1);
        assert_ne!(changed, name);
        assert_eq!(ObjectKey::parse(&changed), None, "{changed}");
    }
}
