//! What becomes of a question in the model: it is asked, searched for, refused, answered.

use super::broken::Broken;
use super::steps::Freshness;
use super::world::{Asking, Front, Outcome, Rows, Search, World};
use crate::cluster::question::{Next, Question, Scope};

impl Freshness {
    pub fn search(&self, world: &mut World, index: usize, front: usize, scope: Scope) {
        let node = &mut world.nodes[index];
        let course = node.course.as_mut().expect("it follows");
        let pieces = self.hears(course, &scope).expect("it answers");
        // One that breaks a rule answers all the same.
        let begun = course.begin(&self.as_heard(course, &scope)).ok();
        let (number, course) = (world.fronts[front].number, course.number());
        if let Some(asking) = &mut world.fronts[front].asking {
            asking.former.retain(|former| *former != scope);
        }
        let search = Search {
            front,
            number,
            course,
            scope,
        };
        node.searches.insert(search.clone(), (begun, pieces));
        if self.breaks(Broken::SearchUnprotected) {
            self.end_in_course(world, index, &search);
        }
        if !self.slow {
            self.end_search(world, index, &search);
        }
    }

    pub fn end_search(&self, world: &mut World, index: usize, search: &Search) {
        let node = &world.nodes[index];
        let (_, pieces) = node.searches.get(search).expect("it is under way");
        let found = node.find(pieces);
        let is_its_own = self.end_in_course(world, index, search);
        world.nodes[index].searches.remove(search);
        if !is_its_own {
            self.note("a search of a former course ended");
            return;
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

    /// Whether the search is one of the node's present course.
    fn end_in_course(&self, world: &mut World, index: usize, search: &Search) -> bool {
        let node = &mut world.nodes[index];
        let (begun, _) = node.searches.get_mut(search).expect("it is under way");
        let Some(course) = &mut node.course else {
            return false;
        };
        let Some(begun) = begun.take() else { return true };
        let Some(effects) = course.end(begun) else {
            return false;
        };
        if !effects.is_empty() {
            self.note("the last search of a former view let go of rows");
        }
        node.carry_out(effects, &world.db.objects);
        true
    }

    pub fn refuse(&self, world: &mut World, index: usize, front: usize, scope: &Scope) {
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
                let again = asking.question.again(world.db.head(), &world.db.view);
                asking.question = again.expect("of one reading");
                asking.found.clear();
            }
        }
    }

    pub fn close(&self, front: &mut Front, outcome: Outcome) {
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

    pub fn ask(&self, world: &mut World, index: usize) {
        let (db, front) = (&world.db, &mut world.fronts[index]);
        world.left.questions -= 1;
        front.number += 1;
        front.outcome = None;
        if self.breaks(Broken::OldViewTaken) {
            front.view = front.view.clone().taken_for(db.view.list());
        }
        let question = Question::new(db.head(), &front.view).unwrap_or_else(|_| {
            self.note("a front had an older view than the head's");
            front.view = db.view.clone();
            Question::new(db.head(), &front.view).expect("of one reading")
        });
        let question = front.remembered.take().unwrap_or(question);
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
}
