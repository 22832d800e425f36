//! A real PostgreSQL server of this run alone, on a Unix socket, perhaps with a standby: started, restarted, killed, failed over, and gone when this process is, however it ends. Knows no table.

use std::fmt::Display;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::Failure;

/// The user whom the server runs as where the bench is root, which it refuses to be.
const USER: &str = "nobody";
/// Name of the database and of its user.
const NAME: &str = "thenar";
/// The file of a socket, by which port and host name it.
const SOCKET: &str = ".s.PGSQL.5432";
/// What is done with servers (programs, directory), each of which has a number, word by word as it is asked for; each is answered by its exit status. Once nobody can ask any more it stops
/// them and removes their files.
const AGENT: &str = r#"
while read -r what one two; do
    data=$2/data-$one at=$2/at-$one
    case $what in
        init) mkdir "$at" && "$1/initdb" -U thenar -A trust -E UTF8 --locale=C -D "$data" ;;
        up) "$1/pg_ctl" -w -t 120 start -D "$data" -l "$2/log" -o "-k $at" ;;
        create) "$1/createdb" -h "$at" -U thenar thenar ;;
        copy) mkdir "$at" && "$1/pg_basebackup" -h "$2/at-$two" -U thenar -D "$data" -R -X stream -c fast ;;
        follow) "$1/psql" -X -h "$at" -U thenar -d thenar -v ON_ERROR_STOP=1 \
            -c "ALTER SYSTEM SET synchronous_standby_names = '*'" -c 'SELECT pg_reload_conf()' ;;
        promote) "$1/pg_ctl" -w -t 120 promote -D "$data" ;;
        restart) "$1/pg_ctl" -w -t 120 restart -m fast -D "$data" -l "$2/log" ;;
        kill) "$1/pg_ctl" -w stop -m immediate -D "$data" ;;
        remove) rm -rf "$data" "$at" ;;
        *) false ;;
    esac </dev/null >>"$2/done" 2>&1
    echo $?
done
for data in "$2"/data-*; do
    "$1/pg_ctl" -w stop -m immediate -D "$data" >/dev/null 2>&1
done
rm -rf "$2""#;
/// A standby that lost its primary looks for it again soon: commits wait for it.
const SETTINGS: &str = "listen_addresses = ''\nmax_connections = 200\nwal_retrieve_retry_interval = 200\n";
/// The first server.
const FIRST: usize = 1;

/// A server with an empty database, and perhaps a standby of it, without which it acknowledges nothing.
pub struct Postgres {
    programs: PathBuf,
    dir: PathBuf,
    primary: Arc<AtomicUsize>,
    agent: Mutex<(Child, BufReader<ChildStdout>)>,
}

impl Postgres {
    /// Starts it by these programs.
    pub fn start(programs: &Path) -> Result<Self, Failure> {
        // Not in the folder of the run: what root works in may be closed to the server's user.
        let dir = TempDir::with_prefix("thenar-pg-")?.keep();
        if is_root() {
            let (user, group) = user()?;
            chown(&dir, Some(user), Some(group))?;
        }
        let mut agent = agent(programs, &dir)?;
        let answers = BufReader::new(agent.stdout.take().expect("it is piped"));
        let server = Self {
            programs: programs.to_owned(),
            agent: Mutex::new((agent, answers)),
            dir,
            primary: Arc::new(AtomicUsize::new(FIRST)),
        };
        server.ask("init", FIRST)?;
        let path = server.dir.join(format!("data-{FIRST}/postgresql.conf"));
        let former = fs::read_to_string(&path)?;
        fs::write(&path, format!("{former}{SETTINGS}"))?;
        server.ask("up", FIRST)?;
        server.ask("create", FIRST)?;
        Ok(server)
    }

    /// Gives it a standby, which has each commit before that is acknowledged.
    pub fn add_standby(&self) -> Result<(), Failure> {
        let primary = self.primary();
        self.ask("copy", format_args!("{} {primary}", primary + 1))?;
        self.ask("up", primary + 1)?;
        self.ask("follow", primary)
    }

    /// Its standby takes the place of a server that was killed, which is gone for good. It has none of its own then.
    pub fn fail_over(&self) -> Result<(), Failure> {
        let former = self.primary.fetch_add(1, Ordering::AcqRel);
        self.ask("promote", former + 1)?;
        self.ask("remove", former)
    }

    fn primary(&self) -> usize {
        self.primary.load(Ordering::Acquire)
    }

    /// Of its database, as a list of keys and values.
    pub fn address(&self) -> String {
        Self::address_in(&at(&self.dir, self.primary()))
    }

    /// Of a database whose socket is in this folder.
    pub fn address_in(folder: &Path) -> String {
        format!("host={} user={NAME} dbname={NAME}", folder.display())
    }

    /// Of one that is reached here.
    pub fn address_at(at: std::net::SocketAddr) -> String {
        format!("host={} port={} user={NAME} dbname={NAME}", at.ip(), at.port())
    }

    /// The socket of a server in this folder.
    pub fn socket_in(folder: &Path) -> PathBuf {
        folder.join(SOCKET)
    }

    /// Where whoever is the primary listens.
    pub fn socket(&self) -> impl Fn() -> PathBuf + Send + Sync + 'static {
        let (dir, primary) = (self.dir.clone(), Arc::clone(&self.primary));
        move || Self::socket_in(&at(&dir, primary.load(Ordering::Acquire)))
    }

    /// A new folder for a socket of somebody who connects by way of it. It is gone with the server.
    pub fn folder_of(&self, name: &str) -> std::io::Result<PathBuf> {
        let folder = self.dir.join(name);
        fs::create_dir(&folder)?;
        if is_root() {
            // It is removed by the server's user.
            let owner = fs::metadata(&self.dir)?;
            chown(&folder, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(folder)
    }

    /// Ends what is under way and starts again.
    pub fn restart(&self) -> Result<(), Failure> {
        self.ask("restart", self.primary())
    }

    /// Ends as by a loss of power.
    pub fn kill(&self) -> Result<(), Failure> {
        self.ask("kill", self.primary())
    }

    /// Starts again after that.
    pub fn up(&self) -> Result<(), Failure> {
        self.ask("up", self.primary())
    }

    /// Rows of a query, a line each, columns by a bar.
    pub fn query(&self, sql: &str) -> Result<String, Failure> {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                NAME,
                "-d",
                NAME,
                "-c",
                sql,
            ])
            .arg("-h")
            .arg(at(&self.dir, self.primary()))
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("psql: {}: {why}", output.status).into())
    }

    /// Its log, so far.
    pub fn log(&self) -> std::io::Result<Vec<u8>> {
        fs::read(self.dir.join("log"))
    }

    fn ask(&self, what: &str, server: impl Display) -> Result<(), Failure> {
        let mut agent = self.agent.lock().expect("nobody panics while asking");
        let (child, answers) = &mut *agent;
        writeln!(child.stdin.as_mut().expect("it is piped"), "{what} {server}")?;
        let mut status = String::new();
        answers.read_line(&mut status)?;
        if status.trim() == "0" {
            return Ok(());
        }
        let told = fs::read_to_string(self.dir.join("done")).unwrap_or_default();
        Err(format!("PostgreSQL: {what} ended with {}: {told}", status.trim()).into())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let (agent, _) = self.agent.get_mut().expect("nobody panics while asking");
        drop(agent.stdin.take());
        let _ = agent.wait();
    }
}

/// The folder of a server's socket.
fn at(dir: &Path, server: usize) -> PathBuf {
    dir.join(format!("at-{server}"))
}

fn agent(programs: &Path, dir: &Path) -> Result<Child, Failure> {
    let mut agent = if is_root() {
        let (user, group) = user()?;
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &user.to_string()])
            .args(["--regid", &group.to_string()])
            .args(["--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    agent.args(["-c", AGENT, "agent"]).arg(programs).arg(dir);
    // Out of the group that a signal from a terminal ends, and out of a folder that may be closed to it.
    agent.process_group(0).current_dir("/");
    let agent = agent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    agent.map_err(|error| format!("no shell for PostgreSQL (setpriv, sh): {error}").into())
}

/// Number and group of the server's user.
fn user() -> Result<(u32, u32), Failure> {
    let users = fs::read_to_string("/etc/passwd")?;
    let user = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix(USER)?.strip_prefix(':')?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    user.ok_or_else(|| format!("this system has no user {USER}, whom PostgreSQL runs as").into())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
