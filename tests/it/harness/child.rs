//! The server as a process of its own, so that it can be killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::caller::{Caller, PATIENCE};
use super::palms::policy;
use super::world::{World, knock};

/// Settings of a server that flushes and purges soon, and is asked faster than devices ask.
pub const SETTINGS: &str = "[metrics]\nenabled = false\n\
                            [matcher]\nflush_rows = 64\npurge_seconds_max = 2\n[engine]\nbackend = \"cpu\"\n\
                            [quotas.scanner]\nper_second = 0\nburst = 0\n";

/// A server of any kind as a process, whose settings are TOML.
pub struct Process {
    process: std::process::Child,
    address: String,
}

impl Process {
    /// Starts `thenar MODE` on a data directory and waits until it is ready.
    pub async fn start(mode: &str, data: &Path, settings: &str, listen: &str, log: Stdio) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_thenar"));
        Self::start_as(command, mode, data, settings, listen, log).await
    }

    /// The same by a command that ends in the binary's name.
    pub async fn start_as(
        mut command: Command,
        mode: &str,
        data: &Path,
        settings: &str,
        listen: &str,
        log: Stdio,
    ) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let config = files.path().join("thenar.toml");
        std::fs::write(&config, settings).expect("written");
        let address_file = files.path().join("address");
        let mut process = command
            .arg(mode)
            .args([Path::new("--config"), &config])
            .args([Path::new("--data"), data])
            .args(["--listen", listen])
            .args([Path::new("--address-file"), &address_file])
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let address = await_address(&mut process, &address_file).await;
        Self { process, address }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.id()).expect("a number")).expect("not 0");
        kill_process(id, signal).expect("sent");
        // Threads that run go on for a moment.
        while signal == Signal::STOP && !self.stands_still() {
            std::thread::yield_now();
        }
    }

    /// Whether all threads are stopped, as `proc_pid_stat(5)` says.
    fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("it lives");
        let state = |stat: String| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('T'));
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat"));
            stat.ok().and_then(state).unwrap_or(true)
        })
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        assert!(
            self.process.try_wait().expect("it can be asked").is_none(),
            "it ran"
        );
    }

    /// Waits until it has ended by itself. Gives its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.process.wait().expect("it ended").code()
    }
}

impl Drop for Process {
    /// However a test ends, no server outlives it.
    fn drop(&mut self) {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        if !std::thread::panicking() {
            killed.expect("it ended");
        }
    }
}

/// A `thenar serve` that runs on a world's data directory.
pub struct Child<'a> {
    world: &'a World,
    process: Process,
}

impl<'a> Child<'a> {
    /// Starts it and waits until it is ready.
    pub async fn start(world: &'a World) -> Self {
        Self::start_with(world, Stdio::inherit()).await
    }

    /// The same with its log put elsewhere.
    pub async fn start_with(world: &'a World, log: Stdio) -> Self {
        let process = Process::start("serve", &world.data(), SETTINGS, "127.0.0.1:0", log).await;
        Self { world, process }
    }

    /// The same with further sections of its settings.
    pub async fn start_on(world: &'a World, more: &str) -> Self {
        let settings = format!("{SETTINGS}{more}");
        let process =
            Process::start("serve", &world.data(), &settings, "127.0.0.1:0", Stdio::inherit()).await;
        Self { world, process }
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub async fn operator(&self, tenant: &str) -> Caller {
        let certificate = self.world.member(tenant, "operator", "ops");
        knock(self.process.address(), &self.world.ca(), Some(certificate))
            .await
            .expect("let in")
    }

    pub async fn admin(&self) -> Caller {
        let certificate = self.world.administrator();
        knock(self.process.address(), &self.world.ca(), Some(certificate))
            .await
            .expect("let in")
    }

    pub async fn create_tenant(&self, tenant: &str) {
        let mut admin = self.admin().await;
        admin.create_tenant(tenant, policy(0.5)).await.expect("created");
    }
}

/// The address appears, whole, once the server is ready.
async fn await_address(process: &mut std::process::Child, file: &PathBuf) -> String {
    let start = Instant::now();
    loop {
        if let Ok(address) = std::fs::read_to_string(file)
            && !address.is_empty()
        {
            return address.trim().to_owned();
        }
        assert!(
            process.try_wait().expect("it can be asked").is_none(),
            "the server ended early"
        );
        assert!(start.elapsed() < PATIENCE, "the server is not ready");
        tokio::task::yield_now().await;
    }
}
