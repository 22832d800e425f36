//! The report of an evaluation: every figure with its counts and intervals, as it is written to a file. Compares nothing itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::signature::Encoder;

use super::bootstrap::{self, Pairs, Tally};
use super::grid::{self, Counts, Histogram, UNREACHED};
use super::identify::{self, Identification, OpenSet, Plan};
use super::interval::{self, RULE_OF_THIRTY};
use super::rates::Rates;
use super::set::Set;
use super::{as_f64, compare};

/// Of the file; another one is read by another release.
const FORMAT: u32 = 2;
/// False match rates that FNMR is stated at, as far as the pairs allow.
pub const FMR: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// False positive identification rates that FNIR is stated at, as far as the searches allow.
const FPIR: [f64; 3] = [1e-1, 1e-2, 1e-3];
/// Ranks of which hits are stated.
const RANKS: [usize; 4] = [1, 5, 10, 20];
/// Points of a curve for each of its rates, at most.
const POINTS: u32 = 160;

/// A share that was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The share, 0 to 1.
    pub share: f64,
    /// Of these.
    pub count: u64,
    /// Of so many.
    pub of: u64,
    /// 95 % interval for independent trials (Clopper, Pearson).
    pub interval: [f64; 2],
    /// 95 % interval by drawing palms again, which makes none of that assumption; where no trial or every one is an error, of which no drawing makes
    /// another share, that of the share of palms with an error, each of them one trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_palm: Option<[f64; 2]>,
}

impl Share {
    /// Counts a share; of nothing it is 0.
    pub fn new(count: u64, of: u64) -> Self {
        Self {
            share: if of == 0 { 0.0 } else { as_f64(count) / as_f64(of) },
            count,
            of,
            interval: interval::clopper_pearson(count, of),
            by_palm: None,
        }
    }

    /// The interval to show: by palm where there is one.
    pub fn shown_interval(&self) -> [f64; 2] {
        self.by_palm.unwrap_or(self.interval)
    }

    /// With what was drawn, and the number of palms that have a trial.
    fn by_palm(self, drawn: Option<[f64; 2]>, palms: u64) -> Self {
        let by_palm = if palms == 0 {
            None
        } else if self.count == 0 {
            Some(interval::clopper_pearson(0, palms))
        } else if self.count == self.of {
            Some(interval::clopper_pearson(palms, palms))
        } else {
            drawn
        };
        Self { by_palm, ..self }
    }

    /// The same, drawn here.
    fn drawn(self, palms: &[Tally], seed: u64) -> Self {
        let tried = palms.iter().filter(|tally| tally.trials > 0).count();
        self.by_palm(bootstrap::share(palms, seed), tried as u64)
    }

    /// Where each of so many trials was counted the same number of times: with the interval of these.
    fn of_trials(self, trials: u64) -> Self {
        let errors = self.count * trials;
        let [low, _] = interval::clopper_pearson(errors.checked_div(self.of).unwrap_or(0), trials);
        let [_, high] = interval::clopper_pearson(errors.div_ceil(self.of.max(1)), trials);
        Self {
            interval: [low, high],
            ..self
        }
    }
}

/// The figures that fit on a line. Scripts rely on these names. Shares lie between 0 and 1; null: not so few errors can be shown by so few pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Equal error rate.
    pub eer: f64,
    /// Its 95 % interval by drawing palms again; null where it is 0, of which no drawing makes another rate.
    pub eer_interval: Option<[f64; 2]>,
    /// 1 − FNMR at an FMR of 1 %.
    pub tar_at_fmr_1e2: Option<f64>,
    /// At 0.1 %.
    pub tar_at_fmr_1e3: Option<f64>,
    /// At 0.01 %.
    pub tar_at_fmr_1e4: Option<f64>,
    /// At 0.001 %.
    pub tar_at_fmr_1e5: Option<f64>,
    /// At 0.0001 %.
    pub tar_at_fmr_1e6: Option<f64>,
    /// Share of the searches by enrolled palms whose own reference came first; null without any search.
    pub rank1: Option<f64>,
    /// The same with captures that gave no signature as searches that fail.
    pub rank1_with_fta: Option<f64>,
    /// FNIR at an FPIR of 1 % in the gallery of `identification`.
    pub fnir_at_fpir_1e2: Option<f64>,
    /// The same with captures that gave no signature as searches that fail.
    pub fnir_with_fta_at_fpir_1e2: Option<f64>,
    /// Pairs of captures of one palm that were compared.
    pub mated: u64,
    /// Pairs of captures of two palms that were compared.
    pub non_mated: u64,
    /// Palms.
    pub palms: u64,
    /// Captures, with those that failed.
    pub captures: u64,
    /// Captures that gave no signature.
    pub failed_to_acquire: u64,
    /// Palms that could not be enrolled.
    pub failed_to_enrol: u64,
    /// Share of the captures that gave no signature.
    pub fta: f64,
    /// Share of the palms that could not be enrolled.
    pub fte: f64,
    /// Captures that enrolled a palm.
    pub enrol: u64,
}

/// What holds at the lowest threshold that keeps an FMR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerificationPoint {
    /// The FMR that is kept.
    pub fmr_max: f64,
    /// The threshold; null where even a score of 1 keeps it not.
    pub threshold: Option<f64>,
    /// The FMR that it has.
    pub fmr: Share,
    /// Whether 30 false matches were to be expected, the least that an FMR is known well from.
    pub rule_of_30: bool,
    /// FNMR; 1 less TAR.
    pub fnmr: Share,
    /// With captures that failed: FTA + FNMR·(1 − FTA), of the FTA of `identification`.
    pub frr: f64,
    /// With palms that could not be enrolled besides: FTE + (1 − FTE)·FRR.
    pub gfrr: f64,
}

/// What holds at the lowest threshold that keeps an FPIR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdentificationPoint {
    /// The FPIR that is kept.
    pub fpir_max: f64,
    /// The threshold.
    pub threshold: Option<f64>,
    /// The FPIR that it has.
    pub fpir: Share,
    /// Whether 30 false positives were to be expected.
    pub rule_of_30: bool,
    /// FNIR of rank 1, of the searches that have a signature; its `interval` is that of the searches, each of which is made in several galleries.
    pub fnir: Share,
    /// FNIR of rank 1 with captures that gave no signature as searches that fail: FTA + FNIR·(1 − FTA).
    pub fnir_with_fta: f64,
}

/// 1:N.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdentificationReport {
    /// References in the gallery of all palms.
    pub references: u64,
    /// Searches by palms that are all enrolled.
    pub searches: u64,
    /// Share of the captures meant for these searches that gave no signature.
    pub fta: Share,
    /// Share of these whose own reference is among the first so many.
    pub ranks: BTreeMap<usize, Share>,
    /// References in the smallest and the largest gallery that palms are left out of.
    pub gallery: Option<[usize; 2]>,
    /// FNIR at fixed FPIR in these galleries.
    pub points: Vec<IdentificationPoint>,
    /// Threshold, FPIR, FNIR.
    pub curve: Vec<[f64; 3]>,
}

/// The counts of all scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Of pairs of one palm.
    pub mated: Histogram,
    /// Of pairs of two palms.
    pub non_mated: Histogram,
}

/// Scores of a file that are not such.
#[derive(Debug, Error)]
pub enum ReportError {
    /// No report at all.
    #[error("is no report of thenar eval: {0}")]
    None(#[from] serde_json::Error),
    /// Another release's.
    #[error("has format {found}; {FORMAT} is read")]
    Format {
        /// Which.
        found: u32,
    },
    /// Counts that don't fit each other.
    #[error("its counts of scores are not those of an evaluation")]
    Scores,
}

/// Everything that is known of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of the file.
    pub format: u32,
    /// Who made the signatures, where that is known.
    pub encoder: Option<Encoder>,
    /// Their coordinates.
    pub dimension: usize,
    /// The figures that fit on a line.
    pub summary: Summary,
    /// Threshold of the equal error rate.
    pub eer_threshold: f64,
    /// Captures that gave no signature, by reason.
    pub failures: BTreeMap<String, u64>,
    /// FTA with its interval.
    pub fta: Share,
    /// FTE with its interval.
    pub fte: Share,
    /// FNMR at fixed FMR.
    pub verification: Vec<VerificationPoint>,
    /// 1:N.
    pub identification: IdentificationReport,
    /// Threshold, FMR, FNMR.
    pub det: Vec<[f64; 3]>,
    /// Counts of all scores.
    pub scores: Scores,
}

impl Report {
    /// Compares, identifies, and counts.
    pub fn new(set: &Set, plan: Plan, encoder: Option<Encoder>) -> Self {
        let compared = compare::all(set);
        let sampled = compare::sample(set, &compared.non_mated, bootstrap::PAIRS_KEPT);
        let drawn = Pairs::new(set, &compared.mated, &sampled).intervals(&FMR, plan.seed);
        let rates = Rates {
            mated: Counts::of(compared.mated.iter().map(|pair| pair.bin)),
            non_mated: compared.non_mated,
        };
        let identified = identify::all(set, plan);
        let fta = Share::new(set.failed(), set.captures());
        let fte = Share::new(identified.failed_to_enrol, identified.palms as u64);
        let identification = identification(&identified, plan.seed);
        let mated_palms = set.palms().iter().filter(|palm| palm.rows.len() > 1).count() as u64;
        let verification: Vec<VerificationPoint> = FMR
            .iter()
            .zip(drawn.fnmr)
            .filter(|(fmr, _)| interval::shows(**fmr, rates.non_mated.total()))
            .map(|(fmr, drawn)| {
                let failures = [identification.fta.share, fte.share];
                verification(&rates, *fmr, failures, |fnmr| fnmr.by_palm(drawn, mated_palms))
            })
            .collect();
        let eer = rates.equal_error();
        let tar = |fmr: usize| verification.get(fmr).map(|point| 1.0 - point.fnmr.share);
        let summary = Summary {
            eer: eer.rate,
            eer_interval: drawn.eer.filter(|_| eer.rate > 0.0),
            tar_at_fmr_1e2: tar(0),
            tar_at_fmr_1e3: tar(1),
            tar_at_fmr_1e4: tar(2),
            tar_at_fmr_1e5: tar(3),
            tar_at_fmr_1e6: tar(4),
            rank1: identification.ranks.get(&1).map(|share| share.share),
            rank1_with_fta: identification.rank1_with_fta(),
            fnir_at_fpir_1e2: identification.points.get(1).map(|point| point.fnir.share),
            fnir_with_fta_at_fpir_1e2: identification.points.get(1).map(|point| point.fnir_with_fta),
            mated: rates.mated.total(),
            non_mated: rates.non_mated.total(),
            palms: set.palms().len() as u64,
            captures: set.captures(),
            failed_to_acquire: fta.count,
            failed_to_enrol: fte.count,
            fta: fta.share,
            fte: fte.share,
            enrol: plan.enrol as u64,
        };
        Self {
            format: FORMAT,
            encoder,
            dimension: set.rows().ncols(),
            summary,
            eer_threshold: grid::score(eer.bin),
            failures: set.failures().clone(),
            fta,
            fte,
            verification,
            identification,
            det: curve(&rates.non_mated, &rates.mated, |bin| {
                [rates.fmr(bin), rates.fnmr(bin)]
            }),
            scores: Scores {
                mated: rates.mated.histogram(),
                non_mated: rates.non_mated.histogram(),
            },
        }
    }

    /// Reads a file. Its format comes first, since the rest of another one need not be what is expected here.
    pub fn read(text: &[u8]) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = serde_json::from_slice(text)?;
        if format != FORMAT {
            return Err(ReportError::Format { found: format });
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// The scores of a report that was read from a file.
    pub fn rates(&self) -> Result<Rates, ReportError> {
        let counts = |histogram: &Histogram, expected: u64| {
            let counts = histogram.counts().ok_or(ReportError::Scores)?;
            if counts.total() != expected || expected == 0 {
                return Err(ReportError::Scores);
            }
            Ok(counts)
        };
        Ok(Rates {
            mated: counts(&self.scores.mated, self.summary.mated)?,
            non_mated: counts(&self.scores.non_mated, self.summary.non_mated)?,
        })
    }
}

fn verification(
    rates: &Rates,
    fmr_max: f64,
    [fta, fte]: [f64; 2],
    by_palm: impl Fn(Share) -> Share,
) -> VerificationPoint {
    let bin = rates.non_mated.lowest_at_share(fmr_max);
    let (mated, non_mated) = (rates.mated.total(), rates.non_mated.total());
    let fnmr = by_palm(Share::new(rates.mated.below(bin), mated));
    let frr = with(fta, fnmr.share);
    VerificationPoint {
        fmr_max,
        threshold: threshold(bin),
        fmr: Share::new(rates.non_mated.at_or_above(bin), non_mated),
        rule_of_30: fmr_max * as_f64(non_mated) >= RULE_OF_THIRTY,
        frr,
        gfrr: with(fte, frr),
        fnmr,
    }
}

/// The share of errors where a share of the trials fails before there is anything to err in.
fn with(failed: f64, errors: f64) -> f64 {
    failed + errors * (1.0 - failed)
}

impl IdentificationReport {
    fn rank1_with_fta(&self) -> Option<f64> {
        let first = self.ranks.get(&1)?;
        Some(first.share * (1.0 - self.fta.share))
    }
}

fn identification(found: &Identification, seed: u64) -> IdentificationReport {
    let searches = found.ranks.len() as u64;
    let fta = Share::new(found.failed_searches, found.failed_searches + searches);
    let ranks = RANKS
        .iter()
        .filter(|rank| searches > 0 && **rank <= found.references);
    let share = |rank: usize| {
        let hits: Vec<Tally> = found
            .missed_by_palm(rank)
            .into_iter()
            .map(|tally| Tally {
                errors: tally.trials - tally.errors,
                trials: tally.trials,
            })
            .collect();
        let hit = hits.iter().map(|tally| tally.errors).sum();
        Share::new(hit, searches).drawn(&hits, seed)
    };
    let open = found.open.as_ref();
    IdentificationReport {
        references: found.references as u64,
        searches,
        ranks: ranks.map(|rank| (*rank, share(*rank))).collect(),
        gallery: open.map(|open| open.gallery),
        points: open.map_or(Vec::new(), |open| {
            let shown = FPIR
                .iter()
                .filter(|fpir| interval::shows(**fpir, open.false_alarms().total()));
            shown
                .map(|fpir| point(open, found, *fpir, fta.share, seed))
                .collect()
        }),
        curve: open.map_or(Vec::new(), |open| {
            let mated = as_f64(open.mated.len() as u64);
            curve(open.false_alarms(), open.hits(), |bin| {
                let alarms = as_f64(open.false_alarms().at_or_above(bin));
                let fpir = alarms / as_f64(open.false_alarms().total());
                [fpir, as_f64(open.missed(bin)) / mated]
            })
        }),
        fta,
    }
}

fn point(open: &OpenSet, found: &Identification, fpir_max: f64, fta: f64, seed: u64) -> IdentificationPoint {
    let alarms = open.false_alarms();
    let bin = alarms.lowest_at_share(fpir_max);
    let fnir = Share::new(open.missed(bin), open.mated.len() as u64)
        .of_trials(found.ranks.len() as u64)
        .drawn(&open.missed_by_palm(found.palms, bin), seed);
    IdentificationPoint {
        fpir_max,
        threshold: threshold(bin),
        fpir: Share::new(alarms.at_or_above(bin), alarms.total()),
        rule_of_30: fpir_max * as_f64(alarms.total()) >= RULE_OF_THIRTY,
        fnir_with_fta: with(fta, fnir.share),
        fnir,
    }
}

fn threshold(bin: u32) -> Option<f64> {
    (bin < UNREACHED).then(|| grid::score(bin))
}

/// Points of a curve: at thresholds that ever fewer of the false scores reach, from all to one, and on to where few of the true ones do.
fn curve(falsely: &Counts, truly: &Counts, at: impl Fn(u32) -> [f64; 2]) -> Vec<[f64; 3]> {
    let decades = as_f64(falsely.total()).log10();
    let last = f64::from(POINTS - 1);
    let rare = (0..POINTS).map(|step| 10_f64.powf(-decades * f64::from(step) / last));
    let even = (1..POINTS).rev().map(|step| f64::from(step) / last);
    let mut bins: Vec<u32> = rare
        .map(|share| falsely.lowest_at_share(share))
        .chain(even.map(|share| truly.lowest_at_share(share)))
        .collect();
    bins.sort_unstable();
    bins.dedup();
    bins.into_iter()
        .map(|bin| {
            let [x, y] = at(bin);
            [grid::score(bin), x, y]
        })
        .collect()
}

#[cfg(test)]
#[path = "report_tests.rs"]
pub(super) mod tests;
