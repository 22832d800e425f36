//! What an administrator of the database sees of a tenant, and what is noticed of what he changes.

use super::*;
use crate::storage::write::ReadAhead;

/// A gallery that has something in every table.
fn furnished() -> Option<Kept> {
    let kept = Kept::new()?;
    let mut catalog = kept.open();
    for (subject, seed) in [
        ("person-one", 1),
        ("person-two", 2),
        ("person-three", 3),
        ("person-four", 4),
    ] {
        let mut write = enroll(&format!("asked-{subject}"), subject, &[seed]);
        write.links = vec![link(LinkKind::BadgeId, u8::try_from(seed).expect("few"))];
        commit(&mut catalog, vec![Write::Enroll(write)]).expect("enrolled");
    }
    flushed(&mut catalog, &[1, 2]);
    flushed(&mut catalog, &[3]);
    enrolled(&mut catalog, "person-five", 5);
    let used = usage("asked-use", UsageKind::Identify, Some("person-two"));
    let group = vec![
        Write::Usage(used.into()),
        erase("asked-erasure", "person-one"),
        erase("asked-other", "person-three"),
    ];
    let answers = commit(&mut catalog, group).expect("done");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    catalog.writer.checkpoint().expect("signed");
    Some(kept)
}

#[test]
fn nothing_that_names_or_tells_of_anybody_is_clear() {
    let Some(kept) = furnished() else { return };
    let dump = kept.server.dump(&kept.address);
    let contains = |needle: &[u8]| dump.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"acme"), "it is the dump of this database");
    let link = link(LinkKind::BadgeId, 2);
    let rows = exact(4);
    for secret in [
        b"person-".as_slice(),
        b"asked-",
        b"gate-1",
        b"scanner-1",
        b"doors",
        b"in_app",
        b"identify",
        b"bona_fide",
        b"erased_at",
        b"threshold",
        &link.lookup,
        &link.sealed,
        &rows,
    ] {
        let in_hex = to_hex(secret);
        assert!(!contains(secret) && !contains(in_hex.as_bytes()), "{in_hex}");
    }
}

/// All that a catalog says, or the first thing that it can't.
fn look(kept: &Kept) -> Result<(), StorageError> {
    let catalog = kept.try_open()?;
    let reader = &catalog.reader;
    reader.spec()?;
    reader.tombstones()?;
    reader.locate(&[1, 2, 3, 4, 5])?;
    reader.usage(None, None, 100)?;
    for subject in ["person-two", "person-four", "person-five"] {
        if reader.subject(&SubjectKey::Id(id(subject)))?.is_none() {
            return Err(StorageError::Rows(format!("{subject} is gone")));
        }
        reader.subject_rows(&id(subject))?;
    }
    for value in [2, 4] {
        let by_link = SubjectKey::Link {
            kind: LinkKind::BadgeId,
            lookup: [value; 32],
        };
        reader.subject(&by_link)?;
    }
    for erasure in [1, 2] {
        reader.erasure(erasure)?;
    }
    let due = Due {
        retention: Retention {
            consent_end: true,
            idle_days_max: Some(1),
        },
        as_of: Timestamp(i64::MAX),
    };
    reader.due(&due, 10)?;
    let import = reader.imported(&id("asked-use"), None)?;
    assert_eq!(import, None);
    match reader.imported(&id("asked-person-two"), None) {
        // It was no import.
        Err(StorageError::Write(_)) => Ok(()),
        other => other.map(drop),
    }
}

/// What an administrator may do, and the table in which it is noticed.
const CHANGES: [(&str, &str); 24] = [
    ("subject", "UPDATE subject SET sealed = (SELECT sealed FROM subject WHERE handle = 4) WHERE handle = 2"),
    ("subject", "UPDATE subject SET consent_expires_at = 1 WHERE handle = 2"),
    ("subject", "UPDATE subject SET last_used = 1 WHERE handle = 2"),
    (
        "subject",
        "CREATE TABLE one AS SELECT * FROM subject WHERE handle = 2; CREATE TABLE two AS SELECT * FROM subject WHERE handle = 4;
         UPDATE subject SET lookup = '\\x00' WHERE handle = 4; UPDATE subject SET lookup = (SELECT lookup FROM two) WHERE handle = 2;
         UPDATE subject SET lookup = (SELECT lookup FROM one) WHERE handle = 4",
    ),
    ("tenant", "DELETE FROM usage; DELETE FROM link WHERE subject = 5; DELETE FROM pending WHERE reference = 5"),
    ("reference", "UPDATE reference SET subject = 4 WHERE id = 2"),
    ("reference", "UPDATE reference SET slot = 0 WHERE id = 2"),
    ("reference", "UPDATE reference SET segment = NULL, slot = NULL WHERE id = 2"),
    ("reference", "UPDATE reference SET sequence = 99 WHERE id = 2"),
    ("pending", "UPDATE pending SET sealed = (SELECT sealed FROM pending WHERE reference = 5) WHERE reference = 4"),
    ("link", "UPDATE link SET kind = 2 WHERE subject = 2"),
    ("link", "UPDATE link SET subject = 5 WHERE subject = 2"),
    ("segment", "UPDATE segment SET rows = rows + 1"),
    ("segment", "UPDATE segment SET ulid = (SELECT ulid FROM segment WHERE number = 2) WHERE number = 1"),
    ("tenant", "DELETE FROM segment WHERE number = 2"),
    ("tombstone", "UPDATE tombstone SET slot = 1 WHERE reference = 1"),
    ("tenant", "DELETE FROM tombstone WHERE reference = 1"),
    ("tenant", "UPDATE erasure SET purged = true WHERE id = 1"),
    ("erasure", "UPDATE erasure SET sealed = (SELECT sealed FROM erasure WHERE id = 2) WHERE id = 1"),
    ("usage", "UPDATE usage SET subject = 4 WHERE subject = 2"),
    ("usage", "UPDATE usage SET commitment = (SELECT commitment FROM usage WHERE id = 2) WHERE id = 4"),
    ("request", "UPDATE request SET at = at + 1"),
    ("tenant", "UPDATE tenant SET last_reference = last_reference - 1"),
    ("tenant", "UPDATE tenant SET epoch = 2"),
];

#[test]
fn what_is_moved_or_changed_is_noticed() {
    let Some(kept) = furnished() else { return };
    look(&kept).expect("as it was written");
    for (table, change) in CHANGES {
        let copy = Kept {
            server: kept.server,
            address: kept.server.copy(&kept.address),
            dir: TempDir::new().expect("a temporary directory"),
        };
        let file = |kept: &Kept| kept.dir.path().join(EPOCHS_FILE);
        fs::copy(file(&kept), file(&copy)).expect("copied");
        copy.sql(change);
        match look(&copy) {
            Err(StorageError::CatalogDamaged { fault, .. }) => {
                assert!(
                    fault.starts_with(&format!("table {table}: ")),
                    "{change}: {fault}"
                );
            }
            other => panic!("{change}: {other:?}"),
        }
    }
}

#[test]
fn a_tenant_s_row_that_is_gone_or_an_older_one_is_noticed() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    enrolled(&mut catalog, "s1", 1);
    kept.sql("CREATE TABLE former AS SELECT * FROM tenant");
    enrolled(&mut catalog, "s2", 2);
    let put_back = "DELETE FROM tenant; INSERT INTO tenant SELECT * FROM former";
    kept.sql(put_back);
    let is_noticed = |error: &StorageError| matches!(error, StorageError::CatalogDamaged { .. });
    let read = catalog.reader.spec().expect_err("older");
    assert!(is_noticed(&read), "{read}");
    let again = commit(&mut catalog, vec![erase("e1", "s1")]).expect_err("older");
    assert!(is_noticed(&again), "{again}");
    // Whoever did not see the newer one counts its rows.
    let opened = kept.try_open().err().expect("older");
    assert!(is_noticed(&opened), "{opened}");
    kept.sql("DELETE FROM tenant");
    let gone = catalog.reader.spec().expect_err("gone");
    assert!(is_noticed(&gone), "{gone}");
}

#[test]
fn a_tombstone_that_is_put_back_to_before_its_place_is_counted() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    enrolled(&mut catalog, "s1", 1);
    let Some(Located::Pending(row)) = catalog.reader.locate(&[1]).expect("read").remove(0) else {
        panic!("pending")
    };
    commit(&mut catalog, vec![erase("e1", "s1")]).expect("erased");
    kept.sql("CREATE TABLE former AS SELECT * FROM tombstone");
    let flushed = catalog.writer.flush(&written(1), &[row.id], &mut |_| Ok(()));
    assert_eq!(flushed.expect("flushed").dead, [0]);
    assert_eq!(kept.open().tombstones.len(), 1);
    kept.sql("DELETE FROM tombstone; INSERT INTO tombstone SELECT * FROM former");
    let told = kept
        .try_open()
        .err()
        .expect("an erased row would be found")
        .to_string();
    assert!(
        told.contains("0 tombstones in segments; its counters say 1"),
        "{told}"
    );
}

#[test]
fn a_tombstone_of_another_erasure_signs_no_receipt_and_gets_no_place() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    for (subject, seed) in [("s1", 1), ("s2", 2), ("s3", 3)] {
        enrolled(&mut catalog, subject, seed);
    }
    flushed(&mut catalog, &[1, 2]);
    let Some(Located::Pending(row)) = catalog.reader.locate(&[3]).expect("read").remove(0) else {
        panic!("pending")
    };
    for (request, subject) in [("e1", "s1"), ("e2", "s2"), ("e3", "s3")] {
        commit(&mut catalog, vec![erase(request, subject)]).expect("erased");
    }
    let is_noticed = |error: StorageError| {
        let told = error.to_string();
        assert!(told.contains("table tombstone"), "{told}");
    };
    // Both rows of the first two erasures are in a segment.
    kept.sql("UPDATE tombstone SET erasure = 2 WHERE reference = 1");
    is_noticed(
        catalog
            .writer
            .mark_purged(&[1], Timestamp::now())
            .expect_err("its row is there"),
    );
    kept.sql("UPDATE tombstone SET erasure = 1 WHERE reference IN (1, 3)");
    let flush = catalog.writer.flush(&written(1), &[row.id], &mut |_| Ok(()));
    is_noticed(flush.err().expect("it is not what was written"));
    kept.sql("UPDATE tombstone SET erasure = 3 WHERE reference = 3");
    let flush = catalog.writer.flush(&written(1), &[row.id], &mut |_| Ok(()));
    assert_eq!(flush.expect("flushed").dead, [0]);
    assert_eq!(
        catalog
            .writer
            .mark_purged(&[1, 2, 3], Timestamp::now())
            .expect("none is purged"),
        0
    );
}

#[test]
fn an_altered_event_is_counted_by_its_erasure() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    enrolled(&mut catalog, "s1", 1);
    kept.sql("UPDATE usage SET sealed = sealed || '\\x00'");
    let answers = commit(&mut catalog, vec![erase("e1", "s1")]).expect("done");
    let (answer, _) = crate::storage::testing::erased(answers.into_iter().next().expect("one"));
    let receipt = crate::keys::receipt::verify_of(&answer.receipt, signer().public_key()).expect("signed");
    let removed = receipt.removed.expect("counted");
    assert_eq!((removed.usage_events, removed.usage_events_altered), (1, 1));
}

#[test]
fn an_erasure_by_retention_believes_no_changed_date() {
    let Some(kept) = Kept::new() else { return };
    let mut catalog = kept.open();
    enrolled(&mut catalog, "s1", 1);
    kept.sql("UPDATE subject SET last_used = 1, consent_expires_at = 1");
    let due = Due {
        retention: Retention::default(),
        as_of: Timestamp::now(),
    };
    let write = Write::Erase(EraseWrite {
        request_id: id("e1"),
        request_digest: [0; 32],
        subject: SubjectKey::Id(id("s1")),
        only_if: Some(due),
        ahead: ReadAhead::default(),
    });
    let refused = commit(&mut catalog, vec![write]).expect_err("changed");
    assert!(
        matches!(refused, StorageError::CatalogDamaged { .. }),
        "{refused}"
    );
    assert_eq!(kept.sql("SELECT count(*) FROM subject"), "1");
}
