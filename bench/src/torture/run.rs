//! The rounds: start, audit, traffic, a fault, an end. Decides when the server dies; judges no answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thenar::client::{Client, Credentials, api};
use tokio::task::JoinSet;

use super::audit::{Scope, audit};
use super::churn::Churn;
use super::deeds::{Deeds, Tenant};
use super::faults::{Control, name};
use super::journal::Journal;
use super::layout::Kind;
use super::power::Power;
use super::report::{Driven, Tally};
use super::traffic::Traffic;
use super::verdict::Wrong;
use crate::live::calls::{self, Desk};
use crate::live::child::{Child, Site, Start};
use crate::live::palms::{Palms, policy};
use crate::{Failure, progress};

/// Tenants: name, dimension, whether its answers have to be proved.
const TENANTS: [(&str, usize, bool); 4] = [
    ("acme", 64, false),
    ("beta", 64, true),
    ("gamma", 128, false),
    ("delta", 256, false),
];
/// Rows of a flush, one of these a round: from many small segments to long logs.
const FLUSH_ROWS: [u32; 4] = [16, 128, 1_024, 8_192];
/// Seconds within which a purge is due, one of these a round: from a log that is cut all the time to one that only a full log cuts.
const PURGE_SECONDS: [u32; 3] = [2, 10, 120];
/// Both for the first start, and for the last audits, which wait for the purges.
const QUIET_SETTINGS: (u32, u32) = (128, 2);
/// How long a fault is waited for.
const FAULT_WAIT_MAX: Duration = Duration::from_millis(1_500);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(2);
/// Kills that a loss of power goes with.
const POWER_SHARE: f64 = 0.4;
/// Calls that go well before a fault strikes traffic, at most; and before it strikes a start.
const COUNTDOWN_MAX: u64 = 400;
const COUNTDOWN_START_MAX: u64 = 30;
/// Strikes of a kind that is not noticed.
const SHORT_WRITES_MAX: u64 = 200;
/// Erasures have to be purged at the end within this time.
const PURGE_WAIT_MAX: Duration = Duration::from_secs(30);
/// The line about progress comes every so many rounds.
const ROUNDS_TOLD: u64 = 10;

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Length without the last audits.
    pub length: Duration,
    /// Of palms and chance.
    pub seed: u64,
    /// Subjects of a tenant, about.
    pub living_max: usize,
    /// Subjects of each kind that an audit looks at beside those that changed.
    pub sample: usize,
}

/// What a round ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    Stop,
    KillWhileStopping,
}

/// Connections to a server that is ready.
struct Session {
    deeds: Vec<Deeds>,
    admin: Client,
}

/// A run.
pub struct Run<'a> {
    site: &'a Site,
    control: &'a Control,
    power: &'a Power,
    plan: Plan,
    tally: Arc<Tally>,
    tenants: Vec<Arc<Tenant>>,
    churn: Churn,
    administrator: Credentials,
    rng: ChaCha8Rng,
    driven: Driven,
    rounds: u64,
    /// Since the last start on a sound disk.
    power_was_lost: bool,
    /// How long a start takes, about: what a kill in its middle aims at.
    start_time: Duration,
}

impl<'a> Run<'a> {
    /// On a fresh data directory.
    pub fn new(
        site: &'a Site,
        (control, power): (&'a Control, &'a Power),
        plan: Plan,
    ) -> Result<Self, Failure> {
        let mut tenants = Vec::new();
        for (number, (tenant, dim, _)) in (0..).zip(TENANTS) {
            let badges = site.badges(tenant, "torture")?;
            let palms = Palms {
                seed: plan.seed,
                tenant: number,
                dim,
            };
            tenants.push(Arc::new(Tenant::new(tenant, palms, badges)));
        }
        let tally = Arc::<Tally>::default();
        Ok(Self {
            site,
            control,
            power,
            plan,
            churn: Churn::new(Arc::clone(&tally), &TENANTS.map(|(name, ..)| name)),
            administrator: site.credentials("/admin/torture")?,
            tally,
            tenants,
            rng: ChaCha8Rng::seed_from_u64(plan.seed),
            driven: Driven {
                seed: plan.seed,
                ..Driven::default()
            },
            rounds: 0,
            power_was_lost: false,
            start_time: Duration::from_millis(300),
        })
    }

    /// Everything there is to count.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What was done so far.
    pub fn driven(&self) -> Driven {
        self.driven.clone()
    }

    /// Rounds until the time is over, then two audits of everything with a clean restart between them.
    pub async fn go(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        self.make_tenants().await?;
        while begun.elapsed() < self.plan.length {
            self.round().await?;
            self.rounds += 1;
            if self.rounds.is_multiple_of(ROUNDS_TOLD) {
                self.tell();
            }
        }
        self.site.configure(QUIET_SETTINGS.0, QUIET_SETTINGS.1)?;
        progress("the last audits: everything, a clean restart, everything again");
        for _ in 0..2 {
            let (mut child, session) = self.start().await?;
            self.audit(&session, Scope::Everything, true).await;
            self.await_purges(&session.deeds).await;
            drop(session);
            self.stop(&mut child).await?;
        }
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        progress(format!(
            "{:.0} s: {} rounds, {} kills, faults {:?}, {} violations",
            self.tally.seconds(),
            self.rounds,
            self.tally.kills.load(Ordering::Relaxed),
            self.driven.faults,
            self.tally.violations(),
        ));
    }

    async fn make_tenants(&mut self) -> Result<(), Failure> {
        self.site.configure(QUIET_SETTINGS.0, QUIET_SETTINGS.1)?;
        let (mut child, address) = self.start_bare().await?;
        let admin = calls::connect(&address, &self.administrator).await?;
        for (tenant, dim, deterministic) in TENANTS {
            calls::create_tenant(&admin, tenant, u32::try_from(dim)?, policy(deterministic)).await?;
        }
        self.stop(&mut child).await
    }

    /// One life of a server.
    async fn round(&mut self) -> Result<(), Failure> {
        let (flush_rows, purge_seconds) = (self.one_of(&FLUSH_ROWS), self.one_of(&PURGE_SECONDS));
        self.site.configure(flush_rows, purge_seconds)?;
        if self.rng.random_bool(0.2) {
            self.kill_while_starting().await?;
        }
        if self.rng.random_bool(0.15) {
            self.faulty_start().await?;
        }
        let (mut child, session) = self.start().await?;
        self.audit(&session, Scope::Sample(self.plan.sample), true).await;
        let mut traffic = self.traffic(&session);
        tokio::time::sleep(self.some_ms(50, 500)).await;
        // Until each kind has struck once, every round has a fault.
        let all_struck = self.driven.faulty_rounds.len() == Kind::ALL.len();
        if !all_struck || self.rng.random_bool(0.7) {
            let kind = self.choose_kind();
            self.fault(&mut child, &session.deeds, kind).await?;
            // These change nothing that was refused, so that the server can be held to it before it ends.
            let harmless = matches!(kind, Kind::DiskFull | Kind::ShortWrite);
            if harmless && self.rng.random_bool(0.5) {
                traffic.end().await;
                self.audit(&session, Scope::Sample(self.plan.sample), false).await;
                traffic = self.traffic(&session);
                tokio::time::sleep(self.some_ms(50, 300)).await;
            }
        }
        let end = match self.rng.random_range(0..10) {
            0 | 1 => End::Stop,
            2 => End::KillWhileStopping,
            _ => End::Kill,
        };
        self.end(&mut child, end, &traffic).await?;
        traffic.end().await;
        Ok(())
    }

    /// The kinds in turn, so that even a short run has all of them.
    fn choose_kind(&mut self) -> Kind {
        let rounds = |kind: &Kind| self.driven.faulty_rounds.get(name(*kind)).copied().unwrap_or(0);
        let least = Kind::ALL.iter().map(rounds).min().unwrap_or(0);
        let behind: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| rounds(kind) == least)
            .collect();
        self.one_of(&behind)
    }

    /// Arms a fault in the middle of traffic, waits until it struck and a little longer.
    async fn fault(&mut self, child: &mut Child, deeds: &[Deeds], kind: Kind) -> Result<(), Failure> {
        let strikes = match kind {
            Kind::DiskFull => u64::MAX,
            Kind::ShortWrite => self.rng.random_range(1..=SHORT_WRITES_MAX),
            Kind::WriteFails => self.rng.random_range(1..=4),
            Kind::SyncFails | Kind::TornWrite => 1,
        };
        let countdown = self.rng.random_range(0..COUNTDOWN_MAX);
        self.site.note(&format!("{} after {countdown} calls", name(kind)));
        self.tally.is_sound.store(false, Ordering::Release);
        self.control.arm(kind, countdown, strikes)?;
        let armed = Instant::now();
        while self.control.struck()? == 0 && armed.elapsed() < FAULT_WAIT_MAX && !child.has_ended()? {
            tokio::time::sleep(POLL).await;
        }
        tokio::time::sleep(self.some_ms(20, 250)).await;
        self.control.lift()?;
        // A call that had been chosen before is counted by then.
        tokio::time::sleep(POLL * 5).await;
        let struck = self.control.struck()?;
        self.driven.struck(kind, struck);
        if kind == Kind::TornWrite && struck > 0 {
            // It kills right after it is counted.
            child.ended().await?;
        }
        if child.has_ended()? {
            if kind != Kind::TornWrite || struck == 0 {
                self.ended_by_itself("during traffic");
            }
        } else if kind == Kind::DiskFull && struck > 0 {
            for deeds in deeds {
                deeds.enroll_with_room_again().await;
            }
        }
        Ok(())
    }

    async fn end(&mut self, child: &mut Child, end: End, traffic: &Traffic) -> Result<(), Failure> {
        self.tally.is_sound.store(false, Ordering::Release);
        if child.has_ended()? {
            // A torn write did it, or that was counted.
            self.killed()?;
            return Ok(());
        }
        match end {
            End::Kill => {
                tokio::time::sleep(self.some_ms(0, 100)).await;
                self.site.note("SIGKILL");
                child.kill()?;
                self.killed()?;
                Ok(())
            }
            End::Stop => {
                self.site.note("SIGTERM");
                traffic.stop();
                self.stop(child).await
            }
            End::KillWhileStopping => {
                self.site.note("SIGTERM, then SIGKILL");
                child.terminate()?;
                tokio::time::sleep(self.some_ms(0, 60)).await;
                child.kill()?;
                self.driven.kills_while_stopping += 1;
                self.killed()?;
                Ok(())
            }
        }
    }

    /// A clean stop has to end well.
    async fn stop(&mut self, child: &mut Child) -> Result<(), Failure> {
        child.terminate()?;
        match child.ended().await? {
            Some(status) if status.success() => self.driven.stops += 1,
            Some(status) => {
                let text = format!("SIGTERM ended it with {status}\n{}", self.site.log_tail());
                self.tally.broken(Wrong::Unexpected, "-", "server", text);
            }
            None => return Err(format!("the server does not obey SIGTERM\n{}", self.site.log_tail()).into()),
        }
        Ok(())
    }

    /// Kills one start or two at some point.
    async fn kill_while_starting(&mut self) -> Result<(), Failure> {
        for _ in 0..self.rng.random_range(1..=2) {
            let mut child = self.site.spawn()?;
            let whole = u64::try_from(self.start_time.as_millis())?.max(1);
            tokio::time::sleep(self.some_ms(0, whole)).await;
            self.site.note("SIGKILL while starting");
            child.kill()?;
            self.driven.kills_while_starting += 1;
            self.killed()?;
        }
        Ok(())
    }

    /// A start on a failing disk may fail or leave a tenant out; the next one has to find everything.
    async fn faulty_start(&mut self) -> Result<(), Failure> {
        let kind = self.choose_kind();
        let strikes = if kind == Kind::DiskFull { u64::MAX } else { 1 };
        let countdown = self.rng.random_range(0..COUNTDOWN_START_MAX);
        self.site
            .note(&format!("starts with {} after {countdown} calls", name(kind)));
        self.tally.is_sound.store(false, Ordering::Release);
        self.control.arm(kind, countdown, strikes)?;
        let mut child = self.site.spawn()?;
        let start = child.ready().await?;
        if let Start::Ready(address, _) = &start
            && let Ok(session) = self.connect(address).await
        {
            let traffic = self.traffic(&session);
            tokio::time::sleep(self.some_ms(50, 200)).await;
            self.driven.struck(kind, self.control.struck()?);
            self.end(&mut child, End::Kill, &traffic).await?;
            traffic.end().await;
        } else {
            self.driven.struck(kind, self.control.struck()?);
            if !child.has_ended()? {
                child.kill()?;
            }
            if kind == Kind::TornWrite || !matches!(start, Start::Ended(_)) {
                self.killed()?;
            }
        }
        self.control.lift()?;
        Ok(())
    }

    /// Starts on a disk that works, which has to succeed, and connects for every tenant.
    async fn start(&mut self) -> Result<(Child, Session), Failure> {
        if std::mem::take(&mut self.power_was_lost) {
            self.tenants
                .iter()
                .for_each(|tenant| tenant.ledger().power_lost());
        }
        let (child, address) = self.start_bare().await?;
        let session = self.connect(&address).await?;
        Ok((child, session))
    }

    fn traffic(&mut self, session: &Session) -> Traffic {
        let churn = (self.churn.clone(), session.admin.clone());
        Traffic::start(&session.deeds, churn, self.plan.living_max, self.rng.random())
    }

    async fn start_bare(&mut self) -> Result<(Child, String), Failure> {
        self.control.lift()?;
        // Of the last server, before the next one makes up for what is missing.
        let journal = Journal::read(self.site.data())?;
        for tenant in &self.tenants {
            journal.check_erased(&tenant.ledger(), &self.tally);
        }
        self.churn.check(&journal);
        self.tally.is_sound.store(true, Ordering::Release);
        let (child, address, took) = self.site.start().await?;
        self.start_time = took;
        let ms = u64::try_from(took.as_millis())?;
        self.driven.ready_ms_max = self.driven.ready_ms_max.max(ms);
        Ok((child, address))
    }

    async fn connect(&self, address: &str) -> Result<Session, Failure> {
        let mut deeds = Vec::new();
        for tenant in &self.tenants {
            deeds.push(Deeds {
                desk: Desk::connect(address, &tenant.badges).await?,
                tenant: Arc::clone(tenant),
                tally: Arc::clone(&self.tally),
            });
        }
        let admin = calls::connect(address, &self.administrator).await?;
        Ok(Session { deeds, admin })
    }

    async fn audit(&mut self, session: &Session, scope: Scope, restarted: bool) {
        let beside = TENANTS.map(|(name, ..)| name);
        let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        self.driven.in_doubt += self.churn.audit(&session.admin, &beside, restarted, rng).await;
        let mut audits = JoinSet::new();
        for one in &session.deeds {
            let name = &one.tenant.name;
            let others = self.tenants.iter().filter(|other| other.name != *name);
            let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
            let subject = (one.clone(), self.site.data().to_owned());
            audits.spawn(audit(subject, others.cloned().collect(), scope, rng));
        }
        while let Some(audited) = audits.join_next().await {
            let audited = audited.expect("an audit does not panic");
            self.driven.audited += audited.subjects;
            self.driven.in_doubt += audited.settled;
            self.driven.repeated += audited.repeated;
        }
    }

    /// The newest erasure of each tenant is purged in the end, and with it all before it.
    async fn await_purges(&mut self, deeds: &[Deeds]) {
        for deeds in deeds {
            let newest = {
                let ledger = deeds.tenant.ledger();
                ledger.numbers().filter_map(|number| ledger.erasure(number)).max()
            };
            let Some(erasure) = newest else { continue };
            let asked = Instant::now();
            loop {
                let purged = matches!(
                    deeds.desk.erasure(erasure).await,
                    Ok(answer) if answer.state() == api::ErasureState::Purged
                );
                if purged {
                    break;
                }
                if asked.elapsed() > PURGE_WAIT_MAX {
                    let text = "it is not purged though the server is idle".to_owned();
                    deeds.broken(Wrong::Unexpected, &format!("erasure {erasure}"), text);
                    break;
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    fn ended_by_itself(&self, when: &str) {
        let text = format!("it ended by itself {when}\n{}", self.site.log_tail());
        self.tally.broken(Wrong::Unexpected, "-", "server", text);
    }

    /// Counts a kill; sometimes the power goes with it.
    fn killed(&mut self) -> Result<(), Failure> {
        self.tally.kills.fetch_add(1, Ordering::Relaxed);
        if self.rng.random_bool(POWER_SHARE) {
            self.site.note("loss of power");
            self.driven.power_lost(self.power.lose(&mut self.rng)?);
            self.power_was_lost = true;
            return Ok(());
        }
        self.power.keep()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.rng.random_range(0..choices.len());
        *choices.get(index).expect("the index is one of theirs")
    }

    fn some_ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.rng.random_range(from * 1_000..=to * 1_000))
    }
}
