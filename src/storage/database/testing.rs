//! A real server for tests: temporary, of this test binary alone, on a Unix socket, and gone when the process is, however it ends. Checks nothing itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::{Database, DatabaseConfig, migrate};

/// Names the folder of its programs where Debian's packages are not installed (`./check`).
const PROGRAMS: &str = "POSTGRES_PROGRAMS";
/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The user and the group whom the server runs as where the tests are root, which it refuses to be.
const USER: [&str; 2] = ["nobody", "nogroup"];

static SHARED: LazyLock<Option<Server>> = LazyLock::new(Server::start);
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A server with its files.
pub(in crate::storage) struct Server {
    programs: PathBuf,
    dir: PathBuf,
    /// Waits for the end of this process, which closes its input; then it stops the server and removes the files.
    watch: Child,
}

impl Server {
    /// The one that the tests of this binary share; `None` where PostgreSQL is not installed, which is told.
    pub(in crate::storage) fn shared() -> Option<&'static Self> {
        SHARED.as_ref()
    }

    /// One of its own, for a test that stops it or changes its settings.
    pub(in crate::storage) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("SKIPPED: the catalog on PostgreSQL (no initdb; on Debian: apt-get install postgresql)");
            return None;
        };
        let dir = TempDir::new().expect("a temporary directory").keep();
        let watch = watch(&programs, &dir);
        let server = Self { programs, dir, watch };
        if is_root() {
            done(Command::new("chown").arg(USER.join(":")).arg(&server.dir));
        }
        let data = server.data();
        done(
            server
                .command("initdb")
                .args(["-U", "thenar", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"])
                .arg(&data),
        );
        server.configure("listen_addresses = ''\nmax_connections = 200\n");
        server.configure(&format!("unix_socket_directories = '{}'\n", server.dir.display()));
        server.up();
        Some(server)
    }

    /// Adds to its settings; they hold from its next start.
    pub(in crate::storage) fn configure(&self, settings: &str) {
        let path = self.data().join("postgresql.conf");
        let former = fs::read_to_string(&path).expect("readable");
        fs::write(&path, former + settings).expect("writable");
    }

    /// Starts it, or starts it again.
    pub(in crate::storage) fn up(&self) {
        let log = self.dir.join("log");
        done(
            self.command("pg_ctl")
                .args(["-w", "-t", "120", "start", "-D"])
                .arg(self.data())
                .arg("-l")
                .arg(log),
        );
    }

    /// Stops it as a loss of power would.
    pub(in crate::storage) fn kill(&self) {
        done(
            self.command("pg_ctl")
                .args(["-w", "stop", "-m", "immediate", "-D"])
                .arg(self.data()),
        );
    }

    /// A new, empty database: its address.
    pub(in crate::storage) fn empty(&self) -> String {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.address("postgres"), &format!("CREATE DATABASE {name}"));
        self.address(&name)
    }

    /// A new database with tables: its address.
    pub(in crate::storage) fn fresh(&self) -> String {
        let address = self.empty();
        migrate(&connect(&address)).expect("migrated");
        address
    }

    /// A copy of a database that nobody is connected to: its address.
    pub(in crate::storage) fn copy(&self, address: &str) -> String {
        let (_, of) = address.rsplit_once('=').expect("it ends with the name");
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname =";
        self.sql(&self.address("postgres"), &format!("{end} '{of}'"));
        self.sql(
            &self.address("postgres"),
            &format!("CREATE DATABASE {name} TEMPLATE {of}"),
        );
        self.address(&name)
    }

    /// Does what no engine does; gives the rows, columns by a bar.
    pub(in crate::storage) fn sql(&self, address: &str, text: &str) -> String {
        let mut psql = self.command("psql");
        let told = done(psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            address,
            "-c",
            text,
        ]));
        String::from_utf8(told.stdout)
            .expect("text")
            .trim_end()
            .to_owned()
    }

    /// All of a database as text.
    pub(in crate::storage) fn dump(&self, address: &str) -> Vec<u8> {
        done(self.command("pg_dump").args(["-d", address])).stdout
    }

    /// The directory of its files.
    pub(in crate::storage) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Gives it a file of its own, in its directory.
    pub(in crate::storage) fn take_in(&self, file: &Path) {
        let taken = self.data().join(file.file_name().expect("a name"));
        fs::copy(file, &taken).expect("copied");
        fs::set_permissions(&taken, fs::Permissions::from_mode(0o600)).expect("its own");
        if is_root() {
            let owner = fs::metadata(&self.dir).expect("there");
            chown(&taken, Some(owner.uid()), Some(owner.gid())).expect("root may");
        }
    }

    /// Forgets what `ALTER SYSTEM` set, while it is down.
    pub(in crate::storage) fn forget_system_settings(&self) {
        fs::write(self.data().join("postgresql.auto.conf"), "").expect("writable");
    }

    /// Of a database.
    pub(in crate::storage) fn address(&self, database: &str) -> String {
        format!("host={} user=thenar dbname={database}", self.dir.display())
    }

    fn command(&self, program: &str) -> Command {
        as_user(&self.programs.join(program))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

/// Connects.
pub(in crate::storage) fn connect(address: &str) -> Database {
    Database::connect(&DatabaseConfig::new(address)).expect("connected")
}

/// The newest programs.
fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(PROGRAMS) {
        return Some(named.into());
    }
    let versions = fs::read_dir(DEBIAN).ok()?;
    let versions = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    versions.filter(|path| path.join("initdb").exists()).max()
}

fn watch(programs: &Path, dir: &Path) -> Child {
    let script =
        r#"cat >/dev/null; "$1/pg_ctl" -w stop -m immediate -D "$2/data" >/dev/null 2>&1; rm -rf "$2""#;
    let mut watch = as_user(Path::new("sh"));
    watch.args(["-c", script, "watch"]).arg(programs).arg(dir);
    // Out of the group that a signal from a terminal ends.
    std::os::unix::process::CommandExt::process_group(&mut watch, 0);
    let watch = watch.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    watch.expect("there is a shell")
}

/// A program of the user whom the server runs as.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", USER[0], "--regid", USER[1], "--clear-groups"])
        .arg(program);
    // What root works in may be closed to that user.
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn done(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
