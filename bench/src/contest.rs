//! thenar and its peers on the same gallery and probes, turn by turn, so that what the machine does meanwhile strikes all of them.
//! Prints no result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crate::differ::{self, Difference, PeerBest};
use crate::gallery::{Outcome, Search, Searched};
use crate::peers::{Answer, Peers, REFERENCE, Request};
use crate::report::{Batch, PeerResult, Thenar};
use crate::rows::Probe;
use crate::timing::{Flush, Patience, Samples};
use crate::{Failure, progress};

/// Turns that each contender has at a batch size.
const TURNS: usize = 3;
/// Time of one contender for one batch size, over all turns.
const BUDGET: Duration = Duration::from_millis(1_200);
/// Repeats of a lone probe, over all turns, that are made in any case; larger batches have an average in them already.
const LONE_REPEATS_MIN: usize = 21;
/// The same for a batch.
const BATCH_REPEATS_MIN: usize = 6;
/// Repeats with cold caches, over all turns.
const COLD_REPEATS: usize = 12;
/// A contender whose search takes longer has no warm-up and no further turn.
const SLOW_MS: f64 = 2_000.0;
/// Lets the threads of the contender before go to sleep.
const PAUSE: Duration = Duration::from_millis(50);

/// Everything that takes part.
pub struct Contest<'a> {
    /// The gallery.
    pub searched: &'a Searched,
    /// Probes; each repeat takes the next ones.
    pub probes: &'a [Probe],
    /// How they are searched.
    pub search: Search,
    /// The peers' program, where it runs.
    pub peers: Option<Peers>,
    /// Names of the peers that were built.
    pub names: Vec<String>,
    /// Repeats of each, where the user says how many.
    pub repeats: Option<usize>,
    /// A buffer larger than the caches.
    pub flush: Flush,
}

/// thenar's side of a batch size so far.
#[derive(Default)]
struct Ours {
    warm: Samples,
    cold: Samples,
    outcomes: BTreeMap<usize, Outcome>,
}

/// A peer's side of a batch size so far.
#[derive(Default)]
struct Theirs {
    samples: Samples,
    best: BTreeMap<usize, PeerBest>,
    error: Option<String>,
}

impl Contest<'_> {
    /// Measures one batch size.
    pub fn batch(&mut self, batch: usize) -> Result<Batch, Failure> {
        let mut ours = Ours::default();
        let mut theirs: BTreeMap<String, Theirs> = BTreeMap::new();
        let names = self.names.clone();
        for turn in 0..TURNS {
            self.our_turn(batch, &mut ours)?;
            for name in &names {
                self.their_turn(name, batch, turn, theirs.entry(name.clone()).or_default())?;
            }
        }
        Ok(self.result(batch, &ours, &theirs))
    }

    /// Numbers of the probes of repeat `number`.
    fn numbers(&self, number: usize, batch: usize) -> std::ops::Range<usize> {
        let first = number % (self.probes.len() / batch) * batch;
        first..first + batch
    }

    fn patience(&self, batch: usize) -> Patience {
        let at_least = if batch == 1 {
            LONE_REPEATS_MIN
        } else {
            BATCH_REPEATS_MIN
        };
        Patience {
            at_least: self.repeats.unwrap_or(at_least).div_ceil(TURNS),
            at_most: self.repeats.map_or(usize::MAX, |repeats| repeats.div_ceil(TURNS)),
            budget: BUDGET / u32::try_from(TURNS).expect("a few"),
        }
    }

    fn our_turn(&mut self, batch: usize, ours: &mut Ours) -> Result<(), Failure> {
        sleep(PAUSE);
        // The last probes warm up; they are rarely reached.
        let last = self.probes.len() / batch - 1;
        self.search(self.numbers(last, batch), &mut Samples::default())?;
        let start = ours.warm.len();
        self.patience(batch).repeat(|repeat| {
            let numbers = self.numbers(start + repeat, batch);
            let outcomes = self.search(numbers.clone(), &mut ours.warm)?;
            ours.outcomes.extend(numbers.zip(outcomes));
            Ok::<(), Failure>(())
        })?;
        if batch == 1 {
            for _ in 0..COLD_REPEATS.div_ceil(TURNS) {
                self.flush.run();
                let numbers = self.numbers(start + ours.cold.len(), batch);
                self.search(numbers, &mut ours.cold)?;
            }
        }
        Ok(())
    }

    fn search(
        &self,
        numbers: std::ops::Range<usize>,
        samples: &mut Samples,
    ) -> Result<Vec<Outcome>, Failure> {
        let probes = self
            .probes
            .get(numbers)
            .expect("batches are no larger than the pool of probes");
        let values = probes
            .iter()
            .map(|probe: &Probe| -> &Arc<[f32]> { &probe.values });
        let requests = self.searched.requests(values, self.search);
        Ok(samples.time(|| self.searched.search(&requests))?)
    }

    fn their_turn(
        &mut self,
        name: &str,
        batch: usize,
        turn: usize,
        theirs: &mut Theirs,
    ) -> Result<(), Failure> {
        let is_slow = theirs
            .samples
            .summary()
            .is_some_and(|summary| summary.ms > SLOW_MS);
        if is_slow || theirs.error.is_some() {
            return Ok(());
        }
        sleep(PAUSE);
        let patience = self.patience(batch);
        // USearch's first search of a large batch may take longer than everything else together.
        let is_usearch = name.starts_with("usearch");
        let request = Request {
            peer: name,
            batch,
            start: theirs.samples.len(),
            at_least: if is_usearch { 1 } else { patience.at_least },
            at_most: patience.at_most.min(1_000_000),
            budget_s: patience.budget.as_secs_f64(),
            warm_up: !is_usearch || turn > 0,
        };
        let Some(peers) = &mut self.peers else {
            return Ok(());
        };
        match peers.measure(&request)? {
            Answer::Failed { error } => {
                progress(format!("{name} failed at batch {batch}: {error}"));
                theirs.error = Some(error);
            }
            Answer::Measured {
                times_ms,
                rows,
                scores,
            } => {
                let found = rows
                    .into_iter()
                    .zip(scores)
                    .map(|(row, score)| PeerBest { row, score });
                let numbers = (request.start..request.start + times_ms.len())
                    .flat_map(|repeat| self.numbers(repeat, batch));
                theirs.best.extend(numbers.zip(found));
                for ms in times_ms {
                    theirs.samples.push(ms);
                }
            }
        }
        Ok(())
    }

    fn result(&self, batch: usize, ours: &Ours, theirs: &BTreeMap<String, Theirs>) -> Batch {
        let reference = theirs
            .get(REFERENCE)
            .map(|theirs| &theirs.best)
            .filter(|best| !best.is_empty());
        let differences = reference.map(|best| self.differences(ours, best));
        let peers = theirs.iter().map(|(name, theirs)| {
            let result = PeerResult {
                summary: theirs.samples.summary(),
                finds: reference.and_then(|best| self.finds(best, &theirs.best)),
                error: theirs.error.clone(),
            };
            (name.clone(), result)
        });
        let compared = reference.map_or(0, |best| {
            best.keys()
                .filter(|number| ours.outcomes.contains_key(number))
                .count()
        });
        Batch::new(batch, self.thenar(ours), peers.collect(), compared, differences)
    }

    fn thenar(&self, ours: &Ours) -> Thenar {
        let outcomes = || ours.outcomes.iter();
        // A mate below the threshold is none to be found.
        let is_mate = |(number, outcome): (&usize, &Outcome)| {
            let probe = self.probes.get(*number)?;
            let mate = u32::try_from(probe.mate?).ok()?;
            let score = self.searched.score(&probe.values, mate)?;
            (score >= self.search.threshold).then(|| outcome.best.is_some_and(|best| best.row == mate))
        };
        let mates: Vec<bool> = outcomes().filter_map(is_mate).collect();
        let certificates: BTreeSet<String> = outcomes()
            .map(|(_, outcome)| outcome.certificate.to_string())
            .collect();
        Thenar {
            summary: ours.warm.summary(),
            cold: ours.cold.summary(),
            survivors_mean: mean(outcomes().map(|(_, outcome)| outcome.survivors)),
            survivors_max: outcomes()
                .map(|(_, outcome)| outcome.survivors)
                .max()
                .unwrap_or(0),
            mates: mates.len(),
            mates_found: mates.iter().filter(|found| **found).count(),
            certificate: certificates.into_iter().collect::<Vec<_>>().join(" or "),
        }
    }

    fn differences(&self, ours: &Ours, reference: &BTreeMap<usize, PeerBest>) -> Vec<Difference> {
        let compare = |(number, outcome): (&usize, &Outcome)| {
            let (peer, probe) = (reference.get(number)?, self.probes.get(*number)?);
            differ::compare(
                *number,
                probe,
                outcome,
                *peer,
                self.searched,
                self.search.threshold,
            )
        };
        ours.outcomes.iter().filter_map(compare).collect()
    }

    /// Share of the mated probes for which a peer has the row that the exact one has.
    fn finds(&self, exact: &BTreeMap<usize, PeerBest>, found: &BTreeMap<usize, PeerBest>) -> Option<f64> {
        let same = |(number, best): (&usize, &PeerBest)| {
            self.probes.get(*number)?.mate?;
            Some(exact.get(number)?.row == best.row)
        };
        let same: Vec<bool> = found.iter().filter_map(same).collect();
        (!same.is_empty()).then(|| mean(same.iter().map(|same| usize::from(*same))))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows and probes")]
fn mean(counts: impl Iterator<Item = usize>) -> f64 {
    let (sum, count) = counts.fold((0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    sum as f64 / count.max(1) as f64
}
