//! What becomes of a step, and what must hold after each.

use stateright::{Model, Property};

use super::steps::{Broken, Freshness, Step};
use super::world::{Asking, Database, Front, GROUP, Left, Node, Outcome, Rows, Search, World};
use crate::cluster::course::{Change, Course, Effect, Piece};
use crate::cluster::followers::Report;
use crate::cluster::members::{Life, Suspect};
use crate::cluster::question::{Next, Question, Scope};

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
            Step::Apply { node, now } => self.apply(world, node, now),
            Step::Say(node) => {
                let node = &mut world.nodes[node];
                let course = node.course.as_ref().expect("it follows");
                node.said.insert((node.generation, Report::of(course)));
            }
            Step::Report(node, generation, report) => {
                let (followers, members) = (&mut world.db.followers, &world.db.members);
                let told = followers.report(members, Node::id(node), generation, report);
                told.expect("it is current");
            }
            Step::Load(node, piece) => {
                let rows = world.db.read(piece);
                let list = world.db.view.list();
                let node = &mut world.nodes[node];
                let load = node.course.as_mut().and_then(|course| course.load(piece));
                node.arriving.insert(load.expect("it is not there"), (list, rows));
            }
            Step::Arrive(node, load) => {
                let forgets_erased = self.breaks(Broken::LoadKeepsErased);
                self.note(world.nodes[node].arrive(&load, forgets_erased));
            }
            Step::LetGo(node, piece) => {
                let objects = &world.db.objects;
                let node = &mut world.nodes[node];
                let effects = node.course.as_mut().expect("it follows").let_go(piece);
                self.note(if effects.is_empty() {
                    "a search kept a piece that moved"
                } else {
                    "a piece moved"
                });
                node.carry_out(effects, objects);
            }
            Step::Remember(front) => {
                let question = Question::new(world.db.head(), &world.db.view, GROUP);
                world.fronts[front].remembered = Some(question);
            }
            Step::Ask(front) => ask(world, front),
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
                db.enrol();
            }
            Step::Erase(row) => {
                left.erasures -= 1;
                db.erase(*row);
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
                db.warm(live.flat_map(|number| db.segment(number)).collect());
            }
            Step::GoLive(segment) => {
                db.go_live(*segment);
                self.note("a segment went live");
            }
            Step::CutFeed => {
                left.cuts -= 1;
                db.feed_from = db.followers.feed_floor(&db.members, db.head().sequence) + 1;
            }
            Step::MakeAnew => {
                left.dropped -= 1;
                db.make_anew();
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
                if self.breaks(Broken::MemoryKept) {
                    world.nodes[node].generation = 0;
                } else {
                    world.nodes[node].crash();
                }
            }
            Step::Follow(node) => {
                let (head, generation) = (db.head(), world.nodes[node].generation);
                let follows = db
                    .followers
                    .follow(&db.members, Node::id(node), generation, head.sequence);
                follows.expect("it is current");
                world.nodes[node].course = Some(Course::new(head, db.view.clone(), GROUP));
            }
            Step::Unfollow(node) => {
                db.followers.leave(Node::id(node));
                world.nodes[node].let_go_of_all();
                self.note("a node with nothing to hold left");
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

    fn apply(&self, world: &mut World, index: usize, now: bool) {
        let (db, node) = (&world.db, &mut world.nodes[index]);
        let course = node.course.as_mut().expect("it follows");
        if course.edition() != db.edition {
            self.note("a node met another edition");
            node.let_go_of_all();
            return;
        }
        if self.breaks(Broken::GapPassedOver) {
            for missing in course.applied() + 1..db.feed_from {
                let nothing = Change::Erased(Vec::new());
                course.apply(missing, &nothing).expect("it is the next one");
            }
        }
        let sequence = (course.applied() + 1).max(db.feed_from);
        let mut change = match db.head().sequence {
            last if sequence <= last => db.change(sequence, now),
            _ => Change::Erased(Vec::new()),
        };
        if let Change::Enrolled { gone_by, .. } = &mut change {
            if gone_by.is_some() {
                self.note("a row was no longer fresh when the feed was read");
            }
            gone_by.take_if(|_| self.breaks(Broken::GoneTakenForPlaced));
        }
        let Ok(effects) = course.apply(sequence, &change) else {
            self.note("a node was behind the feed's floor");
            node.let_go_of_all();
            return;
        };
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

    fn search(&self, world: &mut World, index: usize, front: usize, scope: Scope) {
        let node = &mut world.nodes[index];
        let course = node.course.as_mut().expect("it follows");
        let pieces = self.hears(course, &scope).expect("it answers");
        let heard = self.as_heard(course, &scope);
        if !self.breaks(Broken::SearchUnprotected) {
            // One that breaks a rule answers all the same.
            let _ = course.begin(&heard);
        }
        let number = world.fronts[front].number;
        if let Some(asking) = &mut world.fronts[front].asking {
            asking.former.retain(|former| *former != scope);
        }
        let search = Search { front, number, scope };
        node.searches.insert(search.clone(), pieces);
        if !self.slow {
            self.end_search(world, index, &search);
        }
    }

    fn end_search(&self, world: &mut World, index: usize, search: &Search) {
        let node = &mut world.nodes[index];
        let pieces = node.searches.remove(search).expect("it is under way");
        let found = node.find(&pieces);
        if let Some(course) = &mut node.course {
            let heard = self.as_heard(course, &search.scope);
            let effects = course.end(&heard);
            if !effects.is_empty() {
                self.note("the last search of a former view let go of rows");
            }
            node.carry_out(effects, &world.db.objects);
        }
        if !world.is_current(index) {
            self.note("a fenced node answered");
        }
        let front = &mut world.fronts[search.front];
        let Some(asking) = front.asking.as_mut().filter(|_| front.number == search.number) else {
            self.note("an answer came too late");
            return;
        };
        let mut scope = search.scope.clone();
        if self.breaks(Broken::ReadingsMixed) {
            scope = asking.question.scope(scope.parts);
        }
        if !asking.question.answered(&scope) {
            self.note("an answer to an earlier reading came");
            return;
        }
        asking.found.extend(found);
        let missing = asking.question.missing().len();
        if missing == 0 || (missing == 1 && self.breaks(Broken::PartLeftOut)) {
            let outcome = asking.outcome(&world.db);
            self.close(front, outcome);
        }
    }

    fn refuse(&self, world: &mut World, index: usize, front: usize, scope: &Scope) {
        let course = world.nodes[index].course.as_ref().expect("it follows");
        let refusal = self.hears(course, scope).expect_err("it refuses");
        let front = &mut world.fronts[front];
        let Some(asking) = &mut front.asking else { return };
        match asking.question.refused(scope, refusal) {
            Next::Elsewhere(_) => self.close(front, Outcome::Behind),
            Next::GiveUp => self.close(front, Outcome::ViewsGone),
            Next::Ignore => {}
            Next::ReadAgain => {
                self.note("a view was gone and the head read again");
                let whole = asking.question.whole().clone();
                let parts = whole.parts.iter();
                asking
                    .former
                    .extend(parts.map(|part| asking.question.scope([*part])));
                asking.question = asking.question.again(world.db.head(), &world.db.view, GROUP);
                asking.found.clear();
            }
        }
    }

    fn close(&self, front: &mut Front, outcome: Outcome) {
        self.note(match outcome {
            Outcome::Found => "somebody was found",
            Outcome::Nobody => "nobody was there",
            Outcome::Forgotten => "an erased one was not found",
            Outcome::Behind => "UNAVAILABLE: a part was behind",
            Outcome::ViewsGone => "UNAVAILABLE: every view was gone",
            Outcome::GivenUp => "UNAVAILABLE: the deadline passed",
            Outcome::WrongNoMatch | Outcome::Resurrected | Outcome::Crossed => "a wrong answer",
        });
        front.asking = None;
        front.outcome = Some(outcome);
    }
}

fn ask(world: &mut World, index: usize) {
    let (db, front) = (&world.db, &mut world.fronts[index]);
    world.left.questions -= 1;
    front.number += 1;
    front.outcome = None;
    let fresh = || Question::new(db.head(), &db.view, GROUP);
    let question = front.remembered.take().unwrap_or_else(fresh);
    let rows = |erased: bool| {
        let rows = db.rows.iter().filter(|(_, row)| row.erased.is_some() == erased);
        let ours = rows.filter(|(_, row)| row.incarnation == db.edition.incarnation);
        ours.map(|(reference, _)| *reference).collect()
    };
    front.asking = Some(Asking {
        question,
        former: Vec::new(),
        found: Rows::new(),
        enrolled: rows(false),
        erased: rows(true),
    });
}
