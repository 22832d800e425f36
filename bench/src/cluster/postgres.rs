//! A real PostgreSQL server of this run alone, on a Unix socket: started, restarted, killed, and gone when this process is, however it ends. Knows no table.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::Failure;

/// The user whom the server runs as where the bench is root, which it refuses to be.
const USER: &str = "nobody";
/// Name of the database and of its user.
const NAME: &str = "thenar";
/// What is done with the server (programs, directory), word by word as it is asked for; each is answered by its exit status. Once nobody can ask any more it stops the
/// server and removes its files.
const AGENT: &str = r#"
while read -r what; do
    case $what in
        init) "$1/initdb" -U thenar -A trust -E UTF8 --locale=C -D "$2/data" ;;
        up) "$1/pg_ctl" -w -t 120 start -D "$2/data" -l "$2/log" ;;
        create) "$1/createdb" -h "$2" -U thenar thenar ;;
        restart) "$1/pg_ctl" -w -t 120 restart -m fast -D "$2/data" -l "$2/log" ;;
        kill) "$1/pg_ctl" -w stop -m immediate -D "$2/data" ;;
        *) false ;;
    esac </dev/null >>"$2/done" 2>&1
    echo $?
done
"$1/pg_ctl" -w stop -m immediate -D "$2/data" >/dev/null 2>&1
rm -rf "$2""#;
const SETTINGS: &str = "listen_addresses = ''\nmax_connections = 200\n";

/// A server with an empty database.
pub struct Postgres {
    programs: PathBuf,
    dir: PathBuf,
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
        };
        server.ask("init")?;
        let path = server.dir.join("data/postgresql.conf");
        let former = fs::read_to_string(&path)?;
        let sockets = server.dir.display();
        fs::write(
            &path,
            format!("{former}{SETTINGS}unix_socket_directories = '{sockets}'\n"),
        )?;
        server.ask("up")?;
        server.ask("create")?;
        Ok(server)
    }

    /// Of its database, as a list of keys and values.
    pub fn address(&self) -> String {
        format!("host={} user={NAME} dbname={NAME}", self.dir.display())
    }

    /// Ends what is under way and starts again.
    pub fn restart(&self) -> Result<(), Failure> {
        self.ask("restart")
    }

    /// Ends as by a loss of power.
    pub fn kill(&self) -> Result<(), Failure> {
        self.ask("kill")
    }

    /// Starts again after that.
    pub fn up(&self) -> Result<(), Failure> {
        self.ask("up")
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
            .arg(&self.dir)
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

    fn ask(&self, what: &str) -> Result<(), Failure> {
        let mut agent = self.agent.lock().expect("nobody panics while asking");
        let (child, answers) = &mut *agent;
        writeln!(child.stdin.as_mut().expect("it is piped"), "{what}")?;
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
