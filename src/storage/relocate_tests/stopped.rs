//! A tenant that is to be relocated, and engines to which. Checks nothing but that a fixture is what it is to be.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::model::link::LinkKind;
use crate::model::usage::UsageKind;
use crate::storage::catalog::local;
use crate::storage::catalog::seam::OpenCatalog;
use crate::storage::cluster::{Cluster, SharedCatalog};
use crate::storage::database::testing::{Server, connect};
use crate::storage::objects::testing::Yard;
use crate::storage::on_cluster::KEY_GENERATION;
use crate::storage::testing::{
    House, enroll, id, key, keys, link, rows, signer, signers, subjects, tell, usage,
};
use crate::storage::write::Write;

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
pub(in crate::storage) struct Stopped {
    pub(in crate::storage) tmp: TempDir,
    pub(in crate::storage) dir: DataDir,
    pub(in crate::storage) yard: Yard,
    pub(in crate::storage) server: &'static Server,
    pub(in crate::storage) address: String,
    pub(in crate::storage) database: Database,
    pub(in crate::storage) journal: Journal,
}

/// What was done of a relocation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct Done {
    pub(in crate::storage) rows: usize,
    pub(in crate::storage) handed_over: usize,
}

impl Stopped {
    /// `None` where PostgreSQL is not installed.
    pub(in crate::storage) fn new() -> Option<Self> {
        let server = Server::shared()?;
        let address = server.fresh();
        let House { tmp, dir, store } = furnished();
        drop(store);
        let journal = Journal::open(&tmp.path().join("journal"), signer()).expect("made");
        Some(Self {
            journal,
            tmp,
            dir,
            yard: Yard::new(),
            server,
            database: connect(&address),
            address,
        })
    }

    /// Relocates in small pieces. `cut` is asked at each step, and before keys are handed over (`None`), whether it dies there.
    pub(in crate::storage) fn run(
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
            relocation.run((signer(), &signers(), &self.journal), &mut watch, &mut hand_over)
        }))
    }

    /// All of it.
    pub(in crate::storage) fn relocate(&self) -> Result<Relocated, StorageError> {
        let ended = self.run(&mut Done::default(), &mut |_| false);
        ended.expect("nobody dies")
    }

    /// Dies before keys are handed over.
    pub(in crate::storage) fn cut_at_the_end(&self) {
        let ended = self.run(&mut Done::default(), &mut |step| step.is_none());
        assert!(ended.is_err(), "it came so far");
    }

    pub(in crate::storage) fn path(&self) -> PathBuf {
        self.dir.tenant_path(&id("acme"))
    }

    pub(in crate::storage) fn local(&self) -> OpenCatalog {
        local::open(&self.path(), &id("acme"), &key(1), signer()).expect("opened")
    }

    pub(in crate::storage) fn incarnation(&self) -> Incarnation {
        let note = Note::read(&self.path()).expect("read").expect("there");
        note.incarnation().expect("it names one")
    }

    /// As a node of the cluster opens it.
    pub(in crate::storage) fn shared(&self) -> SharedCatalog {
        let cluster = Cluster::new(&connect(&self.address), 2).expect("there are tables");
        let standing = cluster.register(NodeId(1), 1, "here").expect("registered");
        cluster.advance(standing, Life::Serving).expect("it is new");
        let text = epochs_text(&self.yard.store, &id("acme"), &self.incarnation(), KEY_GENERATION);
        let epochs = EpochKeys::open_in(Arc::new(text), &key(1)).expect("there");
        let opened = cluster.open(
            standing,
            &id("acme"),
            &keys().secret,
            (KEY_GENERATION, Arc::new(epochs)),
            signer(),
        );
        opened.expect("made")
    }

    /// What there is of tenants in the database, and files in the store below a name.
    pub(in crate::storage) fn left(&self) -> (String, usize) {
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

    pub(in crate::storage) fn is_served_here(&self) -> bool {
        match Store::open(&self.dir, &id("acme"), &key(1), signer()) {
            Ok(_) => true,
            Err(StorageError::Relocated(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }
}
