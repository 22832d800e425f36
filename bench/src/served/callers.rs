//! Callers that keep a number of calls unanswered, or one, and look at every answer. Their work is a part of what is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use thenar::cli::simulated::mix::Mix;
use thenar::cli::simulated::oracle::{self, Answer, Asker, Verdict};
use thenar::cli::simulated::{Palm, Question};
use thenar::client::{Client, api};
use thenar::population::Population;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::Code;

use crate::Failure;

/// Time before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// Palms that are asked about, each with what it is of.
pub struct Captures {
    all: Arc<[(Palm, Asker)]>,
    used: Arc<AtomicUsize>,
}

impl Captures {
    /// Makes `count` of a gallery of `palms` subjects.
    pub fn new(population: &Population, mix: Mix, palms: u64, count: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let questions: Vec<Question> = (0..)
            .take(count)
            .map(|number| mix.draw(&mut rng, palms, number))
            .collect();
        let all: Vec<(Palm, Asker)> = questions
            .par_iter()
            .map(|question| {
                let palm = question.palm(population);
                let asker = question.asker(population, &palm);
                (palm, asker)
            })
            .collect();
        Self {
            all: all.into(),
            used: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// One of them; beyond the last they begin again.
    pub fn get(&self, number: usize) -> (&Palm, Asker) {
        let (palm, asker) = self.all.get(number % self.all.len()).expect("below the length");
        (palm, *asker)
    }

    /// All of them.
    pub fn palms(&self) -> impl Iterator<Item = &Palm> {
        self.all.iter().map(|(palm, _)| palm)
    }
}

/// Connections and what they ask.
pub struct Saturation<'a> {
    /// One client a connection.
    pub scanners: &'a [Client],
    /// What they ask.
    pub captures: &'a Captures,
    /// Threshold of the tenant.
    pub threshold: f64,
}

/// One call after the other on one connection.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    captures: Arc<[(Palm, Asker)]>,
    used: Arc<AtomicUsize>,
    threshold: f64,
}

impl Caller {
    /// The same questions on another connection.
    #[must_use]
    pub fn with(&self, client: Client) -> Self {
        Self {
            client,
            ..self.clone()
        }
    }

    /// Asks about the next palm. An answer that is wrong whatever else is enrolled ends the bench.
    pub async fn ask(&self) -> Result<(), Failure> {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        let (palm, asker) = self
            .captures
            .get(number % self.captures.len())
            .expect("below the length");
        let request = api::IdentifyRequest {
            request_id: format!("bench-{number:x}"),
            probe: Some(palm.message()),
            ..Default::default()
        };
        let answer = self.client.identity().identify(request).await?.into_inner();
        match oracle::judge(*asker, Answer::of(&answer), self.threshold) {
            Verdict::Wrong => Err(format!("{asker:?} was answered {:?}", answer.decision()).into()),
            Verdict::Right | Verdict::Unclear => Ok(()),
        }
    }
}

impl Saturation<'_> {
    /// The caller of this number; several share a connection where there are fewer.
    pub fn caller(&self, number: usize) -> Result<Caller, Failure> {
        let scanner = self.scanners.get(number % self.scanners.len().max(1));
        Ok(Caller {
            client: scanner.ok_or("there is no connection")?.clone(),
            captures: Arc::clone(&self.captures.all),
            used: Arc::clone(&self.captures.used),
            threshold: self.threshold,
        })
    }

    /// Keeps `in_flight` calls unanswered. Answers a second, after a warm-up.
    pub async fn run(&self, in_flight: usize, length: Duration) -> Result<f64, Failure> {
        let from = Instant::now() + WARM_UP;
        let to = from + length;
        let mut callers = JoinSet::new();
        for number in 0..in_flight {
            let caller = self.caller(number)?;
            callers.spawn(async move {
                let mut answered = 0_u32;
                while Instant::now() < to {
                    caller.ask().await?;
                    answered += u32::from((from..to).contains(&Instant::now()));
                }
                Ok::<u32, Failure>(answered)
            });
        }
        let mut answered = 0.0;
        while let Some(one) = callers.join_next().await {
            answered += f64::from(one??);
        }
        Ok(answered / length.as_secs_f64())
    }
}

/// A caller with a thread to itself, as a scanner is: what it waits for is the server, not another thread of the bench.
pub struct Lone {
    runtime: Runtime,
    caller: Caller,
}

impl Lone {
    /// The caller, whose connection was made on this runtime, one of a single thread.
    pub fn new(runtime: Runtime, caller: Caller) -> Self {
        Self { runtime, caller }
    }

    /// One identification: its time in milliseconds.
    pub fn identify(&self) -> Result<f64, Failure> {
        let begun = Instant::now();
        self.runtime.block_on(self.caller.ask())?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    /// One call without a probe, which is refused once it is read: the time of the way there and back, in milliseconds.
    pub fn refused(&self) -> Result<f64, Failure> {
        let mut identity = self.caller.client.identity();
        let begun = Instant::now();
        let answer = self
            .runtime
            .block_on(identity.identify(api::IdentifyRequest::default()));
        let took = begun.elapsed().as_secs_f64() * 1e3;
        match answer {
            Err(refusal) if refusal.code() == Code::InvalidArgument => Ok(took),
            other => Err(format!("a call without a probe was answered {other:?}").into()),
        }
    }
}
