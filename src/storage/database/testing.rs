//! The server of the tests that need one, and what they do to its databases. Checks nothing itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::SimpleQueryMessage;

pub(crate) use self::server::Server;
use self::server::is_root;

use super::{Database, DatabaseConfig, migrate};

mod server;

static SHARED: LazyLock<Option<Server>> = LazyLock::new(Server::start);
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// The one that the tests of this binary share; `None` where PostgreSQL is not installed, which is told.
    pub(crate) fn shared() -> Option<&'static Self> {
        SHARED.as_ref()
    }

    /// All of a database as text.
    pub(in crate::storage) fn dump(&self, address: &str) -> Vec<u8> {
        self.ask(&format!("dump {address}"));
        fs::read(self.dir.join("dump")).expect("readable")
    }

    /// A new, empty database: its address.
    pub(in crate::storage) fn empty(&self) -> String {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.address("postgres"), &format!("CREATE DATABASE {name}"));
        self.address(&name)
    }

    /// A new database with tables: its address.
    pub(crate) fn fresh(&self) -> String {
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
    pub(crate) fn sql(&self, address: &str, text: &str) -> String {
        self.try_sql(address, text).expect("it is done")
    }

    /// The same where it may fail.
    #[expect(clippy::unused_self, reason = "it is the server's database")]
    pub(in crate::storage) fn try_sql(
        &self,
        address: &str,
        text: &str,
    ) -> Result<String, tokio_postgres::Error> {
        let (database, text) = (connect(address), text.to_owned());
        let runs = database.clone();
        let told = runs.run(async move {
            let client = database.acquire().await.expect("a connection");
            client.simple_query(&text).await
        })?;
        let rows = told.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let columns = rows.map(|row| {
            let columns = (0..row.len()).map(|column| row.get(column).unwrap_or_default());
            columns.collect::<Vec<_>>().join("|")
        });
        Ok(columns.collect::<Vec<_>>().join("\n"))
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
}

/// Connects.
pub(crate) fn connect(address: &str) -> Database {
    Database::connect(&DatabaseConfig::new(address)).expect("connected")
}
