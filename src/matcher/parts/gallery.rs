//! One gallery on this node: follows its changes, loads what the node is to have, lets go of what it is not, and reports. One task a gallery does all that, one step after the other.
//! Decides nothing that a course decides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Notify, watch};

use super::asked::Asked;
use super::catalog::{CatalogError, GalleryCatalog, ListedGallery};
use super::common::Common;
use super::held::{Appended, Begun, Facts, Held, Standing};
use super::loading::Done;
use super::merge::Merges;
use super::owners::Owners;
use super::purge::Purge;
use super::stretch::Stretch;
use crate::cluster::course::{Change, Course, CourseError, Piece, Reference};
use crate::cluster::followers::{Follower, Report};
use crate::cluster::loads::Loads;
use crate::cluster::view::{Edition, Head};
use crate::engine::EngineError;
use crate::matcher::import::blocking;
use crate::matcher::node::NodeError;
use crate::model::id::TenantId;
use crate::storage::place::StoredRow;

/// Changes read at once.
const CHANGES_PER_READ_MAX: usize = 256;

/// What a node is to have of a gallery.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) listed: Arc<ListedGallery>,
    pub(super) owners: Arc<Owners>,
}

impl Target {
    fn is_same(&self, other: &Self) -> bool {
        self.listed.head == other.listed.head && Arc::ptr_eq(&self.owners, &other.owners)
    }
}

/// Why a step could not be done.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// The course has come to its end.
    #[error(transparent)]
    Course(#[from] CourseError),
    /// The catalog did not answer, or refused.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What was read is of another moment than it is needed for.
    #[error("it was read as of another moment than it is needed")]
    Moment,
    /// The engine has no room, or has ended.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Trouble {
    /// Whether no node could do it, as long as nobody mends what is kept.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Catalog(CatalogError::Node(NodeError::TenantUnavailable { .. }))
        )
    }
}

/// A gallery of which this node has parts, or is to have some.
pub(super) struct Gallery {
    pub(super) tenant: TenantId,
    pub(super) catalog: Arc<dyn GalleryCatalog>,
    pub(super) common: Arc<Common>,
    pub(super) held: Arc<Held>,
    /// `None`: it is to have nothing.
    target: Mutex<Option<Target>>,
    /// What it was all done for.
    settled: Mutex<Option<Target>>,
    /// What all was done for that what is kept allows.
    warm: Mutex<Option<Target>>,
    nudge: Notify,
    /// Whether somebody flushes it.
    is_kept_up: AtomicBool,
    /// Told after each step.
    moved: watch::Sender<()>,
    pub(super) diary: Mutex<Diary>,
    pub(super) purge: Mutex<Purge>,
    pub(super) merges: Mutex<Merges>,
}

/// What the gallery's task remembers from one step to the next.
#[derive(Default)]
pub(super) struct Diary {
    pub(super) reported: Option<(Follower, Report)>,
    /// Courses that the catalog may still know, and that have no row any more.
    pub(super) former: Vec<Follower>,
    /// Pieces whose load failed, and when to try again.
    pub(super) retry: BTreeMap<Piece, Instant>,
    /// Those of them whose object is damaged or missing.
    pub(super) damaged: BTreeSet<Piece>,
    /// The last edition that was heard of before it was listed.
    pub(super) late: Option<Edition>,
    /// Whether it has keys that this node can't come to.
    pub(super) passed_over: bool,
    /// Since when a piece that is here is no longer this node's.
    pub(super) unwanted: BTreeMap<Piece, Instant>,
    /// Which version the list of segments has, and since when, where former views are here.
    pub(super) moved: Option<(u64, Instant)>,
}

impl Gallery {
    /// One of which nothing is here. `loads` go on from those of galleries that the node had before.
    pub(super) fn new(tenant: TenantId, common: &Arc<Common>, loads: Loads) -> Arc<Self> {
        Arc::new(Self {
            catalog: common.register.open(&tenant),
            tenant,
            common: Arc::clone(common),
            held: Arc::new(Held::new(loads)),
            target: Mutex::default(),
            settled: Mutex::default(),
            warm: Mutex::default(),
            nudge: Notify::new(),
            is_kept_up: AtomicBool::new(false),
            moved: watch::Sender::new(()),
            diary: Mutex::default(),
            purge: Mutex::default(),
            merges: Mutex::default(),
        })
    }

    /// Says what the node is to have, and has the task look where that is news, or where it has not done all yet.
    pub(super) fn aim(&self, target: Option<Target>) {
        let tidy = |target: &Option<Target>| target.as_ref().map(|target| target.listed.tidy);
        // Whatever there was of it: its task has to look to be done.
        let is_over = target.is_none();
        let is_tidier = {
            let mut former = self.target.lock();
            let is_tidier = tidy(&former) < tidy(&target);
            *former = target;
            is_tidier
        };
        if is_over || is_tidier || !self.is_settled() || self.former_views().is_some() {
            self.nudge();
        }
    }

    /// Has the task look.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Whether nobody flushed it so far; from now on somebody does.
    pub(super) fn begin_upkeep(&self) -> bool {
        !self.is_kept_up.swap(true, Ordering::AcqRel)
    }

    /// Nobody flushes it any more.
    pub(super) fn end_upkeep(&self) {
        self.is_kept_up.store(false, Ordering::Release);
    }

    /// To hear of each step.
    pub(super) fn moves(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    pub(super) fn target(&self) -> Option<Target> {
        self.target.lock().clone()
    }

    /// Whether all is done for what it is to have: it has followed as far as was known then, has every piece, and the catalog knows.
    pub(super) fn is_settled(&self) -> bool {
        match (&*self.target.lock(), &*self.settled.lock()) {
            (Some(target), Some(settled)) => target.is_same(settled),
            (None, None) => self.is_left(),
            _ => false,
        }
    }

    /// Whether a node that joins has all of it that it can have: what is damaged keeps no node from serving everything else, and is refused by whoever owns it.
    pub(super) fn is_warm(&self) -> bool {
        let is_warm = match (&*self.target.lock(), &*self.warm.lock()) {
            (Some(target), Some(warm)) => target.is_same(warm),
            _ => false,
        };
        is_warm || self.is_settled()
    }

    /// Whether nothing of it is here, and the catalog was told.
    pub(super) fn is_left(&self) -> bool {
        self.held.is_empty() && self.diary.lock().former.is_empty()
    }

    /// The pieces of a search that has begun. To be dropped within a runtime or outside of one.
    pub(super) fn asked(self: &Arc<Self>, begun: Begun) -> Asked {
        let gallery = Arc::clone(self);
        Asked::new(
            (self.tenant.clone(), self.common.engine.clone()),
            Arc::clone(&self.catalog),
            Arc::clone(&self.held),
            begun,
            move || gallery.nudge(),
        )
    }

    /// The gallery's task: until the node stops, or is to have nothing of it and has nothing.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.common.stop.cancelled() => return,
                () = self.nudge.notified() => {}
            }
            let gallery = Arc::clone(&self);
            let step = blocking(move || {
                gallery.step();
                Ok(())
            });
            if let Err(error) = step.await {
                tracing::error!(tenant = %self.tenant, %error, "a gallery's step ended early; it begins anew");
                self.part();
            }
            let is_done = self.common.forget(&self);
            // Whoever found it there before is told that it is not any more.
            self.moved.send_replace(());
            if is_done {
                return;
            }
        }
    }

    fn step(self: &Arc<Self>) {
        let target = self.target();
        let error = match self.carry_on(target.as_ref()) {
            Ok(done) => {
                *self.warm.lock() = target.clone().filter(|_| done.is_warm);
                *self.settled.lock() = target.filter(|_| done.is_settled);
                return;
            }
            Err(error) => error,
        };
        *self.settled.lock() = None;
        *self.warm.lock() = target.filter(|_| error.is_damage());
        match error {
            Trouble::Course(_) | Trouble::Catalog(CatalogError::FeedCut { .. }) => {
                tracing::info!(tenant = %self.tenant, %error, "a course has ended; the next one begins");
                self.part();
                self.nudge();
            }
            Trouble::Catalog(CatalogError::Fenced(fenced)) => self.common.fenced(fenced.generation),
            Trouble::Catalog(CatalogError::PassedOver(error)) => self.was_passed_over(&error),
            // What is here stays as it is, and may be asked for. The next round tries again.
            Trouble::Moment | Trouble::Catalog(CatalogError::Node(_)) => {
                tracing::warn!(tenant = %self.tenant, %error, "the catalog does not say how a gallery goes on");
            }
            Trouble::Engine(error) => {
                tracing::error!(tenant = %self.tenant, %error, "a gallery can't be kept; it is let go of");
                self.part();
            }
        }
    }

    /// Does what can be done now.
    fn carry_on(self: &Arc<Self>, target: Option<&Target>) -> Result<Done, Trouble> {
        self.held.clean()?;
        let (Some(target), Some(generation)) = (target, self.common.generation()) else {
            self.part();
            self.leave_former()?;
            return Ok(Done::NOTHING);
        };
        let here = self.held.follower();
        if here.is_some_and(|here| here.generation != generation) {
            self.part();
        }
        self.leave_former()?;
        if self.diary.lock().passed_over {
            return Ok(Done::NOTHING);
        }
        if self.held.standing().is_none() && !self.follow(target, generation)? {
            return Ok(Done::NOTHING);
        }
        if !self.rekey(target)? || !self.advance(target)? {
            return Ok(Done::NOTHING);
        }
        let done = self.fetch(target);
        self.leave_former_views();
        self.held.clean()?;
        self.report(target.listed.tidy)?;
        let is_as_listed = |course: &Course| {
            course.edition() == target.listed.head.edition && course.applied() >= target.listed.head.sequence
        };
        let is_done = self.held.course(is_as_listed) == Some(true) && self.diary.lock().former.is_empty();
        Ok(if is_done { done } else { Done::NOTHING })
    }

    /// All rows go. Those of loads under way go when the loads end.
    pub(super) fn part(&self) {
        if let Some(follower) = self.held.give_up() {
            let mut diary = self.diary.lock();
            diary.former.push(follower);
            diary.reported = None;
            diary.unwanted.clear();
        }
        if let Err(error) = self.held.clean() {
            tracing::error!(tenant = %self.tenant, %error, "rows can't be overwritten");
        }
    }

    /// Tells the catalog of former courses, once none of their rows is here nor on its way (W4).
    pub(super) fn leave_former(&self) -> Result<(), Trouble> {
        loop {
            let Some(former) = self.diary.lock().former.last().copied() else {
                return Ok(());
            };
            if self.held.is_loading() {
                return Ok(());
            }
            // Who is gone is waited for by no purge, and destroys what is not listed when it is back. Who follows again by now is waited for as that.
            let is_standing = self.common.generation() == Some(former.generation);
            let is_leaving = is_standing && self.held.follower().is_none();
            if is_leaving && !self.catalog.clear()? {
                return Ok(());
            }
            self.catalog.leave(former)?;
            self.diary.lock().former.pop();
        }
    }

    /// Begins a course. False where it can't begin yet: loads of the last one are under way, or the gallery is no longer what was listed.
    fn follow(&self, target: &Target, generation: u64) -> Result<bool, Trouble> {
        if self.held.is_loading() {
            return Ok(false);
        }
        let node = self.common.node;
        let mut loads = self.held.take_loads();
        let mut begun: Option<(Course, Follower)> = None;
        let outcome = self.catalog.follow(&mut |reading| {
            if let Some((former, _)) = begun.take() {
                loads = former.give_up();
            }
            let course = Course::new(reading, std::mem::take(&mut loads));
            let follower = Follower {
                node,
                edition: course.edition(),
                generation,
                course: course.number(),
            };
            let report = Report::of(&course);
            begun = Some((course, follower));
            (follower, report)
        });
        let Some((course, follower)) = begun else {
            self.held.keep_loads(loads);
            outcome?;
            return Ok(false);
        };
        let listed = &target.listed;
        if outcome.is_ok() && course.edition() == listed.head.edition {
            let (dimension, transform) = (listed.dimension, listed.transform.clone());
            self.held.start(course, follower, Facts { dimension, transform });
            return Ok(true);
        }
        // Whether the catalog took it in is not known, or it is not what it is to be.
        self.held.keep_loads(course.give_up());
        self.diary.lock().former.push(follower);
        outcome?;
        Ok(false)
    }

    /// Takes all changes that there are. False where it has to be listed anew first.
    fn advance(&self, target: &Target) -> Result<bool, Trouble> {
        while let Some(standing) = self.held.standing() {
            let (head, changes) = self.catalog.feed(standing.applied, CHANGES_PER_READ_MAX)?;
            if self.is_listed_late(target, &head) {
                return Ok(false);
            }
            if let Some(goes_on) = self.held.course(|course| course.goes_on(&head)) {
                goes_on?;
            }
            let count = changes.len();
            let (read, mut rows) = self.enrolled(&standing, head, &changes)?;
            if self.is_listed_late(target, &read) {
                return Ok(false);
            }
            for (sequence, change) in changes {
                self.take(&standing, (&head, &read), sequence, change, &mut rows)?;
            }
            if count < CHANGES_PER_READ_MAX {
                break;
            }
        }
        Ok(true)
    }

    /// The rows of enrolments, and the head that they were read with: some may have gone since the feed was read.
    fn enrolled(
        &self,
        standing: &Standing,
        head: Head,
        changes: &[(u64, Change)],
    ) -> Result<(Head, HashMap<u64, StoredRow>), Trouble> {
        let mut references: Vec<Reference> = Vec::new();
        for (_, change) in changes {
            if let (Change::Enrolled { rows, .. }, true) = (change, standing.knows_fresh) {
                references.extend(rows);
            }
        }
        if references.is_empty() {
            return Ok((head, HashMap::new()));
        }
        let deadline = Instant::now() + self.common.config.load_max;
        let (read, rows) = self.catalog.fresh(Some(&references), deadline)?;
        let by_reference = rows.into_iter().map(|row| (row.id.reference, row));
        Ok((read, by_reference.collect()))
    }

    /// Takes one change. `heads` are that of the feed and that of the rows.
    fn take(
        &self,
        standing: &Standing,
        (head, read): (&Head, &Head),
        sequence: u64,
        change: Change,
        rows: &mut HashMap<u64, StoredRow>,
    ) -> Result<(), Trouble> {
        match change {
            Change::Enrolled {
                rows: references,
                gone,
            } if standing.knows_fresh => {
                let here = references
                    .iter()
                    .filter_map(|reference| rows.remove(&reference.0));
                let here: Vec<StoredRow> = here.collect();
                let gone = gone || here.len() < references.len();
                let change = Change::Enrolled {
                    rows: here.iter().map(|row| Reference(row.id.reference)).collect(),
                    gone,
                };
                let appended = self.append(&standing.facts, here)?;
                self.held.apply(read, sequence, &change, appended)?;
            }
            change => {
                if let (Change::Live { segment, retired }, true) = (&change, standing.knows_fresh)
                    && retired.is_empty()
                {
                    let moving = self.catalog.members(*segment)?;
                    self.held.will_move(*segment, moving);
                }
                self.held.apply(head, sequence, &change, None)?;
            }
        }
        Ok(())
    }

    /// Puts rows of the fresh part into the engine, where nobody counts them yet.
    fn append(&self, facts: &Facts, rows: Vec<StoredRow>) -> Result<Option<Appended>, Trouble> {
        if rows.is_empty() {
            return Ok(None);
        }
        let stretch = match self.held.fresh_stretch() {
            Some(stretch) => stretch,
            None => Arc::new(Stretch::of_fresh(&self.common.engine, facts.dimension)?),
        };
        let first = stretch.append(facts.dimension, &rows)?;
        Ok(Some(Appended { stretch, first, rows }))
    }

    /// Says how far it has come, where that is news.
    fn report(&self, tidy: u64) -> Result<(), Trouble> {
        let Some((follower, mut report)) = self.held.report() else {
            return Ok(());
        };
        let told = self
            .diary
            .lock()
            .reported
            .as_ref()
            .map_or(0, |(_, told)| told.tidy);
        report.tidy = tidy.max(told);
        let news = Some((follower, report));
        if self.diary.lock().reported == news {
            return Ok(());
        }
        if let Some((follower, report)) = &news {
            self.catalog.report(*follower, report)?;
        }
        self.diary.lock().reported = news;
        Ok(())
    }
}
