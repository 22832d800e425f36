//! How a match node's copy of a gallery stays fresh: it follows the catalog's changes one by one, and answers only for what it has as of then (rules R3, F1 and E1).
//! Holds no rows: it tells the caller what to do with them. Reads no catalog and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use thiserror::Error;

use super::placement::Part;
use super::question::{Refusal, Scope};
use super::view::{Edition, Head, ListError, Segment, View};

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
        /// Where others were not: the version of the list at that reading. By then they were in a live segment, or erased, and can't be placed.
        gone_by: Option<u64>,
    },
    /// Rows that are gone, wherever they stood.
    Erased(Vec<Reference>),
    /// A segment was written of rows that count elsewhere: the first step of a flush.
    Warming(u32),
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

/// A load under way. One that was given up, or begun anew, is told from its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Load {
    /// Of this edition.
    pub edition: Edition,
    /// What is loaded.
    pub piece: Piece,
    serial: u64,
}

/// What becomes of rows that were loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// They are taken, but for these: they were erased since the load began.
    Take {
        /// The rows to leave out.
        but: BTreeSet<Reference>,
    },
    /// None is taken. The load was given up, or took so long that it is to be begun anew.
    Refuse(Vec<Effect>),
}

/// Why a course can't go on. The node begins with a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CourseError {
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
    applied: u64,
    view: View,
    /// The earliest version of the list whose view it may still have.
    since: u64,
    pieces: BTreeMap<Piece, Holding>,
    loads: u64,
    /// Those under way, as many as the caller lets in.
    searches: BTreeMap<Scope, u32>,
}

impl Course {
    /// Begins at a head and the view of it, with nothing loaded. The node is among the gallery's followers since the transaction that read them, or before.
    pub fn new(head: Head, mut view: View, group_segments: NonZeroU32) -> Self {
        view.forget(head.list);
        Self {
            edition: head.edition,
            group_segments,
            applied: head.sequence,
            view,
            since: head.list,
            pieces: BTreeMap::new(),
            loads: 0,
            searches: BTreeMap::new(),
        }
    }

    /// Whose rows these are.
    pub fn edition(&self) -> Edition {
        self.edition
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

    /// Takes the next change. One that it has already is nothing new.
    pub fn apply(&mut self, sequence: u64, change: &Change) -> Result<Vec<Effect>, CourseError> {
        let expected = self.applied + 1;
        if sequence < expected {
            return Ok(Vec::new());
        }
        if sequence > expected {
            return Err(CourseError::Gap {
                expected,
                came: sequence,
            });
        }
        let effects = match change {
            Change::Enrolled { rows, gone_by } => self.enrol(rows, *gone_by),
            Change::Erased(rows) => self.erase(rows),
            Change::Warming(segment) => {
                self.view.warm(*segment)?;
                Vec::new()
            }
            Change::Live { segment, retired } => {
                self.view.go_live(*segment, retired)?;
                self.release()
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
        let serial = self.loads;
        self.loads += 1;
        let loading = Holding::Loading {
            serial,
            erased: BTreeSet::new(),
            since: 0,
        };
        self.pieces.insert(piece, loading);
        let edition = self.edition;
        Some(Load {
            edition,
            piece,
            serial,
        })
    }

    /// Takes the rows of a load, which were read as of this version of the list.
    pub fn loaded(&mut self, load: &Load, list: u64) -> Arrival {
        let begun = self.pieces.get(&load.piece);
        let Some(Holding::Loading {
            serial,
            erased,
            since,
        }) = begun
        else {
            return Arrival::Refuse(Vec::new());
        };
        if *serial != load.serial || load.edition != self.edition {
            return Arrival::Refuse(Vec::new());
        }
        let is_fresh = load.piece == Piece::Fresh;
        if is_fresh && list < self.since {
            // Some of these rows have left the fresh part here meanwhile, and nothing would make them leave it again.
            self.pieces.remove(&load.piece);
            return Arrival::Refuse(vec![Effect::Unload(load.piece)]);
        }
        let but = erased.clone();
        let since = if is_fresh { list.max(*since) } else { 0 };
        self.pieces.insert(load.piece, Holding::Held { since });
        Arrival::Take { but }
    }

    /// Gives up a piece: another node has it now. Searches under way still see it.
    pub fn let_go(&mut self, piece: Piece) -> Vec<Effect> {
        if self.knows(piece) {
            self.pieces.insert(piece, Holding::Leaving);
        }
        self.unload_leaving()
    }

    /// What it has to search for a scope, where it may answer for it (rule R3). Then the search is under way until [`Course::end`], and no row that it needs goes away before.
    pub fn begin(&mut self, scope: &Scope) -> Result<Vec<Piece>, Refusal> {
        let pieces = self.may_answer(scope)?;
        *self.searches.entry(scope.clone()).or_default() += 1;
        Ok(pieces)
    }

    /// Ends a search that was begun.
    pub fn end(&mut self, scope: &Scope) -> Vec<Effect> {
        match self.searches.get_mut(scope) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.searches.remove(scope)),
        }
        let mut effects = self.release();
        effects.extend(self.unload_leaving());
        effects
    }

    /// What it would have to search for a scope now, or why it does not answer.
    pub fn may_answer(&self, scope: &Scope) -> Result<Vec<Piece>, Refusal> {
        let behind = scope.parts.first().map_or(Part::Fresh, |part| *part);
        if scope.edition < self.edition {
            return Err(Refusal::ViewGone);
        }
        let is_behind = self.applied < scope.at_least || self.view.list() < scope.list;
        if scope.edition > self.edition || is_behind {
            return Err(Refusal::PartBehind(behind));
        }
        if scope.list < self.since {
            return Err(Refusal::ViewGone);
        }
        let mut pieces = Vec::new();
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
                        return Err(Refusal::PartBehind(*part));
                    }
                }
            }
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

    /// Lets go of what is needed only by views before the former one and before those of all searches under way (F1).
    fn release(&mut self) -> Vec<Effect> {
        let oldest = self.searches.keys().map(|scope| scope.list).min();
        let before = self.since;
        let since = oldest.unwrap_or(u64::MAX).min(self.view.list().saturating_sub(1));
        if since <= before {
            return Vec::new();
        }
        self.since = since;
        let mut effects = Vec::new();
        for (&number, &segment) in self.view.segments() {
            let left = |from: u64| before < from && from <= since;
            if segment.live_from().is_some_and(left) && self.pieces.contains_key(&Piece::Fresh) {
                effects.push(Effect::LeaveFresh(number));
            }
            let is_gone = matches!(segment, Segment::Retired { until, .. } if until <= since);
            if is_gone && self.pieces.remove(&Piece::Segment(number)).is_some() {
                effects.push(Effect::Unload(Piece::Segment(number)));
            }
        }
        self.view.forget(since);
        effects
    }

    fn unload_leaving(&mut self) -> Vec<Effect> {
        let (searches, group_segments) = (&self.searches, self.group_segments);
        let is_seen = |piece: Piece| {
            let part = piece.part(group_segments);
            searches.keys().any(|scope| scope.parts.contains(&part))
        };
        let leaving = self.pieces.extract_if(.., |piece, holding| {
            *holding == Holding::Leaving && !is_seen(*piece)
        });
        leaving.map(|(piece, _)| Effect::Unload(piece)).collect()
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
