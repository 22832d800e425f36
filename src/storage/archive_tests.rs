//! Tests of archives: entries come back as they were written, and no name leads elsewhere.

use super::*;

fn tenant(id: &str) -> TenantId {
    id.parse().expect("an id")
}

fn names() -> Vec<EntryName> {
    vec![
        EntryName::Keyring,
        EntryName::Tls("ca.pem".to_owned()),
        EntryName::Segment(tenant("acme"), Ulid::from(7_u128)),
        EntryName::Catalog(tenant("acme")),
        EntryName::Manifest,
    ]
}

fn archive() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::new(&mut bytes);
    for (len, name) in names().iter().enumerate() {
        writer.put(name, &vec![7; len]).expect("written");
    }
    writer.begin(&EntryName::Keyring, 300_000).expect("begun");
    writer.push(b"half").expect("written");
    writer.fill().expect("filled");
    writer.put(&EntryName::Manifest, b"end").expect("written");
    let len = writer.finish().expect("ended");
    assert_eq!(len, bytes.len() as u64);
    bytes
}

#[test]
fn entries_come_back() {
    let bytes = archive();
    let mut from = &bytes[..];
    let mut reader = ArchiveReader::new(&mut from);
    for (len, name) in names().into_iter().enumerate() {
        assert_eq!(reader.next_entry().expect("read"), Some(name));
        assert_eq!(*reader.content(10).expect("read"), vec![7; len]);
    }
    assert_eq!(reader.next_entry().expect("read"), Some(EntryName::Keyring));
    assert!(reader.content(10).is_err(), "too long");
    // Passed over.
    assert_eq!(reader.next_entry().expect("read"), Some(EntryName::Manifest));
    let mut read = Vec::new();
    reader
        .pieces(|piece| {
            read.extend_from_slice(piece);
            Ok(())
        })
        .expect("read");
    assert_eq!(read, b"end");
    assert_eq!(reader.next_entry().expect("read"), None);
}

#[test]
fn an_archive_that_is_cut_or_longer_is_refused() {
    let whole = archive();
    let all = |bytes: &[u8]| {
        let mut from = bytes;
        let mut reader = ArchiveReader::new(&mut from);
        while reader.next_entry()?.is_some() {}
        Ok::<_, StorageError>(())
    };
    all(&whole).expect("whole");
    for cut in (0..200).chain(whole.len() - 40..whole.len()) {
        assert!(all(&whole[..cut]).is_err(), "cut at {cut}");
    }
    assert!(all(&[&whole[..], &[0]].concat()).is_err());
}

#[test]
fn only_names_of_a_backup_are_taken() {
    for name in names() {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
    for odd in [
        "",
        "kek",
        "FORMAT",
        "tls",
        "tls/",
        "tls/..",
        "tls/.hidden",
        "tls/a/b",
        "/tls/ca.pem",
        "tenants/../catalog.db",
        "tenants/ACME/catalog.db",
        "tenants/acme/catalog.mark",
        "tenants/acme/segments/x.seg",
        "tenants/acme/segments/00000000000000000000000007.SEG",
        "../keyring",
    ] {
        assert_eq!(odd.parse::<EntryName>(), Err(()), "{odd}");
    }
}
