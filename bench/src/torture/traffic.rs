//! Callers at full speed, many at once, until they are told to stop. Starts and stops no server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thenar::client::Client;
use tokio::task::JoinSet;

use super::churn::Churn;
use super::deeds::Deeds;

/// Callers of a tenant that enrol and erase.
const WRITERS: u64 = 6;
/// Callers of a tenant that identify and verify.
const SCANNERS: u64 = 4;
/// Rest after an error, so that a server that refuses is not asked all the time.
const REST: Duration = Duration::from_millis(20);
/// Rest between two imports.
const IMPORT_REST: Duration = Duration::from_millis(40);
/// Most subjects of an import.
const IMPORT_ROWS_MAX: u64 = 60;
/// How often a request that got no answer is repeated at once, at most.
const REPEATS_MAX: u32 = 3;

/// Callers at work.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Traffic {
    /// Starts them. Galleries stay at about `living_max` subjects.
    pub fn start(deeds: &[Deeds], (churn, admin): (Churn, Client), living_max: usize, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        callers.spawn(churn.work(admin, Arc::clone(&stop), ChaCha8Rng::seed_from_u64(seed)));
        let mut number = seed;
        for deeds in deeds {
            let mut caller = || {
                number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
                Caller {
                    deeds: deeds.clone(),
                    stop: Arc::clone(&stop),
                    rng: ChaCha8Rng::seed_from_u64(number),
                    living_max,
                }
            };
            for _ in 0..WRITERS {
                callers.spawn(caller().write());
            }
            for _ in 0..SCANNERS {
                callers.spawn(caller().scan());
            }
            callers.spawn(caller().import());
        }
        Self { stop, callers }
    }

    /// Asks them to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Waits for the last answers.
    pub async fn end(mut self) {
        self.stop();
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("a caller does not panic");
        }
    }
}

struct Caller {
    deeds: Deeds,
    stop: Arc<AtomicBool>,
    rng: ChaCha8Rng,
    living_max: usize,
}

impl Caller {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    async fn write(mut self) {
        while self.goes_on() {
            let living = self.deeds.tenant.ledger().living();
            let enrols = if living < self.living_max { 0.7 } else { 0.4 };
            if self.rng.random_bool(enrols) {
                let number = self.deeds.tenant.ledger().begin_enroll();
                let mut done = self.deeds.enroll(number).await;
                for _ in 0..self.repeats(done) {
                    if done || !self.goes_on() {
                        break;
                    }
                    tokio::time::sleep(REST).await;
                    done = self.deeds.enroll(number).await;
                }
                if done && self.rng.random_bool(0.2) {
                    self.deeds.identify_live(number, 1).await;
                }
                continue;
            }
            let chosen = self.deeds.tenant.ledger().begin_erase(&mut self.rng);
            let Some(number) = chosen else { continue };
            let mut done = self.deeds.erase(number).await;
            for _ in 0..self.repeats(done) {
                if done || !self.goes_on() {
                    break;
                }
                tokio::time::sleep(REST).await;
                done = self.deeds.erase(number).await;
            }
            if done && self.rng.random_bool(0.5) {
                self.deeds.identify_live(number, 2).await;
            }
        }
    }

    /// How often a request is repeated: some are left in doubt.
    fn repeats(&mut self, done: bool) -> u32 {
        if done {
            0
        } else {
            self.rng.random_range(0..=REPEATS_MAX)
        }
    }

    async fn scan(mut self) {
        while self.goes_on() {
            let (verifies, of_erased) = (self.rng.random_bool(0.2), self.rng.random_bool(0.3));
            let chosen = {
                let ledger = self.deeds.tenant.ledger();
                if of_erased {
                    ledger.pick_erased(&mut self.rng)
                } else {
                    ledger.pick_present(&mut self.rng)
                }
            };
            let Some(number) = chosen else {
                tokio::time::sleep(REST).await;
                continue;
            };
            let capture = self.rng.random_range(1..1_000_000);
            let answered = if verifies {
                self.deeds.verify_live(number, capture).await
            } else {
                self.deeds.identify_live(number, capture).await
            };
            if !answered {
                tokio::time::sleep(REST).await;
            }
        }
    }

    async fn import(mut self) {
        while self.goes_on() {
            tokio::time::sleep(IMPORT_REST).await;
            if self.deeds.tenant.ledger().living() >= self.living_max {
                continue;
            }
            let count = self.rng.random_range(1..=IMPORT_ROWS_MAX);
            let import = self.deeds.tenant.ledger().begin_import(count);
            if !self.deeds.import(import).await && self.goes_on() && self.rng.random_bool(0.5) {
                tokio::time::sleep(REST).await;
                self.deeds.import(import).await;
            }
        }
    }
}
