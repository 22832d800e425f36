//! One tenant in two catalogs, in a file and in a database: any groups one after the other come to the same in both.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::policy::Policy;
use crate::storage::catalog::erase::sha256;
use crate::storage::catalog::local;
use crate::storage::error::WriteError;
use crate::storage::place::RowId;
use crate::storage::testing::{reference, tell};
use crate::storage::write::{Committed, PolicyWrite, ReadAhead};

/// A write by small numbers, so that they collide: what it is, whose, of which link, and under which request.
type Step = (u8, u8, u8, u8);

/// What is done: a group, or without one a flush (0), a purge (1), a checkpoint (2) or an opening anew (3).
type Deed = Result<Vec<Step>, u8>;

const SUBJECTS: u8 = 4;
const LINKS: u8 = 3;

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let step = (0_u8..12, 0..SUBJECTS, 0..LINKS, 0_u8..40);
    let deed = prop_oneof![
        4 => vec(step, 1..9).prop_map(Ok),
        2 => (0_u8..4).prop_map(Err),
    ];
    vec(deed, 1..24)
}

fn by_link(value: u8) -> SubjectKey {
    SubjectKey::Link {
        kind: LinkKind::BadgeId,
        lookup: [value; 32],
    }
}

fn write(step: Step, now: Timestamp) -> Write {
    let (what, subject, of, request) = step;
    let (name, request) = (format!("s{subject}"), format!("r{request}"));
    let request_digest = sha256(format!("{step:?}").as_bytes());
    let erase = |subject, only_if| {
        Write::Erase(EraseWrite {
            request_id: id(&request),
            request_digest,
            subject,
            only_if,
            ahead: ReadAhead::default(),
        })
    };
    let retention = Retention {
        idle_days_max: None,
        consent_end: true,
    };
    match what {
        0..=5 => {
            let mut write = enroll(&request, &name, &[u64::from(what)]);
            write.request_digest = request_digest;
            write.consent.expires_at = now.plus(Duration::from_hours(u64::from(of)));
            if what > 2 {
                write.links = vec![link(LinkKind::BadgeId, of)];
            }
            if what == 5 {
                write
                    .references
                    .extend((0..4).map(|seed| reference(seed, crate::model::subject::Hand::Left)));
            }
            Write::Enroll(write)
        }
        6 => erase(SubjectKey::Id(id(&name)), None),
        7 => erase(by_link(of), None),
        8 => {
            let as_of = now;
            erase(SubjectKey::Id(id(&name)), Some(Due { retention, as_of }))
        }
        9 => Write::Policy(PolicyWrite {
            request_id: id(&request),
            request_digest,
            policy: Policy {
                retention,
                ..spec("acme").policy
            },
        }),
        _ => {
            let mut event = usage(&request, UsageKind::Identify, Some(&name));
            event.outcome = crate::model::usage::Outcome::Match;
            tell(event)
        }
    }
}

/// An answer without what is random in it.
fn plain(answer: Result<Committed, WriteError>) -> String {
    match answer {
        Ok(Committed::Erased {
            erasure,
            subject_id,
            purged,
            removed,
            replayed,
            ..
        }) => format!("{erasure} {subject_id} {purged} {removed:?} {replayed}"),
        other => format!("{other:?}"),
    }
}

/// All that both say.
fn told(catalog: &OpenCatalog) -> Vec<String> {
    let reader = &catalog.reader;
    let mut told = vec![
        format!("{:?}", reader.spec().expect("read")),
        format!("{:?}", reader.pending().expect("read")),
        format!("{:?}", reader.tombstones().expect("read")),
        format!("{:?}", reader.erasures_open().expect("read")),
        format!("{:?}", reader.erasures_between(0, 1_000, 1_000).expect("read")),
        format!("{:?}", reader.usage(None, None, 7).expect("read")),
        format!("{:?}", reader.is_ahead().expect("read")),
    ];
    let due = Due {
        retention: Retention {
            consent_end: true,
            idle_days_max: Some(1),
        },
        as_of: Timestamp::now().plus(Duration::from_hours(100)),
    };
    // In no certain order where two are due at once.
    let mut ids = reader.due(&due, 10).expect("read");
    ids.sort();
    told.push(format!("{ids:?}"));
    for subject in 0..SUBJECTS {
        let name: crate::model::id::SubjectId = id(&format!("s{subject}"));
        told.push(format!(
            "{:?}",
            reader.subject(&SubjectKey::Id(name.clone())).expect("read")
        ));
        told.push(format!("{:?}", reader.subject_rows(&name).expect("read")));
        told.push(format!(
            "{:?}",
            reader.usage(Some(&name), Some(30), 3).expect("read")
        ));
        told.push(format!("{:?}", reader.erasures_of(&name).expect("read")));
    }
    for value in 0..LINKS {
        told.push(format!("{:?}", reader.subject(&by_link(value)).expect("read")));
    }
    let references: Vec<u64> = (0..60).collect();
    for located in reader.locate(&references).expect("read") {
        told.push(match located {
            None => String::new(),
            Some(Located::Placed { segment, row }) => format!("{segment}/{row}"),
            Some(Located::Pending(row)) => {
                let found = reader.candidates(&[row.id], &LinkKind::ALL).expect("read");
                format!("{:?} {:?} {found:?}", row.id, *row.exact)
            }
        });
    }
    told
}

/// Moves all that is pending to a segment, with a hole behind it.
fn flush(catalog: &mut OpenCatalog, file: &WrittenSegment) {
    let pending = catalog.reader.pending().expect("read");
    let located = catalog.reader.locate(&pending).expect("read").into_iter();
    let ids = located.filter_map(|located| match located {
        Some(Located::Pending(row)) => Some(row.id),
        _ => None,
    });
    let mut ids: Vec<RowId> = ids.collect();
    ids.push(RowId::HOLE);
    let flushed = catalog.writer.flush(file, &ids, &mut |_| Ok(()));
    flushed.expect("flushed");
}

fn purge(catalog: &mut OpenCatalog, files: &[WrittenSegment]) -> usize {
    let tombstones = catalog.reader.tombstones().expect("read");
    for gone in tombstones.chunk_by(|a, b| a.segment == b.segment) {
        let segment = gone[0].segment;
        let file = &files[segment as usize - 1];
        catalog.writer.replace(segment, file, gone).expect("replaced");
    }
    assert!(catalog.writer.forget_copies().expect("forgotten"));
    let open = catalog.reader.erasures_open().expect("read");
    let now = Timestamp::now();
    catalog.writer.mark_purged(&open, now).expect("marked")
}

fn hold(kept: &Kept, deeds: Vec<Deed>) {
    let dir = TempDir::new().expect("a temporary directory");
    local::create(dir.path(), &spec("acme"), &key(1)).expect("made");
    let reopen = || {
        let local = local::open(dir.path(), &id("acme"), &key(1), signer()).expect("opened");
        [local, kept.open()]
    };
    let mut both = reopen();
    let mut files = Vec::new();
    for deed in deeds {
        match deed {
            Ok(steps) => {
                let now = Timestamp::now();
                let answers = both.each_mut().map(|catalog| {
                    let group = steps.iter().map(|step| write(*step, now)).collect();
                    let answers = catalog
                        .writer
                        .commit(group, now, TRACE)
                        .expect("the engine works");
                    answers.into_iter().map(plain).collect::<Vec<_>>()
                });
                assert_eq!(answers[0], answers[1]);
            }
            Err(0) => {
                let rows = both[0].reader.pending().expect("read").len() + 1;
                let file = written(u32::try_from(rows).expect("few"));
                for catalog in &mut both {
                    flush(catalog, &file);
                }
                files.push(file);
            }
            Err(1) => {
                let [one, other] = both.each_mut().map(|catalog| purge(catalog, &files));
                assert_eq!(one, other);
            }
            Err(2) => {
                for catalog in &mut both {
                    catalog.writer.checkpoint().expect("signed");
                }
            }
            Err(_) => {
                drop(both);
                both = reopen();
            }
        }
        let [one, other] = both.each_ref().map(told);
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one, other);
        }
        let [one, other] = both.each_ref().map(|catalog| catalog.writer.state());
        let commits = other.commits;
        assert_eq!(crate::storage::catalog::state::State { commits, ..one }, other);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_groups_come_to_the_same_in_a_file_and_in_a_database(deeds in deeds()) {
        if let Some(kept) = Kept::new() {
            hold(&kept, deeds);
        }
    }
}
