//! A gallery in parts on nodes that do what a test says. Knows no rules of freshness: it is told what to refuse.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::Asker;
use super::heads::{GalleryHead, Heads, HeadsRead};
use super::holder::{Holder, PartError};
use super::nodes::Nodes;
use crate::cluster::placement::{Gallery, Member, NodeId, Part, Placement};
use crate::cluster::question::{Refusal, Scope};
use crate::cluster::view::{Edition, Head, View};
use crate::matcher::node::{NodeError, RankQuery, SearchQuery};
use crate::model::decision::{CANDIDATES_MAX, Candidate, Certificate, SearchAnswer};
use crate::model::id::TenantId;
use crate::model::signature::{Dimension, Signature};
use crate::model::subject::Hand;
use crate::model::tenant::TransformId;
use crate::model::timestamp::Timestamp;

/// How long a node takes unless a test says otherwise.
pub(super) const TOOK: Duration = Duration::from_millis(10);

/// A reference: whose, in which part, and its score against the probe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) subject: u32,
    pub(super) part: Part,
    pub(super) score: f32,
}

/// What a node does with a call, after a while.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Answer(Duration),
    Refuse(Refusal),
    RefuseLate(Duration, Refusal),
    Fail(NodeError),
    /// Says nothing for ever.
    Hang,
    /// Refuses as behind where it is asked for some of these parts.
    Lacks(BTreeSet<Part>),
    /// An answer with this change, which no node gives.
    Spoilt(fn(&mut SearchAnswer)),
    /// Takes 5 to 15 ms, and 200 ms one time of fifty.
    Tail,
}

/// A node.
pub(super) struct Fake {
    pub(super) rows: Arc<Vec<Row>>,
    /// How many parts the gallery has. With each reading of the head every row is one part further on, so that answers to two readings don't fit together.
    pub(super) parts: u32,
    pub(super) seed: u64,
    pub(super) certificate: Mutex<Certificate>,
    /// What comes next; the last one again and again.
    pub(super) acts: Mutex<VecDeque<Act>>,
    pub(super) calls: Mutex<Vec<(Scope, Option<std::time::Instant>)>>,
    /// Calls that were taken back.
    pub(super) dropped: Mutex<usize>,
}

struct Pending<'a>(Option<&'a Fake>);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(fake) = self.0 {
            *fake.dropped.lock() += 1;
        }
    }
}

impl Fake {
    fn next(&self) -> Act {
        let mut acts = self.acts.lock();
        let act = acts.front().cloned().unwrap_or(Act::Answer(TOOK));
        if acts.len() > 1 {
            acts.pop_front();
        }
        act
    }

    async fn act(
        &self,
        scope: &Scope,
        deadline: Option<std::time::Instant>,
        threshold: f32,
        wanted: usize,
    ) -> Result<SearchAnswer, PartError> {
        self.calls.lock().push((scope.clone(), deadline));
        let mut pending = Pending(Some(self));
        let act = match self.next() {
            Act::Tail => Act::Answer(self.tail()),
            act => act,
        };
        let outcome = match act {
            Act::Hang => std::future::pending().await,
            Act::Answer(took) => {
                sleep(took).await;
                Ok(self.answer(scope, threshold, wanted))
            }
            Act::RefuseLate(took, refusal) => {
                sleep(took).await;
                Err(PartError::Refused(refusal))
            }
            act => {
                sleep(Duration::from_millis(1)).await;
                match act {
                    Act::Refuse(refusal) => Err(PartError::Refused(refusal)),
                    Act::Fail(error) => Err(error.into()),
                    Act::Lacks(parts) if !scope.parts.is_disjoint(&parts) => {
                        let behind = scope.parts.intersection(&parts).copied().collect();
                        Err(PartError::Refused(Refusal::PartsBehind(behind)))
                    }
                    Act::Spoilt(spoil) => {
                        let mut answer = self.answer(scope, threshold, wanted);
                        spoil(&mut answer);
                        Ok(answer)
                    }
                    _ => Ok(self.answer(scope, threshold, wanted)),
                }
            }
        };
        pending.0 = None;
        outcome
    }

    /// By the node and the number of the call (`SplitMix64`), so that it is the same each time.
    fn tail(&self) -> Duration {
        let number = self.calls.lock().len() as u64 + (self.seed << 32);
        let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        Duration::from_millis(if mixed.is_multiple_of(50) {
            200
        } else {
            5 + mixed / 50 % 11
        })
    }

    fn answer(&self, scope: &Scope, threshold: f32, wanted: usize) -> SearchAnswer {
        let rows: Vec<Row> = self
            .rows
            .iter()
            .copied()
            .filter(|row| scope.parts.contains(&self.part_of(row, scope.at_least)))
            .collect();
        SearchAnswer {
            certificate: *self.certificate.lock(),
            ..brute(&rows, threshold, wanted.clamp(1, CANDIDATES_MAX))
        }
    }

    fn part_of(&self, row: &Row, sequence: u64) -> Part {
        let number = match row.part {
            Part::Group(number) => u64::from(number),
            Part::Fresh => u64::from(self.parts) - 1,
        };
        let moved = (number + sequence) % u64::from(self.parts);
        match u32::try_from(moved).expect("few parts") {
            number if number + 1 == self.parts => Part::Fresh,
            number => Part::Group(number),
        }
    }

    pub(super) fn parts_asked(&self) -> Vec<BTreeSet<Part>> {
        self.calls
            .lock()
            .iter()
            .map(|(scope, _)| scope.parts.clone())
            .collect()
    }
}

/// Every row looked at, in one place.
pub(super) fn brute(rows: &[Row], threshold: f32, wanted: usize) -> SearchAnswer {
    let mut best: HashMap<u32, f32> = HashMap::new();
    for row in rows.iter().filter(|row| row.score >= threshold) {
        let score = best.entry(row.subject).or_insert(row.score);
        *score = score.max(row.score);
    }
    let mut candidates: Vec<Candidate> = best.into_iter().map(|(s, score)| candidate(s, score)).collect();
    candidates.sort_by(Candidate::best_first);
    candidates.truncate(wanted);
    SearchAnswer {
        candidates,
        certificate: Certificate::Deterministic,
        backend: "fake".to_owned(),
        searched: rows.len() as u64,
    }
}

pub(super) fn candidate(subject: u32, score: f32) -> Candidate {
    Candidate {
        subject_id: format!("s{subject:04}").parse().expect("an id"),
        subject_since: Timestamp(0),
        hand: Hand::Left,
        score,
        links: Vec::new(),
    }
}

#[async_trait]
impl Holder for Arc<Fake> {
    async fn search(&self, query: &SearchQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        self.act(scope, query.deadline, query.threshold, query.candidates_max)
            .await
    }

    async fn rank(&self, query: &RankQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        self.act(scope, query.deadline, f32::NEG_INFINITY, query.candidates_max)
            .await
    }
}

/// Heads that are always the same but for their sequence: how often they were read.
#[derive(Default)]
pub(super) struct Counting {
    pub(super) segments: u32,
    pub(super) readings: Arc<Mutex<u64>>,
    /// From this reading on it is the same.
    pub(super) still_from: Arc<Mutex<Option<u64>>>,
}

#[async_trait]
impl Heads for Counting {
    async fn read(&self, tenants: &BTreeSet<TenantId>) -> Result<HeadsRead, NodeError> {
        let sequence = {
            let mut readings = self.readings.lock();
            *readings += 1;
            self.still_from
                .lock()
                .map_or(*readings, |from| from.min(*readings))
        };
        sleep(Duration::from_millis(1)).await;
        let head = Arc::new(gallery_head(self.segments, sequence));
        let known = tenants.iter().filter(|id| **id == tenant());
        Ok(known.map(|id| (id.clone(), Ok(Arc::clone(&head)))).collect())
    }
}

/// Segments 1 to `segments`, each a group.
pub(super) fn gallery_head(segments: u32, sequence: u64) -> GalleryHead {
    let mut view = View::default();
    for number in 1..=segments {
        view.warm(number).expect("a new number");
        view.go_live(number, &BTreeSet::new()).expect("it is warming");
    }
    let edition = Edition {
        incarnation: 1,
        key_generation: 1,
    };
    GalleryHead {
        gallery: Gallery::of(&tenant(), Timestamp(0)),
        head: Head {
            edition,
            sequence,
            list: view.list(),
            group_segments: NonZeroU32::MIN,
        },
        view: Arc::new(view),
    }
}

/// Nodes that own the parts of a gallery, and a front.
pub(super) struct World {
    pub(super) asker: Arc<Asker>,
    pub(super) nodes: Vec<Arc<Fake>>,
    pub(super) rows: Arc<Vec<Row>>,
    pub(super) readings: Arc<Mutex<u64>>,
    pub(super) still_from: Arc<Mutex<Option<u64>>>,
}

impl World {
    /// `nodes` nodes, `replicas` owners of each of the parts, and these rows.
    pub(super) fn new(nodes: u64, replicas: usize, segments: u32, rows: Vec<Row>) -> Self {
        let rows = Arc::new(rows);
        let fakes: Vec<Arc<Fake>> = (0..nodes)
            .map(|seed| Arc::new(fake(&rows, segments + 1, seed)))
            .collect();
        let heads = Counting {
            segments,
            ..Counting::default()
        };
        let readings = Arc::clone(&heads.readings);
        let still_from = Arc::clone(&heads.still_from);
        Self {
            asker: Arc::new(Asker::new(heads, nodes_of(&fakes, replicas))),
            nodes: fakes,
            rows,
            readings,
            still_from,
        }
    }

    /// The owners of a part, the best first.
    pub(super) fn owners(&self, part: Part) -> Vec<usize> {
        let plan = self
            .asker
            .nodes
            .load()
            .plan(&tenant(), gallery_head(0, 0).gallery, &[part].into(), 0);
        let place = |node: &NodeId| usize::try_from(node.0).expect("few nodes");
        plan.values().flatten().map(place).collect()
    }

    /// What a node does from now on.
    pub(super) fn script(&self, node: usize, acts: impl IntoIterator<Item = Act>) {
        *self.nodes[node].acts.lock() = acts.into_iter().collect();
    }

    /// How many calls each node got.
    pub(super) fn calls(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.calls.lock().len()).collect()
    }

    pub(super) async fn search(&self) -> Result<SearchAnswer, NodeError> {
        let end = tokio::time::timeout(Duration::from_mins(1), self.asker.search(query(None)));
        end.await.expect("it comes to an end")
    }

    /// Lets nodes be known: as many answers as their percentile wants.
    pub(super) async fn warm_up(&self) {
        for _ in 0..40 {
            self.search().await.expect("all nodes answer");
        }
        for node in &self.nodes {
            node.calls.lock().clear();
        }
    }

    pub(super) fn whole(&self) -> SearchAnswer {
        brute(&self.rows, 0.5, 10)
    }
}

pub(super) fn fake(rows: &Arc<Vec<Row>>, parts: u32, seed: u64) -> Fake {
    Fake {
        rows: Arc::clone(rows),
        parts,
        seed,
        certificate: Mutex::new(Certificate::Deterministic),
        acts: Mutex::default(),
        calls: Mutex::default(),
        dropped: Mutex::default(),
    }
}

pub(super) fn nodes_of(fakes: &[Arc<Fake>], replicas: usize) -> Nodes {
    let ids = (0..fakes.len() as u128).map(NodeId);
    let members = ids.clone().map(|id| Member { id, weight: 1 }).collect();
    let placement = Placement::new(members).expect("nodes with weights");
    let holder = |fake: &Arc<Fake>| -> Arc<dyn Holder> { Arc::new(Arc::clone(fake)) };
    Nodes::new(placement, replicas, ids.zip(fakes.iter().map(holder)))
}

pub(super) fn tenant() -> TenantId {
    "acme".parse().expect("an id")
}

pub(super) fn query(wait: Option<Duration>) -> SearchQuery {
    SearchQuery {
        tenant: tenant(),
        transform: transform(),
        probe: probe(),
        only: None,
        threshold: 0.5,
        candidates_max: 10,
        links: Vec::new(),
        deterministic: false,
        deadline: wait.map(|wait| (Instant::now() + wait).into_std()),
    }
}

pub(super) fn rank_query(candidates_max: usize) -> RankQuery {
    RankQuery {
        tenant: tenant(),
        transform: transform(),
        probe: probe(),
        candidates_max,
        deterministic: false,
        deadline: None,
    }
}

fn transform() -> TransformId {
    TransformId {
        version: 1,
        digest: [7; 32],
    }
}

fn probe() -> Signature {
    let dimension = Dimension::new(32).expect("a dimension");
    let values = std::iter::once(1.0).chain(std::iter::repeat_n(0.0, 31)).collect();
    Signature::new(values, dimension).expect("a unit vector")
}

/// A row in each part, of a subject of its own, above the threshold; one more of subject 0 in the last, and one below.
pub(super) fn rows(segments: u32) -> Vec<Row> {
    let parts = (0..segments).map(Part::Group).chain([Part::Fresh]);
    let each = parts.zip(0_u32..).map(|(part, subject)| Row {
        subject,
        part,
        score: 0.6,
    });
    let further = [(0, 0.9), (900, 0.4)].map(|(subject, score)| Row {
        subject,
        part: Part::Fresh,
        score,
    });
    each.chain(further).collect()
}
