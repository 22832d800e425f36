//! Rows by key, as they were found and as they are now, with an exact undo. Knows no table of the catalog.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

/// Rows of one table.
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, Row<V>>,
    /// What was set since the last mark, and what stood there before, oldest first.
    undo: Vec<(K, Option<Row<V>>)>,
}

/// What is known of a key.
struct Row<V> {
    found: bool,
    changed: bool,
    now: Option<V>,
}

impl<K: Ord + Clone, V> Default for Table<K, V> {
    /// Of which no row is known.
    fn default() -> Self {
        Self::new([], [])
    }
}

/// What became of the rows of a table.
pub(super) struct Diff<K, V> {
    /// Not found, and there now.
    pub(super) added: Vec<(K, V)>,
    /// Found, set, and there now.
    pub(super) changed: Vec<(K, V)>,
    /// Found, and not there now.
    pub(super) removed: Vec<K>,
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// With rows that were found, and keys that were looked for, of which the others are known to have none.
    pub(super) fn new(found: impl IntoIterator<Item = (K, V)>, asked: impl IntoIterator<Item = K>) -> Self {
        let row = |now: Option<V>| Row {
            found: now.is_some(),
            changed: false,
            now,
        };
        let mut rows: BTreeMap<K, Row<V>> = found
            .into_iter()
            .map(|(key, value)| (key, row(Some(value))))
            .collect();
        for key in asked {
            rows.entry(key).or_insert_with(|| row(None));
        }
        Self {
            rows,
            undo: Vec::new(),
        }
    }

    /// The row of a key that was looked for, or set. Panics for another one, so that what was not read is never taken for what is not there.
    pub(super) fn asked(&self, key: &K, what: &str) -> Option<&V> {
        match self.rows.get(key) {
            Some(row) => row.now.as_ref(),
            None => panic!("a {what} is asked for that was not read: the needs of the group forgot it"),
        }
    }

    /// The row of a key, where there is one and it is known.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)?.now.as_ref()
    }

    /// Rows that are there, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.range(..)
    }

    /// Rows that are there with a key in this range, by key.
    pub(super) fn range(&self, keys: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &V)> {
        self.rows
            .range(keys)
            .filter_map(|(key, row)| Some((key, row.now.as_ref()?)))
    }

    /// Puts a row in the place of the one of its key, or none.
    pub(super) fn set(&mut self, key: K, now: Option<V>) {
        let found = self.rows.get(&key).is_some_and(|row| row.found);
        let row = Row {
            found,
            changed: true,
            now,
        };
        let before = self.rows.insert(key.clone(), row);
        self.undo.push((key, before));
    }

    /// What follows can be undone up to here; what was before can't any more.
    pub(super) fn mark(&mut self) {
        self.undo.clear();
    }

    /// Undoes all since the mark.
    pub(super) fn undo(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
    }

    /// What became of the rows, by key.
    pub(super) fn diff(self) -> Diff<K, V> {
        let mut diff = Diff {
            added: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
        };
        for (key, row) in self.rows {
            match (row.found, row.now) {
                (false, Some(value)) => diff.added.push((key, value)),
                (true, Some(value)) if row.changed => diff.changed.push((key, value)),
                (true, None) => diff.removed.push(key),
                _ => {}
            }
        }
        diff
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
