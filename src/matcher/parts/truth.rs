//! For tests: what every answer is compared with, a gallery as it was after each change, searched the plain way.

use std::collections::BTreeMap;

use half::f16;

use crate::engine::canonical;
use crate::matcher::apply::exact_values;
use crate::model::signature::Signature;

/// Who is enrolled: by reference the subject and its row.
pub(super) type People = BTreeMap<u64, (String, Vec<u8>)>;

/// Scores by name.
pub(super) type Scores = BTreeMap<String, Vec<f32>>;

/// A gallery by the number of the change after which it was so. Changes that came between moved rows and no people.
pub(super) struct History(BTreeMap<u64, People>);

impl Default for History {
    fn default() -> Self {
        Self(BTreeMap::from([(0, People::new())]))
    }
}

impl History {
    /// The gallery after the last change that is known.
    pub(super) fn last(&self) -> &People {
        self.0.last_key_value().expect("it begins empty").1
    }

    /// The gallery is this one after a change, which is later than all before.
    pub(super) fn add(&mut self, sequence: u64, people: People) {
        self.0.insert(sequence, people);
    }

    /// The scores of everybody at or above the threshold, by name: of references that were there after each of the changes from one to another, and of those that were after any of them.
    pub(super) fn scores(&self, from: u64, to: u64, probe: &Signature, threshold: f32) -> [Scores; 2] {
        let before = self.0.range(..=from).next_back();
        let later = self.0.range(from + 1..).take_while(|(at, _)| **at <= to);
        let moments: Vec<&People> = before
            .into_iter()
            .chain(later)
            .map(|(_, people)| people)
            .collect();
        let [mut always, mut ever] = [Scores::new(), Scores::new()];
        let known: People = moments
            .iter()
            .copied()
            .flatten()
            .map(|(of, who)| (*of, who.clone()))
            .collect();
        for (reference, (name, exact)) in known {
            let bits = exact_values(&exact);
            let score = canonical::score(probe.values(), bytemuck::cast_slice::<_, f16>(&bits));
            if score >= threshold {
                ever.entry(name.clone()).or_default().push(score);
                if moments.iter().all(|people| people.contains_key(&reference)) {
                    always.entry(name).or_default().push(score);
                }
            }
        }
        [always, ever]
    }
}
