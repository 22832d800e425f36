//! How a match node's copy of a gallery stays fresh: it follows the catalog's changes one by one, and answers only for what it has as of then (rules R3, F1 and E1).
//! Holds no rows: it tells the caller what to do with them. Reads no catalog and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::num::NonZeroU32;

use thiserror::Error;

use super::loads::{Load, Loads};
use super::placement::Part;
use super::question::{Refusal, Scope};
use super::view::{Edition, Head, ListError, Reading, View};

mod rekey;
mod release;

/// Most erasures that a load remembers. With one more it is begun anew.
pub const LOAD_ERASED_MAX: usize = 65_536;

/// A palm's reference as the catalog counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference(pub u64);

/// A change of a gallery, as its feed has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Rows that came into the fresh part.
    Enrolled {
        /// Those that were still there when the feed was read.
        rows: Vec<Reference>,
        /// Whether others were not: by then they were in a live segment, or erased, and can't be placed.
        gone: bool,
    },
    /// Rows that are gone, wherever they stood.
    Erased(Vec<Reference>),
    /// A segment was written of rows that count elsewhere: the first step of a flush.
    Warming(u32),
    /// A warming segment is taken back: its rows stay where they count.
    Withdrawn(u32),
    /// A segment counts from the next version of the list on: the second step.
    Live {
        /// The segment.
        segment: u32,
        /// The segments whose rows it took over; none where they were in the fresh part.
        retired: BTreeSet<u32>,
    },
}

/// What is loaded as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    /// The rows that are in no live segment.
    Fresh,
    /// The rows of a segment.
    Segment(u32),
}

impl Piece {
    fn part(self, group_segments: NonZeroU32) -> Part {
        match self {
            Self::Fresh => Part::Fresh,
            Self::Segment(number) => Part::of_segment(number, group_segments),
        }
    }
}

/// What the caller has to do with its rows, before it asks the course anything else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Put these rows into the fresh part.
    Place(Vec<Reference>),
    /// Overwrite these rows wherever they are.
    Wipe(Vec<Reference>),
    /// Take out of the fresh part the rows that went into this segment.
    LeaveFresh(u32),
    /// Let go of a whole piece.
    Unload(Piece),
}

/// A search under way. Ends once, by [`Course::end`].
#[must_use = "what a search needs stays until it has ended"]
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(test, derive(Clone))]
pub struct Search {
    course: u64,
    scope: Scope,
    pieces: Vec<Piece>,
}

impl Search {
    /// What is to be searched.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

/// What becomes of rows that were loaded.
#[must_use = "erased rows are to be left out"]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// They are taken, but for these: they were erased since the load began.
    Take {
        /// The rows to leave out.
        but: BTreeSet<Reference>,
    },
    /// None is taken. The load was given up, or is to be begun anew: it took too long, or its rows are none of this course.
    Refuse(Vec<Effect>),
}

/// Why a course can't go on. The node begins with a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CourseError {
    /// The tenant was made anew, or its keys were rotated.
    #[error("the gallery is of a later edition than this course of {0:?}")]
    Edition(Edition),
    /// Other groups.
    #[error("a group has {read} segments, and {here} in this course")]
    Groups {
        /// By the head that was read.
        read: NonZeroU32,
        /// By the course.
        here: NonZeroU32,
    },
    /// A change that is newer than the head which it was read with.
    #[error("change {sequence} was not read with a head of {head}: they are of two readings")]
    Mixed {
        /// The change.
        sequence: u64,
        /// The head's last one.
        head: u64,
    },
    /// Changes are missing: the feed no longer has them, or they were lost on the way.
    #[error("change {came} came where {expected} was next: those between are missing")]
    Gap {
        /// The next one.
        expected: u64,
        /// The one that came.
        came: u64,
    },
    /// The change does not fit the list of segments.
    #[error(transparent)]
    List(#[from] ListError),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holding {
    /// Not all rows are there. Of those that are on their way, the erased ones are left out.
    Loading {
        serial: u64,
        erased: BTreeSet<Reference>,
        since: u64,
    },
    /// All rows are there that the piece has in views from this version of the list on.
    Held { since: u64 },
    /// No longer to be asked for. The searches under way still see it.
    Leaving,
}

/// A node's copy of one edition of a gallery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Course {
    edition: Edition,
    group_segments: NonZeroU32,
    /// Which one of its process.
    number: u64,
    applied: u64,
    view: View,
    pieces: BTreeMap<Piece, Holding>,
    /// How often it came to have other pieces, or fewer views.
    turn: u64,
    loads: Loads,
    /// Those under way, as many as the caller lets in.
    searches: BTreeMap<Scope, u32>,
}

impl Course {
    /// Begins at a reading, with nothing loaded. The node is among the gallery's followers since the transaction that it was read in.
    /// `loads` are those of the process's former course of this gallery ([`Course::give_up`]).
    pub fn new(reading: Reading, mut loads: Loads) -> Self {
        let Reading { head, view } = reading;
        Self {
            edition: head.edition,
            group_segments: head.group_segments,
            number: loads.number(),
            applied: head.sequence,
            view,
            pieces: BTreeMap::new(),
            turn: 0,
            loads,
            searches: BTreeMap::new(),
        }
    }

    /// Ends a course, all of whose rows the caller lets go of. Those of its loads stay until the loads have ended.
    pub fn give_up(mut self) -> Loads {
        self.loads.erased_after(self.applied);
        self.loads
    }

    /// Which course of its process it is.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Rises with each change of what it holds: of two reports as of the same change, the one with more is the later.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Up to which change no erased row is left here, nor on its way here.
    pub fn wiped(&self) -> u64 {
        self.loads.wiped(self.applied)
    }

    /// The loads under way, also of former courses.
    pub fn loads(&self) -> &Loads {
        &self.loads
    }

    /// Whose rows these are.
    pub fn edition(&self) -> Edition {
        self.edition
    }

    /// So many segments are a group to it.
    pub fn group_segments(&self) -> NonZeroU32 {
        self.group_segments
    }

    /// The last change that it has.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The segments as of then.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The pieces whose rows are all there.
    pub fn held(&self) -> BTreeSet<Piece> {
        let held =
            |(piece, holding): (&Piece, &Holding)| matches!(holding, Holding::Held { .. }).then_some(*piece);
        self.pieces.iter().filter_map(held).collect()
    }

    /// Whether a piece is there, on its way here, or leaving.
    pub fn knows(&self, piece: Piece) -> bool {
        self.pieces.contains_key(&piece)
    }

    /// Whether it goes on, by a head that was read. An earlier one says nothing.
    pub fn goes_on(&self, read: &Head) -> Result<(), CourseError> {
        if read.edition > self.edition {
            return Err(CourseError::Edition(self.edition));
        }
        if read.edition == self.edition && read.group_segments != self.group_segments {
            let (read, here) = (read.group_segments, self.group_segments);
            return Err(CourseError::Groups { read, here });
        }
        Ok(())
    }

    /// Takes the next change, and the head that it was read with. One that it has already, or that is of a former incarnation, is nothing new. One of former keys is the
    /// same change: so a rotation's rows follow it beside the present ones.
    pub fn apply(&mut self, read: &Head, sequence: u64, change: &Change) -> Result<Vec<Effect>, CourseError> {
        let expected = self.applied + 1;
        if sequence < expected || read.edition.incarnation < self.edition.incarnation {
            return Ok(Vec::new());
        }
        self.goes_on(read)?;
        if read.sequence < sequence {
            let head = read.sequence;
            return Err(CourseError::Mixed { sequence, head });
        }
        if sequence > expected {
            return Err(CourseError::Gap {
                expected,
                came: sequence,
            });
        }
        let effects = match change {
            Change::Enrolled { rows, gone } => self.enrol(rows, gone.then_some(read.list)),
            Change::Erased(rows) => self.erase(rows),
            Change::Warming(segment) => {
                self.view.warm(*segment)?;
                Vec::new()
            }
            Change::Withdrawn(segment) => {
                self.view.withdraw(*segment)?;
                self.unload(*segment)
            }
            Change::Live { segment, retired } => {
                self.view.go_live(*segment, retired)?;
                self.release(self.view.list() - 1)
            }
        };
        self.applied = sequence;
        Ok(effects)
    }

    /// Begins to load a piece, which is read from the catalog after this. `None` where it is here, on its way or leaving, or where there is no such segment.
    pub fn load(&mut self, piece: Piece) -> Option<Load> {
        let is_listed = match piece {
            Piece::Fresh => true,
            Piece::Segment(number) => self.view.segments().contains_key(&number),
        };
        if self.knows(piece) || !is_listed {
            return None;
        }
        let serial = self.loads.begin();
        let loading = Holding::Loading {
            serial,
            erased: BTreeSet::new(),
            since: 0,
        };
        self.pieces.insert(piece, loading);
        let at_least = self.applied;
        Some(Load {
            edition: self.edition,
            piece,
            at_least,
            serial,
        })
    }

    /// Takes the rows of a load, and the head that they were read with.
    pub fn loaded(&mut self, load: Load, read: &Head) -> Arrival {
        let is_fresh = load.piece == Piece::Fresh;
        // Some rows have left the fresh part here meanwhile, and nothing would make them leave it again.
        let is_late = is_fresh && read.list < self.view.since();
        let is_ours = load.may_read(read) && !is_late;
        let (erased, since) = match self.pieces.get_mut(&load.piece) {
            Some(Holding::Loading {
                serial,
                erased,
                since,
            }) if *serial == load.serial && is_ours => (mem::take(erased), *since),
            _ => return Arrival::Refuse(self.lost(load)),
        };
        let since = if is_fresh { read.list.max(since) } else { 0 };
        self.pieces.insert(load.piece, Holding::Held { since });
        self.loads.end(load);
        self.turn += 1;
        Arrival::Take { but: erased }
    }

    /// A load failed: the catalog or an object could not be read, or is not there. An object that is missing is no empty one: the piece has to be loaded again.
    #[must_use]
    pub fn lost(&mut self, load: Load) -> Vec<Effect> {
        let piece = load.piece;
        let is_it =
            |holding: &Holding| matches!(holding, Holding::Loading { serial, .. } if *serial == load.serial);
        let was_awaited = self.pieces.get(&piece).is_some_and(is_it);
        self.loads.end(load);
        if !was_awaited {
            return Vec::new();
        }
        self.pieces.remove(&piece);
        vec![Effect::Unload(piece)]
    }

    /// Begins a search for a scope, where it may answer for it (rule R3). No row that it needs goes away before its end.
    pub fn begin(&mut self, scope: &Scope) -> Result<Search, Refusal> {
        let pieces = self.may_answer(scope)?;
        *self.searches.entry(scope.clone()).or_default() += 1;
        Ok(Search {
            course: self.number,
            scope: scope.clone(),
            pieces,
        })
    }

    /// Ends a search. `None` where a former course began it, whose rows may have gone meanwhile: its answer counts for nothing.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a search ends once")]
    pub fn end(&mut self, search: Search) -> Option<Vec<Effect>> {
        if search.course != self.number {
            return None;
        }
        match self.searches.get_mut(&search.scope) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.searches.remove(&search.scope)),
        }
        let mut effects = self.release(self.view.list().saturating_sub(1));
        effects.extend(self.unload_leaving());
        Some(effects)
    }

    /// What it would have to search for a scope now, or why it does not answer.
    pub fn may_answer(&self, scope: &Scope) -> Result<Vec<Piece>, Refusal> {
        if scope.edition < self.edition {
            return Err(Refusal::ViewGone);
        }
        let is_behind = self.applied < scope.at_least || self.view.list() < scope.list;
        if scope.edition > self.edition || is_behind {
            return Err(Refusal::PartsBehind(scope.parts.clone()));
        }
        if scope.list < self.view.since() || scope.group_segments != self.group_segments {
            return Err(Refusal::ViewGone);
        }
        let (mut pieces, mut behind) = (Vec::new(), BTreeSet::new());
        for part in &scope.parts {
            let from = pieces.len();
            match part {
                Part::Fresh => pieces.push(Piece::Fresh),
                Part::Group(_) => pieces.extend(self.pieces_of(*part, scope.list)),
            }
            for piece in &pieces[from..] {
                match self.pieces.get(piece) {
                    Some(Holding::Held { since }) if *since <= scope.list => {}
                    Some(Holding::Held { .. }) => return Err(Refusal::ViewGone),
                    Some(Holding::Loading { .. } | Holding::Leaving) | None => {
                        behind.insert(*part);
                    }
                }
            }
        }
        if !behind.is_empty() {
            return Err(Refusal::PartsBehind(behind));
        }
        Ok(pieces)
    }

    fn pieces_of(&self, group: Part, list: u64) -> impl Iterator<Item = Piece> {
        let pieces = self.view.holding(list).map(Piece::Segment);
        pieces.filter(move |piece| piece.part(self.group_segments) == group)
    }

    fn enrol(&mut self, rows: &[Reference], gone_by: Option<u64>) -> Vec<Effect> {
        match self.pieces.get_mut(&Piece::Fresh) {
            Some(Holding::Loading { since, .. } | Holding::Held { since }) => {
                // Views before that have rows in the fresh part which can't be had any more.
                *since = gone_by.unwrap_or(0).max(*since);
                vec![Effect::Place(rows.to_vec())]
            }
            Some(Holding::Leaving) | None => Vec::new(),
        }
    }

    fn erase(&mut self, rows: &[Reference]) -> Vec<Effect> {
        self.loads.erased_after(self.applied);
        let full = self.pieces.extract_if(.., |_, holding| match holding {
            Holding::Loading { erased, .. } => {
                erased.extend(rows);
                erased.len() > LOAD_ERASED_MAX
            }
            Holding::Held { .. } | Holding::Leaving => false,
        });
        let given_up = full.map(|(piece, _)| Effect::Unload(piece));
        [Effect::Wipe(rows.to_vec())]
            .into_iter()
            .chain(given_up)
            .collect()
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
