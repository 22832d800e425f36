//! One process of a cluster: made, started, awaited, stopped, killed, and gone when this process is. Knows no other one.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use thenar::server::pki::NodeKind;

use super::probe;
use super::settings::{Common, Own};
use super::store::CREDENTIALS;
use crate::Failure;
use crate::live::child::{Child, Site, Start};

/// What runs a program in its own place, and has the system end it with whoever started it: with the thread, so that this is the one that ends last.
pub const WITH_US: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];
/// Files that processes have to have in common.
const SHARED: [&str; 2] = ["kek", "keyring"];
/// How libfaketime sets a clock: the wall clock alone, looked at once a second.
const CLOCK: [(&str, &str); 3] = [
    ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ("FAKETIME_CACHE_DURATION", "1"),
    ("NO_FAKE_STAT", "1"),
];
/// Longest time until a process serves, again too: it may have to be fenced first, and to load.
const READY_MAX: Duration = Duration::from_mins(3);
/// Ports that are tried, from the first on.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;
/// How often that is looked for.
const POLL: Duration = Duration::from_millis(50);

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A match node.
    Node,
    /// A front.
    Front,
    /// A match node without a cluster.
    SingleNode,
    /// The front of one.
    SingleFront,
}

/// Where a process is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it listens.
    pub address: String,
    /// Where fronts reach it, if that is elsewhere.
    pub advertised: Option<String>,
    /// Where it tells how it is.
    pub metrics: String,
    /// Where it is asked that, if that is elsewhere.
    pub asked: Option<String>,
    /// A command that runs the one that follows it in its own place: on what cores, say.
    pub within: Vec<String>,
    /// libfaketime, where its clock may be set.
    pub clock_library: Option<PathBuf>,
    /// A program of another version, which may take the place of the one that it is made by.
    pub other_program: Option<PathBuf>,
}

/// A process with its files.
pub struct Tier {
    name: String,
    site: Site,
    clock: PathBuf,
    process: Option<Child>,
    /// The program that it was not started by last, where there are two.
    other: Option<PathBuf>,
    /// Where it is asked: a node by fronts, a front by callers.
    pub address: String,
    /// Where it is asked how it is.
    pub metrics: String,
}

impl Tier {
    /// Makes the files of a process, whose authority and keys are those of `home`, which is the first one. It is not started.
    pub fn make(
        (folder, thenar): (&Path, &Path),
        (kind, name): (Kind, &str),
        common: &Common,
        home: Option<&Self>,
        place: &Place,
    ) -> Result<Self, Failure> {
        let folder = folder.join(name);
        fs::create_dir(&folder)?;
        let mut site = Site::make(&folder, thenar)?;
        let node_kind = match kind {
            Kind::Node | Kind::SingleNode => NodeKind::Match,
            Kind::Front | Kind::SingleFront => NodeKind::Front,
        };
        site.run_as(if node_kind == NodeKind::Front {
            "front"
        } else {
            "match"
        });
        let clock = folder.join("clock");
        set_up(&mut site, place, &clock)?;
        let listens = place.address.clone();
        let address = place.advertised.clone().unwrap_or_else(|| listens.clone());
        // It is found again where it was.
        site.listen_at(listens.clone());
        let first = home.map_or(&site, |home| &home.site);
        let tls = site.data().join("tls/cluster");
        first.pki().issue_server(&[])?.write(&tls, "server")?;
        first
            .pki()
            .issue_node(node_kind, name, &[])?
            .write(&tls, "node")?;
        if home.is_some() {
            for file in SHARED {
                fs::copy(first.data().join(file), site.data().join(file))?;
            }
        }
        let own = Own {
            data: site.data(),
            kek: &site.data().join("kek"),
            ca: &first.data().join("tls/ca.pem"),
            tls: &tls,
            address: &listens,
            advertised: &address,
            metrics: &place.metrics,
        };
        let text = match kind {
            Kind::Node => common.of_node(&own),
            Kind::Front => common.of_front(&own),
            Kind::SingleNode => common.of_single_node(&own),
            Kind::SingleFront => {
                let home = home.ok_or("a front needs its node")?;
                common.of_single_front(&own, &home.address)
            }
        };
        site.write_configuration(&text)?;
        Ok(Self {
            name: name.to_owned(),
            site,
            clock,
            process: None,
            other: place.other_program.clone(),
            address,
            metrics: place.asked.clone().unwrap_or_else(|| place.metrics.clone()),
        })
    }

    /// Its files and its authority.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of its configuration.
    pub fn configuration(&self) -> std::path::PathBuf {
        self.site.data().with_file_name("thenar.toml")
    }

    /// The next start is by the program that it was not, where there are two; whether there are.
    pub fn exchange_program(&mut self) -> bool {
        let Some(other) = self.other.take() else {
            return false;
        };
        self.site.note(&format!("from now on by {}", other.display()));
        self.other = Some(self.site.exchange_program(other));
        true
    }

    /// Starts it; it is not ready yet. To be called by the thread that ends last.
    pub fn spawn(&mut self) -> Result<(), Failure> {
        self.site.note("start");
        self.process = Some(self.site.spawn()?);
        Ok(())
    }

    /// Waits until it serves, as it says itself.
    pub async fn ready(&mut self) -> Result<Duration, Failure> {
        let asked = Instant::now();
        let process = self.process.as_mut().ok_or("it was not started")?;
        let why = match process.ready().await? {
            Start::Ended(status) => format!("it ended with {status}"),
            Start::Silent => "it never listens".to_owned(),
            Start::Ready(..) => loop {
                if probe::is_ready(&self.metrics).await {
                    return Ok(asked.elapsed());
                }
                if process.has_ended()? {
                    break "it ended".to_owned();
                }
                if asked.elapsed() > READY_MAX {
                    break format!("it is not ready within {} s", READY_MAX.as_secs());
                }
                tokio::time::sleep(POLL).await;
            },
        };
        Err(format!("{} does not serve: {why}\n{}", self.name, self.site.log_tail()).into())
    }

    /// Processor time that it has used, in seconds.
    pub fn cpu(&self) -> Result<f64, Failure> {
        self.process.as_ref().map_or(Ok(0.0), Child::cpu)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.site.note("SIGKILL");
        self.running("killed")?.kill()?;
        self.process = None;
        Ok(())
    }

    /// SIGKILL, where it has not ended by itself.
    pub fn end(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            self.site.note("SIGKILL");
            process.kill()?;
        }
        Ok(())
    }

    /// SIGSTOP.
    pub fn pause(&mut self) -> Result<(), Failure> {
        self.site.note("SIGSTOP");
        self.running("stopped")?.pause()?;
        Ok(())
    }

    /// SIGCONT.
    pub fn resume(&mut self) -> Result<(), Failure> {
        self.site.note("SIGCONT");
        self.running("continued")?.resume()?;
        Ok(())
    }

    /// From now on its clock is so many seconds ahead; what measures durations is not changed.
    pub fn set_clock(&mut self, seconds: i32) -> Result<(), Failure> {
        self.site.note(&format!("clock {seconds:+} s"));
        Ok(write_clock(&self.clock, seconds)?)
    }

    /// SIGTERM, and the end that follows from it.
    pub async fn drain(&mut self) -> Result<(), Failure> {
        self.site.note("SIGTERM");
        let process = self.running("drained")?;
        process.terminate()?;
        let ended = process.ended().await?;
        self.process = None;
        if ended.is_some_and(|status| status.success()) {
            return Ok(());
        }
        let ended = ended.map_or_else(|| "it does not end".to_owned(), |status| status.to_string());
        Err(format!(
            "{} did not drain well: {ended}\n{}",
            self.name,
            self.site.log_tail()
        )
        .into())
    }

    /// The process, which has to run: one that ended by itself is a defect that a new start would hide.
    fn running(&mut self, what: &str) -> Result<&mut Child, Failure> {
        let name = &self.name;
        let process = self.process.as_mut();
        let process = process.ok_or_else(|| format!("{name} can't be {what}: it does not run"))?;
        if process.has_ended()? {
            let log = self.site.log_tail();
            return Err(format!("{name} can't be {what}: it had ended by itself\n{log}").into());
        }
        Ok(process)
    }
}

/// What a process is started within: its end, its cores, its environment, its clock.
fn set_up(site: &mut Site, place: &Place, clock: &Path) -> std::io::Result<()> {
    let mut within: Vec<String> = WITH_US.map(str::to_owned).to_vec();
    within.extend(place.within.iter().cloned());
    site.run_within(within);
    for (variable, value) in CREDENTIALS {
        site.set(variable, value);
    }
    if let Some(library) = &place.clock_library {
        write_clock(clock, 0)?;
        site.set("LD_PRELOAD", library);
        site.set("FAKETIME_TIMESTAMP_FILE", clock);
        for (variable, value) in CLOCK {
            site.set(variable, value);
        }
    }
    Ok(())
}

/// Tells libfaketime how far a clock is ahead.
fn write_clock(path: &Path, seconds: i32) -> std::io::Result<()> {
    // It is read at any time, and so has to be whole.
    let next = path.with_extension("next");
    fs::write(&next, format!("{seconds:+}\n"))?;
    fs::rename(next, path)
}

/// A port of loopback that is free now, below those that the system gives to connections: one of these could have it while a process is down.
pub fn free_address() -> Result<String, Failure> {
    let begin = u16::try_from(std::process::id() % u32::from(PORTS)).expect("a remainder of 16 bits");
    for _ in 0..PORTS {
        let number = NEXT_PORT.fetch_add(1, Ordering::Relaxed).wrapping_add(begin) % PORTS;
        let address = format!("127.0.0.1:{}", FIRST_PORT + number);
        if TcpListener::bind(&address).is_ok() {
            return Ok(address);
        }
    }
    let last = FIRST_PORT + PORTS;
    Err(format!("no port of 127.0.0.1 is free from {FIRST_PORT} to {last}").into())
}

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
