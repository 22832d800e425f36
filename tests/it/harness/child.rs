//! The server as a process of its own, so that it can be killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::caller::{Caller, PATIENCE};
use super::palms::policy;
use super::world::{World, knock};

/// A `thenar serve` that runs on a world's data directory.
pub struct Child<'a> {
    world: &'a World,
    process: std::process::Child,
    address: String,
}

impl<'a> Child<'a> {
    /// Starts it and waits until it is ready.
    pub async fn start(world: &'a World) -> Self {
        Self::start_with(world, Stdio::inherit()).await
    }

    /// The same with its log put elsewhere.
    pub async fn start_with(world: &'a World, log: Stdio) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let config = files.path().join("thenar.toml");
        let text = "[metrics]\nenabled = false\n\
                    [matcher]\nflush_rows = 64\npurge_seconds_max = 2\n[engine]\nbackend = \"cpu\"\n";
        std::fs::write(&config, text).expect("written");
        let address_file = files.path().join("address");
        let mut process = Command::new(env!("CARGO_BIN_EXE_thenar"))
            .arg("serve")
            .args([Path::new("--config"), &config])
            .args([Path::new("--data"), &world.data()])
            .args(["--listen", "127.0.0.1:0"])
            .args([Path::new("--address-file"), &address_file])
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let address = await_address(&mut process, &address_file).await;
        Self {
            world,
            process,
            address,
        }
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        assert!(
            self.process.try_wait().expect("it can be asked").is_none(),
            "it ran"
        );
    }

    pub async fn operator(&self, tenant: &str) -> Caller {
        let certificate = self.world.member(tenant, "operator", "ops");
        knock(&self.address, &self.world.ca(), Some(certificate))
            .await
            .expect("let in")
    }

    pub async fn admin(&self) -> Caller {
        let certificate = self.world.administrator();
        knock(&self.address, &self.world.ca(), Some(certificate))
            .await
            .expect("let in")
    }

    pub async fn create_tenant(&self, tenant: &str) {
        let mut admin = self.admin().await;
        admin.create_tenant(tenant, policy(0.5)).await.expect("created");
    }
}

impl Drop for Child<'_> {
    /// However a test ends, no server outlives it.
    fn drop(&mut self) {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        if !std::thread::panicking() {
            killed.expect("it ended");
        }
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
