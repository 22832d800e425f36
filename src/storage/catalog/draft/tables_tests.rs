//! Tests of what the rules leave in a draft.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::keys::encoding::to_hex;
use crate::keys::receipt;
use crate::model::checkpoint::ChainStart;
use crate::model::erasure::ErasureReceipt;
use crate::model::subject::Hand;
use crate::model::usage::UsageKind;
use crate::storage::catalog::draft::needs::Needs;
use crate::storage::catalog::draft::rows::{Changes, Event, Facts};
use crate::storage::catalog::erase::{Trace, sha256};
use crate::storage::catalog::group::{self, Rules};
use crate::storage::catalog::request::Method;
use crate::storage::catalog::state::State;
use crate::storage::testing::{capture, consent, enroll, erase, erased, id, link, signer, spec, usage};
use crate::storage::write::{Answers, Write};

/// What is known of a tenant that has nobody.
fn nothing() -> Facts {
    Facts {
        spec: spec("acme"),
        chain: Chain {
            since: ChainStart::default(),
            erased: 0,
            event: 0,
            head: [0; 32],
        },
        requests: Vec::new(),
        subjects: Vec::new(),
        links: Vec::new(),
        references: Vec::new(),
        pending: Vec::new(),
        events: Vec::new(),
        told: Vec::new(),
        commitments: Vec::new(),
        erasures: Vec::new(),
    }
}

/// The same with `s1`, handle 7, whose badge is 1 and whose reference 3 is pending.
fn one_subject() -> Facts {
    let subject = Subject {
        id: id("s1"),
        created_at: Timestamp(1),
        consent: consent("v1"),
        last_used: Timestamp(1),
    };
    let held = HeldReference {
        reference: 3,
        hand: Hand::Left,
        place: Place::Pending { reference: 3 },
    };
    Facts {
        subjects: vec![(7, subject)],
        links: vec![(7, link(LinkKind::BadgeId, 1))],
        references: vec![(7, held)],
        ..nothing()
    }
}

fn state() -> State {
    State {
        last_subject: 7,
        last_reference: 3,
        subjects: 1,
        references: 1,
        pending: 1,
        ..State::default()
    }
}

/// Does a group, of which so much is known.
fn commit(needs: &Needs, facts: Facts, group: Vec<Write>) -> (Answers, Changes) {
    let seal = |reference: u64, _: &[u8]| format!("row {reference}").into_bytes();
    let mut draft = Draft::new(needs, facts, &seal);
    let (spec, signer) = (spec("acme"), signer());
    let rules = Rules {
        spec: &spec,
        signer: &signer,
        trace: &|segment, row| Ok(Trace::of(format!("{segment}/{row}").as_bytes())),
    };
    let answers = group::commit(&mut draft, &mut state(), &rules, group, Timestamp(1_000));
    (answers.expect("rows are sound"), draft.changes())
}

fn signed(receipt: &SignedReceipt) -> ErasureReceipt {
    receipt::verify_of(receipt, signer().public_key()).expect("signed")
}

#[test]
fn what_came_and_went_in_one_group_leaves_commitment_request_and_receipt() {
    let group = || vec![Write::Enroll(enroll("r1", "s2", &[1])), erase("e1", "s2")];
    let (answers, changes) = commit(&Needs::of(&group(), &state()), nothing(), group());
    let (answer, _) = erased(answers.into_iter().nth(1).expect("two"));
    // The row was sealed, though it was written nowhere.
    let trace = to_hex(&sha256(b"row 4"));
    assert_eq!(signed(&answer.receipt).sealed_row_sha256, [trace]);
    assert!(changes.subjects_added.is_empty() && changes.subjects_removed.is_empty());
    assert!(changes.references_added.is_empty() && changes.pending_added.is_empty());
    assert!(changes.events_added.is_empty() && changes.events_forgotten.is_empty());
    let left: Vec<u64> = changes
        .commitments_left
        .iter()
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(left, [1]);
    let answered = |(id, kept): &(RequestId, StoredRequest)| (id.to_string(), kept.answer.is_some());
    let requests: Vec<_> = changes.requests_added.iter().map(answered).collect();
    assert_eq!(requests, [("e1".to_owned(), true), ("r1".to_owned(), false)]);
    let tombstones: Vec<_> = changes
        .tombstones_added
        .iter()
        .map(|(erasure, held)| (*erasure, held.reference))
        .collect();
    assert_eq!(tombstones, [(1, 4)]);
    assert_eq!(changes.chain.expect("counted").erased, 1);
}

#[test]
fn a_link_that_is_replaced_is_free_within_the_group() {
    let linked = |request: &str, subject: &str, value| {
        let mut write = enroll(request, subject, &[]);
        write.links = vec![link(LinkKind::BadgeId, value)];
        Write::Enroll(write)
    };
    let group = || {
        vec![
            linked("r1", "s2", 1),
            linked("r2", "s1", 2),
            linked("r3", "s2", 1),
        ]
    };
    let (answers, changes) = commit(&Needs::of(&group(), &state()), one_subject(), group());
    let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(done, [false, true, true]);
    assert_eq!(changes.links_removed, [(7, LinkKind::BadgeId)]);
    let added = [(7, link(LinkKind::BadgeId, 2)), (8, link(LinkKind::BadgeId, 1))];
    assert_eq!(changes.links_added, added);
    let subjects: Vec<u64> = changes.subjects_added.iter().map(|(handle, _)| *handle).collect();
    assert_eq!(
        subjects,
        [8],
        "the handle of a refused enrolment is given out again"
    );
}

#[test]
fn a_fact_that_was_not_read_is_never_taken_for_none() {
    let panics = |needs: Needs, facts: Facts, group: Vec<Write>| {
        let done = catch_unwind(AssertUnwindSafe(|| drop(commit(&needs, facts, group))));
        let message = done.expect_err("refused").downcast::<String>();
        let message = *message.expect("in words");
        assert!(message.ends_with("the needs of the group forgot it"), "{message}");
        assert!(!message.contains("s1"), "nobody is named: {message}");
    };
    let enrolment = || vec![Write::Enroll(enroll("r1", "s1", &[1]))];
    let of = |group: &[Write]| Needs::of(group, &state());
    panics(Needs::default(), nothing(), enrolment());
    let mut no_subject = of(&enrolment());
    no_subject.subjects.clear();
    panics(no_subject, nothing(), enrolment());
    // Read for a use, and enrolled; read for an enrolment, and erased.
    let mut shallow = of(&[Write::Usage(usage("u1", UsageKind::Identify, Some("s1")).into())]);
    shallow.requests.insert(id("r1"));
    panics(shallow, one_subject(), enrolment());
    let mut held = of(&enrolment());
    held.requests.insert(id("e1"));
    panics(held, one_subject(), vec![erase("e1", "s1")]);
}

/// Takes all of `s1`, adds `s2` with the handle 8, and replaces all else.
fn change_all(draft: &mut Draft<'_>) -> Result<(), StorageError> {
    draft.scrub_requests(7)?;
    draft.forget_events(7)?;
    draft.remove_references(7)?;
    draft.remove_links(7)?;
    draft.remove_subject(7)?;
    draft.insert_subject(8, &id("s2"), &consent("v2"), Timestamp(2))?;
    draft.put_link(8, &link(LinkKind::BadgeId, 2))?;
    let new = NewReference {
        reference: 4,
        subject: 8,
        hand: Hand::Left,
        capture: capture(),
        enrolled_at: Timestamp(2),
        sequence: 1,
    };
    draft.insert_reference(&new, b"row")?;
    draft.insert_event(recorded(2, 8, "s2"))?;
    let receipt = SignedReceipt {
        receipt_json: String::new(),
        signature: Vec::new(),
        public_key: Vec::new(),
    };
    let answer = EraseAnswer {
        erasure: 5,
        sequence: 1,
        subject_id: id("s1"),
        purged: false,
        receipt: receipt.clone(),
    };
    draft.insert_erasure(&answer, &draft.references(8)?)?;
    draft.insert_request(&id("r2"), kept(8))?;
    draft.prune_requests(Timestamp(1), 1)?;
    draft.touch_all(Timestamp(9))?;
    draft.set_chain(&Chain {
        event: 9,
        ..draft.chain()?
    })?;
    draft.insert_checkpoint(&SignedCheckpoint {
        checkpoint_json: String::new(),
        signature: Vec::new(),
        public_key: Vec::new(),
    })?;
    draft.set_spec(&spec("other"))
}

fn recorded(number: u64, subject: u64, name: &str) -> RecordedEvent {
    RecordedEvent {
        number,
        subject: Some(subject),
        event: usage("u1", UsageKind::Identify, Some(name)),
        salt: [0; 16],
        commitment: [0; 32],
        told: None,
    }
}

fn kept(subject: u64) -> StoredRequest {
    StoredRequest {
        method: Method::Enroll,
        digest: vec![1; 32],
        answer: Some(String::new()),
        subject: Some(subject),
        at: Timestamp(1),
    }
}

#[test]
fn an_undo_is_exact_whatever_was_done() {
    let mut needs = Needs::default();
    needs
        .subjects
        .extend([(id("s1"), Depth::Whole), (id("s2"), Depth::Held)]);
    needs
        .links
        .extend([1, 2].map(|value| ((LinkKind::BadgeId, [value; 32]), Depth::Row)));
    let mut facts = one_subject();
    facts.requests.push((id("r1"), kept(7)));
    facts.pending.push((3, b"row 3".to_vec()));
    facts.events.push(Event {
        number: 1,
        subject: 7,
        recorded: Some(recorded(1, 7, "s1")),
    });
    let seal = |_: u64, exact: &[u8]| exact.to_vec();
    let mut draft = Draft::new(&needs, facts.clone(), &seal);
    let seen = |draft: Draft<'_>| {
        let handles = ["s1", "s2"].map(|name| draft.subject(&id(name)).expect("asked"));
        let owners = [1, 2].map(|value| draft.link_owner(LinkKind::BadgeId, &[value; 32]).expect("asked"));
        (handles, owners, format!("{:?}", draft.changes()))
    };
    draft.begin().expect("begun");
    change_all(&mut draft).expect("changed");
    draft.undo().expect("undone");
    let untouched = seen(Draft::new(&needs, facts.clone(), &seal));
    assert_eq!(seen(draft), untouched);
    // What was kept is not undone with the next member.
    let mut draft = Draft::new(&needs, facts, &seal);
    draft.begin().expect("begun");
    change_all(&mut draft).expect("changed");
    draft.keep().expect("kept");
    draft.begin().expect("begun");
    draft.undo().expect("undone");
    let (handles, owners, _) = seen(draft);
    assert_eq!((handles, owners), ([None, Some(8)], [None, Some(8)]));
}

#[test]
fn a_pending_row_that_is_gone_is_damage() {
    let group = || vec![erase("e1", "s1")];
    let seal = |_: u64, _: &[u8]| Vec::new();
    let needs = Needs::of(&group(), &state());
    let mut facts = one_subject();
    let draft = Draft::new(&needs, facts.clone(), &seal);
    let missing = draft.sealed(7, 3).expect_err("gone");
    assert!(matches!(missing, StorageError::Damaged { .. }), "{missing}");
    facts.pending.push((3, b"row 3".to_vec()));
    let (answers, changes) = commit(&needs, facts, group());
    let (answer, removed) = erased(answers.into_iter().next().expect("one"));
    assert_eq!(removed, [Place::Pending { reference: 3 }]);
    let trace = to_hex(&sha256(b"row 3"));
    assert_eq!(signed(&answer.receipt).sealed_row_sha256, [trace]);
    assert_eq!(
        (changes.pending_removed, changes.references_removed),
        (vec![3], vec![3])
    );
    assert_eq!(changes.subjects_removed, [7]);
}
