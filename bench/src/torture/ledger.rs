//! The model of one tenant, kept outside the server: who was acknowledged, who was erased, who is in doubt. Asks nobody and judges nothing.

use std::collections::BTreeSet;
use std::ops::Range;

use rand::{Rng, RngExt};

use super::verdict::{State, number_of};

/// How a subject came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// By an enrolment; its answer once there was one.
    Enrolled(Option<Enrolled>),
    /// With others, by the import of this number.
    Imported(usize),
}

/// The answer to an enrolment: a repetition gets the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Numbers of the references.
    pub references: Vec<u64>,
    /// Number of the change.
    pub sequence: u64,
}

/// An import: all of its subjects or none.
#[derive(Debug, Clone)]
pub struct Import {
    /// Its subjects.
    pub numbers: Range<u64>,
    /// Number of the change, once it was answered.
    pub sequence: Option<u64>,
}

#[derive(Debug, Clone)]
struct Subject {
    state: State,
    came: Came,
    /// Number of the erasure, once it was answered.
    erasure: Option<u64>,
    /// Where it stands in `present`.
    slot: usize,
}

/// An answer that has to be in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its request id.
    pub request: String,
    /// Whom it named.
    pub subject: Option<u64>,
    /// Whether a loss of power leaves it in the history.
    pub durable: bool,
}

/// One tenant's.
#[derive(Debug)]
pub struct Ledger {
    tenant: String,
    subjects: Vec<Subject>,
    present: Vec<u64>,
    erased: Vec<u64>,
    touched: BTreeSet<u64>,
    imports: Vec<Import>,
    events: Vec<Event>,
    events_checked: usize,
    requests: u64,
}

impl Ledger {
    /// Of an empty gallery.
    pub fn new(tenant: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            subjects: Vec::new(),
            present: Vec::new(),
            erased: Vec::new(),
            touched: BTreeSet::new(),
            imports: Vec::new(),
            events: Vec::new(),
            events_checked: 0,
            requests: 0,
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Subjects there ever were.
    pub fn numbers(&self) -> Range<u64> {
        0..self.subjects.len() as u64
    }

    /// Subjects that are there for certain.
    pub fn living(&self) -> usize {
        self.present.len()
    }

    /// What is known of a subject.
    pub fn state(&self, number: u64) -> State {
        self.subject(number).state
    }

    /// What is known of whom an answer names; `None` for nobody of this tenant.
    pub fn state_of(&self, subject_id: &str) -> Option<State> {
        let number = number_of(&self.tenant, subject_id)?;
        let index = usize::try_from(number).ok()?;
        Some(self.subjects.get(index)?.state)
    }

    /// How a subject came.
    pub fn came(&self, number: u64) -> &Came {
        &self.subject(number).came
    }

    /// Its erasure, once that was answered.
    pub fn erasure(&self, number: u64) -> Option<u64> {
        self.subject(number).erasure
    }

    /// An import.
    pub fn import(&self, import: usize) -> &Import {
        self.imports
            .get(import)
            .expect("imports are named by their number")
    }

    /// A request id that was never used: its kind and a number.
    pub fn fresh_request(&mut self, kind: &str) -> String {
        self.requests += 1;
        format!("{}-{kind}-{}", self.tenant, self.requests)
    }

    /// A new subject is about to be enrolled.
    pub fn begin_enroll(&mut self) -> u64 {
        self.add(Came::Enrolled(None))
    }

    /// The enrolment was acknowledged.
    pub fn enrolled(&mut self, number: u64, answer: Enrolled) {
        self.subject_mut(number).came = Came::Enrolled(Some(answer));
        self.turn(number, State::Present);
    }

    /// New subjects are about to be imported.
    pub fn begin_import(&mut self, count: u64) -> usize {
        let import = self.imports.len();
        let first = self.subjects.len() as u64;
        for _ in 0..count {
            self.add(Came::Imported(import));
        }
        self.imports.push(Import {
            numbers: first..first + count,
            sequence: None,
        });
        import
    }

    /// The import was acknowledged.
    pub fn imported(&mut self, import: usize, sequence: u64) {
        let found = self.imports.get_mut(import).expect("it was begun");
        found.sequence = Some(sequence);
        for number in found.numbers.clone() {
            // A repetition comes after some may have been erased.
            if matches!(self.state(number), State::Enrolling | State::Absent) {
                self.turn(number, State::Present);
            }
        }
    }

    /// A subject, any, is about to be erased.
    pub fn begin_erase(&mut self, rng: &mut impl Rng) -> Option<u64> {
        let number = self.pick_present(rng)?;
        self.turn(number, State::Erasing);
        Some(number)
    }

    /// The erasure was acknowledged.
    pub fn erased(&mut self, number: u64, erasure: u64) {
        self.subject_mut(number).erasure = Some(erasure);
        self.turn(number, State::Erased);
    }

    /// After a restart: what was in doubt is so from now on.
    pub fn settle(&mut self, number: u64, there: bool) {
        match (self.state(number), there) {
            (State::Enrolling | State::Erasing, true) => self.turn(number, State::Present),
            (State::Enrolling, false) => self.turn(number, State::Absent),
            (State::Erasing, false) => self.turn(number, State::Erased),
            _ => {}
        }
    }

    /// Somebody who is there.
    pub fn pick_present(&self, rng: &mut impl Rng) -> Option<u64> {
        pick(&self.present, rng)
    }

    /// Somebody who was erased.
    pub fn pick_erased(&self, rng: &mut impl Rng) -> Option<u64> {
        pick(&self.erased, rng)
    }

    /// Whose state changed since this was asked last.
    pub fn take_touched(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.touched)
    }

    /// It is as if its state had changed.
    pub fn touch(&mut self, number: u64) {
        self.touched.insert(number);
    }

    /// Those in doubt among `numbers`.
    pub fn in_doubt(&self, numbers: &BTreeSet<u64>) -> Vec<u64> {
        let doubtful = |number: &&u64| matches!(self.state(**number), State::Enrolling | State::Erasing);
        numbers.iter().filter(doubtful).copied().collect()
    }

    /// An answer was given that the history has to have.
    pub fn answered(&mut self, request: String, subject: Option<u64>, durable: bool) {
        self.events.push(Event {
            request,
            subject,
            durable,
        });
    }

    /// Answers whose events survive the process alone may be missing from now on.
    pub fn power_lost(&mut self) {
        let checked = self.events.get(..self.events_checked).unwrap_or_default();
        self.events_checked = checked.iter().filter(|event| event.durable).count();
        self.events.retain(|event| event.durable);
    }

    /// Answers that the history must have now, since the last time or since the beginning. Whoever is not there for certain may be
    /// left out of the history, with all that is in it about them.
    pub fn events(&self, all: bool) -> Vec<Event> {
        let from = if all { 0 } else { self.events_checked };
        let kept = |event: &&Event| {
            event
                .subject
                .is_none_or(|subject| self.state(subject) == State::Present)
        };
        let events = self.events.get(from..).unwrap_or_default();
        events.iter().filter(kept).cloned().collect()
    }

    /// The history had them.
    pub fn events_checked(&mut self) {
        self.events_checked = self.events.len();
    }

    fn add(&mut self, came: Came) -> u64 {
        let number = self.subjects.len() as u64;
        self.subjects.push(Subject {
            state: State::Enrolling,
            came,
            erasure: None,
            slot: 0,
        });
        self.touched.insert(number);
        number
    }

    fn turn(&mut self, number: u64, state: State) {
        let Subject {
            state: before, slot, ..
        } = *self.subject(number);
        self.touched.insert(number);
        if before == state {
            return;
        }
        if before == State::Present {
            self.present.swap_remove(slot);
            if let Some(moved) = self.present.get(slot).copied() {
                self.subject_mut(moved).slot = slot;
            }
        }
        match state {
            State::Present => {
                self.subject_mut(number).slot = self.present.len();
                self.present.push(number);
            }
            State::Erased => self.erased.push(number),
            _ => {}
        }
        self.subject_mut(number).state = state;
    }

    fn subject(&self, number: u64) -> &Subject {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.subjects.get(index))
            .expect("numbers come from this ledger")
    }

    fn subject_mut(&mut self, number: u64) -> &mut Subject {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.subjects.get_mut(index))
            .expect("numbers come from this ledger")
    }
}

fn pick(numbers: &[u64], rng: &mut impl Rng) -> Option<u64> {
    if numbers.is_empty() {
        return None;
    }
    numbers.get(rng.random_range(0..numbers.len())).copied()
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
