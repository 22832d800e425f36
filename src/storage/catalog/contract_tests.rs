//! What every engine behind the seam does: behaviours written against the two traits alone, each run with each engine. Looks into no file or table.

use std::sync::Arc;

use indexmap::IndexMap;
use tempfile::TempDir;
use ulid::Ulid;

use super::erase::Trace;
use super::import::ImportedRows;
use super::local;
use super::postgres;
use super::postgres::register::Standing;
use super::seam::{Before, OpenCatalog, TraceOf};
use super::segments::{Located, SegmentEntry};
use crate::cluster::placement::NodeId;
use crate::keys::epochs::EpochKeys;
use crate::model::id::SubjectId;
use crate::model::timestamp::Timestamp;
use crate::storage::cluster::Cluster;
use crate::storage::database::Database;
use crate::storage::database::testing::{Server, connect};
use crate::storage::error::{StorageError, WriteError};
use crate::storage::on_cluster::KEY_GENERATION;
use crate::storage::place::{Place, RowId};
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::testing::{enroll, enrolled, erase, erased, id, import, key, keys, signer, spec};
use crate::storage::write::{Answers, Committed, EnrollAnswer, EraseAnswer, ImportAnswer, Write};

mod erasures;
mod history;
mod segments;
mod writes;

/// Where an engine keeps the catalog of the tenant `acme`, which has nobody yet.
trait Rig: Sized {
    /// `None` where the engine is not there, which is told.
    fn new() -> Option<Self>;

    /// Opens it; the one that was opened before is dropped by then.
    fn open(&self) -> OpenCatalog;
}

/// The catalog in a file.
struct Local(TempDir);

impl Rig for Local {
    fn new() -> Option<Self> {
        let dir = TempDir::new().expect("a temporary directory");
        local::create(dir.path(), &spec("acme"), &key(1)).expect("made");
        Some(Self(dir))
    }

    fn open(&self) -> OpenCatalog {
        local::open(self.0.path(), &id("acme"), &key(1), signer()).expect("opened")
    }
}

/// The catalog in a database, with the keys of its epochs in a directory.
struct Postgres(TempDir, Database);

impl Rig for Postgres {
    fn new() -> Option<Self> {
        let database = connect(&Server::shared()?.fresh());
        let dir = TempDir::new().expect("a temporary directory");
        postgres::create(&database, dir.path(), &spec("acme"), &keys()).expect("made");
        Some(Self(dir, database))
    }

    fn open(&self) -> OpenCatalog {
        let Self(dir, database) = self;
        postgres::open(database, dir.path(), &id("acme"), &keys(), signer()).expect("opened")
    }
}

/// The same as a node of a cluster writes it, whose mode takes no number for its own.
struct Node(Postgres, Cluster, Standing);

impl Rig for Node {
    fn new() -> Option<Self> {
        let kept = Postgres::new()?;
        let cluster = Cluster::new(&kept.1, 2).expect("a cluster");
        let standing = cluster.register(NodeId(1), 1, "here").expect("registered");
        Some(Self(kept, cluster, standing))
    }

    fn open(&self) -> OpenCatalog {
        let Self(Postgres(dir, _), cluster, standing) = self;
        let path = dir.path().join(postgres::EPOCHS_FILE);
        let epochs = EpochKeys::open(&path, &keys().data_key).expect("opened");
        let opened = cluster.open(
            *standing,
            &id("acme"),
            &keys().secret,
            (KEY_GENERATION, Arc::new(epochs)),
            signer(),
        );
        opened.expect("opened").into_seam()
    }
}

/// Short words for what is done to a catalog.
impl OpenCatalog {
    fn commit(&mut self, group: Vec<Write>) -> Answers {
        let answers = self.writer.commit(group, Timestamp::now(), TRACE);
        answers.expect("the engine works")
    }

    fn one(&mut self, write: Write) -> Result<Committed, WriteError> {
        self.commit(vec![write]).remove(0)
    }

    /// Enrols one reference of a subject.
    fn enroll(&mut self, subject: &str, seed: u64) -> EnrollAnswer {
        let request = format!("enroll-{subject}-{seed}");
        enrolled(self.one(Write::Enroll(enroll(&request, subject, &[seed])))).0
    }

    fn erase(&mut self, subject: &str) -> (EraseAnswer, Vec<Place>) {
        erased(self.one(erase(&format!("erase-{subject}"), subject)))
    }

    /// Takes in subjects as the rows of one full segment.
    fn import(
        &mut self,
        request: &str,
        subjects: &[&str],
    ) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError> {
        let erasure = self.writer.state().last_erasure;
        self.import_told((request, erasure), subjects, &mut |_| Ok(()))
    }

    /// The same, begun after an erasure, and told before it is so.
    fn import_told(
        &mut self,
        (request, erasure): (&str, u64),
        subjects: &[&str],
        before: &mut Before<'_, [SegmentEntry]>,
    ) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError> {
        let count = subjects.len() as u64;
        let (reference, subject) = self.writer.reserve(count)?;
        let rows: IndexMap<SubjectId, RowId> = (1..)
            .zip(subjects)
            .map(|(n, name)| {
                let row = RowId {
                    reference: reference + n,
                    subject: subject + n,
                };
                (id(name), row)
            })
            .collect();
        let imported = ImportedRows {
            header: &import(request, count),
            erasure,
            rows: rows.as_slice(),
            segments: &[written(u32::try_from(count).expect("few"), 0)],
        };
        self.writer.import(&imported, Timestamp::now(), before)
    }

    /// Who pending references belong to.
    fn ids(&self, references: &[u64]) -> Vec<RowId> {
        let located = self.reader.locate(references).expect("read");
        let ids = located.into_iter().map(|located| match located {
            Some(Located::Pending(row)) => row.id,
            _ => panic!("pending"),
        });
        ids.collect()
    }

    /// Where a reference is, as segment and row; `None` unless it is in a segment.
    fn placed(&self, reference: u64) -> Option<(u32, u32)> {
        match self.reader.locate(&[reference]).expect("read").remove(0) {
            Some(Located::Placed { segment, row }) => Some((segment, row)),
            _ => None,
        }
    }

    fn is_known(&self, subject: &str) -> bool {
        let known = self.reader.first_known(&[id(subject)]).expect("read");
        known.is_some()
    }
}

/// Stands in for sealed rows in files.
const TRACE: &TraceOf<'static> = &|segment, row| Ok(Trace::of(format!("{segment}/{row}").as_bytes()));

/// A segment's file, of which a catalog knows no more than this.
fn written(rows: u32, holes: u32) -> WrittenSegment {
    WrittenSegment {
        ulid: Ulid::generate(),
        path: std::path::PathBuf::new(),
        rows,
        holes,
    }
}

/// Behaviours as tests of an engine.
macro_rules! behaviours {
    ($engine:ident: $rig:ty; $($module:ident: $($name:ident),+;)+) => {
        mod $engine {
            use super::*;

            $($(
                #[test]
                fn $name() {
                    if let Some(rig) = <$rig>::new() {
                        $module::$name(&rig);
                    }
                }
            )+)+
        }
    };
}

/// Every behaviour as a test of an engine.
macro_rules! suite {
    ($engine:ident: $rig:ty) => {
        behaviours! { $engine: $rig;
                writes:
                    a_member_that_is_not_possible_fails_alone,
                    a_refused_enrolment_leaves_nothing_behind,
                    rows_of_another_length_are_refused,
                    a_repetition_is_answered_the_same_and_done_once,
                    a_request_id_stands_for_one_request,
                    a_palm_has_so_many_references_and_no_more,
                    links_are_one_of_a_kind_and_lead_back,
                    numbers_never_come_twice,
                    every_change_to_the_gallery_has_the_next_number,
                    a_policy_is_replaced_once,
                    readers_see_whole_groups,
                    an_empty_group_is_nothing,
                    who_refuses_once_refuses_all;
                erasures:
                    an_erasure_takes_all_of_the_subject_and_nobody_else,
                    an_erasure_repeated_is_answered_with_its_receipt,
                    an_enrolment_repeated_after_the_erasure_does_not_bring_the_person_back,
                    an_erasure_by_retention_looks_again,
                    erasures_are_listed_in_pages,
                    an_erasure_is_purged_once_no_segment_holds_a_row_of_it,
                    erasures_done_again_keep_their_numbers_and_times;
                history:
                    the_history_is_paged_newest_first,
                    a_recorded_event_comes_back_as_it_was,
                    an_event_that_is_told_again_is_recorded_once,
                    an_event_that_comes_after_the_erasure_names_nobody,
                    checkpoints_go_on_over_erased_events;
                segments:
                    a_flush_gives_places_and_buries_who_was_erased_meanwhile,
                    a_flush_that_is_refused_before_its_end_changes_nothing,
                    an_import_is_all_or_nothing,
                    an_import_repeated_is_answered_the_same,
                    an_import_brings_back_nobody_who_was_erased_since_it_began,
                    references_are_located_in_the_order_asked_for,
                    what_is_pending_outlives_its_copies;
        }
    };
}

suite! { sqlite: Local }
suite! { postgresql: Postgres }
suite! { postgresql_shared: Node }
