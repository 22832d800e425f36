//! A node's copy of one gallery: its course, and the rows that the course speaks of, under one lock. What a course says is done to them here, in the order in which it says so. Reads no
//! catalog, and decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::stretch::Stretch;
use crate::cluster::course::{Arrival, Change, Course, CourseError, Effect, Piece, Reference, Search};
use crate::cluster::followers::{Follower, Report};
use crate::cluster::loads::{Load, Loads};
use crate::cluster::question::{Refusal, Scope};
use crate::cluster::view::Head;
use crate::engine::EngineError;
use crate::model::signature::Dimension;
use crate::model::tenant::TransformId;
use crate::storage::place::StoredRow;

/// Rows from which on a stretch of the fresh part takes no more. Rows leave the fresh part in about the order in which they came, so that a stretch goes as a whole in the end.
pub(super) const FRESH_STRETCH_ROWS: usize = 4_096;

/// What holds for all rows of a course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) dimension: Dimension,
    pub(super) transform: TransformId,
}

/// A copy of a gallery, which may be of nothing at all.
///
/// The rows that a course no longer counts are out of everybody's sight under the lock, and overwritten in the engine after it ([`Held::clean`]): the engine's thread may be busy with a
/// round of scans. One task alone cleans and reports, and reports nothing before all is clean.
#[derive(Default)]
pub(super) struct Held(Mutex<State>);

#[derive(Default)]
struct State {
    under_way: Option<UnderWay>,
    /// Of the courses so far, while none is under way.
    loads: Loads,
    /// Rows of the fresh part: there while it is held or being loaded.
    fresh: Option<Vec<Arc<Stretch>>>,
    segments: BTreeMap<u32, Arc<Stretch>>,
    /// Rows that are to leave the fresh part for a segment.
    moving: BTreeMap<u32, Vec<Reference>>,
    litter: Vec<Litter>,
}

struct UnderWay {
    course: Course,
    follower: Follower,
    facts: Arc<Facts>,
}

/// What is out of sight and still in memory.
enum Litter {
    Rows(Arc<Stretch>, Vec<u32>),
    Whole(Arc<Stretch>),
}

/// Rows that were appended and don't count yet.
pub(super) struct Appended {
    pub(super) stretch: Arc<Stretch>,
    pub(super) first: u32,
    pub(super) rows: Vec<StoredRow>,
}

/// A search under way and what it goes over.
pub(super) struct Begun {
    pub(super) search: Search,
    pub(super) facts: Arc<Facts>,
    pub(super) stretches: Vec<Arc<Stretch>>,
}

/// What a course is at, for the one who carries it on.
pub(super) struct Standing {
    pub(super) applied: u64,
    pub(super) facts: Arc<Facts>,
    /// Whether it has the fresh part, or loads it.
    pub(super) knows_fresh: bool,
}

impl Held {
    /// A copy of nothing, whose courses go on from these.
    pub(super) fn new(loads: Loads) -> Self {
        Self(Mutex::new(State {
            loads,
            ..State::default()
        }))
    }

    /// Begins a search (R3). A gallery without a course has nothing.
    pub(super) fn begin(&self, scope: &Scope) -> Result<Begun, Refusal> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let Some(under_way) = &mut state.under_way else {
            return Err(behind(scope));
        };
        let search = under_way.course.begin(scope)?;
        let mut stretches = Vec::new();
        for piece in search.pieces() {
            match piece {
                Piece::Fresh => stretches.extend(state.fresh.iter().flatten().cloned()),
                Piece::Segment(number) => stretches.extend(state.segments.get(number).cloned()),
            }
        }
        Ok(Begun {
            search,
            facts: Arc::clone(&under_way.facts),
            stretches,
        })
    }

    /// Ends a search. Whether its answer counts, and whether there is something to clean.
    pub(super) fn end(&self, search: Search) -> (bool, bool) {
        let mut state = self.0.lock();
        let effects = state
            .under_way
            .as_mut()
            .and_then(|under_way| under_way.course.end(search));
        let counts = effects.is_some();
        state.carry_out(effects.unwrap_or_default(), None);
        (counts, !state.litter.is_empty())
    }

    /// Whether a scope is of this course's edition and of changes that it does not have yet, or of later keys of the tenant.
    pub(super) fn is_behind(&self, scope: &Scope) -> bool {
        let state = self.0.lock();
        let is_behind = |course: &Course| {
            let (here, asked) = (course.edition(), scope.edition);
            let is_older = here.incarnation == asked.incarnation && here < asked;
            is_older || here == asked && course.applied() < scope.at_least
        };
        state
            .under_way
            .as_ref()
            .is_some_and(|under_way| is_behind(&under_way.course))
    }

    /// What the next course takes over from those before. To be given back by [`Held::start`] or [`Held::keep_loads`].
    pub(super) fn take_loads(&self) -> Loads {
        std::mem::take(&mut self.0.lock().loads)
    }

    /// No course began after all.
    pub(super) fn keep_loads(&self, loads: Loads) {
        self.0.lock().loads = loads;
    }

    /// A course begins, of a gallery that has none.
    pub(super) fn start(&self, course: Course, follower: Follower, facts: Facts) {
        let mut state = self.0.lock();
        state.under_way = Some(UnderWay {
            course,
            follower,
            facts: Arc::new(facts),
        });
    }

    /// The course ends, where there is one, and all rows go. Gives who it was.
    pub(super) fn give_up(&self) -> Option<Follower> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let under_way = state.under_way.take()?;
        state.loads = under_way.course.give_up();
        let fresh = state.fresh.take().into_iter().flatten();
        let segments = std::mem::take(&mut state.segments).into_values();
        state.litter.extend(fresh.chain(segments).map(Litter::Whole));
        state.moving.clear();
        Some(under_way.follower)
    }

    /// The course goes on as this one ([`Course::rekey`]). False where it can't.
    pub(super) fn rekey(&self, next: Follower) -> bool {
        let mut state = self.0.lock();
        state.under_way.as_mut().is_some_and(|under_way| {
            let is_next = under_way.course.rekey(next.edition);
            if is_next {
                under_way.follower = next;
            }
            is_next
        })
    }

    /// Whose course it is, and what holds for its rows.
    pub(super) fn known(&self) -> Option<(Follower, Arc<Facts>)> {
        let state = self.0.lock();
        let under_way = state.under_way.as_ref();
        under_way.map(|under_way| (under_way.follower, Arc::clone(&under_way.facts)))
    }

    /// Whose course it is.
    pub(super) fn follower(&self) -> Option<Follower> {
        let state = self.0.lock();
        state.under_way.as_ref().map(|under_way| under_way.follower)
    }

    /// Where the course is.
    pub(super) fn standing(&self) -> Option<Standing> {
        let state = self.0.lock();
        state.under_way.as_ref().map(|under_way| Standing {
            applied: under_way.course.applied(),
            facts: Arc::clone(&under_way.facts),
            knows_fresh: under_way.course.knows(Piece::Fresh),
        })
    }

    /// Looks at the course.
    pub(super) fn course<T>(&self, look: impl FnOnce(&Course) -> T) -> Option<T> {
        let state = self.0.lock();
        state.under_way.as_ref().map(|under_way| look(&under_way.course))
    }

    /// The stretch that rows of the fresh part go into: the last one that has room.
    pub(super) fn fresh_stretch(&self) -> Option<Arc<Stretch>> {
        let state = self.0.lock();
        let last = state.fresh.as_ref()?.last()?;
        (last.appended() < FRESH_STRETCH_ROWS).then(|| Arc::clone(last))
    }

    /// Rows of the fresh part that count.
    pub(super) fn fresh_rows(&self) -> usize {
        let state = self.0.lock();
        let fresh = state.fresh.iter().flatten();
        fresh.map(|stretch| stretch.len()).sum()
    }

    /// These rows are to leave the fresh part once nobody needs the views before the segment.
    pub(super) fn will_move(&self, segment: u32, references: Vec<Reference>) {
        self.0.lock().moving.insert(segment, references);
    }

    /// Takes the next change. `appended` are the rows of an enrolment, if the course knows the fresh part. Nothing but [`Held::give_up`] comes after an error.
    pub(super) fn apply(
        &self,
        read: &Head,
        sequence: u64,
        change: &Change,
        appended: Option<Appended>,
    ) -> Result<(), CourseError> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let effects = match &mut state.under_way {
            Some(under_way) => under_way.course.apply(read, sequence, change),
            None => Ok(Vec::new()),
        };
        let (effects, outcome) = match effects {
            Ok(effects) => (effects, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        state.carry_out(effects, appended);
        outcome
    }

    /// Begins to load a piece, which is read after this.
    pub(super) fn load(&self, piece: Piece) -> Option<(Load, Arc<Facts>)> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let under_way = state.under_way.as_mut()?;
        let load = under_way.course.load(piece)?;
        if piece == Piece::Fresh {
            state.fresh = Some(Vec::new());
        }
        Some((load, Arc::clone(&under_way.facts)))
    }

    /// Takes a segment that was loaded. False: none of it was taken.
    pub(super) fn segment_arrived(&self, load: Load, read: &Head, number: u32, stretch: Stretch) -> bool {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let stretch = Arc::new(stretch);
        let Some(but) = state.arrival(load, read) else {
            state.litter.push(Litter::Whole(stretch));
            return false;
        };
        let but: Vec<Reference> = but.into_iter().collect();
        state.take_out(&stretch, &but);
        state.segments.insert(number, stretch);
        true
    }

    /// Takes the fresh part that was loaded. False: none of it was taken.
    pub(super) fn fresh_arrived(&self, load: Load, read: &Head, came: Appended) -> bool {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let Some(but) = state.arrival(load, read) else {
            state.litter.push(Litter::Whole(came.stretch));
            return false;
        };
        let placed = state.fresh.get_or_insert_default();
        let references = came.rows.iter().map(|row| row.id.reference);
        // What was enrolled since it began may be here already.
        let counts = |reference: &u64| {
            !but.contains(&Reference(*reference)) && !placed.iter().any(|stretch| stretch.has(*reference))
        };
        let counting: BTreeSet<u64> = references.filter(counts).collect();
        let idle = came.stretch.count(came.first, &came.rows, &counting);
        placed.insert(0, Arc::clone(&came.stretch));
        state.litter.push(Litter::Rows(came.stretch, idle));
        true
    }

    /// A load failed.
    pub(super) fn lost(&self, load: Load) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        match &mut state.under_way {
            None => state.loads.end(load),
            Some(under_way) => {
                let effects = under_way.course.lost(load);
                state.carry_out(effects, None);
            }
        }
    }

    /// Gives up a piece.
    pub(super) fn let_go(&self, piece: Piece) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if let Some(under_way) = &mut state.under_way {
            let effects = under_way.course.let_go(piece);
            state.carry_out(effects, None);
        }
    }

    /// Gives up the views before the present one, and what only they have.
    pub(super) fn leave_former_views(&self) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if let Some(under_way) = &mut state.under_way {
            let effects = under_way.course.leave_former_views();
            state.carry_out(effects, None);
        }
    }

    /// Overwrites in the engine what is out of sight. To be called by the one who reports. After an error it is as dirty as before.
    pub(super) fn clean(&self) -> Result<(), EngineError> {
        loop {
            let mut litter = std::mem::take(&mut self.0.lock().litter).into_iter();
            if litter.len() == 0 {
                return Ok(());
            }
            while let Some(next) = litter.next() {
                let outcome = match &next {
                    Litter::Rows(stretch, rows) => stretch.overwrite(rows.clone()),
                    Litter::Whole(stretch) => {
                        stretch.close();
                        Ok(())
                    }
                };
                if let Err(error) = outcome {
                    self.0.lock().litter.extend([next].into_iter().chain(litter));
                    return Err(error);
                }
            }
        }
    }

    /// What the node may say of itself, once all is clean; `None` while there is something to clean, or no course.
    pub(super) fn report(&self) -> Option<(Follower, Report)> {
        let state = self.0.lock();
        if !state.litter.is_empty() {
            return None;
        }
        let under_way = state.under_way.as_ref()?;
        Some((under_way.follower, Report::of(&under_way.course)))
    }

    /// Whether no row is in memory, nor on its way there. Of what is being cleaned the one who cleans knows.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.0.lock();
        state.under_way.is_none() && state.loads.is_idle() && state.litter.is_empty()
    }

    /// Whether loads are under way, also of former courses.
    pub(super) fn is_loading(&self) -> bool {
        !self.0.lock().loads().is_idle()
    }

    /// [`Loads::numbers`].
    pub(super) fn numbers(&self) -> u64 {
        self.0.lock().loads().numbers()
    }

    /// All stretches that are in sight.
    pub(super) fn stretches(&self) -> Vec<Arc<Stretch>> {
        let state = self.0.lock();
        let fresh = state.fresh.iter().flatten();
        fresh.chain(state.segments.values()).cloned().collect()
    }
}

impl State {
    fn loads(&self) -> &Loads {
        let of_course = self.under_way.as_ref().map(|under_way| under_way.course.loads());
        of_course.unwrap_or(&self.loads)
    }

    /// Ends a load. Gives the rows to leave out, or nothing where none is taken.
    fn arrival(&mut self, load: Load, read: &Head) -> Option<BTreeSet<Reference>> {
        let Some(under_way) = &mut self.under_way else {
            self.loads.end(load);
            return None;
        };
        match under_way.course.loaded(load, read) {
            Arrival::Take { but } => Some(but),
            Arrival::Refuse(effects) => {
                self.carry_out(effects, None);
                None
            }
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>, mut appended: Option<Appended>) {
        for effect in effects {
            match effect {
                Effect::Place(references) => {
                    if let Some(appended) = appended.take() {
                        self.place(&references, appended);
                    }
                }
                Effect::Wipe(references) => {
                    for stretch in self.all() {
                        self.take_out(&stretch, &references);
                    }
                }
                Effect::LeaveFresh(segment) => self.leave_fresh(segment),
                Effect::Unload(Piece::Fresh) => {
                    let fresh = self.fresh.take().into_iter().flatten();
                    self.litter.extend(fresh.map(Litter::Whole));
                    self.moving.clear();
                }
                Effect::Unload(Piece::Segment(number)) => {
                    let segment = self.segments.remove(&number);
                    self.litter.extend(segment.map(Litter::Whole));
                }
            }
        }
        if let Some(appended) = appended {
            // Nobody wants them: they never count.
            self.place(&[], appended);
        }
    }

    fn place(&mut self, references: &[Reference], appended: Appended) {
        let Appended { stretch, first, rows } = appended;
        let here = self.fresh.as_deref().unwrap_or_default();
        let references = references.iter().map(|reference| reference.0);
        // A load may have brought some already.
        let counts = |reference: &u64| !here.iter().any(|stretch| stretch.has(*reference));
        let counting: BTreeSet<u64> = references.filter(counts).collect();
        let idle = stretch.count(first, &rows, &counting);
        match &mut self.fresh {
            Some(fresh) if !fresh.iter().any(|known| Arc::ptr_eq(known, &stretch)) => {
                fresh.push(Arc::clone(&stretch));
            }
            Some(_) => {}
            None => {
                self.litter.push(Litter::Whole(stretch));
                return;
            }
        }
        if !idle.is_empty() {
            self.litter.push(Litter::Rows(stretch, idle));
        }
    }

    fn leave_fresh(&mut self, segment: u32) {
        let moved = self.moving.remove(&segment).unwrap_or_default();
        let fresh = self.fresh.clone().unwrap_or_default();
        for stretch in &fresh {
            self.take_out(stretch, &moved);
        }
        let is_used_up = |stretch: &Stretch| stretch.len() == 0 && stretch.appended() >= FRESH_STRETCH_ROWS;
        if let Some(fresh) = &mut self.fresh {
            let used_up = fresh.extract_if(.., |stretch| is_used_up(stretch));
            // Somebody may still search them: they go with the last one.
            let used_up = used_up.map(|stretch| Litter::Rows(stretch, Vec::new()));
            self.litter.extend(used_up);
        }
    }

    fn all(&self) -> Vec<Arc<Stretch>> {
        let fresh = self.fresh.iter().flatten();
        fresh.chain(self.segments.values()).cloned().collect()
    }

    fn take_out(&mut self, stretch: &Arc<Stretch>, references: &[Reference]) {
        let rows = stretch.take_out(references);
        if !rows.is_empty() {
            self.litter.push(Litter::Rows(Arc::clone(stretch), rows));
        }
    }
}

/// Nothing of the scope is here.
pub(super) fn behind(scope: &Scope) -> Refusal {
    Refusal::PartsBehind(scope.parts.clone())
}
