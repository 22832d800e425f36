//! A gallery whose data key was rotated: its rows are the same, and so they stay where they are and the course goes on under the next edition; or this node can't come to the next keys, and leaves. Decides nothing that a course decides.

use super::gallery::{Gallery, Target, Trouble};
use crate::cluster::followers::Follower;
use crate::cluster::view::Head;
use crate::matcher::node::NodeError;

impl Gallery {
    /// Goes on under the edition that was listed, where that is a later one of the same rows. False where it has to, and can't yet. The catalog knows the course under both until the former one has left: so an erasure waits for it all the while (W3).
    pub(super) fn rekey(&self, target: &Target) -> Result<bool, Trouble> {
        let (to, listed) = (target.listed.head.edition, &target.listed);
        let Some((former, facts)) = self.held.known() else {
            return Ok(true);
        };
        let is_later = former.edition.incarnation == to.incarnation && former.edition < to;
        if !is_later || (facts.dimension, &facts.transform) != (listed.dimension, &listed.transform) {
            return Ok(true);
        }
        let next = Follower {
            edition: to,
            ..former
        };
        // Something is in memory that is to be overwritten first.
        let Some((_, first)) = self.held.report() else {
            return Ok(false);
        };
        // What it had come to when this was read it still has: reports only rise.
        let followed = self.catalog.follow(&mut |_| (next, first.clone()));
        let is_next = followed.is_ok() && self.held.rekey(next);
        let mut diary = self.diary.lock();
        diary.former.push(if is_next { former } else { next });
        diary.reported = None;
        drop(diary);
        followed?;
        self.leave_former()?;
        Ok(is_next)
    }

    /// It has keys that this node can't come to. What is here is of former ones, and as long as it is every erasure and purge of the tenant waits for it.
    pub(super) fn was_passed_over(&self, error: &NodeError) {
        tracing::warn!(tenant = %self.tenant, %error, "a gallery goes on under keys that this node was not told how to open; it lets go of it");
        self.diary.lock().passed_over = true;
        self.part();
        self.nudge();
    }

    /// Whether a head is of the same tenant under later keys than those that were listed: the next look at all galleries says whether its rows are the same. Has that come at once.
    pub(super) fn is_listed_late(&self, target: &Target, head: &Head) -> bool {
        let listed = target.listed.head.edition;
        let is_late = head.edition.incarnation == listed.incarnation && head.edition > listed;
        // Once: where it can't be listed another look finds no more.
        if is_late && self.diary.lock().late.replace(head.edition) != Some(head.edition) {
            self.common.look.notify_one();
        }
        is_late
    }
}
