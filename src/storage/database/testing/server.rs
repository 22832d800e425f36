//! A real PostgreSQL server for tests: temporary, on a Unix socket, and gone when the process is, however it ends. The integration tests include this file too; it
//! uses nothing of this crate.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use parking_lot::Mutex;
use tempfile::TempDir;

/// Names the folder of its programs where Debian's packages are not installed (`./check`).
const PROGRAMS: &str = "POSTGRES_PROGRAMS";
/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The user whom the server runs as where the tests are root, which it refuses to be.
const USER: &str = "nobody";
/// What is done with the server (programs, directory), word by word as it is asked for; each is answered by its exit status. Once nobody can ask any more it stops the
/// server and removes its files. One process for all of it: what a process that is just begun holds of this one (locked files) is in the way of other tests.
const AGENT: &str = r#"
while read -r what with; do
    case $what in
        init) "$1/initdb" -U thenar -A trust -E UTF8 --locale=C -D "$2/data" ;;
        up) "$1/pg_ctl" -w -t 120 start -D "$2/data" -l "$2/log" ;;
        kill) "$1/pg_ctl" -w stop -m immediate -D "$2/data" ;;
        dump) "$1/pg_dump" -d "$with" -f "$2/dump" ;;
    esac </dev/null >>"$2/done" 2>&1
    echo $?
done
"$1/pg_ctl" -w stop -m immediate -D "$2/data" >/dev/null 2>&1
rm -rf "$2""#;

/// A server with its files.
pub struct Server {
    pub(super) dir: PathBuf,
    /// Ends with this process, however that ends.
    agent: Mutex<(Child, BufReader<ChildStdout>)>,
}

impl Server {
    /// One of its own, for a test that stops it or changes its settings.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("SKIPPED: the catalog on PostgreSQL (no initdb; on Debian: apt-get install postgresql)");
            return None;
        };
        let dir = TempDir::new().expect("a temporary directory").keep();
        if is_root() {
            let (user, group) = user();
            chown(&dir, Some(user), Some(group)).expect("root may");
        }
        let mut agent = agent(&programs, &dir);
        let answers = BufReader::new(agent.stdout.take().expect("it is piped"));
        let agent = Mutex::new((agent, answers));
        let server = Self { dir, agent };
        server.ask("init");
        server.configure("listen_addresses = ''\nmax_connections = 200\n");
        server.configure(&format!("unix_socket_directories = '{}'\n", server.dir.display()));
        server.up();
        Some(server)
    }

    /// Adds to its settings; they hold from its next start.
    pub fn configure(&self, settings: &str) {
        let path = self.data().join("postgresql.conf");
        let former = fs::read_to_string(&path).expect("readable");
        fs::write(&path, former + settings).expect("writable");
    }

    /// Starts it, or starts it again.
    pub fn up(&self) {
        self.ask("up");
    }

    /// Stops it as a loss of power would.
    pub fn kill(&self) {
        self.ask("kill");
    }

    pub(super) fn ask(&self, what: &str) {
        let mut agent = self.agent.lock();
        let (child, answers) = &mut *agent;
        let asked = child.stdin.as_mut().expect("it is piped");
        writeln!(asked, "{what}").expect("it listens");
        let mut status = String::new();
        answers.read_line(&mut status).expect("it answers");
        let told = || fs::read_to_string(self.dir.join("done")).unwrap_or_default();
        assert!(status.trim() == "0", "{what}: {status}{}", told());
    }

    /// The directory of its files.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Of a database.
    pub fn address(&self, database: &str) -> String {
        format!("host={} user=thenar dbname={database}", self.dir.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let (agent, _) = self.agent.get_mut();
        drop(agent.stdin.take());
        let _ = agent.wait();
    }
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

fn agent(programs: &Path, dir: &Path) -> Child {
    let mut agent = if is_root() {
        let mut command = Command::new("setpriv");
        let (user, group) = user();
        command.args(["--reuid", &user.to_string()]).args([
            "--regid",
            &group.to_string(),
            "--clear-groups",
            "sh",
        ]);
        // What root works in may be closed to that user.
        command.current_dir("/");
        command
    } else {
        Command::new("sh")
    };
    agent.args(["-c", AGENT, "agent"]).arg(programs).arg(dir);
    // Out of the group that a signal from a terminal ends.
    agent.process_group(0);
    let agent = agent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    agent.expect("there is a shell")
}

/// Number and group of the server's user.
fn user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("readable");
    let user = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix(USER)?.strip_prefix(':')?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    user.expect("every system has it")
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
