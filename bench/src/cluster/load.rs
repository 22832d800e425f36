//! Callers of both tenants: some change the gallery and look at once through every front, others ask at a steady rate whatever the answers. Starts and hits nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thenar::client::api;
use tokio::task::JoinSet;

use super::gallery::{Gallery, Written, is_unknown, words};
use super::ledger::Ledger;
use super::tally::Tally;
use super::verdict::{State, When, Wrong, judge, judge_stranger, subject_id};
use crate::live::calls::{Fate, fate};

/// Numbers of a worker's subjects; nobody enrols so many.
const NUMBERS: u64 = 1 << 20;
/// The first palm that is nobody's.
const STRANGERS: u64 = 1 << 40;
/// A write has to be acknowledged by then, once all parts serve again.
const WRITE_MAX: Duration = Duration::from_mins(4);
/// Shares of what is done: enrolments while the gallery is small, and once it is as large as wanted.
const ENROLS: f64 = 0.75;
const ENROLS_WHEN_FULL: f64 = 0.45;
/// Shares of what is asked.
const OF_PRESENT: f64 = 0.6;
const OF_ERASED: f64 = 0.25;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Who change galleries, of both tenants by turns.
    pub workers: usize,
    /// Subjects of each, about.
    pub living_max: usize,
    /// Rest of each between two writes.
    pub write_rest: Duration,
    /// Questions a second of all others together.
    pub rate: u32,
    /// How long a caller waits.
    pub deadline: Duration,
}

/// Who changes a tenant, and whom nobody else changes.
pub struct Worker {
    /// Which tenant.
    pub gallery: Arc<Gallery>,
    ledger: Mutex<Ledger>,
    captures: AtomicU64,
}

impl Worker {
    /// All of them. Two of different tenants have the same palms.
    pub fn all(galleries: &[Arc<Gallery>], workers: usize) -> Vec<Arc<Self>> {
        let of = |(number, gallery): (usize, &Arc<Gallery>)| {
            let stream = (number / galleries.len()) as u64;
            Arc::new(Self {
                gallery: Arc::clone(gallery),
                ledger: Mutex::new(Ledger::new(stream * NUMBERS)),
                captures: AtomicU64::new(1),
            })
        };
        let turns = galleries.iter().cycle().take(workers);
        turns.enumerate().map(|(number, one)| of((number, one))).collect()
    }

    /// Its subjects.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics while writing it")
    }
}

/// Callers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Load {
    /// Starts them.
    pub fn start(workers: &[Arc<Worker>], tally: &Arc<Tally>, demand: Demand, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        let caller = |seed: u64| Caller {
            workers: workers.to_vec(),
            tally: Arc::clone(tally),
            stop: Arc::clone(&stop),
            demand,
            rng: ChaCha8Rng::seed_from_u64(seed),
        };
        for (number, worker) in (1..).zip(workers) {
            callers.spawn(caller(seed.wrapping_add(number)).write(Arc::clone(worker)));
        }
        callers.spawn(caller(seed).ask());
        Self { stop, callers }
    }

    /// Asks them to stop, and waits for the last answers.
    pub async fn end(mut self) {
        self.stop.store(true, Ordering::Release);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("a caller does not panic");
        }
    }
}

struct Caller {
    workers: Vec<Arc<Worker>>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    demand: Demand,
    rng: ChaCha8Rng,
}

impl Caller {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    /// Enrols and erases, and looks through every front what became of it.
    async fn write(mut self, worker: Arc<Worker>) {
        while self.goes_on() {
            let living = worker.ledger().count(State::Present);
            let is_full = living >= self.demand.living_max;
            let enrols = if is_full { ENROLS_WHEN_FULL } else { ENROLS };
            let front = self.rng.random_range(0..worker.gallery.fronts());
            let written = if self.rng.random_bool(enrols) {
                Some(enroll(&worker, &self.tally, front).await)
            } else {
                erase(&worker, &self.tally, front, &mut self.rng).await
            };
            if let Some(number) = written {
                for other in 0..worker.gallery.fronts() {
                    let question = Question {
                        worker: Arc::clone(&worker),
                        number: Some(number),
                        when: When::JustWritten,
                        front: front + 1 + other,
                    };
                    question.ask(&self.tally, self.demand.deadline).await;
                }
            }
            tokio::time::sleep(self.demand.write_rest).await;
        }
    }

    /// Asks at a steady rate: each question when it is due, whether the former ones were answered or not.
    async fn ask(mut self) {
        let mut due = tokio::time::interval(Duration::from_secs(1) / self.demand.rate.max(1));
        let mut under_way = JoinSet::new();
        let mut strangers = STRANGERS;
        while self.goes_on() {
            due.tick().await;
            while under_way.try_join_next().is_some() {}
            let (kind, worker) = (self.rng.random::<f64>(), self.some_worker());
            let number = {
                let ledger = worker.ledger();
                if kind < OF_PRESENT {
                    ledger.pick(State::Present, &mut self.rng)
                } else if kind < OF_PRESENT + OF_ERASED {
                    ledger.pick(State::Erased, &mut self.rng)
                } else {
                    None
                }
            };
            let front = self.rng.random_range(0..worker.gallery.fronts());
            let question = Question {
                worker,
                number,
                when: When::Meanwhile,
                front,
            };
            let (tally, deadline) = (Arc::clone(&self.tally), self.demand.deadline);
            strangers += 1;
            under_way.spawn(async move { question.ask_of(strangers, &tally, deadline).await });
        }
        while under_way.join_next().await.is_some() {}
    }

    fn some_worker(&mut self) -> Arc<Worker> {
        let number = self.rng.random_range(0..self.workers.len());
        Arc::clone(self.workers.get(number).expect("below the length"))
    }
}

/// A question about one of a worker's subjects, or about nobody.
pub struct Question {
    /// Whose.
    pub worker: Arc<Worker>,
    /// Whom; `None`: a palm that was never enrolled.
    pub number: Option<u64>,
    /// When it is asked.
    pub when: When,
    /// Which front is asked first.
    pub front: usize,
}

impl Question {
    /// Asks, counts how the call ended, and judges the answer. Whether there was one.
    pub async fn ask(&self, tally: &Tally, deadline: Duration) -> bool {
        self.ask_of(STRANGERS, tally, deadline).await
    }

    async fn ask_of(&self, stranger: u64, tally: &Tally, deadline: Duration) -> bool {
        let (worker, gallery) = (&self.worker, &self.worker.gallery);
        let state = || self.number.map(|number| worker.ledger().state(number));
        let palm = match self.number {
            Some(number) => {
                let capture = worker.captures.fetch_add(1, Ordering::Relaxed);
                gallery.palms.probe(number, capture)
            }
            None => gallery.palms.reference(stranger),
        };
        let (before, from) = (state(), tally.now());
        let answer = match gallery.identify(self.front, &palm, deadline).await {
            Ok(answer) => answer,
            Err(status) => {
                self.unanswered(tally, from, &status);
                return false;
            }
        };
        if self.when != When::AtTheEnd {
            tally.called(from, None);
        }
        tally.acknowledge(|counts| {
            counts.identified += 1;
            counts.audited += u64::from(self.when == When::AtTheEnd);
        });
        let found = match answer.decision() {
            api::Decision::Match => Some(answer.subject_id),
            api::Decision::NoMatch => None,
            other => {
                tally.broken(
                    Wrong::Unexpected,
                    self.subject(),
                    format!("Identify was answered {other:?}"),
                );
                return true;
            }
        };
        let after = state();
        let wrongs = match (self.number, before, after) {
            (Some(number), Some(before), Some(after)) => {
                judge(gallery.name, number, (before, after), found.as_deref(), self.when)
            }
            _ => judge_stranger(gallery.name, found.as_deref())
                .into_iter()
                .collect(),
        };
        for wrong in wrongs {
            let (when, front) = (self.when, self.front % gallery.fronts() + 1);
            tally.broken(
                wrong,
                self.subject(),
                format!(
                    "Identify ({when:?}, front {front} asked first at {:.3} s) found {found:?}; it was {before:?} when asked, {after:?} when answered",
                    from.as_secs_f64()
                ),
            );
        }
        true
    }

    fn unanswered(&self, tally: &Tally, from: Duration, status: &tonic::Status) {
        let words = words(status);
        if fate(status) != Fate::Unknown {
            tally.broken(
                Wrong::Unexpected,
                self.subject(),
                format!("Identify failed: {words}"),
            );
        }
        if self.when != When::AtTheEnd {
            tally.called(from, Some(&words));
        }
    }

    fn subject(&self) -> String {
        let name = self.worker.gallery.name;
        self.number
            .map_or_else(|| format!("{name}: nobody"), |number| subject_id(name, number))
    }
}

/// Enrols somebody new. Their number, once that is acknowledged.
async fn enroll(worker: &Worker, tally: &Tally, front: usize) -> u64 {
    let number = worker.ledger().begin_enroll();
    match worker.gallery.enroll(number, front, WRITE_MAX).await {
        Written::Done(answer) => {
            worker.ledger().turn(number, State::Present);
            tally.acknowledge(|counts| counts.enrolled += 1);
            if answer.references.len() != 1 {
                let references = answer.references.len();
                let text = format!("Enroll of one palm was answered with {references} references");
                tally.broken(Wrong::Unexpected, subject_id(worker.gallery.name, number), text);
            }
        }
        Written::Refused(status) | Written::InDoubt(status) => {
            fail(worker, tally, number, "Enroll", &status, Wrong::Unexpected);
        }
    }
    number
}

/// Erases somebody who is there. Their number, once that is acknowledged.
async fn erase(worker: &Worker, tally: &Tally, front: usize, rng: &mut ChaCha8Rng) -> Option<u64> {
    let number = worker.ledger().begin_erase(rng)?;
    match worker.gallery.erase(number, front, WRITE_MAX).await {
        Written::Done(_) => {
            worker.ledger().turn(number, State::Erased);
            tally.acknowledge(|counts| counts.erased += 1);
        }
        Written::Refused(status) => {
            // Who was acknowledged is known by name.
            let wrong = if is_unknown(&status) {
                Wrong::Lost
            } else {
                Wrong::Unexpected
            };
            fail(worker, tally, number, "Erase", &status, wrong);
        }
        Written::InDoubt(status) => fail(worker, tally, number, "Erase", &status, Wrong::Unexpected),
    }
    Some(number)
}

fn fail(worker: &Worker, tally: &Tally, number: u64, method: &str, status: &tonic::Status, wrong: Wrong) {
    worker.ledger().turn(number, State::Unknown);
    let subject = subject_id(worker.gallery.name, number);
    tally.broken(wrong, subject, format!("{method} failed: {}", words(status)));
}
