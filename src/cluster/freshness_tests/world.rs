//! The world of the model: a database, match nodes and fronts. What a real one keeps in tables, memory and sockets is sets here; what is decided is decided by the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::num::NonZeroU32;

use crate::cluster::course::{self, Arrival, Change, Course, Effect, Piece, Reference};
use crate::cluster::followers::{Follower, Followers, Report};
use crate::cluster::loads::{Load, Loads};
use crate::cluster::members::Members;
use crate::cluster::placement::NodeId;
use crate::cluster::question::{Question, Scope};
use crate::cluster::view::{Edition, Head, View};

/// Segments of a group to begin with.
pub const GROUP: NonZeroU32 = NonZeroU32::new(2).expect("not 0");

pub type Rows = BTreeSet<Reference>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub db: Database,
    pub nodes: Vec<Node>,
    pub fronts: Vec<Front>,
    pub left: Left,
}

impl World {
    /// Whether the database still takes a node for who it thinks it is.
    pub fn is_current(&self, node: usize) -> bool {
        let generation = self.nodes[node].generation;
        self.db.members.check(Node::id(node), generation).is_ok()
    }

    /// Whether a report changes what the database knows.
    pub fn tells(&self, (follower, report): &(Follower, Report)) -> bool {
        let mut after = self.db.followers.clone();
        let told = after.report(&self.db.members, *follower, report.clone());
        told.is_ok() && after != self.db.followers
    }
}

/// How often something may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Left {
    pub enrolments: u32,
    pub erasures: u32,
    pub flushes: u32,
    pub merges: u32,
    pub cuts: u32,
    pub questions: u32,
    pub fences: u32,
    pub crashes: u32,
    pub drains: u32,
    pub dropped: u32,
    pub given_up: u32,
    pub regroups: u32,
    pub deletions: u32,
    pub leaves: u32,
    pub lags: u32,
    pub forgets: u32,
    pub withdrawals: u32,
}

/// Each method is a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Database {
    pub edition: Edition,
    pub view: View,
    pub members: Members,
    pub followers: Followers,
    /// Change n stands at n − 1. Those before `feed_from` are cut.
    pub feed: Vec<Change>,
    pub feed_from: u64,
    pub rows: BTreeMap<Reference, Row>,
    /// The objects in storage, which never change.
    pub objects: BTreeMap<u32, Rows>,
    pub group_segments: NonZeroU32,
    /// The head and the feed of the incarnation before, for who read them then.
    pub former: Option<(Head, Vec<Change>)>,
    /// The fresh part as somebody read it long ago, or as a replica that lags has it.
    pub lagging: Option<(Head, Rows)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    pub incarnation: u64,
    pub erased: Option<u64>,
    pub erasure_acknowledged: bool,
}

impl Database {
    pub fn new() -> Self {
        let edition = Edition {
            incarnation: 1,
            key_generation: 1,
        };
        Self {
            edition,
            view: View::default(),
            members: Members::default(),
            followers: Followers::new(edition),
            feed: Vec::new(),
            feed_from: 1,
            rows: BTreeMap::new(),
            objects: BTreeMap::new(),
            group_segments: GROUP,
            former: None,
            lagging: None,
        }
    }

    pub fn head(&self) -> Head {
        Head {
            edition: self.edition,
            sequence: self.feed.len() as u64,
            list: self.view.list(),
            group_segments: self.group_segments,
        }
    }

    /// A batch.
    pub fn enrol(&mut self, batch: u64) {
        let next = self.rows.len() as u64;
        let rows: Vec<Reference> = (next..next + batch).map(Reference).collect();
        let incarnation = self.edition.incarnation;
        let row = Row {
            incarnation,
            erased: None,
            erasure_acknowledged: false,
        };
        self.rows
            .extend(rows.iter().map(|reference| (*reference, row.clone())));
        self.feed.push(Change::Enrolled { rows, gone: false });
    }

    pub fn erase(&mut self, rows: &[Reference]) {
        self.feed.push(Change::Erased(rows.to_vec()));
        let sequence = self.head().sequence;
        for row in rows {
            self.rows.get_mut(row).expect("it is there").erased = Some(sequence);
        }
    }

    /// Whether a row is enrolled in today's gallery.
    pub fn counts(&self, row: Reference) -> bool {
        let row = self.rows.get(&row);
        row.is_some_and(|row| row.erased.is_none() && row.incarnation == self.edition.incarnation)
    }

    /// The rows that are in no live segment.
    pub fn fresh(&self) -> Rows {
        let has_left = |row: &Reference| {
            let mut objects = self.objects.iter();
            objects.any(|(number, rows)| rows.contains(row) && self.is_live(*number))
        };
        let rows = self.rows.keys().copied();
        rows.filter(|row| self.counts(*row) && !has_left(row)).collect()
    }

    fn is_live(&self, number: u32) -> bool {
        let segment = self.view.segments().get(&number);
        segment.is_some_and(|segment| segment.live_from().is_some())
    }

    /// `None`: the object is not there.
    pub fn segment(&self, number: u32) -> Option<Rows> {
        let rows = self.objects.get(&number)?.iter().copied();
        Some(rows.filter(|row| self.counts(*row)).collect())
    }

    pub fn read(&self, piece: Piece) -> Option<Rows> {
        match piece {
            Piece::Fresh => Some(self.fresh()),
            Piece::Segment(number) => self.segment(number),
        }
    }

    /// The first step of a flush or a merge.
    pub fn warm(&mut self, rows: Rows) {
        let last = self.view.segments().keys().chain(self.objects.keys()).max();
        let number = last.map_or(1, |last| last + 1);
        self.view.warm(number).expect("a new number");
        self.objects.insert(number, rows);
        self.feed.push(Change::Warming(number));
    }

    /// In the place of the second one.
    pub fn withdraw(&mut self, segment: u32) {
        self.view.withdraw(segment).expect("it is warming");
        self.feed.push(Change::Withdrawn(segment));
    }

    /// The second one.
    pub fn go_live(&mut self, segment: u32) {
        let rows = self.objects.get(&segment).expect("it is written");
        let live = self.view.holding(self.view.list());
        let retired: BTreeSet<u32> = live
            .filter(|live| !rows.is_disjoint(&self.objects[live]))
            .collect();
        self.view.go_live(segment, &retired).expect("it is warming");
        self.feed.push(Change::Live { segment, retired });
    }

    /// A change as the feed gives it, and the head that it was read with. A reading of now finds rows no longer where they were; an earlier one, that is long on its way, found
    /// them; one of the former incarnation found others.
    pub fn change(&self, sequence: u64, read: Read) -> (Head, Option<Change>) {
        let at = usize::try_from(sequence).expect("few") - 1;
        if read == Read::Former {
            let (head, feed) = self.former.as_ref().expect("there was one");
            return (*head, feed.get(at).cloned());
        }
        let change = self.feed.get(at).cloned();
        if read == Read::Late {
            let before = self.feed.iter().take(at + 1);
            let list = before
                .filter(|change| matches!(change, Change::Live { .. }))
                .count() as u64;
            let head = self.head();
            return (
                Head {
                    sequence,
                    list,
                    ..head
                },
                change,
            );
        }
        let change = change.map(|change| match change {
            Change::Enrolled { mut rows, .. } => {
                let (fresh, all) = (self.fresh(), rows.len());
                rows.retain(|row| fresh.contains(row));
                let gone = rows.len() < all;
                Change::Enrolled { rows, gone }
            }
            other => other,
        });
        (self.head(), change)
    }

    /// The tenant is dropped, and made anew under its id.
    pub fn make_anew(&mut self) {
        self.former = Some((self.head(), mem::take(&mut self.feed)));
        self.edition.incarnation += 1;
        self.view = View::default();
        self.followers = Followers::new(self.edition);
        self.feed_from = 1;
        self.objects.clear();
    }
}

/// When a change was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    Now,
    Late,
    Former,
}

/// A match node. One that is stopped, or cut off, is one whose turn does not come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Node {
    /// As it thinks. 0: it has to register.
    pub generation: u64,
    pub course: Option<Course>,
    /// Where there is no course: what the next one takes over.
    pub loads: Loads,
    pub fresh: Rows,
    pub segments: BTreeMap<u32, Rows>,
    /// Rows on their way here, and the head that they were read with.
    pub arriving: BTreeMap<Load, (Head, Option<Rows>)>,
    /// With what ends them, and what they search.
    pub searches: BTreeMap<Search, (Option<course::Search>, Vec<Piece>)>,
    /// Reports on their way: they outlive who sent them.
    pub said: BTreeSet<(Follower, Report)>,
    /// Leaves on their way.
    pub left: BTreeSet<Follower>,
}

/// A search under way: for the how many-th question of which front.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Search {
    pub front: usize,
    pub number: u32,
    /// Of which course of the node.
    pub course: u64,
    pub scope: Scope,
}

impl Node {
    pub fn id(index: usize) -> NodeId {
        NodeId(index as u128 + 1)
    }

    pub fn follower(index: usize, generation: u64, course: &Course) -> Follower {
        Follower {
            node: Self::id(index),
            edition: course.edition(),
            generation,
            course: course.number(),
        }
    }

    /// All rows in its memory, also those on their way.
    pub fn memory(&self) -> impl Iterator<Item = Reference> {
        let arriving = self.arriving.values().filter_map(|(_, rows)| rows.as_ref());
        let rows = self.segments.values().chain(arriving).flatten();
        self.fresh.iter().chain(rows).copied()
    }

    /// The gallery's rows go. What is on its way, and the searches under way, are another task's, and stay.
    pub fn let_go_of_all(&mut self) {
        if let Some(course) = self.course.take() {
            self.loads = course.give_up();
        }
        self.fresh.clear();
        self.segments.clear();
    }

    pub fn crash(&mut self) {
        *self = Self {
            said: mem::take(&mut self.said),
            left: mem::take(&mut self.left),
            ..Self::default()
        };
    }

    pub fn carry_out(&mut self, effects: Vec<Effect>, objects: &BTreeMap<u32, Rows>) {
        for effect in effects {
            match effect {
                Effect::Place(rows) => self.fresh.extend(rows),
                Effect::Wipe(rows) => self.wipe(&rows),
                Effect::LeaveFresh(number) => {
                    let left = objects.get(&number);
                    self.fresh
                        .retain(|row| !left.is_some_and(|left| left.contains(row)));
                }
                Effect::Unload(Piece::Fresh) => self.fresh.clear(),
                Effect::Unload(Piece::Segment(number)) => drop(self.segments.remove(&number)),
            }
        }
    }

    fn wipe(&mut self, rows: &[Reference]) {
        let stays = |row: &Reference| !rows.contains(row);
        self.fresh.retain(stays);
        for segment in self.segments.values_mut() {
            segment.retain(stays);
        }
    }

    /// `read` is the head that the rows were read with.
    pub fn arrive(
        &mut self,
        load: Load,
        read: &Head,
        rows: Option<Rows>,
        forgets_erased: bool,
    ) -> &'static str {
        let Some(course) = &mut self.course else {
            self.loads.end(load);
            return "rows came where nobody waits for them";
        };
        let piece = load.piece;
        let Some(mut rows) = rows else {
            let effects = course.lost(load);
            self.carry_out(effects, &BTreeMap::new());
            return "an object was gone";
        };
        let but = match course.loaded(load, read) {
            Arrival::Take { but } => but,
            Arrival::Refuse(effects) => {
                let was_awaited = !effects.is_empty();
                self.carry_out(effects, &BTreeMap::new());
                return if was_awaited {
                    "a load took too long"
                } else {
                    "rows came where nobody waits for them"
                };
            }
        };
        let all = rows.len();
        if !forgets_erased {
            rows.retain(|row| !but.contains(row));
        }
        let less = rows.len() < all;
        match piece {
            Piece::Fresh => self.fresh.extend(rows),
            Piece::Segment(number) => drop(self.segments.insert(number, rows)),
        }
        if less {
            "a row was erased while it was loaded"
        } else {
            "rows were loaded"
        }
    }

    pub fn find(&self, pieces: &[Piece]) -> Rows {
        let rows = pieces.iter().filter_map(|piece| match piece {
            Piece::Fresh => Some(&self.fresh),
            Piece::Segment(number) => self.segments.get(number),
        });
        rows.flatten().copied().collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Front {
    /// How many questions it has asked.
    pub number: u32,
    pub asking: Option<Asking>,
    /// Read before the next question comes in: for a front that breaks rule R1.
    pub remembered: Option<Question>,
    /// Of the last question, or of the beginning.
    pub view: View,
    pub outcome: Option<Outcome>,
}

/// A question, and what a right answer to it is. Somebody looks for everybody at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asking {
    pub question: Question,
    /// What it asked for by earlier readings of the head, and may be heard late.
    pub former: Vec<Scope>,
    pub found: Rows,
    /// Rows whose enrolment was committed before it came in: acknowledged or not, which asks for more than the promise.
    pub enrolled: Rows,
    /// Rows whose erasure was.
    pub erased: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Found,
    Nobody,
    /// Nobody, because the one who was there is erased.
    Forgotten,
    Behind,
    ViewsGone,
    GivenUp,
    WrongNoMatch,
    Resurrected,
    Crossed,
}

impl Asking {
    pub fn outcome(&self, db: &Database) -> Outcome {
        let incarnation = self.question.whole().edition.incarnation;
        let is_crossed = |row: &Reference| db.rows[row].incarnation != incarnation;
        let mut missed = self
            .enrolled
            .iter()
            .filter(|row| db.counts(**row) && !self.found.contains(row));
        if self.found.iter().any(is_crossed) {
            Outcome::Crossed
        } else if !self.found.is_disjoint(&self.erased) {
            Outcome::Resurrected
        } else if missed.next().is_some() {
            Outcome::WrongNoMatch
        } else if !self.found.is_empty() {
            Outcome::Found
        } else if !self.erased.is_empty() {
            Outcome::Forgotten
        } else {
            Outcome::Nobody
        }
    }
}
