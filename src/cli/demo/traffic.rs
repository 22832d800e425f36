//! The main act: scanners ask for some seconds, every answer is timed and judged. Leaves unclear ones to the audit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::task::JoinSet;

use crate::client::{api, explain};
use crate::model::principal::Role;

use super::super::error::CliError;
use super::super::simulated::oracle::{self, Answer, Asker, Verdict};
use super::super::simulated::{Question, SEED};
use super::super::{progress, show};
use super::host::Host;
use super::plan::{FPIR, MIX, Plan, arena};
use super::report::{Check, Figures};
use super::scanner::Scanner;
use super::{DemoError, check};

/// Longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Every so many answers of a scanner one is kept for the audit, although nothing is odd about it.
const AUDIT_EVERY: u64 = 101;
/// Answers of one scanner kept for the audit.
const KEPT_MAX: usize = 256;
/// Pause after a refused call.
const PAUSE: Duration = Duration::from_millis(100);

/// What came of the traffic of one scanner or of all.
#[derive(Debug)]
pub(super) struct Traffic {
    latency_us: Histogram<u64>,
    /// Threshold of the tenant.
    pub(super) threshold: f64,
    elapsed: Duration,
    mated: u64,
    mated_missed: u64,
    strangers: u64,
    strangers_positive: u64,
    wrong: u64,
    /// Answers that an exhaustive scan has to explain.
    pub(super) unclear: Vec<(Question, Answer)>,
    /// Answers that are right by the mate's score, for the audit.
    pub(super) kept: Vec<(Question, Answer)>,
    refused: u64,
    refusal: Option<String>,
    /// Answers by their certificate.
    certificates: BTreeMap<String, u64>,
}

impl Traffic {
    fn new(threshold: f64) -> Self {
        Self {
            latency_us: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are valid"),
            threshold,
            elapsed: Duration::ZERO,
            mated: 0,
            mated_missed: 0,
            strangers: 0,
            strangers_positive: 0,
            wrong: 0,
            unclear: Vec::new(),
            kept: Vec::new(),
            refused: 0,
            refusal: None,
            certificates: BTreeMap::new(),
        }
    }

    /// Takes in one answer.
    fn record(&mut self, question: Question, asker: Asker, answer: Answer, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_us.saturating_record(micros.clamp(1, LATENCY_US_MAX));
        match asker {
            Asker::Mate { subject, .. } => {
                self.mated += 1;
                self.mated_missed += u64::from(!answer.names(subject));
            }
            Asker::Stranger => {
                self.strangers += 1;
                self.strangers_positive += u64::from(answer.is_positive());
            }
        }
        match oracle::judge(asker, answer, self.threshold) {
            Verdict::Wrong => self.wrong += 1,
            Verdict::Unclear => self.unclear.push((question, answer)),
            Verdict::Right if self.latency_us.len() % AUDIT_EVERY == 1 && self.kept.len() < KEPT_MAX => {
                self.kept.push((question, answer));
            }
            Verdict::Right => {}
        }
    }

    fn refuse(&mut self, reason: String) {
        self.refused += 1;
        self.refusal.get_or_insert(reason);
    }

    fn add(&mut self, other: Self) {
        self.latency_us
            .add(&other.latency_us)
            .expect("the bounds are the same");
        self.elapsed = self.elapsed.max(other.elapsed);
        self.mated += other.mated;
        self.mated_missed += other.mated_missed;
        self.strangers += other.strangers;
        self.strangers_positive += other.strangers_positive;
        self.wrong += other.wrong;
        self.unclear.extend(other.unclear);
        self.kept.extend(other.kept);
        self.refused += other.refused;
        self.refusal = self.refusal.take().or(other.refusal);
        for (proof, count) in other.certificates {
            *self.certificates.entry(proof).or_default() += count;
        }
    }

    /// The figures of the report.
    pub(super) fn figures(&self, plan: &Plan) -> Figures {
        let millis = |quantile: f64| as_f64(self.latency_us.value_at_quantile(quantile)) / 1_000.0;
        let names: Vec<&str> = self.certificates.keys().map(String::as_str).collect();
        Figures {
            palms: plan.palms,
            identifications: self.latency_us.len(),
            rate_per_s: as_f64(self.latency_us.len()) / self.elapsed.as_secs_f64().max(1e-9),
            p50_ms: millis(0.5),
            p95_ms: millis(0.95),
            p99_ms: millis(0.99),
            p999_ms: millis(0.999),
            fnir: share(self.mated_missed, self.mated),
            fpir: share(self.strangers_positive, self.strangers),
            mated: self.mated,
            strangers: self.strangers,
            threshold: self.threshold,
            certificate: names.join(", "),
            certificates: self.certificates.clone().into_iter().collect(),
        }
    }

    /// What must hold of the traffic by itself.
    pub(super) fn checks(&self, _plan: &Plan) -> Vec<Check> {
        let allowed = positives_max(self.strangers);
        let refusal = self.refusal.as_deref().unwrap_or("none");
        vec![
            check(
                "every call is answered",
                self.refused == 0 && self.mated > 0,
                format!("{} refused, first: {refusal}", self.refused),
            ),
            check(
                "mates above the threshold are found, others not",
                self.wrong == 0,
                format!("{} of {} answers wrong", self.wrong, self.latency_us.len()),
            ),
            check(
                "FPIR is within the target",
                self.strangers_positive <= allowed,
                format!(
                    "{} of {} strangers, at most {allowed} at a target of {FPIR}",
                    self.strangers_positive, self.strangers
                ),
            ),
        ]
    }
}

/// Most false positives that chance explains at the target: five standard deviations above what is expected, and two.
fn positives_max(strangers: u64) -> u64 {
    let expected = FPIR * as_f64(strangers);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small count, rounded down"
    )]
    let most = (expected + 5.0 * expected.sqrt() + 2.0) as u64;
    most
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        as_f64(part) / as_f64(whole)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a demo stay far below 2⁵³")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Lets all scanners ask at once.
pub(super) async fn run(host: &Host, plan: &Plan) -> Result<Traffic, CliError> {
    let request = api::GetTenantRequest {
        tenant: arena().to_string(),
    };
    let tenant = host
        .admin()
        .await?
        .admin()
        .get_tenant(request)
        .await?
        .into_inner();
    let threshold = f64::from(tenant.threshold);
    let mut scanners = Vec::new();
    for number in 0..plan.scanners {
        let name = format!("scanner-{number}");
        let client = host.member(arena(), Role::Scanner, &name).await?;
        scanners.push(if number % 2 == 0 {
            Scanner::single(client, &name)
        } else {
            Scanner::streaming(client, &name)
        });
    }
    let begin = Instant::now();
    let end = begin + plan.duration;
    let mut tasks = JoinSet::new();
    for (number, scanner) in (0..).zip(scanners) {
        tasks.spawn(scan(plan.clone(), number, scanner, threshold, end));
    }
    watch(plan.duration).await;
    let mut all = Traffic::new(threshold);
    while let Some(one) = tasks.join_next().await {
        all.add(one.map_err(|error| DemoError::Broken(error.to_string()))?);
    }
    all.elapsed = begin.elapsed();
    Ok(all)
}

async fn watch(duration: Duration) {
    let bar = progress::time("asking", duration);
    for _ in 0..duration.as_secs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
}

async fn scan(
    plan: Plan,
    scanner_number: u64,
    mut scanner: Scanner,
    threshold: f64,
    end: Instant,
) -> Traffic {
    let mut traffic = Traffic::new(threshold);
    let mut rng = ChaCha8Rng::seed_from_u64(SEED ^ (scanner_number << 32));
    let mut number = scanner_number << 32;
    while Instant::now() < end {
        let question = MIX.draw(&mut rng, plan.palms, number);
        number += 1;
        let palm = question.palm(&plan.population);
        let asker = question.asker(&plan.population, &palm);
        let begin = Instant::now();
        match scanner.ask(&palm).await {
            Ok(response) => {
                traffic.record(question, asker, Answer::of(&response), begin.elapsed());
                let proof = show::certificate_text(response.certificate.as_ref());
                *traffic.certificates.entry(proof).or_default() += 1;
            }
            Err(status) => {
                traffic.refuse(explain::describe(&status));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    traffic
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
