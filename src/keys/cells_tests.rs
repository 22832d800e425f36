//! Tests of sealed cells: they open in their place alone, and lookups and MACs of two tables, incarnations or secrets have nothing in common.

use super::*;

const TABLES: [&str; 2] = ["subject", "erasure"];

fn keys(secret: u8, incarnation: u8) -> CellKeys {
    CellKeys::new(&SecretKey::from_bytes([secret; 32]), [incarnation; 16], TABLES)
}

#[test]
fn a_cell_opens_where_it_was_sealed_and_nowhere_else() {
    let cells = keys(1, 1);
    let sealed = cells.seal("subject", &[b"1", b"23"], b"who");
    assert_eq!(
        **cells.open("subject", &[b"1", b"23"], &sealed).expect("its place"),
        *b"who"
    );
    for (cells, table, clear) in [
        (&cells, "erasure", [&b"1"[..], b"23"]),
        (&cells, "subject", [b"12", b"3"]),
        (&cells, "subject", [b"1", b"24"]),
        (&keys(1, 2), "subject", [b"1", b"23"]),
        (&keys(2, 1), "subject", [b"1", b"23"]),
    ] {
        assert_eq!(cells.open(table, &clear, &sealed), Err(AeadError));
    }
}

#[test]
fn one_value_sealed_twice_shows_nothing_of_that() {
    let cells = keys(1, 1);
    let [one, other] = [(); 2].map(|()| cells.seal("subject", &[], b"who"));
    assert_ne!(one, other);
    assert!(!one.windows(3).any(|window| window == b"who"));
}

#[test]
fn a_lookup_is_of_its_table_incarnation_and_secret() {
    let of = |cells: &CellKeys, table| cells.lookup(table, &[b"who"]);
    let one = of(&keys(1, 1), "subject");
    assert_eq!(one, of(&keys(1, 1), "subject"));
    for other in [
        of(&keys(1, 1), "erasure"),
        of(&keys(1, 2), "subject"),
        of(&keys(2, 1), "subject"),
        keys(1, 1).mac("subject", &[b"who"]),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn a_mac_is_of_these_columns() {
    let cells = keys(1, 1);
    let mac = cells.mac("subject", &[b"1", b"2"]);
    assert!(cells.verify("subject", &[b"1", b"2"], &mac));
    for (table, parts) in [
        ("subject", [&b"1"[..], b"3"]),
        ("subject", [b"12", b""]),
        ("erasure", [b"1", b"2"]),
    ] {
        assert!(!cells.verify(table, &parts, &mac));
    }
    assert!(!cells.verify("subject", &[b"1", b"2"], &mac[1..]));
}
