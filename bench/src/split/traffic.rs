//! Callers of both tenants who come at times that nobody's answer moves, and every one of their calls. Judges an answer, draws no conclusion.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use thenar::cli::simulated::mix::unit;
use thenar::client::{Client, api};
use thenar::population::Population;
use tokio::runtime::Handle;
use tonic::Request;

use super::call::{Call, Outcome, Tenant};
use crate::Failure;
use crate::served::callers::Captures;

/// Scanners of a tenant and who comes to them.
pub struct Crowd {
    /// Which tenant.
    pub tenant: Tenant,
    /// One client a connection.
    pub scanners: Vec<Client>,
    /// Who comes.
    pub captures: Captures,
    /// Of whom the tenant's palms are.
    pub population: Population,
    /// Threshold of the tenant.
    pub threshold: f64,
    /// How many came so far.
    pub asked: AtomicUsize,
}

/// How callers come.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// To each tenant in a second, at random times (Poisson).
    pub rate: f64,
    /// How long each waits, from when it is due.
    pub deadline: Duration,
}

/// Traffic that goes on until it is finished.
pub struct Traffic {
    caller: Caller,
    is_over: Arc<AtomicBool>,
    pacer: JoinHandle<()>,
    ended: Receiver<Call>,
    calls: Vec<Call>,
}

#[derive(Clone)]
struct Caller {
    began: Instant,
    deadline: Duration,
    runtime: Handle,
    crowds: Arc<[Crowd; 2]>,
    made: Arc<AtomicU64>,
    ended: Sender<Call>,
}

impl Caller {
    /// Makes a call that is due now, or was.
    fn call(&self, tenant: Tenant, due: Duration) {
        let caller = self.clone();
        self.made.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(async move {
            let made = caller.began.elapsed();
            let outcome = caller.outcome(tenant, due + caller.deadline).await;
            let call = Call {
                tenant,
                due,
                made,
                ended: caller.began.elapsed(),
                outcome,
            };
            // Nobody listens any more where the bench has failed.
            let _ = caller.ended.send(call);
        });
    }

    async fn outcome(&self, tenant: Tenant, give_up: Duration) -> Outcome {
        let crowd = self.crowds.iter().find(|crowd| crowd.tenant == tenant);
        let crowd = crowd.expect("each tenant has its crowd");
        let number = crowd.asked.fetch_add(1, Ordering::Relaxed);
        let (palm, asker) = crowd.captures.get(number);
        let scanner = crowd.scanners.get(number % crowd.scanners.len());
        let mut client = scanner.expect("below the length").identity();
        let mut request = Request::new(api::IdentifyRequest {
            request_id: format!("split-{number:x}"),
            probe: Some(palm.message()),
            ..Default::default()
        });
        request.set_timeout(give_up.saturating_sub(self.began.elapsed()));
        match client.identify(request).await {
            Ok(answer) => Outcome::of_answer(asker, answer.get_ref(), crowd.threshold),
            Err(refusal) => Outcome::of_refusal(tenant, &refusal),
        }
    }
}

impl Traffic {
    /// Begins. `seed` fixes when they come.
    pub fn begin(runtime: &Handle, crowds: &Arc<[Crowd; 2]>, rhythm: Rhythm, seed: u64) -> Self {
        let (sender, ended) = mpsc::channel();
        let caller = Caller {
            began: Instant::now(),
            deadline: rhythm.deadline,
            runtime: runtime.clone(),
            crowds: Arc::clone(crowds),
            made: Arc::new(AtomicU64::new(0)),
            ended: sender,
        };
        let is_over = Arc::new(AtomicBool::new(false));
        let (paced, over) = (caller.clone(), Arc::clone(&is_over));
        // A thread of its own: the runtime's clock ticks in milliseconds.
        let pacer = std::thread::spawn(move || pace(&paced, rhythm.rate, seed, &over));
        Self {
            caller,
            is_over,
            pacer,
            ended,
            calls: Vec::new(),
        }
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        self.caller.began.elapsed()
    }

    /// Calls that were made so far.
    pub fn made(&self) -> u64 {
        self.caller.made.load(Ordering::Relaxed)
    }

    /// Has so many come to a tenant at this moment.
    pub fn burst(&self, tenant: Tenant, count: usize) {
        let due = self.now();
        for _ in 0..count {
            self.caller.call(tenant, due);
        }
    }

    /// Lets it go on for so long.
    pub fn go_on(&mut self, length: Duration) {
        let end = Instant::now() + length;
        while self.hear(end).is_some() {}
    }

    /// Lets it go on until a call ends as it is waited for.
    pub fn until(&mut self, patience: Duration, is_it: impl Fn(&Call) -> bool) -> Result<(), Failure> {
        let end = Instant::now() + patience;
        loop {
            match self.hear(end) {
                Some(call) if is_it(call) => return Ok(()),
                Some(_) => {}
                None => {
                    let last = self.calls.last();
                    return Err(format!("not within {} s; last: {last:?}", patience.as_secs()).into());
                }
            }
        }
    }

    /// The next call that ends before `end`.
    fn hear(&mut self, end: Instant) -> Option<&Call> {
        let left = end.saturating_duration_since(Instant::now());
        match self.ended.recv_timeout(left) {
            Ok(call) => self.calls.push(call),
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("this has a sender itself"),
        }
        self.calls.last()
    }

    /// Nobody comes any more: all calls, once the last one has ended.
    pub fn finish(self) -> Vec<Call> {
        let Self {
            caller,
            is_over,
            pacer,
            ended,
            mut calls,
        } = self;
        is_over.store(true, Ordering::Relaxed);
        pacer.join().expect("the pacer does not panic");
        drop(caller);
        calls.extend(ended);
        calls
    }
}

/// Two Poisson processes of one rate are one of twice that rate, whose arrivals go either way by the toss of a coin.
fn pace(caller: &Caller, rate: f64, seed: u64, is_over: &AtomicBool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut due_s = 0.0;
    loop {
        // Distances are exponential: −ln(u) / rate, with u above 0.
        due_s -= (1.0 - unit(&mut rng)).ln() / (2.0 * rate);
        let due = Duration::from_secs_f64(due_s);
        std::thread::sleep(due.saturating_sub(caller.began.elapsed()));
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let tenant = if unit(&mut rng) < 0.5 {
            Tenant::Lost
        } else {
            Tenant::Other
        };
        caller.call(tenant, due);
    }
}
