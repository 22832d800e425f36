//! Tests of drafts: any groups, one after the other, come to the same by a draft over plain rows as by statements in a file.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use self::twins::Twins;
use super::*;
use crate::model::policy::Retention;
use crate::model::retention::Due;
use crate::model::subject::Hand;
use crate::model::usage::{Outcome, UsageKind};
use crate::storage::catalog::erase::sha256;
use crate::storage::testing::{enroll, id, link, reference, spec, tell, usage};
use crate::storage::write::{EraseWrite, PolicyWrite, ReadAhead, SubjectKey, Write};

#[path = "draft_tests/dump.rs"]
mod dump;
#[path = "draft_tests/store.rs"]
mod store;
#[path = "draft_tests/twins.rs"]
mod twins;

/// Links of the tests; few, so that they are wanted by many.
const KINDS: [LinkKind; 2] = [LinkKind::BadgeId, LinkKind::PhoneNumber];

/// One write, by small numbers.
#[derive(Debug, Clone)]
enum Step {
    Enroll {
        subject: u8,
        left: usize,
        right: usize,
        links: Vec<(usize, u8)>,
        consent_hours: u64,
        is_short: bool,
    },
    Erase {
        subject: Result<u8, (usize, u8)>,
        only_if: Option<u8>,
        ahead_hours: u64,
    },
    Policy {
        retention: u8,
    },
    Usage {
        subject: Option<u8>,
        outcome: Outcome,
    },
}

/// What is done to both catalogs.
#[derive(Debug, Clone)]
enum Deed {
    /// Writes with the numbers of their requests; where one was asked before it may be asked again.
    Group(Vec<(u8, Step, Option<usize>)>),
    Flush,
    Purge {
        odd: bool,
        even: bool,
    },
    Checkpoint,
    CatchUp {
        subjects: Vec<u8>,
        may_miss: bool,
    },
}

fn link_key() -> impl Strategy<Value = (usize, u8)> {
    (0..KINDS.len(), 0_u8..3)
}

fn step() -> impl Strategy<Value = Step> {
    let enroll = (
        0_u8..4,
        0_usize..6,
        0_usize..3,
        vec(link_key(), 0..4),
        0_u64..3,
        0_u8..16,
    )
        .prop_map(|(subject, left, right, links, hours, short)| Step::Enroll {
            subject,
            left,
            right,
            links,
            consent_hours: 1 + 20 * hours,
            is_short: short == 0,
        });
    let by_id = (0_u8..4).prop_map(Ok);
    let erase = (
        prop_oneof![by_id, link_key().prop_map(Err)],
        prop::option::weighted(0.5, 2_u8..4),
        0_u64..2,
    );
    let erase = erase.prop_map(|(subject, only_if, ahead_hours)| Step::Erase {
        subject,
        only_if,
        ahead_hours,
    });
    let outcome = prop_oneof![Just(Outcome::Match), Just(Outcome::NoMatch), Just(Outcome::Done)];
    let usage = (prop::option::of(0_u8..4), outcome);
    prop_oneof![
        5 => enroll,
        2 => erase,
        2 => (2_u8..4).prop_map(|retention| Step::Policy { retention }),
        3 => usage.prop_map(|(subject, outcome)| Step::Usage { subject, outcome }),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    let subjects = vec(0_u8..5, 0..3);
    let again = prop::option::weighted(0.25, 0_usize..64);
    prop_oneof![
        12 => vec((0_u8..48, step(), again), 1..12).prop_map(Deed::Group),
        4 => Just(Deed::Flush),
        4 => any::<(bool, bool)>().prop_map(|(odd, even)| Deed::Purge { odd, even }),
        1 => Just(Deed::Checkpoint),
        1 => (subjects, any::<bool>()).prop_map(|(subjects, may_miss)| Deed::CatchUp { subjects, may_miss }),
    ]
}

fn retention(code: u8) -> Retention {
    Retention {
        idle_days_max: (code & 1 == 1).then_some(1),
        consent_end: code & 2 == 2,
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

/// A write as its caller makes it, at this time.
fn write(request: u8, step: &Step, now: Timestamp) -> Write {
    let request = format!("r{request}");
    // The same for the same content.
    let request_digest = sha256(format!("{step:?}").as_bytes());
    match step {
        Step::Enroll {
            subject,
            left,
            right,
            links,
            consent_hours,
            is_short,
        } => {
            let hands = [(Hand::Left, *left), (Hand::Right, *right)];
            let mut write = enroll(&request, &format!("s{subject}"), &[]);
            write.references = hands
                .iter()
                .flat_map(|(hand, count)| (0..*count as u64).map(|seed| reference(seed, *hand)))
                .collect();
            if let (true, Some(new)) = (*is_short, write.references.last_mut()) {
                new.exact.pop();
            }
            write.links = links
                .iter()
                .map(|(kind, value)| link(KINDS[*kind], *value))
                .collect();
            write.consent.policy_version = format!("v{}", consent_hours % 3);
            write.consent.expires_at = now.plus(hours(*consent_hours));
            write.request_digest = request_digest;
            Write::Enroll(write)
        }
        Step::Erase {
            subject,
            only_if,
            ahead_hours,
        } => Write::Erase(EraseWrite {
            request_id: id(&request),
            request_digest,
            subject: match subject {
                Ok(subject) => SubjectKey::Id(id(&format!("s{subject}"))),
                Err((kind, value)) => SubjectKey::Link {
                    kind: KINDS[*kind],
                    lookup: [*value; 32],
                },
            },
            only_if: only_if.map(|code| Due {
                retention: retention(code),
                as_of: now.plus(hours(*ahead_hours)),
            }),
            ahead: ReadAhead::default(),
        }),
        Step::Policy { retention: code } => {
            let mut policy = spec("acme").policy;
            policy.retention = retention(*code);
            Write::Policy(PolicyWrite {
                request_id: id(&request),
                request_digest,
                policy,
            })
        }
        Step::Usage { subject, outcome } => {
            let subject = subject.map(|subject| format!("s{subject}"));
            let mut event = usage(&request, UsageKind::Identify, subject.as_deref());
            event.outcome = *outcome;
            tell(event)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn drafts_come_to_the_same_as_statements(
        events in 1_018_u64..1_026,
        deeds in vec((deed(), 0_u64..40), 1..14),
    ) {
        let mut twins = Twins::new(events);
        let mut asked = Vec::new();
        let mut now = Timestamp(1_700_000_000_000_000);
        for (deed, later) in deeds {
            // Minutes at times, a day at others.
            now = now.plus(Duration::from_mins(later * later));
            match deed {
                Deed::Group(steps) => {
                    let first = asked.len();
                    for (request, step, again) in steps {
                        let again = again.and_then(|n| asked.get(n % asked.len().max(1)).cloned());
                        asked.push(again.unwrap_or((request, step)));
                    }
                    let steps = &asked[first..];
                    let group = || steps.iter().map(|(request, step)| write(*request, step, now)).collect();
                    twins.commit(group, now);
                }
                Deed::Flush => twins.flush(),
                Deed::Purge { odd, even } => twins.purge(|segment| if segment % 2 == 1 { odd } else { even }, now),
                Deed::Checkpoint => twins.checkpoint(),
                Deed::CatchUp { subjects, may_miss } => {
                    let subjects: Vec<_> = subjects.iter().map(|subject| format!("s{subject}")).collect();
                    twins.catch_up(&subjects, may_miss, now);
                }
            }
        }
    }
}
