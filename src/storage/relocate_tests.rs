//! Tests of a tenant's way into a cluster: all that was kept of it arrives, whatever is cut off and wherever, and at no moment is it served in two places.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::model::link::LinkKind;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageKind;
use crate::storage::catalog::local;
use crate::storage::catalog::seam::OpenCatalog;
use crate::storage::catalog::segments::Located;
use crate::storage::catalog::state::State;
use crate::storage::cluster::{Cluster, SharedCatalog};
use crate::storage::database::testing::{Server, connect};
use crate::storage::objects::testing::{Yard, directory};
use crate::storage::testing::{
    House, enroll, enrolled, erase, erased, files, id, key, keys, link, rows, signer, spec, subjects, tell,
    usage,
};
use crate::storage::write::{SubjectKey, Write};

/// Two segments, one with holes, of subjects with links and several hands; pending rows; events, some of erased persons; requests, some scrubbed; checkpoints; an import.
fn furnished() -> House {
    let house = House::new();
    house.flushed(20);
    house.erase("s3");
    house.store.checkpoint().expect("kept");
    house.store.purge().expect("purged");
    let mut linked = enroll("with-links", "linked", &[101, 102]);
    linked.links = vec![link(LinkKind::ALL[0], 7)];
    house.one(Write::Enroll(linked)).expect("enrolled");
    for (n, subject) in [(1, Some("s1")), (2, None), (3, Some("s4"))] {
        let event = usage(&format!("use-{n}"), UsageKind::Identify, subject);
        house.one(tell(event)).expect("recorded");
    }
    let mut importer = house.importer("import", 9);
    let ids = importer.reserve(&subjects(0..9)).expect("new");
    importer.push(rows(&ids)).expect("taken");
    importer.commit().expect("imported");
    for seed in 21..=30 {
        house.enroll(&format!("s{seed}"), seed);
    }
    house.flush().expect("flushed");
    let mut policy = house.store.policy().expect("read");
    policy.quality_min = 40;
    house.set_policy("policy", &policy).expect("set");
    for seed in 31..=40 {
        house.enroll(&format!("s{seed}"), seed);
    }
    // Rows of theirs stay in segments until they are purged.
    house.erase("s4");
    house.erase("s35");
    house
}

/// A tenant that no server has open, and what it goes to.
struct Stopped {
    tmp: TempDir,
    dir: DataDir,
    yard: Yard,
    server: &'static Server,
    address: String,
    database: Database,
}

/// What was done of a relocation.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    rows: usize,
    handed_over: usize,
}

impl Stopped {
    /// `None` where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        let server = Server::shared()?;
        let address = server.fresh();
        let House { tmp, dir, store } = furnished();
        drop(store);
        Some(Self {
            tmp,
            dir,
            yard: Yard::new(),
            server,
            database: connect(&address),
            address,
        })
    }

    /// Relocates in small pieces. `cut` is asked at each step, and before keys are handed over (`None`), whether it dies there.
    fn run(
        &self,
        done: &mut Done,
        cut: &mut dyn FnMut(Option<Step>) -> bool,
    ) -> thread::Result<Result<Relocated, StorageError>> {
        let to = Destination {
            database: &self.database,
            store: &self.yard.store,
            signer: signer(),
        };
        let (acme, keys) = (id("acme"), keys());
        let relocation = Relocation {
            piece_rows: 7,
            ..Relocation::new(&self.dir, &acme, &keys, &to)
        };
        let cut = RefCell::new(cut);
        let die = |step| {
            if (cut.borrow_mut())(step) {
                resume_unwind(Box::new("cut off"));
            }
        };
        let done = RefCell::new(done);
        let mut watch = |step| {
            if let Step::Rows(rows) = step {
                done.borrow_mut().rows += rows;
            }
            die(Some(step));
        };
        let mut hand_over = || {
            die(None);
            done.borrow_mut().handed_over += 1;
            Ok(())
        };
        catch_unwind(AssertUnwindSafe(|| {
            relocation.run(signer(), &mut watch, &mut hand_over)
        }))
    }

    /// All of it.
    fn relocate(&self) -> Result<Relocated, StorageError> {
        let ended = self.run(&mut Done::default(), &mut |_| false);
        ended.expect("nobody dies")
    }

    /// Dies before keys are handed over.
    fn cut_at_the_end(&self) {
        let ended = self.run(&mut Done::default(), &mut |step| step.is_none());
        assert!(ended.is_err(), "it came so far");
    }

    fn path(&self) -> PathBuf {
        self.dir.tenant_path(&id("acme"))
    }

    fn local(&self) -> OpenCatalog {
        local::open(&self.path(), &id("acme"), &key(1), signer()).expect("opened")
    }

    fn incarnation(&self) -> Incarnation {
        let note = Note::read(&self.path()).expect("read").expect("there");
        note.incarnation().expect("it names one")
    }

    /// As a node of the cluster opens it.
    fn shared(&self) -> SharedCatalog {
        let cluster = Cluster::new(&connect(&self.address), 2).expect("there are tables");
        let standing = cluster.register(NodeId(1), 1, "here").expect("registered");
        cluster.advance(standing, Life::Serving).expect("it is new");
        let text = epochs_text(&self.yard.store, &id("acme"), &self.incarnation());
        let epochs = EpochKeys::open_in(Arc::new(text), &key(1)).expect("there");
        let opened = cluster.open(standing, &id("acme"), &keys().secret, Arc::new(epochs), signer());
        opened.expect("made")
    }

    /// What there is of tenants in the database, and files in the store below a name.
    fn left(&self) -> (String, usize) {
        let names = "SELECT count(*) FROM tenant";
        let mut dirs = vec![self.yard.path("store").join("tenants")];
        let mut found = 0;
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            for entry in entries {
                let path = entry.expect("readable").path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    found += 1;
                }
            }
        }
        (self.server.sql(&self.address, names), found)
    }

    fn is_served_here(&self) -> bool {
        match Store::open(&self.dir, &id("acme"), &key(1), signer()) {
            Ok(_) => true,
            Err(StorageError::Relocated { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Both catalogs say the same of everybody, of all that was ever answered, and of every file.
fn assert_same(here: &OpenCatalog, there: &OpenCatalog) {
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
    let mut done = Done::default();
    let mut cuts = 0;
    let told = loop {
        // Each try dies at its third step, and so comes a piece or a file further.
        let mut steps = 0;
        let ended = stopped.run(&mut done, &mut |_| {
            steps += 1;
            steps == 3 && cuts < 200
        });
        match ended {
            Err(_) => {
                cuts += 1;
                assert!(stopped.is_served_here(), "nothing counts there yet");
                assert!(stopped.database.tenants().expect("read").is_empty());
            }
            Ok(told) => break told.expect("relocated"),
        }
        // Files that are there are looked at and not sent, but each costs a step.
        if cuts > 20 && done.rows > 0 && steps == 3 && cuts >= 40 {
            cuts = 200;
        }
    };
    assert_eq!(done.handed_over, 1);
    let mut whole = Done::default();
    let Some(other) = Stopped::new() else { return };
    other
        .run(&mut whole, &mut |_| false)
        .expect("nobody dies")
        .expect("relocated");
    assert_eq!(done.rows, whole.rows, "no row was sent twice: {told:?}");
    assert_same(&stopped.local(), &stopped.shared().into_seam());
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
    let early = check_discard(&stopped.dir, &acme, &stopped.database);
    assert!(matches!(early, Err(StorageError::Relocation { .. })), "{early:?}");
    stopped.cut_at_the_end();
    assert!(check_discard(&stopped.dir, &acme, &stopped.database).is_err());
    assert!(relocated(&stopped.dir).expect("read").is_empty());
    stopped.relocate().expect("relocated");
    check_discard(&stopped.dir, &acme, &stopped.database).expect("it is there");
    assert_eq!(
        relocated(&stopped.dir).expect("read"),
        std::slice::from_ref(&acme)
    );
    let rows = database_without_it(&stopped);
    let gone = check_discard(&stopped.dir, &acme, &rows);
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
    let refused = Relocation::new(&stopped.dir, &acme, &keys, &to).run(signer(), &mut |_| (), &mut || Ok(()));
    let refused = refused.expect_err("it is on its way");
    assert!(
        refused.to_string().contains("on its way to the database"),
        "{refused}"
    );
    drop(stopped.tmp);
}
