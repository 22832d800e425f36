//! The clients that do no harm: people who come at their time whether or not others were answered, and newcomers who connect anew. Every answer is checked.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use thenar::cli::simulated::mix::unit;
use thenar::client::Credentials;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::Failure;
use crate::live::calls;
use crate::served::callers::Caller;
use crate::timing::Samples;

/// Longest wait of anybody. Whoever gets no answer counts as if he had waited for so long.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// When people come, as seconds since the beginning: a Poisson process of so many a second, fixed beforehand.
fn arrivals(seed: u64, rate: f64, length: Duration) -> impl Iterator<Item = Duration> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut at = 0.0;
    std::iter::repeat_with(move || {
        at -= (1.0 - unit(&mut rng)).ln() / rate;
        Duration::from_secs_f64(at)
    })
    .take_while(move |at| *at < length)
}

/// What came of those who came in some time.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Time from when somebody was due to the answer.
    pub answers: Samples,
    /// Time of a newcomer from the first packet of the connection to the first answer on it.
    pub newcomers: Samples,
    /// Those without an answer.
    pub failed: usize,
    /// Why the first of them had none.
    pub why: Option<String>,
}

impl Outcome {
    fn add(&mut self, is_newcomer: bool, took: Duration, outcome: Result<(), String>) {
        let took = match outcome {
            Ok(()) => took,
            Err(why) => {
                self.failed += 1;
                self.why.get_or_insert(why);
                PATIENCE
            }
        };
        let samples = if is_newcomer {
            &mut self.newcomers
        } else {
            &mut self.answers
        };
        samples.push(took.as_secs_f64() * 1e3);
    }
}

/// The good clients.
pub struct Good {
    /// One a connection.
    pub callers: Vec<Caller>,
    /// What newcomers show, each in turn.
    pub newcomers: Vec<Credentials>,
    /// People a second.
    pub rate: f64,
    /// Newcomers a second.
    pub newcomer_rate: f64,
    /// Where the server listens.
    pub address: String,
}

impl Good {
    /// Has them come for `length`.
    pub async fn run(&self, seed: u64, length: Duration) -> Result<Outcome, Failure> {
        let begin = Instant::now() + Duration::from_millis(50);
        let people = arrivals(seed, self.rate, length).map(|at| (at, false));
        let newcomers = arrivals(!seed, self.newcomer_rate, length).map(|at| (at, true));
        let mut due: Vec<(Duration, bool)> = people.chain(newcomers).collect();
        due.sort();
        let (sender, mut arrived) = tokio::sync::mpsc::unbounded_channel();
        // A thread of its own: the runtime's clock ticks in milliseconds.
        let pacer = std::thread::spawn(move || {
            for (at, is_newcomer) in due {
                std::thread::sleep((begin + at).saturating_duration_since(Instant::now()));
                if sender.send((begin + at, is_newcomer)).is_err() {
                    return;
                }
            }
        });
        let (mut calls, mut outcome, mut number) = (JoinSet::new(), Outcome::default(), 0_usize);
        let runtime = Handle::current();
        loop {
            tokio::select! {
                next = arrived.recv() => match next {
                    Some((due, false)) => {
                        let caller = pick(&self.callers, number)?.clone();
                        calls.spawn_on(timed(false, due, async move { caller.ask().await }), &runtime);
                    }
                    Some((due, true)) => {
                        let caller = pick(&self.callers, number)?.clone();
                        let newcomer = newcomer(caller, self.address.clone(), pick(&self.newcomers, number)?.clone());
                        calls.spawn_on(timed(true, due, newcomer), &runtime);
                    }
                    None => break,
                },
                Some(ended) = calls.join_next() => {
                    let (is_newcomer, took, result) = ended?;
                    outcome.add(is_newcomer, took, result);
                }
            }
            number += 1;
        }
        while let Some(ended) = calls.join_next().await {
            let (is_newcomer, took, result) = ended?;
            outcome.add(is_newcomer, took, result);
        }
        pacer.join().map_err(|_| "the pacer panicked")?;
        Ok(outcome)
    }
}

/// Connects and asks once.
async fn newcomer(caller: Caller, address: String, shown: Credentials) -> Result<(), Failure> {
    let client = calls::connect(&address, &shown).await?;
    caller.with(client).ask().await
}

async fn timed(
    is_newcomer: bool,
    due: Instant,
    call: impl Future<Output = Result<(), Failure>>,
) -> (bool, Duration, Result<(), String>) {
    let outcome = match tokio::time::timeout_at((due + PATIENCE).into(), call).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    };
    (is_newcomer, due.elapsed(), outcome)
}

fn pick<T>(among: &[T], number: usize) -> Result<&T, Failure> {
    among
        .get(number % among.len().max(1))
        .ok_or_else(|| "there are no good clients".into())
}

#[cfg(test)]
#[path = "good_tests.rs"]
mod tests;
