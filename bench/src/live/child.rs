//! The server as a process: made, configured, started, stopped, killed. Knows no request.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};
use thenar::client::Credentials;
use thenar::model::principal::Principal;
use thenar::server::pki::Pki;

use super::calls::Badges;
use crate::Failure;
use crate::machine::resident_bytes_of;

/// How often a start or an end is looked for.
const POLL: Duration = Duration::from_millis(2);
/// Longest start and longest end.
const PATIENCE: Duration = Duration::from_mins(2);
/// Days that the certificates hold.
const CERT_DAYS: u32 = 30;
/// Lines of the server's log that are shown when it fails.
const LOG_LINES_SHOWN: usize = 40;

/// A driver asks for more than one device does.
pub const UNLIMITED: &str = "[quotas.scanner]\nper_second = 0\nburst = 0\n";

/// Files and programs of a run.
pub struct Site {
    data: PathBuf,
    folder: PathBuf,
    server: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    kind: &'static str,
    listen: String,
    within: Vec<String>,
    pki: Pki,
    ca_pem: String,
}

impl Site {
    /// Makes a data directory in `folder` with the server's own `init`.
    pub fn make(folder: &Path, server: &Path) -> Result<Self, Failure> {
        let folder = folder.canonicalize()?;
        let data = folder.join("data");
        let made = Command::new(server)
            .arg("init")
            .args([Path::new("--data"), &data])
            .stdout(Stdio::null())
            .status()?;
        if !made.success() {
            return Err(format!("thenar init failed: {made}").into());
        }
        let site = Self {
            pki: Pki::open(&data.join("tls"))?,
            ca_pem: std::fs::read_to_string(data.join("tls/ca.pem"))?,
            server: server.to_owned(),
            environment: Vec::new(),
            kind: "serve",
            listen: "127.0.0.1:0".to_owned(),
            within: Vec::new(),
            data,
            folder,
        };
        Ok(site)
    }

    /// The next start is by this program; gives the one that was.
    pub fn exchange_program(&mut self, server: PathBuf) -> PathBuf {
        std::mem::replace(&mut self.server, server)
    }

    /// The next start is of one tier, `match` or `front`; until this is said it is of both.
    pub fn run_as(&mut self, kind: &'static str) {
        self.kind = kind;
    }

    /// Where the next start listens; a free port of loopback until this is said.
    pub fn listen_at(&mut self, address: String) {
        self.listen = address;
    }

    /// The next start is by this command, which runs the one that follows it in its own place.
    pub fn run_within(&mut self, command: Vec<String>) {
        self.within = command;
    }

    /// Sets a variable of the server's environment.
    pub fn set(&mut self, variable: &'static str, value: impl Into<OsString>) {
        self.environment.push((variable, value.into()));
    }

    /// Writes the configuration of the next start: after how many rows it flushes, and how soon it has to purge.
    pub fn configure(&self, flush_rows: u32, purge_seconds_max: u32) -> std::io::Result<()> {
        let text = format!(
            "[metrics]\nenabled = false\n[matcher]\nflush_rows = {flush_rows}\npurge_seconds_max = {purge_seconds_max}\n\
             [engine]\nbackend = \"cpu\"\nlock_memory = \"off\"\n{UNLIMITED}[log]\nfilter = \"warn\"\n"
        );
        self.write_configuration(&text)
    }

    /// Writes the configuration of the next start, whole.
    pub fn write_configuration(&self, text: &str) -> std::io::Result<()> {
        std::fs::write(self.folder.join("thenar.toml"), text)
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The authority that `init` made.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// A certificate for who is at this path, `/tenant/acme/scanner/gate` say.
    pub fn credentials(&self, path: &str) -> Result<Credentials, Failure> {
        let issued = self.pki.issue(&Principal::from_path(path)?, CERT_DAYS)?;
        Ok(Credentials {
            ca_pem: self.ca_pem.clone(),
            cert_pem: issued.cert_pem.clone(),
            key_pem: issued.key_pem.clone(),
        })
    }

    /// Certificates for a tenant's roles, for whoever has this name.
    pub fn badges(&self, tenant: &str, name: &str) -> Result<Badges, Failure> {
        let badge = |role: &str| self.credentials(&format!("/tenant/{tenant}/{role}/{name}"));
        Ok(Badges {
            enroller: badge("enroller")?,
            operator: badge("operator")?,
            scanner: badge("scanner")?,
        })
    }

    /// A program where the server runs, without its environment.
    pub fn command(&self, program: &Path) -> Command {
        let within = self.within.iter().map(OsString::from);
        let mut words = within.chain([program.as_os_str().to_owned()]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command.args(words);
        command
    }

    /// Starts a server; it is not ready yet.
    pub fn spawn(&self) -> Result<Child, Failure> {
        let address = self.address_file();
        if address.exists() {
            std::fs::remove_file(&address)?;
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let process = self
            .command(&self.server)
            .arg(self.kind)
            .args([Path::new("--config"), &self.folder.join("thenar.toml")])
            .args([Path::new("--data"), &self.data])
            .args(["--listen", &self.listen])
            .args([Path::new("--address-file"), &address])
            .envs(self.environment.iter().map(|(variable, value)| (variable, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Child {
            process,
            address_file: address,
            started: Instant::now(),
        })
    }

    /// Starts a server and waits until it is ready: its process, its address, and how long that took.
    pub async fn start(&self) -> Result<(Child, String, Duration), Failure> {
        let mut child = self.spawn()?;
        let why = match child.ready().await? {
            Start::Ready(address, took) => return Ok((child, address, took)),
            Start::Ended(status) => format!("it ended with {status}"),
            Start::Silent => "it is never ready".to_owned(),
        };
        Err(format!("the server does not come up: {why}\n{}", self.log_tail()).into())
    }

    /// The end of the server's log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// Marks in the log what happens to the server.
    pub fn note(&self, text: &str) {
        let log: std::io::Result<File> = OpenOptions::new().create(true).append(true).open(self.log());
        // The log helps a person; a run goes on without it.
        let _ =
            log.and_then(|mut log| std::io::Write::write_all(&mut log, format!("--- {text}\n").as_bytes()));
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn address_file(&self) -> PathBuf {
        self.folder.join("address")
    }
}

/// How a start ended.
pub enum Start {
    /// It serves at this address, after so long.
    Ready(String, Duration),
    /// The process ended.
    Ended(ExitStatus),
    /// Neither within the time.
    Silent,
}

/// A process. Dropped, it is killed.
pub struct Child {
    process: std::process::Child,
    address_file: PathBuf,
    started: Instant,
}

impl Child {
    /// Waits until it is ready.
    pub async fn ready(&mut self) -> std::io::Result<Start> {
        loop {
            // The file appears whole. One that is there counts, however long ago it was started.
            if let Ok(address) = std::fs::read_to_string(&self.address_file) {
                return Ok(Start::Ready(address.trim().to_owned(), self.started.elapsed()));
            }
            if let Some(status) = self.process.try_wait()? {
                return Ok(Start::Ended(status));
            }
            if self.started.elapsed() >= PATIENCE {
                return Ok(Start::Silent);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> std::io::Result<bool> {
        Ok(self.process.try_wait()?.is_some())
    }

    /// Processor time that it has used, on all cores together, in seconds.
    pub fn cpu(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields = stat.rsplit_once(')').ok_or("no name in a process's stat")?.1;
        // proc_pid_stat(5): utime and stime are the 12th and 13th field after the name.
        let mut ticks = 0;
        for field in fields.split_ascii_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
        let time = Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second())?;
        Ok(time.as_secs_f64())
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> Result<f64, Failure> {
        resident_bytes_of(self.process.id()).ok_or_else(|| "a process tells no VmRSS".into())
    }

    /// SIGKILL, and what is left of it.
    pub fn kill(&mut self) -> std::io::Result<ExitStatus> {
        self.process.kill()?;
        self.process.wait()
    }

    /// SIGTERM.
    pub fn terminate(&self) -> std::io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGSTOP. Threads that run go on for a moment.
    pub fn pause(&self) -> std::io::Result<()> {
        self.signal(Signal::STOP)?;
        while !self.stands_still()? {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// SIGCONT.
    pub fn resume(&self) -> std::io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether all its threads are stopped, as `proc_pid_stat(5)` says.
    pub fn stands_still(&self) -> std::io::Result<bool> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id()))?;
        let is_stopped = |stat: String| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('T'));
        Ok(threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat"));
            // A thread that is gone runs no more.
            stat.ok().and_then(is_stopped).unwrap_or(true)
        }))
    }

    fn signal(&self, signal: Signal) -> std::io::Result<()> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has a number above 0"), signal)?;
        Ok(())
    }

    /// Waits for the end of a process that was told to end; `None` when it doesn't.
    pub async fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
