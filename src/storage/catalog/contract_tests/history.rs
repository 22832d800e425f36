//! Behaviours of the history: its pages, its events, and checkpoints over it.

use super::Rig;
use crate::keys::receipt;
use crate::model::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::model::id::SubjectId;
use crate::model::usage::{Outcome, UsageKind};
use crate::storage::testing::{id, signer, tell, usage};
use crate::storage::write::Write;

pub(super) fn the_history_is_paged_newest_first(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    let event = |n: u64| {
        let subject = n.is_multiple_of(2).then_some("s1");
        Write::Usage(usage(&format!("u{n}"), UsageKind::Identify, subject).into())
    };
    catalog.commit((0..5).map(event).collect());
    let page = |subject: Option<&str>, before, limit| {
        let subject = subject.map(id::<SubjectId>);
        let page = catalog.reader.usage(subject.as_ref(), before, limit);
        let (events, next) = page.expect("read");
        let ids: Vec<String> = events.iter().map(|event| event.request_id.to_string()).collect();
        (ids.join(" "), next)
    };
    let (first, next) = page(None, None, 4);
    assert_eq!(first, "u4 u3 u2 u1");
    assert_eq!(page(None, next, 4), ("u0 enroll-s1-1".to_owned(), None));
    let (first, next) = page(Some("s1"), None, 3);
    assert_eq!(first, "u4 u2 u0");
    assert_eq!(page(Some("s1"), next, 3), ("enroll-s1-1".to_owned(), None));
    assert_eq!(page(Some("nobody"), None, 3), (String::new(), None));
    assert_eq!(page(None, Some(u64::MAX), 1).0, "u4");
}

pub(super) fn a_recorded_event_comes_back_as_it_was(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    let mut event = usage("u1", UsageKind::Verify, Some("s1"));
    event.outcome = Outcome::NoMatch;
    event.site = None;
    catalog.one(Write::Usage(event.clone().into())).expect("recorded");
    drop(catalog);
    let (events, _) = rig.open().reader.usage(None, None, 1).expect("read");
    assert_eq!(events, [event]);
}

pub(super) fn an_event_that_is_told_again_is_recorded_once(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    let event = |request: &str| usage(request, UsageKind::Identify, Some("s1"));
    // In one group, in the next one, and by another process.
    catalog.commit(vec![tell(event("u1")), tell(event("u2")), tell(event("u1"))]);
    catalog.one(tell(event("u2"))).expect("answered as before");
    drop(catalog);
    let mut catalog = rig.open();
    catalog.one(tell(event("u1"))).expect("answered as before");
    // What is told under another id is another one, whatever it says.
    catalog.one(Write::Usage(event("u1").into())).expect("recorded");
    let (events, _) = catalog.reader.usage(None, None, 10).expect("read");
    let requests: Vec<&str> = events.iter().map(|event| event.request_id.as_str()).collect();
    assert_eq!(requests, ["u1", "u2", "u1", "enroll-s1-1"]);
    // Nothing of it is left to be known again by once the subject is erased.
    catalog.erase("s1");
    catalog.one(tell(event("u1"))).expect("recorded");
    let (events, _) = catalog.reader.usage(None, None, 10).expect("read");
    assert_eq!(events.len(), 1);
}

pub(super) fn an_event_that_comes_after_the_erasure_names_nobody(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    catalog.erase("s1");
    let late = usage("u1", UsageKind::Identify, Some("s1"));
    catalog.one(Write::Usage(late.into())).expect("recorded");
    let (events, _) = catalog.reader.usage(None, None, 10).expect("history");
    let subjects: Vec<_> = events.iter().map(|event| &event.subject_id).collect();
    assert_eq!(subjects, [&None]);
}

pub(super) fn checkpoints_go_on_over_erased_events(rig: &impl Rig) {
    fn signed(checkpoint: &SignedCheckpoint) -> Checkpoint {
        receipt::verify_checkpoint_of(checkpoint, signer().public_key()).expect("signed")
    }
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    catalog.enroll("s2", 2);
    assert!(catalog.reader.is_ahead().expect("read"));
    let first = signed(&catalog.writer.checkpoint().expect("made"));
    assert_eq!((first.event, first.erasures, first.events_erased), (2, 0, 0));
    assert!(!catalog.reader.is_ahead().expect("read"));
    catalog.enroll("s3", 3);
    catalog.erase("s3");
    catalog.erase("s1");
    // The event that went before a checkpoint was over it counts all the same.
    assert!(catalog.reader.is_ahead().expect("read"));
    let second = signed(&catalog.writer.checkpoint().expect("made"));
    assert_eq!((second.event, second.erasures, second.events_erased), (3, 2, 2));
    assert_ne!(second.head, first.head);
    drop(catalog);
    let again = signed(&rig.open().writer.checkpoint().expect("made"));
    assert_eq!((again.event, again.head), (second.event, second.head));
    assert_eq!(again.since, first.since);
}
