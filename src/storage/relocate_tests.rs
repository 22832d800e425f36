//! Tests of a tenant's way into a cluster: all that was kept of it arrives, whatever is cut off and wherever, and at no moment is it served in two places.

use tempfile::TempDir;

use super::*;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::seam::OpenCatalog;
use crate::storage::catalog::segments::Located;
use crate::storage::catalog::state::State;
use crate::storage::cluster::Cluster;
use crate::storage::database::testing::connect;
use crate::storage::objects::testing::directory;
use crate::storage::testing::{
    copy_tree, enroll, enrolled, erase, erased, files, id, key, keys, signer, signers, spec,
};
use crate::storage::write::{SubjectKey, Write};

use self::stopped::{Done, Stopped};

#[path = "relocate_tests/stopped.rs"]
pub(in crate::storage) mod stopped;

/// Both catalogs say the same of everybody, of all that was ever answered, and of every file.
pub(in crate::storage) fn assert_same(here: &OpenCatalog, there: &OpenCatalog) {
    assert_eq!(here.spec, there.spec);
    assert_eq!(here.segments, there.segments);
    assert!(here.tombstones.is_empty() && there.tombstones.is_empty());
    let (was, is) = (here.writer.state(), there.writer.state());
    let commits = is.commits;
    assert_eq!(State { commits, ..was }, is);
    assert!(
        was.erasures_open == 0 && was.last_erasure > 0 && was.pending > 0 && was.last_usage > 0,
        "{was:?}"
    );
    let people = (1..=40).map(|n| format!("s{n}"));
    let people = people.chain((0..9).map(|n| format!("i{n}")));
    for name in people.chain(["linked".to_owned(), "nobody".to_owned()]) {
        let subject = SubjectKey::Id(id(&name));
        let [one, other] = [here, there].map(|it| it.reader.subject(&subject).expect("read"));
        assert_eq!(one, other, "{name}");
        let [one, other] =
            [here, there].map(|it| it.reader.usage(Some(&id(&name)), None, 100).expect("read"));
        assert_eq!(one, other, "{name}");
        let [one, other] = [here, there].map(|it| it.reader.erasures_of(&id(&name)).expect("read"));
        assert_eq!(one, other, "{name}");
    }
    let [one, other] = [here, there].map(|it| it.reader.usage(None, None, 1_000).expect("read"));
    assert_eq!(one, other);
    for erasure in 0..=was.last_erasure + 1 {
        let [one, other] = [here, there].map(|it| it.reader.erasure(erasure).expect("read"));
        assert_eq!(one, other);
    }
    let places: Vec<u64> = (1..=was.last_reference).collect();
    let located = |it: &OpenCatalog| -> Vec<_> {
        let found = it.reader.locate(&places).expect("read").into_iter();
        let told = found.map(|at| {
            at.map(|at| match at {
                Located::Placed { segment, row } => (segment, row, Vec::new()),
                Located::Pending(row) => (0, 0, row.exact.to_vec()),
            })
        });
        told.collect()
    };
    assert_eq!(located(here), located(there));
    assert_eq!(
        here.reader.is_ahead().expect("read"),
        there.reader.is_ahead().expect("read")
    );
    let kept = here.reader.imported(&id("import"), None).expect("read");
    assert!(kept.is_some() && kept == there.reader.imported(&id("import"), None).expect("read"));
}

#[test]
fn a_tenant_arrives_with_all_that_was_kept_of_it() {
    let Some(stopped) = Stopped::new() else { return };
    let told = stopped.relocate().expect("relocated");
    assert!(
        !told.was_before && told.segments == 3 && told.pending == 9 && told.erasures == 3,
        "{told:?}"
    );
    assert!(!stopped.is_served_here());
    let here = stopped.local();
    let shared = stopped.shared();
    // A node finds a view of its list that is whole.
    let (head, fresh) = shared.load_fresh(None).expect("read");
    assert_eq!((fresh.len(), head.list), (9, 1));
    for entry in &here.segments {
        let (_, listed) = shared.load_segment(entry.number).expect("read");
        let listed = listed.expect("there");
        assert_eq!(listed.object.ulid, entry.ulid);
        assert!(listed.dead.is_empty(), "all of them are holes");
    }
    assert_same(&here, &shared.into_seam());
    // Byte for byte.
    let home = Home::of(&id("acme"), &stopped.incarnation());
    for file in files(&stopped.path().join(SEGMENTS_DIR)) {
        let object = stopped
            .yard
            .path("store")
            .join(format!("{home}/{KEY_GENERATION}"));
        let object = object.join(file.file_name().expect("a name"));
        assert_eq!(fs::read(object).expect("there"), fs::read(file).expect("here"));
    }
    let again = stopped.relocate().expect("it is there");
    assert_eq!(
        again,
        Relocated {
            was_before: true,
            ..told
        }
    );
}

#[test]
fn whoever_asked_before_gets_the_same_answer_and_is_erased_and_enrolled_as_ever() {
    let Some(stopped) = Stopped::new() else { return };
    let again = |store: &Store| {
        let mut answers = store.commit(vec![Write::Enroll(enroll("enroll-s31-31", "s31", &[31]))]);
        enrolled(answers.as_mut().expect("the disk works").remove(0))
    };
    let before = {
        let store = Store::open(&stopped.dir, &id("acme"), &key(1), signer()).expect("opened");
        again(&store).0
    };
    stopped.relocate().expect("relocated");
    let mut there = stopped.shared().into_seam();
    let now = Timestamp::now();
    let no_trace = |_: u32, _: u32| panic!("nobody in a segment is erased");
    let mut write = |write: Write| {
        let mut answers = there
            .writer
            .commit(vec![write], now, &no_trace)
            .expect("the database works");
        answers.remove(0)
    };
    let replayed = write(Write::Enroll(enroll("enroll-s31-31", "s31", &[31])));
    assert_eq!(enrolled(replayed), (before, true));
    let last = enrolled(write(Write::Enroll(enroll("new", "new", &[300])))).0;
    assert!(last.references.iter().all(|it| *it > 50), "{last:?}");
    erased(write(erase("erase", "s40")));
    let unknown = write(erase("erase-again", "s35"));
    assert!(unknown.is_err(), "who was erased before is not there");
}

#[test]
fn what_is_cut_off_anywhere_is_gone_on_with() {
    let Some(stopped) = Stopped::new() else { return };
    let (mut done, mut at) = (Done::default(), 2);
    let told = loop {
        // Each try comes one piece further, and once all rows are there one step.
        let (mut steps, mut last) = (0, None);
        let ended = stopped.run(&mut done, &mut |step| {
            (steps, last) = (steps + 1, step);
            steps == at
        });
        if let Ok(told) = ended {
            break told.expect("relocated");
        }
        assert_eq!(
            stopped.is_served_here(),
            last != Some(Step::HandingOver),
            "{last:?}"
        );
        assert!(stopped.database.tenants().expect("read").is_empty(), "{last:?}");
        at += usize::from(!matches!(last, Some(Step::Rows(_))));
    };
    assert!(
        at == 8 && done.handed_over == 2,
        "it died at each step: {at}, {done:?}"
    );
    let mut whole = Done::default();
    let Some(other) = Stopped::new() else { return };
    let ended = other.run(&mut whole, &mut |_| false);
    assert_eq!(ended.expect("nobody dies").expect("relocated"), told);
    assert_eq!(done.rows, whole.rows, "no row was sent twice");
    assert!(!stopped.is_served_here());
    assert_same(&stopped.local(), &stopped.shared().into_seam());
}

#[test]
fn what_is_made_is_never_begun_anew_whatever_the_directory_says() {
    let Some(stopped) = Stopped::new() else { return };
    let told = stopped.relocate().expect("relocated");
    let note = Note::read(&stopped.path()).expect("read").expect("there");
    let earlier = Note {
        is_over: false,
        commits: note.commits + 1,
        ..note
    };
    earlier
        .write(&stopped.path())
        .expect("a snapshot of an earlier try");
    let again = stopped.relocate().expect("it is there");
    assert!(again.was_before && again.references == told.references);
    assert!(!stopped.is_served_here(), "and is noted");
    assert_same(&stopped.local(), &stopped.shared().into_seam());
}

#[test]
fn of_two_copies_of_a_directory_that_are_moved_at_once_neither_serves_it_any_more() {
    let Some(stopped) = Stopped::new() else { return };
    let copy = TempDir::new().expect("a directory");
    let (acme, keys) = (id("acme"), keys());
    let to = Destination {
        database: &stopped.database,
        store: &stopped.yard.store,
        signer: signer(),
    };
    let ended = stopped.run(&mut Done::default(), &mut |step| {
        if step == Some(Step::HandingOver) {
            copy_tree(stopped.dir.path(), copy.path());
            let other = DataDir::open(copy.path()).expect("opened");
            let relocation = Relocation::new(&other, &acme, &keys, &to);
            let made = relocation.run((signer(), &signers(), &stopped.journal), &mut |_| (), &mut || {
                Ok(())
            });
            assert!(!made.expect("it was faster").was_before);
        }
        false
    });
    let late = ended.expect("nobody dies");
    assert!(matches!(late, Err(StorageError::TenantExists(_))), "{late:?}");
    assert!(!stopped.is_served_here(), "the cluster has it");
    assert!(stopped.relocate().expect("it is there").was_before);
}

#[test]
fn what_others_are_relocating_under_the_name_stays() {
    let Some(stopped) = Stopped::new() else { return };
    let text = epochs_text(&stopped.yard.store, &id("acme"), &[5; 16], KEY_GENERATION);
    EpochKeys::create_in(Arc::new(text), &key(9), [5; 16]).expect("made");
    filling::begin(&stopped.database, &spec("acme"), &key(8), &[5; 16]).expect("begun");
    stopped.relocate().expect("relocated");
    assert_eq!(stopped.database.is_made(&[5; 16]).expect("read"), Some(false));
    assert_eq!(
        incarnations(&stopped.yard.store, &id("acme"))
            .expect("listed")
            .len(),
        2
    );
}

#[test]
fn a_directory_that_is_older_than_its_journal_goes_nowhere() {
    let Some(stopped) = Stopped::new() else { return };
    let earlier = TempDir::new().expect("a directory");
    copy_tree(&stopped.path(), earlier.path());
    {
        let store = Store::open(&stopped.dir, &id("acme"), &key(1), signer()).expect("opened");
        assert!(
            store
                .commit(vec![erase("later", "s10")])
                .expect("the disk works")
                .remove(0)
                .is_ok()
        );
        stopped.journal.record_erasures(&store).expect("noted");
    }
    fs::remove_dir_all(stopped.path()).expect("removed");
    copy_tree(earlier.path(), &stopped.path());
    let refused = stopped.relocate();
    assert!(
        matches!(refused, Err(StorageError::Outdated { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_tenant_that_changed_meanwhile_begins_anew_and_nothing_else_is_left() {
    let Some(stopped) = Stopped::new() else { return };
    stopped.cut_at_the_end();
    let first = stopped.incarnation();
    let (rows, objects) = stopped.left();
    {
        let store = Store::open(&stopped.dir, &id("acme"), &key(1), signer()).expect("served here still");
        let erased = store.commit(vec![erase("later", "s10")]);
        assert!(erased.expect("the disk works").remove(0).is_ok());
    }
    stopped.relocate().expect("relocated");
    assert_ne!(stopped.incarnation(), first);
    assert_eq!(stopped.left(), (rows, objects), "as many as of one");
    assert_eq!(
        incarnations(&stopped.yard.store, &id("acme"))
            .expect("listed")
            .len(),
        1
    );
    let there = stopped.shared();
    let subject = SubjectKey::Id(id("s10"));
    assert_eq!(there.subject(&subject).expect("read"), None);
    assert_same(&stopped.local(), &there.into_seam());
}

#[test]
fn a_name_that_somebody_has_there_is_not_taken() {
    let Some(stopped) = Stopped::new() else { return };
    stopped.cut_at_the_end();
    let cluster = Cluster::new(&stopped.database, 2).expect("there are tables");
    cluster
        .create(&spec("acme"), &key(8), &[5; 16])
        .expect("a tenant of that name is made");
    for _ in 0..2 {
        let refused = stopped.relocate();
        assert!(
            matches!(refused, Err(StorageError::TenantExists(_))),
            "{refused:?}"
        );
        assert!(stopped.is_served_here());
    }
    stopped
        .server
        .sql(&stopped.address, "DELETE FROM tenant WHERE name = 'acme'");
    stopped.relocate().expect("relocated");
    assert_same(&stopped.local(), &stopped.shared().into_seam());
}

#[test]
fn what_is_not_there_as_it_is_here_does_not_count() {
    for (spoil, told) in [
        ("DELETE FROM usage WHERE id = 2", "Events from"),
        ("UPDATE request SET at = at + 1", "fails authentication"),
        (
            "DELETE FROM checkpoint WHERE event = (SELECT min(event) FROM checkpoint)",
            "Checkpoints from",
        ),
        (
            "UPDATE reference SET slot = slot + 1 WHERE id = 1",
            "its place was changed",
        ),
        (
            "UPDATE pending SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)",
            "fails authentication",
        ),
    ] {
        let Some(stopped) = Stopped::new() else { return };
        stopped.cut_at_the_end();
        stopped.server.sql(&stopped.address, spoil);
        let refused = stopped.relocate().expect_err("it is not the same");
        assert!(refused.to_string().contains(told), "{spoil}: {refused}");
        assert!(stopped.is_served_here());
    }
    let Some(stopped) = Stopped::new() else { return };
    stopped.cut_at_the_end();
    let home = Home::of(&id("acme"), &stopped.incarnation());
    let dir = stopped
        .yard
        .path("store")
        .join(format!("{home}/{KEY_GENERATION}"));
    let object = files(&dir).remove(0);
    let mut bytes = fs::read(&object).expect("there");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&object, bytes).expect("written");
    let refused = stopped.relocate().expect_err("it is another file");
    assert!(
        refused.to_string().contains("nothing is overwritten") || refused.to_string().contains(".seg"),
        "{refused}"
    );
    assert!(stopped.is_served_here());
}

#[test]
fn what_is_left_here_is_discarded_once_it_is_there_and_not_before() {
    let Some(stopped) = Stopped::new() else { return };
    let acme = id("acme");
    let there = (&stopped.database, &stopped.yard.store);
    let early = check_discard(&stopped.dir, &acme, there);
    assert!(matches!(early, Err(StorageError::Relocation { .. })), "{early:?}");
    stopped.cut_at_the_end();
    assert!(check_discard(&stopped.dir, &acme, there).is_err());
    assert!(relocated(&stopped.dir).expect("read").is_empty());
    stopped.relocate().expect("relocated");
    check_discard(&stopped.dir, &acme, there).expect("it is there");
    assert_eq!(
        relocated(&stopped.dir).expect("read"),
        std::slice::from_ref(&acme)
    );
    let elsewhere = directory(&stopped.yard.path("elsewhere"));
    let refused = check_discard(&stopped.dir, &acme, (&stopped.database, &elsewhere));
    assert!(
        matches!(refused, Err(StorageError::Relocation { .. })),
        "{refused:?}"
    );
    let rows = database_without_it(&stopped);
    let gone = check_discard(&stopped.dir, &acme, (&rows, &stopped.yard.store));
    assert!(
        matches!(gone, Err(StorageError::Relocation { .. })),
        "what is here may be all there is: {gone:?}"
    );
}

/// Another database, which has no tenant.
fn database_without_it(stopped: &Stopped) -> Database {
    connect(&stopped.server.fresh())
}

#[test]
fn a_tenant_on_its_way_elsewhere_is_not_begun_anew_here() {
    let Some(stopped) = Stopped::new() else { return };
    stopped.cut_at_the_end();
    let database = database_without_it(&stopped);
    let store = directory(&stopped.yard.path("other"));
    let to = Destination {
        database: &database,
        store: &store,
        signer: signer(),
    };
    let (acme, keys) = (id("acme"), keys());
    let refused = Relocation::new(&stopped.dir, &acme, &keys, &to).run(
        (signer(), &signers(), &stopped.journal),
        &mut |_| (),
        &mut || Ok(()),
    );
    let refused = refused.expect_err("it is on its way");
    assert!(
        refused.to_string().contains("on its way to the database"),
        "{refused}"
    );
    drop(stopped.tmp);
}
