//! An exhaustive scan in the demo itself, against which answers are held: all odd ones and some ordinary ones. Shares no code with the engine.

use rayon::prelude::*;

use super::super::error::CliError;
use super::super::simulated::Question;
use super::super::simulated::oracle::{self, AUDIT_BAND, Answer};
use super::plan::Plan;
use super::report::Check;
use super::traffic::Traffic;
use super::{DemoError, check, say};

/// Answers that are held against an exhaustive scan.
const AUDITED_MAX: usize = 64;
/// Rows made at a time.
const CHUNK_ROWS: u64 = 16_384;
/// Partial sums of a dot product, so that the compiler may use wide registers.
const LANES: usize = 16;

/// Recomputes answers by scanning everybody.
pub(super) async fn run(plan: &Plan, traffic: &Traffic) -> Result<Vec<Check>, CliError> {
    let odd = traffic.unclear.len();
    let answers: Vec<(Question, Answer)> = traffic
        .unclear
        .iter()
        .chain(&traffic.kept)
        .take(AUDITED_MAX)
        .copied()
        .collect();
    say(&format!("{} answers against an exhaustive scan", answers.len()));
    let (plan, threshold) = (plan.clone(), traffic.threshold);
    let unexplained = tokio::task::spawn_blocking(move || unexplained(&plan, &answers, threshold))
        .await
        .map_err(|error| DemoError::Broken(error.to_string()))?;
    Ok(vec![check(
        "an exhaustive scan gives the same answers",
        unexplained.wrong == 0,
        format!(
            "{} of {} differ ({odd} answers were odd)",
            unexplained.wrong, unexplained.audited
        ),
    )])
}

struct Unexplained {
    audited: usize,
    wrong: usize,
}

fn unexplained(plan: &Plan, answers: &[(Question, Answer)], threshold: f64) -> Unexplained {
    let probes: Vec<Vec<f32>> = answers
        .iter()
        .map(|(question, _)| question.palm(&plan.population).heard)
        .collect();
    let candidates = candidates(plan, &probes, threshold - AUDIT_BAND);
    let wrong = answers
        .iter()
        .zip(&candidates)
        .filter(|((_, answer), found)| !oracle::explains(found, *answer, threshold))
        .count();
    Unexplained {
        audited: answers.len(),
        wrong,
    }
}

/// For each probe all subjects that score at least `floor`.
fn candidates(plan: &Plan, probes: &[Vec<f32>], floor: f64) -> Vec<Vec<(u64, f64)>> {
    let mut found = vec![Vec::new(); probes.len()];
    let mut first = 0;
    while first < plan.palms {
        let end = plan.palms.min(first + CHUNK_ROWS);
        let rows = plan.population.references(first..end);
        let hits: Vec<(usize, u64, f64)> = rows
            .par_chunks(plan.dim.get())
            .enumerate()
            .flat_map_iter(|(row, values)| {
                let subject = first + row as u64;
                probes
                    .iter()
                    .enumerate()
                    .map(move |(probe, asked)| (probe, subject, dot(asked, values)))
                    .filter(|(_, _, score)| *score >= floor)
            })
            .collect();
        for (probe, subject, score) in hits {
            if let Some(list) = found.get_mut(probe) {
                list.push((subject, score));
            }
        }
        first = end;
    }
    found
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // A dimension is a multiple of 32, so nothing is left over.
    let (a, b) = (a.as_chunks::<LANES>().0, b.as_chunks::<LANES>().0);
    let mut sums = [0.0_f32; LANES];
    for (x, y) in a.iter().zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().map(|sum| f64::from(*sum)).sum()
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
