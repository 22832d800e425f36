//! One tenant in two catalogs: in a file by statements, and in plain rows by drafts. Both are told the same, and must come to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tempfile::TempDir;
use ulid::Ulid;

use super::dump::dump;
use super::store::Store;
use crate::keys::encoding::to_hex;
use crate::keys::receipt;
use crate::keys::receipt::ReceiptSigner;
use crate::model::checkpoint::Checkpoint;
use crate::model::erasure::{ErasureReceipt, SearchKey, SignedReceipt};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::chain::{self, Event, next_head};
use crate::storage::catalog::code::int;
use crate::storage::catalog::draft::Draft;
use crate::storage::catalog::draft::needs::Needs;
use crate::storage::catalog::erase::{self, Trace, sha256};
use crate::storage::catalog::group::{self, Rules};
use crate::storage::catalog::page::PageSeal;
use crate::storage::catalog::pending::PendingSeal;
use crate::storage::catalog::seam::{OpenCatalog, TraceOf};
use crate::storage::catalog::segments::Tombstone;
use crate::storage::catalog::state::State;
use crate::storage::catalog::{connection, local};
use crate::storage::error::{StorageError, WriteError};
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::{Place, RowId};
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::store::CATALOG_FILE;
use crate::storage::testing::{id, key, signer, spec};
use crate::storage::write::{Answers, Committed, Durability, Write};

/// Stands in for sealed rows in files.
const TRACE: &TraceOf<'static> = &|segment, row| Ok(Trace::of(text_of(segment, row).as_bytes()));

fn text_of(segment: u32, row: u32) -> String {
    format!("{segment}/{row}")
}

/// The catalog in plain rows, and what an engine has beside them.
struct Drafted {
    store: Store,
    state: State,
    seal: PendingSeal,
    spec: TenantSpec,
    signer: ReceiptSigner,
}

impl Drafted {
    /// One transaction.
    fn transact<T>(
        &mut self,
        durability: Durability,
        mut needs: Needs,
        work: impl FnOnce(&mut Draft<'_>, &mut State, &Rules<'_>) -> Result<T, StorageError>,
    ) -> T {
        let facts = self.store.read(&mut needs);
        let seal = |reference, exact: &[u8]| self.seal.seal(reference, exact);
        let mut draft = Draft::new(&needs, facts, &seal);
        let mut state = self.state;
        let rules = Rules {
            spec: &self.spec,
            signer: &self.signer,
            trace: TRACE,
        };
        let done = work(&mut draft, &mut state, &rules).expect("rows are sound");
        state.commits += u64::from(durability == Durability::Power);
        self.store.write(&draft.changes());
        self.state = state;
        done
    }
}

/// Both.
pub(super) struct Twins {
    dir: TempDir,
    local: OpenCatalog,
    drafted: Drafted,
}

impl Twins {
    /// Of a tenant that has nobody, and had so many events.
    pub(super) fn new(events: u64) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let spec = spec("acme");
        local::create(dir.path(), &spec, &key(1)).expect("made");
        let seal = Arc::new(PageSeal::new(&key(1)));
        let conn = connection::open_writer(&dir.path().join(CATALOG_FILE), &seal).expect("opened");
        let update = "UPDATE state SET last_usage = ?1";
        conn.execute(update, [int(events)]).expect("updated");
        let store = dump(&conn).expect("read");
        drop(conn);
        let local = local::open(dir.path(), &id("acme"), &key(1), signer()).expect("opened");
        let drafted = Drafted {
            store,
            state: local.writer.state(),
            seal: PendingSeal::new(&spec.id, &key(1)),
            spec,
            signer: signer(),
        };
        Self { dir, local, drafted }
    }

    /// Does a group in both and gives the answers.
    pub(super) fn commit(&mut self, group: impl Fn() -> Vec<Write>, now: Timestamp) -> Answers {
        let answers = self
            .local
            .writer
            .commit(group(), now, TRACE)
            .expect("the disk works");
        let durability = group().iter().map(Write::durability).max();
        let drafted = &mut self.drafted;
        if let Some(durability) = durability {
            let needs = Needs::of(&group(), &drafted.state);
            let others = drafted.transact(durability, needs, |draft, state, rules| {
                group::commit(draft, state, rules, group(), now)
            });
            let [answers, others] = [&answers, &others].map(|it| it.iter().map(plain).collect::<Vec<_>>());
            assert_eq!(answers, others);
        }
        self.compare();
        answers
    }

    /// Makes a checkpoint in both.
    pub(super) fn checkpoint(&mut self) {
        let signed = self.local.writer.checkpoint().expect("made");
        let needs = Needs::of_checkpoint();
        let other = self
            .drafted
            .transact(Durability::Power, needs, |draft, state, rules| {
                chain::checkpoint(draft, state, (rules.spec, rules.signer))
            });
        let [signed, other] = [signed, other].map(|it| counts(&it.checkpoint_json));
        assert_eq!(signed, other);
        self.compare();
    }

    /// Does erasures again in both.
    pub(super) fn catch_up(&mut self, subjects: &[String], may_miss: bool, now: Timestamp) {
        let last = self.drafted.state.last_erasure;
        let entries: Vec<_> = (1..)
            .zip(subjects)
            .map(|(n, subject)| ErasureEntry {
                tenant: self.drafted.spec.id.clone(),
                created_at: self.drafted.spec.created_at,
                erasure: last + 2 * n,
                sequence: 1,
                subject_id: id(subject),
                erased_at: Timestamp(now.0 - 1),
            })
            .collect();
        let erased = self.local.writer.catch_up(&entries, may_miss, now, TRACE);
        let needs = Needs::of_catch_up(&entries);
        let others = self
            .drafted
            .transact(Durability::Power, needs, |draft, state, rules| {
                erase::catch_up(draft, state, rules, (&entries, may_miss), now)
            });
        assert_eq!(erased.expect("done"), others);
        self.compare();
    }

    /// Flushes all pending rows of both into one segment, as each engine does for itself.
    pub(super) fn flush(&mut self) {
        let Drafted { store, state, .. } = &mut self.drafted;
        let ids: Vec<RowId> = std::mem::take(&mut store.pending)
            .into_keys()
            .map(|reference| RowId {
                reference,
                subject: store.references[&reference].new.subject,
            })
            .collect();
        let Ok(rows @ 1..) = u32::try_from(ids.len()) else {
            return;
        };
        let flushed = self.local.writer.flush(&written(rows, 0), &ids, &mut |_| Ok(()));
        let segment = flushed.expect("flushed").entry.number;
        for (row, id) in (0..).zip(&ids) {
            let reference = store.references.get_mut(&id.reference).expect("there");
            reference.place = Place::Segment { segment, row };
        }
        state.pending = 0;
        state.last_segment += 1;
        state.commits += 1;
        self.compare();
    }

    /// Takes buried rows out of these segments of both, and marks erasures purged that no other one holds.
    pub(super) fn purge(&mut self, of: impl Fn(u32) -> bool, now: Timestamp) {
        let mut gone: BTreeMap<u32, Vec<Tombstone>> = BTreeMap::new();
        for tombstone in self.local.reader.tombstones().expect("read") {
            if of(tombstone.segment) {
                gone.entry(tombstone.segment).or_default().push(tombstone);
            }
        }
        for (segment, gone) in gone {
            let rows = self.rows_of(segment);
            let holes = u32::try_from(gone.len()).expect("few");
            let replaced = self.local.writer.replace(segment, &written(rows, holes), &gone);
            replaced.expect("replaced");
            for tombstone in gone {
                let buried = self.drafted.store.tombstones.get_mut(&tombstone.reference);
                buried.expect("there").place = None;
            }
            self.drafted.state.commits += 1;
        }
        let open = self.local.reader.erasures_open().expect("read");
        let purged = self.local.writer.mark_purged(&open, now).expect("marked");
        let needs = Needs::of_purge(&open);
        let others = self
            .drafted
            .transact(Durability::Power, needs, |draft, state, rules| {
                erase::mark_purged(draft, state, (&rules.spec.id, rules.signer), &open, now)
            });
        assert_eq!(purged, others);
        self.compare();
    }

    fn rows_of(&self, segment: u32) -> u32 {
        let rows = "SELECT rows FROM segment WHERE number = ?";
        let rows = self.connection().query_row(rows, [segment], |row| row.get(0));
        rows.expect("there")
    }

    fn connection(&self) -> rusqlite::Connection {
        let seal = Arc::new(PageSeal::new(&key(1)));
        connection::open_reader(&self.dir.path().join(CATALOG_FILE), &seal).expect("opened")
    }

    /// Holds both to the same rows and counters, but for what is random, and the counters to the rows.
    fn compare(&self) {
        assert_eq!(self.local.writer.state(), self.drafted.state);
        self.count();
        let (one, other) = (dump(&self.connection()).expect("read"), &self.drafted.store);
        assert_eq!(one.spec, other.spec);
        assert_eq!(one.subjects, other.subjects);
        assert_eq!(one.links, other.links);
        assert_eq!(one.references.len(), other.references.len());
        for (one, other) in one.references.values().zip(other.references.values()) {
            assert_eq!((one.new, one.place), (other.new, other.place));
        }
        // Those of one transaction are of one time.
        let requests = |store: &Store| {
            let mut requests = store.requests.clone();
            requests.sort_by(|(one, kept), (other, others)| (kept.at, one).cmp(&(others.at, other)));
            requests
        };
        assert_eq!(requests(&one), requests(other));
        assert_eq!(one.tombstones, other.tombstones);
        let plain = |store: &Store| {
            let pending = store.pending.iter().map(|(reference, sealed)| {
                let exact = self.drafted.seal.open(*reference, sealed);
                (*reference, exact.expect("as it was sealed").to_vec())
            });
            let events = store
                .events
                .values()
                .map(|it| (it.number, it.subject, it.event.clone()));
            let erased: Vec<u64> = store.events_erased.keys().copied().collect();
            let erasures = store.erasures.values().map(|it| {
                let answer = &it.answer;
                assert_eq!(answer.purged, signed(&answer.receipt).purged_at.is_some());
                (
                    answer.subject_id.clone(),
                    it.answer.sequence,
                    receipt_of(&answer.receipt),
                )
            });
            let chain = (store.chain.since, store.chain.erased, store.chain.event);
            let checkpoints = store.checkpoints.iter().map(|it| counts(&it.checkpoint_json));
            check_chain(store);
            (
                pending.collect::<Vec<_>>(),
                (events.collect::<Vec<_>>(), erased),
                erasures.collect::<Vec<_>>(),
                (chain, checkpoints.collect::<Vec<_>>()),
            )
        };
        assert_eq!(plain(&one), plain(other));
    }

    /// Holds the counters to the rows.
    fn count(&self) {
        let Drafted { store, state, .. } = &self.drafted;
        let open = store.erasures.values().filter(|it| !it.answer.purged).count();
        let counted = [
            store.subjects.len(),
            store.references.len(),
            store.pending.len(),
            open,
        ];
        let counted = counted.map(|rows| rows as u64);
        let said = [
            state.subjects,
            state.references,
            state.pending,
            state.erasures_open,
        ];
        assert_eq!(said, counted);
        let last = |number: Option<&u64>| number.copied().unwrap_or(0);
        let gone = last(store.tombstones.keys().last());
        assert!(state.last_reference >= gone.max(last(store.references.keys().last())));
        assert!(state.last_subject >= last(store.subjects.keys().last()));
        let (there, erased) = (store.events.keys().last(), store.events_erased.keys().last());
        assert!(state.last_usage >= last(there).max(last(erased)));
        assert!(state.last_erasure >= last(store.erasures.keys().last()));
    }
}

fn written(rows: u32, holes: u32) -> WrittenSegment {
    WrittenSegment {
        ulid: Ulid::generate(),
        path: std::path::PathBuf::new(),
        rows,
        holes,
    }
}

/// Every event fits its commitment, and every head is over the commitments up to it.
fn check_chain(store: &Store) {
    let mut commitments = store.events_erased.clone();
    for (number, kept) in &store.events {
        let made = Event::of(*number, &kept.event).commitment(&store.spec.id, &kept.salt);
        assert_eq!(made, kept.commitment);
        assert!(commitments.insert(*number, made).is_none(), "there or erased");
    }
    let head_at = |event: u64| {
        let upto = commitments.range(..=event);
        upto.fold([0; 32], |head, (number, commitment)| {
            next_head(&head, *number, commitment)
        })
    };
    assert_eq!(head_at(store.chain.event), store.chain.head);
    for signed in &store.checkpoints {
        let checkpoint: Checkpoint = serde_json::from_str(&signed.checkpoint_json).expect("one");
        assert_eq!(to_hex(&head_at(checkpoint.event)), checkpoint.head);
    }
}

/// What a checkpoint says beside time and head.
fn counts(json: &str) -> [u64; 3] {
    let checkpoint: Checkpoint = serde_json::from_str(json).expect("a checkpoint");
    [checkpoint.event, checkpoint.erasures, checkpoint.events_erased]
}

fn signed(receipt: &SignedReceipt) -> ErasureReceipt {
    receipt::verify_of(receipt, signer().public_key()).expect("signed")
}

/// A receipt without the traces of rows that were sealed at random: those of segments are known.
fn receipt_of(receipt: &SignedReceipt) -> ErasureReceipt {
    let mut receipt = signed(receipt);
    let places = (0..12).flat_map(|segment| (0..64).map(move |row| text_of(segment, row)));
    let known: BTreeSet<String> = places.map(|text| to_hex(&sha256(text.as_bytes()))).collect();
    for (sha256, search) in receipt
        .sealed_row_sha256
        .iter_mut()
        .zip(&mut receipt.sealed_row_search)
    {
        if !known.contains(sha256) {
            sha256.clear();
            search.clone_from(&SearchKey {
                bytes: search.bytes,
                fingerprint: String::new(),
            });
        }
    }
    receipt
}

/// An answer without what is random.
fn plain(answer: &Result<Committed, WriteError>) -> (String, Option<ErasureReceipt>) {
    match answer {
        Ok(Committed::Erased {
            erasure,
            sequence,
            subject_id,
            purged,
            receipt,
            removed,
            replayed,
        }) => {
            let rest = (erasure, sequence, subject_id, purged, removed, replayed);
            (format!("{rest:?}"), Some(receipt_of(receipt)))
        }
        other => (format!("{other:?}"), None),
    }
}
