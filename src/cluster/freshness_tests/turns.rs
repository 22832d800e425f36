//! What becomes of a step, and what must hold after each.

use std::collections::BTreeMap;
use std::mem;
use std::num::NonZeroU32;

use stateright::{Model, Property};

use super::broken::Broken;
use super::steps::{Freshness, Step};
use super::world::{Database, Front, Left, Node, Outcome, Read, Rows, World};
use crate::cluster::course::{Change, Course, CourseError, Effect, Piece};
use crate::cluster::loads::{Load, Loads};
use crate::cluster::members::{Life, Suspect};
use crate::cluster::question::Question;
use crate::cluster::view::Reading;

impl Model for Freshness {
    type State = World;
    type Action = Step;

    /// All nodes serve the same gallery.
    fn init_states(&self) -> Vec<World> {
        let happened = self.happened.lock().expect("nobody panics with it").clone();
        let mut world = World {
            db: Database::new(),
            nodes: vec![Node::default(); self.nodes],
            fronts: vec![Front::default(); self.fronts],
            left: Left::default(),
        };
        for node in 0..self.nodes {
            self.take(&mut world, Step::Register(node));
            self.take(&mut world, Step::Advance(node, Life::Serving));
        }
        self.settle(&mut world);
        for _ in 0..self.segments {
            (world.left.enrolments, world.left.flushes) = (1, 1);
            self.take(&mut world, Step::Enrol);
            self.take(&mut world, Step::Flush);
            self.settle(&mut world);
        }
        let view = world.db.view.clone();
        world
            .fronts
            .iter_mut()
            .for_each(|front| front.view = view.clone());
        world.left = self.left;
        *self.happened.lock().expect("nobody panics with it") = happened;
        vec![world]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.database_steps(world, steps);
        for node in 0..self.nodes {
            self.node_steps(world, node, steps);
        }
        for front in 0..self.fronts {
            self.front_steps(world, front, steps);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        self.take(&mut world, step);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn none(world: &World, outcome: Outcome) -> bool {
            world.fronts.iter().all(|front| front.outcome != Some(outcome))
        }
        vec![
            Property::always("no wrong no-match", |_, world| none(world, Outcome::WrongNoMatch)),
            Property::always("no resurrected", |_, world| none(world, Outcome::Resurrected)),
            Property::always("no crossed", |_, world| none(world, Outcome::Crossed)),
            Property::always("nothing kept", |model: &Self, world: &World| {
                let mut nodes = (0..model.nodes).filter(|node| world.is_current(*node));
                let is_forgotten = |row| !world.db.rows[&row].erasure_acknowledged;
                nodes.all(|node| world.nodes[node].memory().all(is_forgotten))
            }),
            Property::always("nothing missing", |model: &Self, world: &World| {
                let mut nodes = (0..model.nodes).filter(|node| world.is_current(*node));
                nodes.all(|node| match &world.nodes[node].course {
                    Some(course) if course.edition() == world.db.edition => {
                        let mut listed = course.view().segments().keys();
                        listed.all(|number| world.db.objects.contains_key(number))
                    }
                    _ => true,
                })
            }),
        ]
    }
}

impl Freshness {
    fn take(&self, world: &mut World, step: Step) {
        match step {
            Step::Register(_)
            | Step::Told(_)
            | Step::Follow(_)
            | Step::Unfollow(_)
            | Step::Fence(_)
            | Step::Crash(_)
            | Step::Advance(..) => self.live(world, &step),
            Step::Apply { node, read } => self.apply(world, node, read),
            Step::Say(index) => {
                let node = &mut world.nodes[index];
                let course = node.course.as_ref().expect("it follows");
                let follower = Node::follower(index, node.generation, course);
                node.said.insert((follower, self.report(course)));
            }
            Step::Report(follower, report) => {
                let (followers, members) = (&mut world.db.followers, &world.db.members);
                let told = followers.report(members, follower, report);
                told.expect("it is current");
            }
            Step::Leave(follower) => world.db.followers.leave(follower),
            Step::Load { node, piece, lagging } => {
                let db = &mut world.db;
                let lagging = db.lagging.take_if(|_| lagging);
                let lagging = lagging.map(|(head, rows)| (head, Some(rows)));
                let read = lagging.unwrap_or_else(|| (db.head(), db.read(piece)));
                let node = &mut world.nodes[node];
                let course = node.course.as_mut().expect("it follows");
                let load = course.load(piece).expect("it is not there");
                let anyway = self.breaks(Broken::HeadReadApart) || self.breaks(Broken::AnyEditionTaken);
                if anyway || load.may_read(&read.0) {
                    node.arriving.insert(load, read);
                    return;
                }
                let effects = course.lost(load);
                if course.goes_on(&read.0).is_ok() {
                    self.note("a reading was too early for a load");
                    node.carry_out(effects, &BTreeMap::new());
                } else {
                    self.note("a load met another edition");
                    self.let_go_of_all(node);
                }
            }
            Step::Arrive(node, load) => self.arrive(world, node, load),
            Step::LetGo(..) | Step::LeaveFormerViews(_) => self.let_go(world, &step),
            Step::Remember(front) => {
                let question = Question::new(world.db.head(), &world.db.view);
                world.fronts[front].remembered = question.ok();
            }
            Step::Ask(front) => self.ask(world, front),
            Step::Search { node, front, scope } => self.search(world, node, front, scope),
            Step::EndSearch(node, search) => self.end_search(world, node, &search),
            Step::Refuse { node, front, scope } => self.refuse(world, node, front, &scope),
            Step::GiveUp(front) => {
                world.left.given_up -= 1;
                self.close(&mut world.fronts[front], Outcome::GivenUp);
            }
            _ => self.write(world, &step),
        }
    }

    /// A node needs something no more.
    fn let_go(&self, world: &mut World, step: &Step) {
        let (objects, left) = (&world.db.objects, &mut world.left);
        match *step {
            Step::LetGo(node, piece) => {
                let node = &mut world.nodes[node];
                let effects = node.course.as_mut().expect("it follows").let_go(piece);
                self.note(if effects.is_empty() {
                    "a search kept a piece that moved"
                } else {
                    "a piece moved"
                });
                node.carry_out(effects, objects);
            }
            Step::LeaveFormerViews(node) => {
                left.forgets -= 1;
                let node = &mut world.nodes[node];
                let effects = node.course.as_mut().expect("it follows").leave_former_views();
                if !effects.is_empty() {
                    self.note("a former view was given up with its rows");
                }
                node.carry_out(effects, objects);
            }
            _ => unreachable!("{step:?} lets go of nothing"),
        }
    }

    /// Until nobody has anything to do.
    fn settle(&self, world: &mut World) {
        loop {
            let mut steps = Vec::new();
            self.actions(world, &mut steps);
            match steps.pop() {
                Some(step) => self.take(world, step),
                None => return,
            }
        }
    }

    /// A step of the database.
    fn write(&self, world: &mut World, step: &Step) {
        let (db, left) = (&mut world.db, &mut world.left);
        match step {
            Step::Enrol => {
                left.enrolments -= 1;
                db.enrol(self.batch);
            }
            Step::Erase(rows) => {
                left.erasures -= 1;
                db.erase(rows);
            }
            Step::AcknowledgeErasure(row) => {
                db.rows.get_mut(row).expect("it is there").erasure_acknowledged = true;
                self.note("an erasure was acknowledged");
            }
            Step::Flush => {
                left.flushes -= 1;
                let warming = db
                    .view
                    .segments()
                    .iter()
                    .filter(|(_, segment)| segment.live_from().is_none());
                let waiting: Rows = warming
                    .flat_map(|(number, _)| &db.objects[number])
                    .copied()
                    .collect();
                db.warm(&db.fresh() - &waiting);
            }
            Step::Merge => {
                left.merges -= 1;
                let live = db.view.holding(db.view.list());
                db.warm(live.filter_map(|number| db.segment(number)).flatten().collect());
            }
            Step::GoLive(segment) => {
                db.go_live(*segment);
                self.note("a segment went live");
            }
            Step::Withdraw(segment) => {
                left.withdrawals -= 1;
                db.withdraw(*segment);
                self.note("a segment was taken back");
            }
            Step::CutFeed => {
                left.cuts -= 1;
                db.feed_from = db.followers.feed_floor(&db.members, db.head().sequence) + 1;
            }
            Step::MakeAnew => {
                left.dropped -= 1;
                db.make_anew();
            }
            Step::Regroup => {
                left.regroups -= 1;
                db.group_segments = NonZeroU32::MIN;
            }
            Step::Delete(number) => {
                left.deletions -= 1;
                db.objects.remove(number);
                self.note("an object was deleted");
            }
            Step::Lag => {
                left.lags -= 1;
                db.lagging = Some((db.head(), db.fresh()));
            }
            other => unreachable!("{other:?} is no step of the database"),
        }
    }

    /// A step in a node's life.
    fn live(&self, world: &mut World, step: &Step) {
        let (db, left) = (&mut world.db, &mut world.left);
        match *step {
            Step::Register(node) => world.nodes[node].generation = db.members.register(Node::id(node), 1),
            Step::Told(node) => {
                self.note("a fenced node was told so");
                world.nodes[node].generation = 0;
                if !self.breaks(Broken::MemoryKept) {
                    self.let_go_of_all(&mut world.nodes[node]);
                }
            }
            Step::Follow(index) => {
                let node = &mut world.nodes[index];
                let reading = Reading::new(db.head(), db.view.clone()).expect("of one reading");
                let course = Course::new(reading, mem::take(&mut node.loads));
                let follower = Node::follower(index, node.generation, &course);
                let follows = db.followers.follow(&db.members, follower, self.report(&course));
                follows.expect("it is current");
                node.course = Some(course);
            }
            Step::Unfollow(index) => {
                left.leaves = left.leaves.saturating_sub(1);
                let node = &mut world.nodes[index];
                let course = node.course.as_ref().expect("it follows");
                let follower = Node::follower(index, node.generation, course);
                self.let_go_of_all(node);
                if self.late {
                    node.left.insert(follower);
                } else {
                    db.followers.leave(follower);
                }
                self.note("a node that let go of all left");
            }
            Step::Fence(node) => {
                left.fences -= 1;
                let seen = *db.members.current(Node::id(node)).expect("it is not gone");
                let (generation, beat) = (seen.generation, seen.beat);
                let node = Node::id(node);
                assert!(
                    db.members.fence(&Suspect {
                        node,
                        generation,
                        beat
                    }),
                    "it did not beat"
                );
            }
            Step::Crash(node) => {
                left.crashes -= 1;
                world.nodes[node].crash();
            }
            Step::Advance(node, life) => {
                left.drains -= u32::from(life == Life::Draining);
                let generation = db.members.nodes()[&Node::id(node)].generation;
                let advances = db.members.advance(Node::id(node), generation, life);
                advances.expect("it is current");
            }
            _ => unreachable!("{step:?} is no step in a node's life"),
        }
    }

    fn let_go_of_all(&self, node: &mut Node) {
        node.let_go_of_all();
        if self.breaks(Broken::NumberedAnew) {
            node.loads = Loads::default();
        }
    }

    fn arrive(&self, world: &mut World, index: usize, load: Load) {
        let (db, node) = (&world.db, &mut world.nodes[index]);
        let (mut read, mut rows) = node.arriving.remove(&load).expect("it is on its way");
        if self.breaks(Broken::HeadReadApart) {
            read = db.head();
        }
        if self.breaks(Broken::MissingTakenForEmpty) {
            rows = rows.or(Some(Rows::new()));
        }
        if let Some(course) = node
            .course
            .as_ref()
            .filter(|_| self.breaks(Broken::AnyEditionTaken))
        {
            read.edition = course.edition();
        }
        self.note(node.arrive(load, &read, rows, self.breaks(Broken::LoadKeepsErased)));
    }

    fn apply(&self, world: &mut World, index: usize, read: Read) {
        let (db, node) = (&world.db, &mut world.nodes[index]);
        let course = node.course.as_mut().expect("it follows");
        if self.breaks(Broken::GapPassedOver) {
            for missing in course.applied() + 1..db.feed_from {
                let nothing = Change::Erased(Vec::new());
                course
                    .apply(&db.head(), missing, &nothing)
                    .expect("it is the next one");
            }
        }
        let sequence = (course.applied() + 1).max(if read == Read::Former { 1 } else { db.feed_from });
        let (mut head, change) = db.change(sequence, read);
        if self.breaks(Broken::AnyEditionTaken) {
            head.edition = course.edition();
        }
        let Some(mut change) = change else {
            if course.goes_on(&head).is_err() {
                self.note("a node met another edition");
                self.let_go_of_all(node);
            }
            return;
        };
        if let Change::Enrolled { gone, .. } = &mut change {
            if *gone {
                self.note("a row was no longer fresh when the feed was read");
            }
            *gone &= !self.breaks(Broken::GoneTakenForPlaced);
        }
        let effects = match course.apply(&head, sequence, &change) {
            Ok(effects) => effects,
            Err(error) => {
                self.note(match error {
                    CourseError::Edition(_) => "a node met another edition",
                    CourseError::Groups { .. } => "a node met other groups",
                    _ => "a node was behind the feed's floor",
                });
                self.let_go_of_all(node);
                return;
            }
        };
        if read == Read::Former {
            self.note("a change of the former incarnation came");
        }
        let kept = matches!(change, Change::Live { .. }) && !node.searches.is_empty();
        if kept && effects.is_empty() {
            self.note("a search was under way when the list moved");
        }
        node.carry_out(effects, &db.objects);
        match change {
            Change::Warming(number) if self.breaks(Broken::FreshLeftAtOnce) => {
                node.carry_out(vec![Effect::LeaveFresh(number)], &db.objects);
            }
            Change::Live { segment, retired } if self.breaks(Broken::FormerViewDropped) => {
                let gone = retired
                    .into_iter()
                    .map(|number| Effect::Unload(Piece::Segment(number)));
                node.carry_out(gone.chain([Effect::LeaveFresh(segment)]).collect(), &db.objects);
            }
            _ => {}
        }
    }
}
