//! Tests of the catalog in a database that no other engine has: what its administrator sees and changes, other writers, the keys of epochs, servers that go away.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::keys::encoding::to_hex;
use crate::model::link::LinkKind;
use crate::model::policy::Retention;
use crate::model::retention::Due;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageKind;
use crate::storage::catalog::erase::Trace;
use crate::storage::catalog::seam::TraceOf;
use crate::storage::catalog::segments::Located;
use crate::storage::database::testing::{Server, connect};
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::testing::{enroll, erase, exact, id, key, keys, link, signer, spec, usage};
use crate::storage::write::{Answers, EraseWrite, SubjectKey, Write};

#[path = "postgres_tests/administrator.rs"]
mod administrator;
#[path = "postgres_tests/ahead.rs"]
mod ahead;
#[path = "postgres_tests/far_keys.rs"]
mod far_keys;
#[path = "postgres_tests/heads.rs"]
mod heads;
#[path = "postgres_tests/merging.rs"]
mod merging;
#[path = "postgres_tests/nodes.rs"]
mod nodes;
#[path = "postgres_tests/others.rs"]
mod others;
#[path = "postgres_tests/rivals.rs"]
mod rivals;
#[path = "postgres_tests/server.rs"]
mod server;
#[path = "postgres_tests/twins.rs"]
mod twins;

const TRACE: &TraceOf<'static> = &|segment, row| Ok(Trace::of(format!("{segment}/{row}").as_bytes()));

/// The tenant `acme` in a database of its own, with the keys of its epochs in a directory.
struct Kept {
    server: &'static Server,
    address: String,
    dir: TempDir,
}

impl Kept {
    fn new() -> Option<Self> {
        let server = Server::shared()?;
        let kept = Self {
            server,
            address: server.fresh(),
            dir: TempDir::new().expect("a temporary directory"),
        };
        create(&connect(&kept.address), kept.dir.path(), &spec("acme"), &keys()).expect("made");
        Some(kept)
    }

    fn open(&self) -> OpenCatalog {
        self.try_open().expect("opened")
    }

    fn try_open(&self) -> Result<OpenCatalog, StorageError> {
        let database = connect(&self.address);
        super::open(&database, self.dir.path(), &id("acme"), &keys(), signer())
    }

    fn sql(&self, text: &str) -> String {
        self.server.sql(&self.address, text)
    }

    fn epochs(&self) -> EpochKeys {
        EpochKeys::open(&self.dir.path().join(EPOCHS_FILE), &key(1)).expect("opened")
    }
}

fn commit(catalog: &mut OpenCatalog, group: Vec<Write>) -> Result<Answers, StorageError> {
    catalog.writer.commit(group, Timestamp::now(), TRACE)
}

/// Enrols one reference of a subject.
fn enrolled(catalog: &mut OpenCatalog, subject: &str, seed: u64) {
    let write = Write::Enroll(enroll(&format!("enroll-{subject}"), subject, &[seed]));
    let answers = commit(catalog, vec![write]).expect("the server works");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

fn written(rows: u32) -> WrittenSegment {
    WrittenSegment {
        ulid: ulid::Ulid::generate(),
        path: std::path::PathBuf::new(),
        rows,
        holes: 0,
    }
}

/// Gives these references their places in a new segment.
fn flushed(catalog: &mut OpenCatalog, references: &[u64]) {
    let located = catalog.reader.locate(references).expect("read");
    let ids = located.into_iter().map(|located| match located {
        Some(Located::Pending(row)) => row.id,
        _ => panic!("pending"),
    });
    let ids: Vec<_> = ids.collect();
    let rows = u32::try_from(ids.len()).expect("few");
    catalog
        .writer
        .flush(&written(rows), &ids, &mut |_| Ok(()))
        .expect("flushed");
}
