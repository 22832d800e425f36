//! What may happen next in the model, and what becomes of it.
//!
//! No message is kept. A node may hear any question that a front still asks as late and as often as the checker likes, or never, and takes the next change of the feed
//! as it stands now or as it was read long ago: so messages are lost, late, overtaken and delivered twice, and whoever is cut off or stopped is not heard of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::broken::Broken;
use super::owners::Owners;
use super::world::{Database, Left, Node, Read, Rows, Search, World};
use crate::cluster::course::{Course, Piece, Reference};
use crate::cluster::followers::{Follower, Report, Write};
use crate::cluster::loads::Load;
use crate::cluster::members::Life;
use crate::cluster::placement::Part;
use crate::cluster::question::{Refusal, Scope};
use crate::cluster::view::{Segment, View};

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
    /// So many rows are enrolled, or erased, at once.
    pub batch: u64,
    pub broken: Option<Broken>,
    /// How often what happened: that it can happen at all is what makes the check worth something.
    pub happened: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    pub owners: Owners,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Enrol,
    Erase(Vec<Reference>),
    AcknowledgeErasure(Reference),
    Flush,
    Merge,
    GoLive(u32),
    Withdraw(u32),
    CutFeed,
    MakeAnew,
    Regroup,
    Delete(u32),
    /// Somebody reads the fresh part, for whom it takes long.
    Lag,
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
        read: Read,
    },
    /// A node sends a report, which may arrive at any time from then on, and again.
    Say(usize),
    Report(Follower, Report),
    Leave(Follower),
    Load {
        node: usize,
        piece: Piece,
        lagging: bool,
    },
    Arrive(usize, Load),
    LetGo(usize, Piece),
    /// A node gives up the views before the present one.
    LeaveFormerViews(usize),
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

impl Freshness {
    pub fn new(left: Left, nodes: usize) -> Self {
        Self {
            left,
            nodes,
            fronts: 1,
            segments: 0,
            slow: false,
            late: false,
            batch: 1,
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
            Piece::Segment(number) => Part::of_segment(number, world.db.group_segments),
        };
        self.owners.of(&world.db.members, part).contains(&Node::id(node))
    }

    /// What a node would search for a scope: by the rules, but for the one that is broken.
    pub fn hears(&self, course: &Course, scope: &Scope) -> Result<Vec<Piece>, Refusal> {
        let answer = course.may_answer(&self.as_heard(course, scope));
        let is_ours = course.edition() == scope.edition;
        let anyway = match answer {
            Err(Refusal::ViewGone) => self.breaks(Broken::GoneViewAnswered) && is_ours,
            Err(Refusal::PartsBehind(_)) => {
                self.breaks(Broken::UnloadedAnswered) && is_ours && course.applied() >= scope.at_least
            }
            Ok(_) => false,
        };
        if !anyway {
            return answer;
        }
        let live = course.view().holding(scope.list);
        let part = |number: u32| Part::of_segment(number, scope.group_segments);
        let asked = live.filter(|number| scope.parts.contains(&part(*number)));
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
        if self.breaks(Broken::GroupSizeIgnored) {
            scope.group_segments = course.group_segments();
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
            let rows: Vec<Reference> = db.rows.keys().copied().filter(|row| db.counts(*row)).collect();
            steps.extend(rows.iter().map(|row| Step::Erase(vec![*row])));
            if self.batch > 1 && rows.len() > 1 {
                steps.push(Step::Erase(rows));
            }
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
            if left.withdrawals > 0 {
                steps.push(Step::Withdraw(*number));
            }
            let owners = self
                .owners
                .of(&db.members, Part::of_segment(*number, db.group_segments));
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
        if left.regroups > 0 {
            steps.push(Step::Regroup);
        }
        if left.lags > 0 {
            steps.push(Step::Lag);
        }
        self.delete_steps(world, steps);
    }

    fn delete_steps(&self, world: &World, steps: &mut Vec<Step>) {
        let (db, left) = (&world.db, &world.left);
        let anyway = self.breaks(Broken::DeletedAtOnce) || self.breaks(Broken::MissingTakenForEmpty);
        for (number, segment) in db.view.segments() {
            let is_retired = matches!(segment, Segment::Retired { .. });
            let may = db.followers.may_delete(&db.members, *segment) || (anyway && is_retired);
            if left.deletions > 0 && may && db.objects.contains_key(number) {
                steps.push(Step::Delete(*number));
            }
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
        for report in node.said.iter().filter(|report| world.tells(report)) {
            steps.push(Step::Report(report.0, report.1.clone()));
        }
        steps.extend(
            node.left
                .iter()
                .filter_map(|follower| self.leave(world, *follower)),
        );
        steps.extend(node.arriving.keys().map(|load| Step::Arrive(index, load.clone())));
        steps.extend(
            node.searches
                .keys()
                .map(|search| Step::EndSearch(index, search.clone())),
        );
        if node.generation == 0 {
            if node.arriving.is_empty() {
                steps.push(Step::Register(index));
            }
            return;
        }
        if left.crashes > 0 {
            steps.push(Step::Crash(index));
        }
        let is_current = world.is_current(index);
        if !is_current {
            steps.push(Step::Told(index));
        }
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

    /// A leave that changes what the database knows. Where the rule is broken, that of one course is any other's.
    fn leave(&self, world: &World, follower: Follower) -> Option<Step> {
        let course = world.nodes.iter().enumerate().find_map(|(index, node)| {
            let now = Node::follower(index, node.generation, node.course.as_ref()?);
            (now.node == follower.node).then_some(now)
        });
        let follower = course
            .filter(|_| self.breaks(Broken::LateLeaveTaken))
            .unwrap_or(follower);
        let mut after = world.db.followers.clone();
        after.leave(follower);
        (after != world.db.followers).then_some(Step::Leave(follower))
    }

    fn course_steps(&self, world: &World, index: usize, course: &Course, steps: &mut Vec<Step>) {
        let db = &world.db;
        let next = course.applied() + 1;
        let mut apply = |read| steps.push(Step::Apply { node: index, read });
        let is_same = course.edition() == db.edition;
        if course.goes_on(&db.head()).is_err() || next <= db.head().sequence {
            apply(Read::Now);
            if is_same
                && next >= db.feed_from
                && db.change(next, Read::Now).1 != db.change(next, Read::Late).1
            {
                apply(Read::Late);
            }
        }
        if is_same && db.former.is_some() && db.change(next, Read::Former).1.is_some() {
            apply(Read::Former);
        }
        for piece in pieces(course.view()) {
            if course.knows(piece) && !self.owns(world, index, piece) && !is_leaving(course, piece) {
                steps.push(Step::LetGo(index, piece));
            }
        }
        if world.left.forgets > 0 && course.view().since() < course.view().list() {
            steps.push(Step::LeaveFormerViews(index));
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
        let node = &world.nodes[index];
        let report = (
            Node::follower(index, node.generation, course),
            self.report(course),
        );
        if world.tells(&report) {
            if !self.late {
                steps.push(Step::Report(report.0, report.1));
            } else if !node.said.contains(&report) {
                steps.push(Step::Say(index));
            }
        }
        for piece in owned().filter(|piece| !course.knows(*piece)) {
            let load = |lagging| Step::Load {
                node: index,
                piece,
                lagging,
            };
            steps.push(load(false));
            if piece == Piece::Fresh && db.lagging.is_some() {
                steps.push(load(true));
            }
        }
        let mut all = pieces(course.view()).into_iter();
        let has_nothing = all.all(|piece| !course.knows(piece)) && owned().count() == 0;
        let may = node.arriving.is_empty() || self.breaks(Broken::LeftWithLoads);
        if may && (world.left.leaves > 0 || (self.slow && has_nothing)) {
            steps.push(Step::Unfollow(index));
        }
    }

    pub fn report(&self, course: &Course) -> Report {
        let mut report = Report::of(course);
        if self.breaks(Broken::LoadsNotAwaited) {
            report.wiped = report.applied;
        }
        report
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
                    course: course.number(),
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
    let effects = after.let_go(piece);
    effects.is_empty() && after == *course
}
