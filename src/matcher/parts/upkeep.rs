//! Flushes of the fresh part, by the node that owns it first: rows become a segment, which counts once its owners have it; and when it is time for a merge or a purge. Whoever else does it at once is no harm, since each step is a
//! transaction that finds what was done; and whoever dies between the steps leaves them to the next one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::catalog::{CatalogError, ListedGallery};
use super::common::Common;
use super::gallery::Gallery;
use crate::cluster::placement::Part;
use crate::cluster::view::Segment;
use crate::matcher::load::encode_planes;
use crate::storage::place::{SEGMENT_ROWS_MAX, SegmentRows};

/// Looks at all galleries of the node once a round.
pub(super) async fn run(common: Arc<Common>) {
    let mut ticks = interval(common.config.round);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = common.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for gallery in common.all() {
            if let Some((listed, is_first)) = gallery.needs_upkeep()
                && let Some(permit) = common.may_flush()
                && gallery.begin_upkeep()
            {
                common
                    .tasks
                    .spawn_blocking(move || gallery.keep_up(&listed, is_first, permit));
            }
        }
    }
}

impl Gallery {
    /// The gallery as it was listed, where there is something to do, and whether this node owns its fresh part first.
    fn needs_upkeep(&self) -> Option<(Arc<ListedGallery>, bool)> {
        let target = self.target()?;
        let is_first = target.owners.is_first(target.listed.gallery, Part::Fresh);
        let needs = || {
            let is_full = self.held.fresh_rows() >= self.common.config.flush_rows.max(1);
            is_full
                || warming(&target.listed).next().is_some()
                || self.needs_purge(&target.listed)
                || self.may_merge(&target.listed)
        };
        let is_to_do = is_first && needs() || self.catalog.has_loose_ends();
        is_to_do.then_some((target.listed, is_first))
    }

    /// One round; blocks.
    fn keep_up(&self, listed: &ListedGallery, is_first: bool, permit: OwnedSemaphorePermit) {
        self.tell(catch_unwind(AssertUnwindSafe(|| self.catalog.tie_up())));
        if is_first {
            self.tell(catch_unwind(AssertUnwindSafe(|| self.flush(listed))));
            self.tell(catch_unwind(AssertUnwindSafe(|| self.merge(listed))));
            // A flush that fails keeps no erased row in the objects.
            if self.needs_purge(listed) {
                self.tell(catch_unwind(AssertUnwindSafe(|| {
                    let _writing = self.catalog.begin_writing()?;
                    if self.follows() {
                        self.purge(listed)
                    } else {
                        Ok(())
                    }
                })));
            }
        }
        self.end_upkeep();
        drop(permit);
    }

    fn tell(&self, outcome: std::thread::Result<Result<(), CatalogError>>) {
        match outcome {
            // Who is fenced hears of it in the next round, which says so; and who was passed over is leaving.
            Ok(Ok(()) | Err(CatalogError::Fenced(_) | CatalogError::PassedOver(_))) => {}
            Ok(Err(error)) => {
                tracing::warn!(tenant = %self.tenant, %error, "a gallery can't be flushed, merged or purged now; the next round tries again");
            }
            Err(_) => {
                tracing::error!(tenant = %self.tenant, "the upkeep of a gallery ended early by a defect");
            }
        }
    }

    /// Whether the catalog knows that this node may have rows, which it does until what is being written has ended.
    pub(super) fn follows(&self) -> bool {
        let here = self.held.follower();
        here.is_some_and(|here| Some(here.generation) == self.common.generation())
    }

    /// Goes on with the flush that is under way, or begins one. One at a time: until its segment is live its rows are among the fresh ones. A merge on its way holds up none.
    fn flush(&self, listed: &ListedGallery) -> Result<(), CatalogError> {
        let (mut is_under_way, mut failed) = (false, None);
        for segment in warming(listed) {
            match self.go_on_with(segment, listed) {
                Ok(is_awaited) => is_under_way |= is_awaited,
                // Another one may well go on.
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if is_under_way || self.held.fresh_rows() < self.common.config.flush_rows.max(1) {
            return Ok(());
        }
        let writing = self.catalog.begin_writing()?;
        if !self.follows() {
            return Ok(());
        }
        let deadline = Instant::now() + self.common.config.load_max;
        let (head, mut fresh) = self.catalog.fresh(None, deadline)?;
        let is_full = fresh.len() >= self.common.config.flush_rows.max(1);
        if head.edition != listed.head.edition || !is_full {
            return Ok(());
        }
        fresh.truncate(SEGMENT_ROWS_MAX as usize);
        let mut exact = Zeroizing::new(Vec::with_capacity(fresh.len() * 2 * listed.dimension.get()));
        for row in &fresh {
            exact.extend_from_slice(&row.exact);
        }
        let ids = fresh.iter().map(|row| row.id).collect();
        drop(fresh);
        let planes = encode_planes(listed.dimension, &exact);
        let rows = SegmentRows { planes, exact, ids };
        // Where others were faster, the next round finds what they did.
        self.catalog.warm(&rows, head.edition, writing).map(drop)
    }
}

impl Gallery {
    /// The second step for a segment, where it may be taken. Whether the next flush waits for a look at what came of it.
    fn go_on_with(&self, segment: u32, listed: &ListedGallery) -> Result<bool, CatalogError> {
        match self.catalog.go_live(segment) {
            Ok(true) => {
                self.merged(segment);
                self.catalog.cut_feed()?;
                Ok(true)
            }
            waits => {
                let is_merge = self.catalog.is_merge(segment)?;
                if is_merge {
                    self.wait_for_merge((listed.head.edition, segment))?;
                }
                waits.map(|_| !is_merge)
            }
        }
    }
}

fn warming(listed: &ListedGallery) -> impl Iterator<Item = u32> {
    let segments = listed.view.segments().iter();
    segments.filter_map(|(number, segment)| (*segment == Segment::Warming).then_some(*number))
}
