//! Who owns what in the model, reckoned once.

use std::collections::{BTreeMap, BTreeSet};

use super::world::Node;
use crate::cluster::members::Members;
use crate::cluster::placement::{Gallery, Member, NodeId, Part, Placement};
use crate::model::timestamp::Timestamp;

/// The owners of every part under every set of nodes, by the real placement.
#[derive(Clone)]
pub struct Owners(Vec<BTreeMap<Part, BTreeSet<NodeId>>>);

const GROUPS_MAX: u32 = 16;

impl Owners {
    pub fn new(nodes: usize, replicas: usize) -> Self {
        let gallery = Gallery::of(&"acme".parse().expect("a tenant's id"), Timestamp(1));
        let parts = || (0..GROUPS_MAX).map(Part::Group).chain([Part::Fresh]);
        let sets = (0..1_usize << nodes).map(|set| {
            let members = (0..nodes).filter(|node| set >> node & 1 == 1);
            let member = |node| Member {
                id: Node::id(node),
                weight: 1,
            };
            let Ok(placement) = Placement::new(members.map(member).collect()) else {
                return BTreeMap::new();
            };
            let owners = |part| placement.owners(gallery, part, replicas).into_iter().collect();
            parts().map(|part| (part, owners(part))).collect()
        });
        Self(sets.collect())
    }

    /// Today's and tomorrow's.
    pub fn of(&self, members: &Members, part: Part) -> BTreeSet<NodeId> {
        let set = |members: Vec<Member>| {
            let bits = members.iter().map(|member| 1_usize << (member.id.0 - 1));
            bits.sum::<usize>()
        };
        let sets = [set(members.now()), set(members.next())];
        let owners = sets.iter().filter_map(|set| self.0[*set].get(&part));
        owners.flatten().copied().collect()
    }
}
