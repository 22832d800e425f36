//! What a node that holds parts of galleries wants of the catalog and of whoever keeps segments. States the contract; does nothing.
//!
//! All calls block, and come to an end by themselves. Each is one transaction, or one reading of one moment. Those of a node begin with the question whether its generation still
//! counts (rule W2): where it does not, they change nothing and are [`CatalogError::Fenced`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;

use crate::cluster::course::{Change, Reference};
use crate::cluster::followers::{Follower, Report};
use crate::cluster::members::{Fenced, Life, Members, Suspect};
use crate::cluster::placement::{Gallery, NodeId};
use crate::cluster::view::{Edition, Head, Reading, View};
use crate::matcher::node::NodeError;
use crate::model::id::{SubjectId, TenantId};
use crate::model::link::LinkKind;
use crate::model::signature::Dimension;
use crate::model::tenant::TransformId;
use crate::storage::cluster::copies::Use;
use crate::storage::place::{RowId, RowPlanes, SegmentRows, SegmentSize, StoredRow};
use crate::storage::write::CandidateInfo;

/// Why the catalog did not do what it was asked.
#[derive(Debug, Clone, Error)]
pub enum CatalogError {
    /// The node was taken for gone.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// Changes that the node has not applied are not in the feed any more. It begins anew.
    #[error("the changes after {after} are not in the feed any more")]
    FeedCut {
        /// The last one that was applied.
        after: u64,
    },
    /// The node was not told the key-encryption key that wraps the keys of the tenant's present rows. Others have them.
    #[error(transparent)]
    PassedOver(NodeError),
    /// It could not be reached, or something in it is damaged or not there.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// A gallery, as one reading tells of all of them.
#[derive(Debug, Clone)]
pub struct ListedGallery {
    /// Whose.
    pub tenant: TenantId,
    /// By which its parts are placed.
    pub gallery: Gallery,
    /// Of its rows.
    pub dimension: Dimension,
    /// What its rows are protected with, in the edition of `head`.
    pub transform: TransformId,
    /// Its head.
    pub head: Head,
    /// Its list of segments, of the same reading.
    pub view: View,
    /// Those of its segments that count, of the same reading.
    pub live: BTreeMap<u32, SegmentSize>,
    /// Erasures that are not purged, of the same reading.
    pub erasures_open: u64,
    /// Whether there are objects that nobody lists nor can list any more: what a rotation of keys or a merge left, or what was put and then given up.
    pub has_unlisted: bool,
    /// Whether segments are listed whose rows moved on into others.
    pub has_retired: bool,
    /// [`Report::tidy`] of this node by now, where there is something to purge, and 0 where there is nothing.
    pub tidy: u64,
}

impl ListedGallery {
    /// Whether there is something to purge.
    pub(super) fn is_littered(&self) -> bool {
        self.erasures_open > 0 || self.has_unlisted || self.has_retired
    }
}

/// A purge that has begun: all rows of these erasures are out of the objects that are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purging {
    /// Those of the erasures that were open.
    pub erasures: Vec<u64>,
    /// The changes of the catalog after it.
    pub commits: u64,
    /// The last change of the gallery by then.
    pub sequence: u64,
}

/// The register of nodes, and the list of galleries.
pub trait Register: Send + Sync + 'static {
    /// [`Members::register`].
    fn register(&self, node: NodeId, weight: u32) -> Result<u64, CatalogError>;
    /// [`Members::beat`], and the register as it is then.
    fn beat(&self, node: NodeId, generation: u64) -> Result<Members, CatalogError>;
    /// [`Members::advance`].
    fn advance(&self, node: NodeId, generation: u64, to: Life) -> Result<(), CatalogError>;
    /// [`Members::fence`], by a node that has to count itself.
    fn fence(&self, node: NodeId, generation: u64, suspect: &Suspect) -> Result<bool, CatalogError>;
    /// All galleries. What is on this node's disk of objects that none of them lists any more is destroyed, once there is a copy of what took their place.
    fn galleries(&self) -> Result<Vec<ListedGallery>, CatalogError>;
    /// Whether the last look at them found keys that this node was not told how to open: tenants that are made from then on are not among them, and those whose keys are rotated can't be followed.
    fn is_passed_over(&self) -> bool {
        false
    }
    /// Destroys it at once. Before the node registers: from then on nobody waits for its former life.
    fn clear_former_life(&self) -> Result<(), CatalogError> {
        self.galleries().map(drop)
    }
    /// Lets go of what is on this node's disk of all galleries but these.
    fn keep_only(&self, tenants: &BTreeSet<TenantId>);
    /// What is needed of one of them; looks nothing up.
    fn open(&self, tenant: &TenantId) -> Arc<dyn GalleryCatalog>;
}

/// A gallery in the catalog, and its segments wherever they are kept.
pub trait GalleryCatalog: Send + Sync + 'static {
    /// Takes a node in as follower, in the transaction that reads head and view. `begin` says who follows, by what was read; it is called again where the transaction is.
    fn follow(&self, begin: &mut dyn FnMut(Reading) -> (Follower, Report)) -> Result<(), CatalogError>;
    /// Takes a report.
    fn report(&self, follower: Follower, report: &Report) -> Result<(), CatalogError>;
    /// Lets a course go that has no row any more. Not refused to a node that was fenced.
    fn leave(&self, follower: Follower) -> Result<(), CatalogError>;
    /// The followers that stand, and how far they are.
    fn followers(&self) -> Result<Vec<(Follower, Report)>, CatalogError>;
    /// At most so many changes after one, in order, and the head of that reading. [`CatalogError::FeedCut`] where the next one is not there any more.
    fn feed(&self, after: u64, limit: usize) -> Result<(Head, Vec<(u64, Change)>), CatalogError>;
    /// Of the fresh part all rows, or those of these that are in it; and the head of that reading.
    fn fresh(
        &self,
        only: Option<&[Reference]>,
        deadline: Instant,
    ) -> Result<(Head, Vec<StoredRow>), CatalogError>;
    /// A segment, and the head that its references were read with. One that is not there is an error, never an empty one.
    fn segment(&self, number: u32, deadline: Instant) -> Result<(Head, SegmentCopy), CatalogError>;
    /// The references that a segment had when it went live, but for those that are erased. Answered as long as somebody follows whose view has that version of the list, whatever became of
    /// the segment.
    fn members(&self, segment: u32) -> Result<Vec<Reference>, CatalogError>;
    /// Destroys what is on this node's disk of the gallery; false where somebody still reads or writes something of it. To be called before [`GalleryCatalog::leave`], when no load is under way.
    fn clear(&self) -> Result<bool, CatalogError>;
    /// Rows are about to be read in order to be written. While that goes on, and until it is known what came of it, the node is not tidy.
    fn begin_writing(&self) -> Result<Option<Use>, CatalogError>;
    /// The first step of a flush (F1): writes rows of the fresh part, that were read as of this edition, into a segment, and lists it. False where they have moved on since they were read, or the edition is another one by now, and nothing
    /// was changed.
    fn warm(&self, rows: &SegmentRows, edition: Edition, writing: Option<Use>) -> Result<bool, CatalogError>;
    /// Those of these segments that [`GalleryCatalog::merge`] takes by now: they count in every view that anybody has, nobody was erased from them, and they are on their way nowhere.
    fn mergeable(&self, segments: &BTreeSet<u32>) -> Result<BTreeSet<u32>, CatalogError>;
    /// The first step of a merge (F1): writes all rows of these segments, as of this edition, into another one, and lists it; the second one is that of a flush. False where anything is not as it was when they
    /// were chosen, and nothing was changed.
    fn merge(
        &self,
        segments: &BTreeSet<u32>,
        edition: Edition,
        writing: Option<Use>,
    ) -> Result<bool, CatalogError>;
    /// Whether a warming segment is to take over rows of others, and not of the fresh part.
    fn is_merge(&self, segment: u32) -> Result<bool, CatalogError>;
    /// Takes a merge back in the place of the second step; false where there is no such merge any more.
    fn withdraw(&self, segment: u32) -> Result<bool, CatalogError>;
    /// Unlists segments whose rows moved on into others, once nobody has a view with them (D1). False where some stay for now.
    fn forget_retired(&self) -> Result<bool, CatalogError>;
    /// Whether this node wrote something and does not know yet whether it is listed, or lacks a key that it will need.
    fn has_loose_ends(&self) -> bool;
    /// Finds out what became of that, and reads the key.
    fn tie_up(&self) -> Result<(), CatalogError>;
    /// The first step of a purge: writes objects of live segments anew without the rows that are erased. A segment that another node writes anew is passed over, and one that can't be written does not keep the others.
    fn rewrite(&self) -> Result<(), CatalogError>;
    /// The second one: no copy of a pending row that was erased opens any more. `None` where another node did the same at once. Where nothing is erased, objects alone are purged that nobody lists.
    fn forget_copies(&self) -> Result<Option<Purging>, CatalogError>;
    /// The last one: destroys former objects, and says so in receipts. False while a node may still have something of them.
    fn purge(&self, purging: &Purging) -> Result<bool, CatalogError>;
    /// The second one. False where it may not be taken yet; true, too, where it was.
    fn go_live(&self, segment: u32) -> Result<bool, CatalogError>;
    /// Cuts the feed as far as nobody needs it (E1).
    fn cut_feed(&self) -> Result<(), CatalogError>;
    /// Rows of a segment in the clear, one answer a row; `None` for a hole. Out of the object that holds it now: where its rows are protected with another rotation than this one by then, that is an error.
    fn exact(&self, of: (u32, &TransformId), rows: &[u32]) -> Result<Vec<Option<StoredRow>>, CatalogError>;
    /// The references of a subject; none where it is unknown.
    fn references(&self, subject: &SubjectId) -> Result<Vec<Reference>, CatalogError>;
    /// Who rows belong to, one answer a row, with links of the kinds asked for; `None` for a subject that is erased.
    fn describe(&self, ids: &[RowId], links: &[LinkKind])
    -> Result<Vec<Option<CandidateInfo>>, CatalogError>;
}

/// A segment as it is loaded.
pub struct SegmentCopy {
    /// Its codes.
    pub planes: RowPlanes,
    /// Whose each row is; 0 for a row that is not there any more: a hole, or one that is erased.
    pub references: Vec<u64>,
}
