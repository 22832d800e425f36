//! Fixtures of the storage's tests: a tenant in a temporary directory and short words for what is done to it. Checks nothing itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::catalog::connection::{self, Writer};
use super::catalog::erase::sha256;
use super::catalog::page::PageSeal;
use super::data_dir::DataDir;
use super::database::CatalogKeys;
use super::error::{StorageError, WriteError};
use super::import::{ImportStart, Importer};
use super::mark::Mark;
use super::place::{Place, RowId, RowPlanes, SegmentRows};
use super::store::{CATALOG_FILE, Live, Store};
use super::write::{
    Committed, EnrollAnswer, EnrollWrite, EraseAnswer, EraseWrite, ImportWrite, PolicyWrite, ReadAhead,
    ReferenceWrite, SubjectKey, Write,
};
use crate::keys::receipt::{ReceiptSigner, SignerKeys};
use crate::keys::secret::SecretKey;
use crate::model::consent::{Consent, ConsentMethod};
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::policy::{Policy, ThresholdRule};
use crate::model::signature::{Dimension, Encoder};
use crate::model::subject::{Capture, Hand, PadVerdict};
use crate::model::tenant::{TenantSpec, TransformId};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{EventId, Outcome, UsageEvent, UsageKind, UsageRecord};

/// Dimension of the tests' tenants.
pub(super) const DIM: usize = 32;

/// Makes a catalog one of version 2, whose history had no chain.
pub(super) const WITHOUT_CHAIN: &str = "
    DROP INDEX usage_told; ALTER TABLE usage DROP COLUMN told;
    ALTER TABLE usage DROP COLUMN salt; ALTER TABLE usage DROP COLUMN commitment;
    DROP TABLE usage_erased; DROP TABLE chain; DROP TABLE checkpoint; PRAGMA user_version = 2;";

/// A tenant `acme` in a data directory of its own.
pub(super) struct House {
    /// The temporary directory.
    pub(super) tmp: TempDir,
    /// The data directory in it.
    pub(super) dir: DataDir,
    /// The tenant.
    pub(super) store: Store,
}

impl House {
    pub(super) fn new() -> Self {
        let tmp = TempDir::new().expect("a temporary directory");
        let path = tmp.path().join("data");
        DataDir::init(&path).expect("init");
        let dir = DataDir::open(&path).expect("open");
        let store = Store::create(&dir, &spec("acme"), &key(1), signer()).expect("create");
        Self { tmp, dir, store }
    }

    /// Closes all and opens it again.
    pub(super) fn reopen(self) -> Self {
        let Self { tmp, dir, store } = self;
        drop((store, dir));
        Self::open(tmp)
    }

    pub(super) fn open(tmp: TempDir) -> Self {
        let dir = DataDir::open(tmp.path().join("data")).expect("open");
        let store = Store::open(&dir, &id("acme"), &key(1), signer()).expect("open");
        Self { tmp, dir, store }
    }

    /// What a machine finds that lost its process now: a copy of the files as they are while everything is open.
    pub(super) fn crash(&self) -> Self {
        self.crash_with(|_| ())
    }

    /// The same, with something done to the copy of the data directory before it is opened.
    pub(super) fn crash_with(&self, change: impl FnOnce(&Path)) -> Self {
        let tmp = self.crash_copy();
        change(&tmp.path().join("data"));
        Self::open(tmp)
    }

    /// A copy of the files as they are while everything is open.
    pub(super) fn crash_copy(&self) -> TempDir {
        let tmp = TempDir::new().expect("a temporary directory");
        copy_tree(&self.tmp.path().join("data"), &tmp.path().join("data"));
        tmp
    }

    /// The tenant's directory.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.tenant_path(&id("acme"))
    }

    /// A connection to the catalog beside those of the store, for what nobody does through it.
    pub(super) fn sql(&self) -> rusqlite::Connection {
        let seal = Arc::new(PageSeal::new(&key(1)));
        connection::open_writer(&self.store.path().join(CATALOG_FILE), &seal).expect("opened")
    }

    /// A writer in the place of the store's.
    pub(super) fn writer(&self) -> Writer {
        let (mark, marked) = Mark::open(self.store.path(), &key(1)).expect("there");
        Writer::new(self.sql(), mark, marked).expect("sound")
    }

    /// Segment files.
    pub(super) fn segment_files(&self) -> Vec<PathBuf> {
        files(&self.path().join("segments"))
    }

    /// A row as it stands in its segment, encrypted.
    pub(super) fn sealed_row(&self, segment: u32, row: u32) -> Vec<u8> {
        let live = self.store.0.live(segment, row).expect("there");
        sealed_row(&live, row)
    }

    /// The only segment file.
    pub(super) fn segment_file(&self) -> PathBuf {
        let mut files = self.segment_files();
        assert_eq!(files.len(), 1, "one segment");
        files.remove(0)
    }

    pub(super) fn one(&self, write: Write) -> Result<Committed, WriteError> {
        let mut answers = self.store.commit(vec![write]).expect("the disk works");
        answers.remove(0)
    }

    /// Enrols one reference of a subject.
    pub(super) fn enroll(&self, subject: &str, seed: u64) -> EnrollAnswer {
        let request = format!("enroll-{subject}-{seed}");
        enrolled(self.one(Write::Enroll(enroll(&request, subject, &[seed])))).0
    }

    /// Gives the tenant another policy.
    pub(super) fn set_policy(&self, request: &str, policy: &Policy) -> Result<(), WriteError> {
        let write = PolicyWrite {
            request_id: id(request),
            request_digest: sha256(format!("{policy:?}").as_bytes()),
            policy: policy.clone(),
        };
        self.one(Write::Policy(write)).map(drop)
    }

    /// Erases a subject.
    pub(super) fn erase(&self, subject: &str) -> (EraseAnswer, Vec<Place>) {
        erased(self.one(erase(&format!("erase-{subject}"), subject)))
    }

    /// Enrols subjects `s1` to `sN`, seeds 1 to N, and flushes them into one segment, whose number it returns.
    pub(super) fn flushed(&self, count: u64) -> u32 {
        for seed in 1..=count {
            self.enroll(&format!("s{seed}"), seed);
        }
        self.flush().expect("flushed").segment
    }

    pub(super) fn flush(&self) -> Result<super::write::FlushOutcome, StorageError> {
        self.store.flush(&self.store.pending().expect("pending"), &encode)
    }

    /// The coordinates of rows; `None` where erased.
    pub(super) fn exact(&self, places: &[Place]) -> Vec<Option<Vec<u8>>> {
        let rows = self.store.read(places).expect("readable");
        rows.into_iter()
            .map(|row| row.map(|row| row.exact.to_vec()))
            .collect()
    }

    /// Begins an import of so many rows.
    pub(super) fn importer(&self, request: &str, rows: u64) -> Importer {
        match self.store.import(import(request, rows)).expect("import") {
            ImportStart::New(importer) => importer,
            ImportStart::Replayed(_) => panic!("not asked before"),
        }
    }

    /// Files of the tenant in which these bytes stand.
    pub(super) fn files_with(&self, needle: &[u8]) -> Vec<PathBuf> {
        let mut found = files(&self.path());
        found.extend(self.segment_files());
        found.retain(|path| {
            let bytes = fs::read(path).expect("readable");
            bytes.windows(needle.len()).any(|window| window == needle)
        });
        found
    }
}

/// A row as it stands in this file, encrypted.
pub(super) fn sealed_row(live: &Live, row: u32) -> Vec<u8> {
    let sealed = live.file.part(|reader| Ok(reader.sealed_row(row)?.to_vec()));
    sealed.expect("readable")
}

pub(super) fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a valid id")
}

pub(super) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32])
}

/// The keys of a catalog in a database.
pub(super) fn keys() -> CatalogKeys {
    CatalogKeys {
        secret: key(2),
        data_key: key(1),
    }
}

pub(super) fn signer() -> ReceiptSigner {
    ReceiptSigner::new(&key(99))
}

/// The keys of [`signer`] alone.
pub(super) fn signers() -> SignerKeys {
    SignerKeys::new(signer().public_key())
}

pub(super) fn spec(tenant: &str) -> TenantSpec {
    TenantSpec {
        id: id::<TenantId>(tenant),
        dimension: Dimension::new(DIM).expect("valid"),
        encoder: Encoder::new("palm", "1").expect("valid"),
        transform: TransformId {
            version: 1,
            digest: [7; 32],
        },
        policy: Policy {
            threshold: ThresholdRule::Score(0.5),
            margin: 0.05,
            quality_min: 0,
            pad_required: false,
            links: std::collections::BTreeMap::new(),
            deterministic: false,
            retention: crate::model::policy::Retention::default(),
            sealed_probes: false,
        },
        created_at: Timestamp(1),
    }
}

/// Coordinates that no other seed has.
pub(super) fn exact(seed: u64) -> Vec<u8> {
    expand(&seed.to_le_bytes(), 2 * DIM)
}

/// A stand-in for the engine's encoder: codes that depend on every byte of the row, zero for a hole.
pub(super) fn encode(exact: &[u8], rows: usize) -> RowPlanes {
    assert_eq!(exact.len(), rows * 2 * DIM);
    let mut planes = RowPlanes {
        sign: Vec::new(),
        refine: Vec::new(),
        scale: Vec::new(),
    };
    for row in exact.chunks(2 * DIM) {
        let code = if row.iter().all(|byte| *byte == 0) {
            vec![0; DIM / 2 + 12]
        } else {
            expand(row, DIM / 2 + 12)
        };
        let (sign, rest) = code.split_at(DIM / 8);
        let (refine, scale) = rest.split_at(3 * DIM / 8);
        planes.sign.extend_from_slice(sign);
        planes.refine.extend_from_slice(refine);
        planes.scale.extend_from_slice(scale);
    }
    planes
}

/// Rows with these ids; the seed of a row is its reference.
pub(super) fn rows(ids: &[RowId]) -> SegmentRows {
    let exact: Vec<u8> = ids
        .iter()
        .flat_map(|id| {
            if *id == RowId::HOLE {
                vec![0; 2 * DIM]
            } else {
                exact(id.reference)
            }
        })
        .collect();
    SegmentRows {
        planes: encode(&exact, ids.len()),
        exact: Zeroizing::new(exact),
        ids: ids.to_vec(),
    }
}

pub(super) fn enroll(request: &str, subject: &str, seeds: &[u64]) -> EnrollWrite {
    EnrollWrite {
        request_id: id(request),
        request_digest: sha256(request.as_bytes()),
        subject_id: id(subject),
        references: seeds.iter().map(|seed| reference(*seed, Hand::Right)).collect(),
        consent: consent("v1"),
        links: Vec::new(),
        usage: usage(request, UsageKind::Enroll, Some(subject)),
    }
}

pub(super) fn reference(seed: u64, hand: Hand) -> ReferenceWrite {
    ReferenceWrite {
        exact: Zeroizing::new(exact(seed)),
        hand,
        capture: capture(),
    }
}

pub(super) fn capture() -> Capture {
    Capture {
        hand: None,
        quality: 80,
        captured_at: Timestamp(5),
        pad: PadVerdict::BonaFide,
    }
}

pub(super) fn consent(version: &str) -> Consent {
    Consent {
        policy_version: version.to_owned(),
        purpose: "doors".to_owned(),
        given_at: Timestamp(10),
        expires_at: Timestamp::now().plus(Duration::from_hours(1)),
        method: ConsentMethod::InApp,
    }
}

pub(super) fn link(kind: LinkKind, value: u8) -> SealedLink {
    SealedLink {
        kind,
        lookup: [value; 32],
        sealed: vec![value; 40],
    }
}

pub(super) fn usage(request: &str, kind: UsageKind, subject: Option<&str>) -> UsageEvent {
    UsageEvent {
        at: Timestamp(20),
        kind,
        outcome: Outcome::Done,
        subject_id: subject.map(id),
        site: Some(id("gate-1")),
        principal: id("scanner-1"),
        request_id: id(request),
    }
}

/// An event as it is told, under an id that its request gives it.
pub(super) fn tell(event: UsageEvent) -> Write {
    let digest = sha256(event.request_id.as_str().as_bytes());
    let id = digest.first_chunk().expect("it is longer");
    Write::Usage(UsageRecord {
        id: EventId(*id),
        event,
    })
}

pub(super) fn erase(request: &str, subject: &str) -> Write {
    Write::Erase(EraseWrite {
        request_id: id::<RequestId>(request),
        request_digest: sha256(request.as_bytes()),
        subject: SubjectKey::Id(id::<SubjectId>(subject)),
        only_if: None,
        ahead: ReadAhead::default(),
    })
}

/// The answer to an enrolment, and whether it was given before.
pub(super) fn enrolled(answer: Result<Committed, WriteError>) -> (EnrollAnswer, bool) {
    match answer {
        Ok(Committed::Enrolled { answer, replayed }) => (answer, replayed),
        other => panic!("enrolled: {other:?}"),
    }
}

/// The answer to an erasure, and where the rows were.
pub(super) fn erased(answer: Result<Committed, WriteError>) -> (EraseAnswer, Vec<Place>) {
    match answer {
        Ok(Committed::Erased {
            erasure,
            sequence,
            subject_id,
            purged,
            receipt,
            removed,
            ..
        }) => {
            let answer = EraseAnswer {
                erasure,
                sequence,
                subject_id,
                purged,
                receipt,
            };
            (answer, removed)
        }
        other => panic!("erased: {other:?}"),
    }
}

pub(super) fn import(request: &str, rows: u64) -> ImportWrite {
    ImportWrite {
        request_id: id(request),
        request_digest: sha256(request.as_bytes()),
        rows,
        hand: Hand::Left,
        capture: capture(),
        consent: consent("import"),
    }
}

pub(super) fn subjects(range: std::ops::Range<u64>) -> Vec<SubjectId> {
    range.map(|n| id(&format!("i{n}"))).collect()
}

/// Files in a directory.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).expect("a directory");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

fn expand(seed: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let mut input = seed.to_vec();
        input.push(u8::try_from(bytes.len() / 32).expect("few"));
        bytes.extend_from_slice(&sha256(&input));
    }
    bytes.truncate(len);
    bytes
}

/// Copies a directory with all that is in it.
pub(super) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creatable");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}
