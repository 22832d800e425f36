//! Rules that the model may break, each of which the check has to notice.

/// A rule that the world around the real code breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// R1: the head is read before the identification comes in.
    HeadReadBefore,
    /// R3 without `applied >= s`.
    SequenceIgnored,
    /// R3 without the edition.
    EditionIgnored,
    /// R3 without the earliest view that it still has.
    GoneViewAnswered,
    /// R3 without what is loaded.
    UnloadedAnswered,
    /// R4: an answer without one of the parts.
    PartLeftOut,
    /// R4: answers to different readings of the head are put together.
    ReadingsMixed,
    /// F1 without its second step: rows leave the fresh part when their segment is written.
    FreshLeftAtOnce,
    /// F1 without keeping rows for the former view.
    FormerViewDropped,
    /// F1 without keeping rows for the searches under way.
    SearchUnprotected,
    /// W3: an erasure is acknowledged when it is committed.
    ErasureNotAwaited,
    /// W2: who was fenced registers again and keeps its rows.
    MemoryKept,
    /// E1: changes that are missing are passed over.
    GapPassedOver,
    /// What was erased during a load is loaded.
    LoadKeepsErased,
    /// Rows of an enrolment that are no longer fresh when the feed is read are taken for placed.
    GoneTakenForPlaced,
    /// The numbers of loads and searches begin anew with each course.
    NumberedAnew,
    /// Changes and rows of any edition are taken.
    AnyEditionTaken,
    /// A head goes with rows that were read before it.
    HeadReadApart,
    /// R2: a view that is older than the head is taken for the head's.
    OldViewTaken,
    /// R3 without the size of groups.
    GroupSizeIgnored,
    /// A leave takes its node off, whichever course it is of.
    LateLeaveTaken,
    /// W3: an erasure does not wait for the rows on their way.
    LoadsNotAwaited,
    /// A node leaves while rows are on their way to it.
    LeftWithLoads,
    /// A retired object is deleted at once.
    DeletedAtOnce,
    /// And who does not find it takes it for empty.
    MissingTakenForEmpty,
}
