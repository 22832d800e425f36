//! Which parts of a cluster the harness itself has taken away, and since when nobody could be answered for that. Takes nothing away.

use std::time::Duration;

use serde::Serialize;

/// The rule, for a person to read.
pub const RULE: &str = "a call counts unless it overlaps a second in which the harness itself had taken away the database, all fronts, as many nodes as \
    there are replicas, or with a limit of the nodes' caches the object store (from the blow until the part serves again; after the database is back at most 5 s more), \
    or had a tenant's transform key rotated (from the request until that tenant is served again: no node has the converted rows before)";

/// A part of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A match node.
    Node(usize),
    /// A front.
    Front(usize),
    /// PostgreSQL.
    Database,
    /// The object store.
    Store,
    /// A tenant's keys.
    Keys,
}

/// Why nobody could be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The database was away.
    Database,
    /// All fronts were away.
    Fronts,
    /// So many nodes were away that a part may have had no live replica.
    Replicas,
    /// The object store was away, and nodes can't keep all of the gallery.
    Store,
    /// A tenant's transform key was being rotated.
    Keys,
}

/// A time in which nobody could be answered, since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When it began.
    pub from: Duration,
    /// When it ended.
    pub to: Duration,
    /// Why.
    pub why: Why,
}

/// What is there and what is not, by the harness's own doing.
#[derive(Debug, Clone)]
pub struct Standing {
    nodes: usize,
    fronts: usize,
    away: Vec<Part>,
    replicas: usize,
    is_store_needed: bool,
    open: Option<(Duration, Why)>,
    windows: Vec<Window>,
}

impl Standing {
    /// Everything is there. `is_store_needed`: answers need the object store, since nodes can't keep all of the gallery.
    pub fn new(nodes: usize, fronts: usize, replicas: usize, is_store_needed: bool) -> Self {
        Self {
            nodes,
            fronts,
            away: Vec::new(),
            replicas,
            is_store_needed,
            open: None,
            windows: Vec::new(),
        }
    }

    /// From now on a part is there, or not.
    pub fn set(&mut self, part: Part, is_there: bool, now: Duration) {
        self.away.retain(|away| *away != part);
        if !is_there {
            self.away.push(part);
        }
        let why = self.why();
        if self.open.map(|(_, why)| why) == why {
            return;
        }
        if let Some((from, former)) = self.open.take() {
            self.windows.push(Window {
                from,
                to: now,
                why: former,
            });
        }
        self.open = why.map(|why| (now, why));
    }

    /// Whether a part is there.
    pub fn is_there(&self, part: Part) -> bool {
        !self.away.contains(&part)
    }

    /// Nodes that are away.
    pub fn nodes_away(&self) -> usize {
        let nodes = self.away.iter().filter(|part| matches!(part, Part::Node(_)));
        nodes.count()
    }

    /// All times in which nobody could be answered, up to now.
    pub fn windows(&self, now: Duration) -> Vec<Window> {
        let mut windows = self.windows.clone();
        windows.extend(self.open.map(|(from, why)| Window { from, to: now, why }));
        windows
    }

    fn why(&self) -> Option<Why> {
        let fronts = self.away.iter().filter(|part| matches!(part, Part::Front(_)));
        if !self.is_there(Part::Database) {
            return Some(Why::Database);
        }
        if fronts.count() >= self.fronts {
            return Some(Why::Fronts);
        }
        // Where there are fewer nodes than replicas, every node has every part.
        if self.nodes_away() >= self.replicas.min(self.nodes) {
            return Some(Why::Replicas);
        }
        if self.is_store_needed && !self.is_there(Part::Store) {
            return Some(Why::Store);
        }
        (!self.is_there(Part::Keys)).then_some(Why::Keys)
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
