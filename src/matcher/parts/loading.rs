//! What of a gallery is loaded and let go of, and each load of a piece: read, put into the engine, handed to the course. However a load ends, the course is told, since erasures wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::catalog::CatalogError;
use super::gallery::{Gallery, Target, Trouble};
use super::held::{Appended, Facts};
use super::owners::current;
use super::stretch::Stretch;
use crate::cluster::course::{Course, Piece};
use crate::cluster::loads::Load;
use crate::cluster::view::Head;
use crate::matcher::node::NodeError;
use crate::storage::place::SCALE_LEN;

/// What came of a load.
enum Came {
    Fresh(Head, Appended),
    Segment(Head, u32, Stretch),
}

/// How far a step came.
#[derive(Clone, Copy)]
pub(super) struct Done {
    /// All is here.
    pub(super) is_settled: bool,
    /// All but what is damaged.
    pub(super) is_warm: bool,
}

impl Done {
    pub(super) const NOTHING: Self = Self {
        is_settled: false,
        is_warm: false,
    };
}

impl Gallery {
    /// Begins to load what is missing, as far as loads may be under way, and lets go of what has not been the node's for a while. Whether it has exactly what it is to have.
    pub(super) fn fetch(self: &Arc<Self>, target: &Target) -> Done {
        let (listed, owners) = (&target.listed, &target.owners);
        let look = |course: &Course| {
            let wanted = owners.pieces(listed.gallery, course.group_segments(), course.view());
            let all = current(course.view()).map(Piece::Segment).chain([Piece::Fresh]);
            let known: Vec<Piece> = all.filter(|piece| course.knows(*piece)).collect();
            (wanted, known, course.held())
        };
        let Some((wanted, known, held)) = self.held.course(look) else {
            return Done::NOTHING;
        };
        let mut is_exact = wanted.is_subset(&held);
        let now = Instant::now();
        let mut diary = self.diary.lock();
        diary
            .unwanted
            .retain(|piece, _| known.contains(piece) && !wanted.contains(piece));
        for piece in known.iter().filter(|piece| !wanted.contains(piece)) {
            let since = *diary.unwanted.entry(*piece).or_insert(now);
            is_exact = false;
            if now >= since + self.common.config.let_go_after {
                self.held.let_go(*piece);
            }
        }
        diary.retry.retain(|_, at| *at > now);
        diary
            .damaged
            .retain(|piece| wanted.contains(piece) && !held.contains(piece));
        let is_warm = wanted
            .difference(&held)
            .all(|piece| diary.damaged.contains(piece));
        let waits = |piece: &Piece| known.contains(piece) || diary.retry.contains_key(piece);
        let missing: Vec<Piece> = wanted.iter().copied().filter(|piece| !waits(piece)).collect();
        drop(diary);
        for piece in missing {
            let Some(permit) = self.common.may_load() else {
                break;
            };
            if let Some((load, facts)) = self.held.load(piece) {
                let gallery = Arc::clone(self);
                self.common
                    .tasks
                    .spawn_blocking(move || gallery.run_load(load, &facts, permit));
            }
        }
        Done {
            is_settled: is_exact,
            is_warm,
        }
    }

    /// Which version the list of segments has here, where there are views before it.
    pub(super) fn former_views(&self) -> Option<u64> {
        let views = |course: &Course| (course.view().since(), course.view().list());
        let (since, list) = self.held.course(views)?;
        (since < list).then_some(list)
    }

    /// Gives up former views once no front asks by them any more, since each has read the list meanwhile.
    pub(super) fn leave_former_views(&self) {
        let list = self.former_views();
        let now = Instant::now();
        let mut diary = self.diary.lock();
        let since = diary.moved.filter(|(known, _)| Some(*known) == list);
        diary.moved = list.map(|list| since.unwrap_or((list, now)));
        let is_over = |(_, since): (u64, Instant)| now >= since + self.common.config.let_go_after;
        if diary.moved.is_some_and(is_over) {
            self.held.leave_former_views();
        }
    }

    /// Blocks until the load has ended, at its deadline at the latest.
    pub(super) fn run_load(self: Arc<Self>, load: Load, facts: &Facts, permit: OwnedSemaphorePermit) {
        let piece = load.piece;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.read(&load, facts)));
        let is_taken = match outcome {
            Ok(Ok(Came::Fresh(head, appended))) => self.held.fresh_arrived(load, &head, appended),
            Ok(Ok(Came::Segment(head, number, stretch))) => {
                self.held.segment_arrived(load, &head, number, stretch)
            }
            Ok(Err(error)) => {
                tracing::warn!(tenant = %self.tenant, ?piece, %error, "a part of a gallery can't be loaded now");
                if error.is_damage() {
                    self.diary.lock().damaged.insert(piece);
                }
                self.held.lost(load);
                false
            }
            Err(_) => {
                tracing::error!(tenant = %self.tenant, ?piece, "a load ended early by a defect");
                self.held.lost(load);
                false
            }
        };
        if !is_taken {
            let at = Instant::now() + self.common.config.retry_after;
            self.diary.lock().retry.insert(piece, at);
        }
        drop(permit);
        self.common.nudge_unsettled();
        self.nudge();
    }

    fn read(&self, load: &Load, facts: &Facts) -> Result<Came, Trouble> {
        let deadline = Instant::now() + self.common.config.load_max;
        let engine = &self.common.engine;
        match load.piece {
            Piece::Fresh => {
                let (head, rows) = self.catalog.fresh(None, deadline)?;
                Self::may_read(load, &head)?;
                let stretch = Arc::new(Stretch::of_fresh(engine, facts.dimension)?);
                let first = if rows.is_empty() {
                    0
                } else {
                    stretch.append(facts.dimension, &rows)?
                };
                Ok(Came::Fresh(head, Appended { stretch, first, rows }))
            }
            Piece::Segment(number) => {
                let (head, copy) = self.catalog.segment(number, deadline)?;
                Self::may_read(load, &head)?;
                let rows = copy.planes.scale.len() / SCALE_LEN;
                if rows != copy.references.len() {
                    let listed = copy.references.len();
                    return Err(self.unfit(format!(
                        "segment {number} has {rows} rows; the catalog has {listed}"
                    )));
                }
                let stretch = Stretch::of_segment(engine, facts.dimension, number, copy)?;
                Ok(Came::Segment(head, number, stretch))
            }
        }
    }

    /// Rows of an earlier reading have what was erased before the load began (C1).
    fn may_read(load: &Load, head: &Head) -> Result<(), Trouble> {
        if load.may_read(head) {
            return Ok(());
        }
        Err(Trouble::Moment)
    }

    fn unfit(&self, reason: String) -> Trouble {
        let tenant = self.tenant.clone();
        CatalogError::Node(NodeError::TenantUnavailable { tenant, reason }).into()
    }
}
