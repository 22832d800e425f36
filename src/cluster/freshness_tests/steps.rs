//! What may happen next in the model, and what becomes of it.
//!
//! No message is kept. A node may hear any question that a front still asks as late and as often as the checker likes, or never, and takes the next change of the feed
//! as it stands now or as it was read long ago: so messages are lost, late, overtaken and delivered twice, and whoever is cut off or stopped is not heard of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::world::{Database, GROUP, Left, Node, Rows, Search, World};
use crate::cluster::course::{Course, Load, Piece, Reference};
use crate::cluster::followers::{Report, Write};
use crate::cluster::members::{Life, Members};
use crate::cluster::placement::{Gallery, Member, NodeId, Part, Placement};
use crate::cluster::question::{Refusal, Scope};
use crate::cluster::view::View;
use crate::model::timestamp::Timestamp;

/// What is checked: how much of what, and with which rule broken.
#[derive(Clone)]
pub struct Freshness {
    pub left: Left,
    pub nodes: usize,
    pub fronts: usize,
    /// How many segments there are to begin with, of one row each.
    pub segments: u32,
    /// Whether a search takes a while, so that changes are applied during it.
    pub slow: bool,
    /// Whether reports, and questions by an earlier reading of the head, take a while.
    pub late: bool,
    pub broken: Option<Broken>,
    /// How often what happened: that it can happen at all is what makes the check worth something.
    pub happened: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    pub owners: Owners,
}

/// A rule that the world around the real code breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// R1: the head is read before the identification comes in.
    HeadReadBefore,
    /// R3 without `applied >= s`.
    SequenceIgnored,
    /// R3 without the edition.
    EditionIgnored,
    /// R3 without the earliest view that it still has.
    GoneViewAnswered,
    /// R3 without what is loaded.
    UnloadedAnswered,
    /// R4: an answer without one of the parts.
    PartLeftOut,
    /// R4: answers to different readings of the head are put together.
    ReadingsMixed,
    /// F1 without its second step: rows leave the fresh part when their segment is written.
    FreshLeftAtOnce,
    /// F1 without keeping rows for the former view.
    FormerViewDropped,
    /// F1 without keeping rows for the searches under way.
    SearchUnprotected,
    /// W3: an erasure is acknowledged when it is committed.
    ErasureNotAwaited,
    /// W2: who was fenced registers again and keeps its rows.
    MemoryKept,
    /// E1: changes that are missing are passed over.
    GapPassedOver,
    /// What was erased during a load is loaded.
    LoadKeepsErased,
    /// Rows of an enrolment that are no longer fresh when the feed is read are taken for placed.
    GoneTakenForPlaced,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Enrol,
    Erase(Reference),
    AcknowledgeErasure(Reference),
    Flush,
    Merge,
    GoLive(u32),
    CutFeed,
    MakeAnew,
    Fence(usize),
    Crash(usize),
    Register(usize),
    /// The database tells a node that it was fenced.
    Told(usize),
    Advance(usize, Life),
    Follow(usize),
    Unfollow(usize),
    Apply {
        node: usize,
        now: bool,
    },
    /// A node sends a report, which may arrive at any time from then on, and again.
    Say(usize),
    Report(usize, u64, Report),
    Load(usize, Piece),
    Arrive(usize, Load),
    LetGo(usize, Piece),
    Remember(usize),
    Ask(usize),
    Search {
        node: usize,
        front: usize,
        scope: Scope,
    },
    EndSearch(usize, Search),
    Refuse {
        node: usize,
        front: usize,
        scope: Scope,
    },
    GiveUp(usize),
}

/// The owners of every part under every set of nodes, by the real placement.
#[derive(Clone)]
pub struct Owners(Vec<BTreeMap<Part, BTreeSet<NodeId>>>);

const GROUPS_MAX: u32 = 16;

impl Owners {
    fn new(nodes: usize, replicas: usize) -> Self {
        let gallery = Gallery::of(&"acme".parse().expect("a tenant's id"), Timestamp(1));
        let parts = || (0..GROUPS_MAX).map(Part::Group).chain([Part::Fresh]);
        let sets = (0..1_usize << nodes).map(|set| {
            let members = (0..nodes).filter(|node| set >> node & 1 == 1);
            let member = |node| Member {
                id: Node::id(node),
                weight: 1,
            };
            let Ok(placement) = Placement::new(members.map(member).collect()) else {
                return BTreeMap::new();
            };
            let owners = |part| placement.owners(gallery, part, replicas).into_iter().collect();
            parts().map(|part| (part, owners(part))).collect()
        });
        Self(sets.collect())
    }

    /// Today's and tomorrow's.
    fn of(&self, members: &Members, part: Part) -> BTreeSet<NodeId> {
        let set = |members: Vec<Member>| {
            let bits = members.iter().map(|member| 1_usize << (member.id.0 - 1));
            bits.sum::<usize>()
        };
        let sets = [set(members.now()), set(members.next())];
        let owners = sets.iter().filter_map(|set| self.0[*set].get(&part));
        owners.flatten().copied().collect()
    }
}

impl Freshness {
    pub fn new(left: Left, nodes: usize) -> Self {
        Self {
            left,
            nodes,
            fronts: 1,
            segments: 0,
            slow: false,
            late: false,
            broken: None,
            happened: Arc::default(),
            owners: Owners::new(nodes, 2),
        }
    }

    pub fn breaks(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    pub fn note(&self, what: &'static str) {
        let mut happened = self.happened.lock().expect("nobody panics with it");
        *happened.entry(what).or_default() += 1;
    }

    fn owns(&self, world: &World, node: usize, piece: Piece) -> bool {
        let part = match piece {
            Piece::Fresh => Part::Fresh,
            Piece::Segment(number) => Part::of_segment(number, GROUP),
        };
        self.owners.of(&world.db.members, part).contains(&Node::id(node))
    }

    /// What a node would search for a scope: by the rules, but for the one that is broken.
    pub fn hears(&self, course: &Course, scope: &Scope) -> Result<Vec<Piece>, Refusal> {
        let answer = course.may_answer(&self.as_heard(course, scope));
        let is_ours = course.edition() == scope.edition;
        let anyway = match answer {
            Err(Refusal::ViewGone) => self.breaks(Broken::GoneViewAnswered) && is_ours,
            Err(Refusal::PartBehind(_)) => {
                self.breaks(Broken::UnloadedAnswered) && is_ours && course.applied() >= scope.at_least
            }
            Ok(_) => false,
        };
        if !anyway {
            return answer;
        }
        let live = course.view().holding(scope.list);
        let asked = live.filter(|number| scope.parts.contains(&Part::of_segment(*number, GROUP)));
        let fresh = scope.parts.contains(&Part::Fresh).then_some(Piece::Fresh);
        Ok(asked.map(Piece::Segment).chain(fresh).collect())
    }

    pub fn as_heard(&self, course: &Course, scope: &Scope) -> Scope {
        let mut scope = scope.clone();
        if self.breaks(Broken::SequenceIgnored) {
            scope.at_least = 0;
        }
        if self.breaks(Broken::EditionIgnored) {
            scope.edition = course.edition();
        }
        scope
    }

    pub fn database_steps(&self, world: &World, steps: &mut Vec<Step>) {
        let (db, left) = (&world.db, &world.left);
        let can_write = (0..self.nodes).any(|node| world.is_current(node));
        let waiting: Rows = db
            .view
            .segments()
            .keys()
            .filter(|n| !is_live(db, **n))
            .flat_map(|n| &db.objects[n])
            .copied()
            .collect();
        if can_write && left.enrolments > 0 {
            steps.push(Step::Enrol);
        }
        if can_write && left.erasures > 0 {
            steps.extend(
                db.rows
                    .keys()
                    .filter(|row| db.counts(**row))
                    .map(|row| Step::Erase(*row)),
            );
        }
        if can_write && left.flushes > 0 && !db.fresh().is_subset(&waiting) {
            steps.push(Step::Flush);
        }
        let live: Vec<u32> = db.view.holding(db.view.list()).collect();
        let idle = live.iter().all(|number| db.objects[number].is_disjoint(&waiting));
        if can_write && left.merges > 0 && live.len() > 1 && idle {
            steps.push(Step::Merge);
        }
        for (number, _) in db
            .view
            .segments()
            .iter()
            .filter(|(number, _)| !is_live(db, **number))
        {
            let owners = self.owners.of(&db.members, Part::of_segment(*number, GROUP));
            if db.followers.may_go_live(&db.members, *number, &owners) {
                steps.push(Step::GoLive(*number));
            }
        }
        for (reference, row) in &db.rows {
            if let Some(sequence) = row.erased
                && row.incarnation == db.edition.incarnation
                && !row.erasure_acknowledged
            {
                let write = Write::Erasure { sequence };
                let waits_for = db.followers.waits_for(&db.members, &write, &BTreeSet::new());
                if waits_for.is_empty() || self.breaks(Broken::ErasureNotAwaited) {
                    steps.push(Step::AcknowledgeErasure(*reference));
                }
            }
        }
        if left.cuts > 0 && db.followers.feed_floor(&db.members, db.head().sequence) >= db.feed_from {
            steps.push(Step::CutFeed);
        }
        if left.dropped > 0 {
            steps.push(Step::MakeAnew);
        }
    }

    pub fn node_steps(&self, world: &World, index: usize, steps: &mut Vec<Step>) {
        let (db, left, node) = (&world.db, &world.left, &world.nodes[index]);
        if let Some(registered) = db.members.current(Node::id(index)) {
            if left.fences > 0 {
                steps.push(Step::Fence(index));
            }
            if left.drains > 0 && registered.life == Life::Serving {
                steps.push(Step::Advance(index, Life::Draining));
            }
            if registered.life == Life::Draining {
                steps.push(Step::Advance(index, Life::Gone));
            }
        }
        if node.generation == 0 {
            steps.push(Step::Register(index));
            return;
        }
        if left.crashes > 0 {
            steps.push(Step::Crash(index));
        }
        for report in node.said.iter().filter(|report| world.tells(index, report)) {
            steps.push(Step::Report(index, report.0, report.1.clone()));
        }
        let is_current = world.is_current(index);
        if !is_current {
            steps.push(Step::Told(index));
        }
        steps.extend(node.arriving.keys().map(|load| Step::Arrive(index, *load)));
        steps.extend(
            node.searches
                .keys()
                .map(|search| Step::EndSearch(index, search.clone())),
        );
        let Some(course) = &node.course else {
            let mut owned = pieces(&db.view)
                .into_iter()
                .filter(|piece| self.owns(world, index, *piece));
            if is_current && owned.next().is_some() {
                steps.push(Step::Follow(index));
            }
            return;
        };
        self.course_steps(world, index, course, steps);
        if is_current {
            self.current_steps(world, index, course, steps);
        }
    }

    fn course_steps(&self, world: &World, index: usize, course: &Course, steps: &mut Vec<Step>) {
        let db = &world.db;
        let next = course.applied() + 1;
        if course.edition() != db.edition || next <= db.head().sequence {
            steps.push(Step::Apply {
                node: index,
                now: true,
            });
            let is_same = course.edition() == db.edition && next >= db.feed_from;
            if is_same && db.change(next, true) != db.change(next, false) {
                steps.push(Step::Apply {
                    node: index,
                    now: false,
                });
            }
        }
        for piece in pieces(course.view()) {
            if course.knows(piece) && !self.owns(world, index, piece) && !is_leaving(course, piece) {
                steps.push(Step::LetGo(index, piece));
            }
        }
    }

    fn current_steps(&self, world: &World, index: usize, course: &Course, steps: &mut Vec<Step>) {
        let db = &world.db;
        let life = db.members.current(Node::id(index)).map(|now| now.life);
        let owned = || {
            pieces(course.view())
                .into_iter()
                .filter(|piece| self.owns(world, index, *piece))
        };
        if life == Some(Life::Joining) && owned().all(|piece| course.held().contains(&piece)) {
            steps.push(Step::Advance(index, Life::Serving));
        }
        if course.edition() != db.edition {
            return;
        }
        let report = (world.nodes[index].generation, Report::of(course));
        if !self.late && world.tells(index, &report) {
            steps.push(Step::Report(index, report.0, report.1));
        } else if self.late && !world.nodes[index].said.contains(&report) {
            steps.push(Step::Say(index));
        }
        steps.extend(
            owned()
                .filter(|piece| !course.knows(*piece))
                .map(|piece| Step::Load(index, piece)),
        );
        if self.slow
            && pieces(course.view())
                .into_iter()
                .all(|piece| !course.knows(piece))
            && owned().count() == 0
        {
            steps.push(Step::Unfollow(index));
        }
    }

    pub fn front_steps(&self, world: &World, index: usize, steps: &mut Vec<Step>) {
        let front = &world.fronts[index];
        let Some(asking) = &front.asking else {
            if world.left.questions > 0 {
                steps.push(Step::Ask(index));
                if self.breaks(Broken::HeadReadBefore) && front.remembered.is_none() {
                    steps.push(Step::Remember(index));
                }
            }
            return;
        };
        if world.left.given_up > 0 {
            steps.push(Step::GiveUp(index));
        }
        let parts = asking.question.missing().iter();
        let mut scopes: Vec<Scope> = parts.map(|part| asking.question.scope([*part])).collect();
        if self.slow {
            scopes.push(asking.question.whole().clone());
        }
        // Those of earlier readings are late.
        if self.late || self.breaks(Broken::ReadingsMixed) {
            scopes.extend(asking.former.iter().cloned());
        }
        for (node, course) in world.nodes.iter().enumerate() {
            let Some(course) = &course.course else { continue };
            for scope in &scopes {
                let search = Search {
                    front: index,
                    number: front.number,
                    scope: scope.clone(),
                };
                let (front, scope) = (index, scope.clone());
                match self.hears(course, &scope) {
                    Ok(_) if world.nodes[node].searches.contains_key(&search) => {}
                    Ok(_) => steps.push(Step::Search { node, front, scope }),
                    Err(_) if asking.former.contains(&scope) => {}
                    Err(_) => steps.push(Step::Refuse { node, front, scope }),
                }
            }
        }
    }
}

fn pieces(view: &View) -> Vec<Piece> {
    let segments = view.segments().keys();
    segments
        .map(|number| Piece::Segment(*number))
        .chain([Piece::Fresh])
        .collect()
}

fn is_live(db: &Database, number: u32) -> bool {
    db.view.segments()[&number].live_from().is_some()
}

fn is_leaving(course: &Course, piece: Piece) -> bool {
    let mut after = course.clone();
    after.let_go(piece);
    after == *course
}
