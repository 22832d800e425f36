//! A gallery at a moment: which segments hold its rows, and so which parts an identification has to ask. Reads no catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use thiserror::Error;

use super::placement::Part;

/// Which rows under which keys. What is of another edition has nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edition {
    /// The tenant from its creation to its end. One that is made anew under the same id has a higher one.
    pub incarnation: u64,
    /// Of the tenant's data and transform keys. Each rotation raises it.
    pub key_generation: u32,
}

/// A gallery's head: what one read of the catalog tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    /// What is there now.
    pub edition: Edition,
    /// Of the last change. Changes are numbered from 1 without a gap, in the order of their commits.
    pub sequence: u64,
    /// Version of the list of segments: how often segments began to count.
    pub list: u64,
    /// So many segments are a group. Who takes another number for it means other rows by the same part.
    pub group_segments: NonZeroU32,
}

impl Head {
    /// The same for the generation of keys that a rotation makes: the rows are the same ones, and so are their changes.
    #[must_use]
    pub fn of_next_keys(mut self) -> Self {
        self.edition.key_generation += 1;
        self
    }
}

/// A version of the list that a view does not have: it was read before the head, or has forgotten what that version needs. To be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the view has versions {since} to {until} of the list of segments, and not {asked}: it is to be read again"
)]
pub struct NoSuchVersion {
    /// The one that was asked for.
    pub asked: u64,
    /// The earliest one that it has.
    pub since: u64,
    /// The last one.
    pub until: u64,
}

/// A head and the view of it, of one reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reading {
    pub(super) head: Head,
    pub(super) view: View,
}

impl Reading {
    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The view.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Refuses a view of another version, which was not read with this head.
    pub fn new(head: Head, mut view: View) -> Result<Self, NoSuchVersion> {
        view.forget(head.list);
        if (view.since, view.list) != (head.list, head.list) {
            return Err(view.without(head.list));
        }
        Ok(Self { head, view })
    }
}

/// Where a segment stands, by versions of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Segment {
    /// It is written and listed, and its owners load it. Its rows count where they were before.
    Warming,
    /// Its rows count here, in views of this version and later ones.
    Live {
        /// The first version.
        from: u64,
    },
    /// Its rows moved on into another segment: they count here in earlier views alone.
    Retired {
        /// The first version that has it.
        from: u64,
        /// The first version that no longer has it.
        until: u64,
    },
}

impl Segment {
    /// From which version of the list on its rows are not where they came from, where it is so far.
    pub fn live_from(self) -> Option<u64> {
        match self {
            Self::Warming => None,
            Self::Live { from } | Self::Retired { from, .. } => Some(from),
        }
    }

    fn is_in(self, list: u64) -> bool {
        match self {
            Self::Warming => false,
            Self::Live { from } => from <= list,
            Self::Retired { from, until } => (from..until).contains(&list),
        }
    }
}

/// Why a list of segments can't change as it was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListError {
    /// The number is taken.
    #[error("segment {0} is listed already: a number is given once")]
    Listed(u32),
    /// It can't begin to count.
    #[error("segment {0} is not warming: only one that is can begin to count, or be taken back")]
    NotWarming(u32),
    /// It can't stop to count.
    #[error("segment {0} is not live: only one that is can be retired")]
    NotLive(u32),
}

/// The segments of a gallery, as of one version of the list and those before it that it has not forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct View {
    list: u64,
    since: u64,
    segments: BTreeMap<u32, Segment>,
}

impl View {
    /// The view of one version of the list, of segments as they were read. It has forgotten the versions before.
    pub fn of(list: u64, segments: BTreeMap<u32, Segment>) -> Self {
        let mut view = Self {
            list,
            since: 0,
            segments,
        };
        view.forget(list);
        view
    }

    /// The version of the list.
    pub fn list(&self) -> u64 {
        self.list
    }

    /// The earliest version that it has not forgotten.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// All segments by number.
    pub fn segments(&self) -> &BTreeMap<u32, Segment> {
        &self.segments
    }

    /// Lists a segment that is written: the first step of a flush. The version stays.
    pub fn warm(&mut self, number: u32) -> Result<(), ListError> {
        if self.segments.contains_key(&number) {
            return Err(ListError::Listed(number));
        }
        self.segments.insert(number, Segment::Warming);
        Ok(())
    }

    /// Lets a segment count from the next version on, in place of the fresh part's rows that went into it or of the `retired` ones: the second step. On an error nothing changed.
    pub fn go_live(&mut self, number: u32, retired: &BTreeSet<u32>) -> Result<(), ListError> {
        if self.segments.get(&number) != Some(&Segment::Warming) {
            return Err(ListError::NotWarming(number));
        }
        let is_live = |number: &u32| matches!(self.segments.get(number), Some(Segment::Live { .. }));
        if let Some(other) = retired.iter().find(|number| !is_live(number)) {
            return Err(ListError::NotLive(*other));
        }
        self.list += 1;
        self.segments.insert(number, Segment::Live { from: self.list });
        for number in retired {
            if let Some(segment) = self.segments.get_mut(number)
                && let Segment::Live { from } = *segment
            {
                let until = self.list;
                *segment = Segment::Retired { from, until };
            }
        }
        Ok(())
    }

    /// Takes a warming segment back, which never counted. The version stays.
    pub fn withdraw(&mut self, number: u32) -> Result<(), ListError> {
        if self.segments.get(&number) != Some(&Segment::Warming) {
            return Err(ListError::NotWarming(number));
        }
        self.segments.remove(&number);
        Ok(())
    }

    /// The segments that hold rows in the view of a version.
    pub fn holding(&self, list: u64) -> impl Iterator<Item = u32> {
        let segments = self.segments.iter();
        segments.filter_map(move |(number, segment)| segment.is_in(list).then_some(*number))
    }

    /// What together holds all rows in the view of a head (rule R2): the fresh part, and each group with a segment that counts.
    pub fn parts(&self, head: &Head) -> Result<BTreeSet<Part>, NoSuchVersion> {
        if !(self.since..=self.list).contains(&head.list) {
            return Err(self.without(head.list));
        }
        let segments = self.holding(head.list);
        let groups = segments.map(|number| Part::of_segment(number, head.group_segments));
        Ok(groups.chain([Part::Fresh]).collect())
    }

    /// Leaves out what views before `since` alone have.
    pub fn forget(&mut self, since: u64) {
        self.since = self.since.max(since.min(self.list));
        let since = self.since;
        self.segments
            .retain(|_, segment| !matches!(segment, Segment::Retired { until, .. } if *until <= since));
    }

    /// For a world that takes a view for one that it is not.
    #[cfg(test)]
    #[must_use]
    pub fn taken_for(mut self, list: u64) -> Self {
        (self.since, self.list) = (0, self.list.max(list));
        self
    }

    fn without(&self, asked: u64) -> NoSuchVersion {
        NoSuchVersion {
            asked,
            since: self.since,
            until: self.list,
        }
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
