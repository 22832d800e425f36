//! Tests of parts of galleries across the network: scopes, answers, refusals and cancelling.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::super::*;
use super::fixture::*;
use crate::cluster::placement::Part;
use crate::cluster::question::{Refusal, Scope};
use crate::cluster::view::Edition;
use crate::matcher::node::{RankQuery, SearchQuery};
use crate::matcher::placed::holder::PartError;
use crate::matcher::remote::holder::RemoteHolder;
use crate::matcher::remote::scope::GROUPS_MAX;
use crate::model::decision::{Candidate, SearchAnswer};

pub(super) const EDITION: Edition = Edition {
    incarnation: 3,
    key_generation: 1,
};
type ByPart = dyn Fn(&Scope) -> Result<SearchAnswer, PartError> + Send + Sync;

/// Answers as a test says, and counts calls that were taken back.
#[derive(Clone)]
struct Parts {
    answer: Arc<ByPart>,
    hangs: bool,
    begun: watch::Sender<usize>,
    dropped: watch::Sender<usize>,
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl Parts {
    fn new(answer: impl Fn(&Scope) -> Result<SearchAnswer, PartError> + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            hangs: false,
            begun: watch::channel(0).0,
            dropped: watch::channel(0).0,
            deadline: Arc::default(),
        }
    }

    async fn act(&self, scope: &Scope, deadline: Option<Instant>) -> Result<SearchAnswer, PartError> {
        let pending = Pending(self.dropped.clone(), true);
        *self.deadline.lock() = deadline;
        self.begun.send_modify(|count| *count += 1);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let mut pending = pending;
        pending.1 = false;
        (self.answer)(scope)
    }
}

struct Pending(watch::Sender<usize>, bool);

impl Drop for Pending {
    fn drop(&mut self) {
        if self.1 {
            self.0.send_modify(|count| *count += 1);
        }
    }
}

#[async_trait]
impl Holder for Parts {
    async fn search(&self, query: &SearchQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        self.act(scope, query.deadline).await
    }
    async fn rank(&self, query: &RankQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        self.act(scope, query.deadline).await
    }
}

async fn holder(parts: Parts) -> RemoteHolder {
    let room = MatchRoom::with_parts(Arc::new(FakeNode), Arc::new(parts));
    RemoteHolder::new(super::serve(room).await)
}

pub(super) fn asked(parts: impl IntoIterator<Item = Part>) -> Scope {
    Scope {
        edition: EDITION,
        at_least: 7,
        list: 3,
        group_segments: NonZeroU32::MIN,
        parts: parts.into_iter().collect(),
    }
}

fn refusal(error: PartError) -> Refusal {
    match error {
        PartError::Refused(refusal) => refusal,
        PartError::Node(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn scopes_answers_and_refusals_cross_unchanged() {
    let scope = asked([Part::Fresh, Part::Group(0), Part::Group(9)]);
    let expected = scope.clone();
    let holder = holder(Parts::new(move |given| {
        if *given == expected {
            return Ok(search_answer());
        }
        match given.at_least {
            1 => Err(PartError::Refused(Refusal::ViewGone)),
            2 => Err(PartError::Refused(Refusal::PartsBehind(
                [Part::Fresh, Part::Group(9)].into(),
            ))),
            3 => Err(PartError::Refused(Refusal::PartsBehind([Part::Group(5)].into()))),
            4 => Err(NodeError::TransformStale { tenant: tenant() }.into()),
            _ => Ok(SearchAnswer {
                candidates: vec![Candidate {
                    score: f32::NAN,
                    ..search_answer().candidates.remove(0)
                }],
                ..search_answer()
            }),
        }
    }))
    .await;
    let query = super::query(5, None);
    let answer = holder.search(&query, &scope).await.expect("answers");
    assert_eq!(answer, search_answer());
    let ranked = holder.rank(&rank_query(5, None), &scope).await.expect("answers");
    assert_eq!(ranked, search_answer());
    let at = |at_least| Scope {
        at_least,
        ..scope.clone()
    };
    let gone = holder.search(&query, &at(1)).await.expect_err("gone");
    assert_eq!(refusal(gone), Refusal::ViewGone);
    let behind = holder
        .rank(&rank_query(5, None), &at(2))
        .await
        .expect_err("behind");
    let parts: BTreeSet<Part> = [Part::Fresh, Part::Group(9)].into();
    assert_eq!(refusal(behind), Refusal::PartsBehind(parts));
    for fault in [3, 9] {
        let error = holder.search(&query, &at(fault)).await.expect_err("no answer");
        let PartError::Node(NodeError::Internal(text)) = error else {
            panic!("{error}");
        };
        assert!(text.contains("does not fit"), "{text}");
    }
    let error = holder.search(&query, &at(4)).await.expect_err("stale");
    assert!(
        matches!(error, PartError::Node(NodeError::TransformStale { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_scope_that_is_none_is_refused_by_field_and_a_node_without_parts_has_no_such_method() {
    let holder = holder(Parts::new(|_| Ok(search_answer()))).await;
    let many = (0..=u32::try_from(GROUPS_MAX).expect("small")).map(Part::Group);
    for scope in [asked([]), asked(many)] {
        let error = holder
            .search(&super::query(5, None), &scope)
            .await
            .expect_err("refused");
        assert!(
            matches!(&error, PartError::Node(NodeError::Rejected(refusal)) if refusal.field == "scope.groups"),
            "{error}"
        );
    }
    let whole = RemoteHolder::new(super::connect().await);
    let error = whole.search(&super::query(5, None), &asked([Part::Fresh])).await;
    let error = error.expect_err("no parts");
    assert!(
        matches!(error, PartError::Node(NodeError::Internal(_))),
        "{error}"
    );
}

#[tokio::test]
async fn who_drops_a_call_takes_it_back_and_deadlines_shrink() {
    let mut parts = Parts::new(|_| Ok(search_answer()));
    parts.hangs = true;
    let (mut begun, mut dropped) = (parts.begun.subscribe(), parts.dropped.subscribe());
    let holder = holder(parts.clone()).await;
    let deadline = Instant::now() + Duration::from_mins(1);
    let call = tokio::spawn(async move {
        let query = super::query(5, Some(deadline));
        holder.search(&query, &asked([Part::Fresh])).await
    });
    begun.wait_for(|count| *count == 1).await.expect("it is asked");
    let left = parts.deadline.lock().expect("it has one");
    assert!(
        left <= deadline + Duration::from_millis(50),
        "it is no later, but for rounding"
    );
    assert_eq!(*dropped.borrow(), 0);
    call.abort();
    dropped
        .wait_for(|count| *count == 1)
        .await
        .expect("it is taken back");
}
