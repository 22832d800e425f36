//! Why the storage did not do what it was asked. Every message names the file, the fault and the way out.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_DATA;
use thiserror::Error;

use super::catalog::page::take_fault;
use super::objects::error::ObjectError;
use crate::cluster::members::Fenced;
use crate::cluster::view::ListError;
use crate::keys::error::KeyError;
use crate::model::id::{SubjectId, TenantId};
use crate::model::link::LinkKind;
use crate::model::subject::Hand;

/// Why a read, a write or a start failed.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The path holds no data directory.
    #[error("{} is not a data directory (run `thenar init`)", .0.display())]
    NotADataDirectory(PathBuf),
    /// The path holds one already.
    #[error("{} is a data directory already; nothing was changed", .0.display())]
    Initialised(PathBuf),
    /// Everybody may put files into it.
    #[error("{} has mode {mode:03o}, so that everybody on this machine can put files into it; run `chmod o-w {}`", path.display(), path.display())]
    Exposed {
        /// The data directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process works on it.
    #[error("{} is in use by {}; stop it first", path.display(), holder(*pid))]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process, where the lock file says so.
        pid: Option<u32>,
    },
    /// Written by a newer release.
    #[error("{} has format {found}; this release reads up to {supported}: use the newer release that wrote it", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this release reads.
        supported: u32,
    },
    /// Written by a build before the first release.
    #[error("{} has format {found}; this release reads {supported}: make a new data directory and import the palms", path.display())]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The one that this release reads.
        supported: u32,
    },
    /// No such tenant on disk.
    #[error("tenant {0} has no directory")]
    TenantUnknown(TenantId),
    /// There is one already.
    #[error("tenant {0} exists already")]
    TenantExists(TenantId),
    /// The data key is not the one the tenant was created with.
    #[error("tenant {0} does not open with this data key: the keyring is not the one it was created with")]
    WrongKey(TenantId),
    /// A tenant's files are older than the erasure journal.
    #[error("tenant {tenant} is older than the erasure journal {}: {problem}", journal.display())]
    Outdated {
        /// The tenant.
        tenant: TenantId,
        /// The journal.
        journal: PathBuf,
        /// What the journal has and the tenant has not.
        problem: String,
    },
    /// Segments were replaced in every try to copy them.
    #[error("tenant {0} is purged faster than it can be copied; back it up once more")]
    Restless(TenantId),
    /// The next generation can't be made now.
    #[error("the keys of tenant {tenant} can't be rotated: {problem}")]
    Rotation {
        /// The tenant.
        tenant: TenantId,
        /// Why, and the way out.
        problem: &'static str,
    },
    /// A tenant whose copy in a data directory is not the one that counts.
    #[error(
        "tenant {0} was relocated to a cluster, and is not served here any more (operators: where that was cut off, repeat `thenar migrate local-to-cluster`; once the cluster serves it, `thenar migrate discard-local` destroys what is left)"
    )]
    Relocated(TenantId),
    /// A tenant can't be relocated, or what is left of it discarded, as it is, or as what is there is.
    #[error("the relocation of tenant {tenant}: {problem}")]
    Relocation {
        /// The tenant.
        tenant: TenantId,
        /// Why, and the way out.
        problem: String,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {fault}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Plane, block and fault.
        fault: String,
    },
    /// The erasure journal is not what was written. It is in no backup.
    #[error(
        "the erasure journal {} is damaged: {fault}; keep the file for restores (--incomplete-journal) and move it away: the next start begins a new one from the catalogs, which have all but dropped tenants",
        path.display()
    )]
    JournalDamaged {
        /// The file.
        path: PathBuf,
        /// Line and fault.
        fault: String,
    },
    /// A place that no segment of the tenant has: a defect of the caller.
    #[error("segment {segment} has no row {row}")]
    PlaceUnknown {
        /// Number of the segment.
        segment: u32,
        /// Row within it.
        row: u32,
    },
    /// The disk is full; nothing was acknowledged and the store stays usable.
    #[error("the disk is full ({0}); free some space and repeat the write")]
    Full(String),
    /// An earlier write could not be made durable, so that what the disk holds is uncertain.
    #[error("writes are refused until the server is restarted, since an earlier one failed: {0}")]
    Poisoned(String),
    /// Another process has changed the catalog, so that what this one holds in memory is not what the tenant is.
    #[error(
        "another process writes to its catalog ({0}): have one server on it alone, then restart this one"
    )]
    Overtaken(String),
    /// A named limit was exceeded.
    #[error("at most {max} {limit} are taken; {value} came")]
    Limit {
        /// What is limited.
        limit: &'static str,
        /// Its value.
        max: u64,
        /// What came.
        value: u64,
    },
    /// Rows that don't fit the tenant or each other: a defect of the caller.
    #[error("rows are refused: {0}")]
    Rows(String),
    /// A receipt that does not say what to look for.
    #[error("nothing can be looked for by this receipt: {0}")]
    Receipt(String),
    /// The write is not possible as the gallery stands.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An object store, or the cache in front of it, did not do what it was asked.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The operating system refused.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// `SQLite` refused.
    #[error("catalog.db: {0}")]
    Catalog(rusqlite::Error),
    /// The answer that is kept of an earlier request can't be read. The gallery is as it was.
    #[error(
        "the answer that is kept of this request can't be read ({0:?} error), as after a change of release; it is forgotten a day after it was given"
    )]
    StoredAnswer(serde_json::error::Category),
    /// Keys can't be had or kept.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A database that can't be reached, or not be relied on. Nothing was changed.
    #[error("the database {server} can't be used: {problem}")]
    Unreachable {
        /// Host, port and name.
        server: String,
        /// Why.
        problem: String,
    },
    /// A database refused. Nothing was changed.
    #[error("the database {server}: {problem}")]
    Database {
        /// Host, port and name.
        server: String,
        /// What it says, with its code.
        problem: String,
        /// Whether the same may succeed when it is done again.
        passing: bool,
    },
    /// The tables in a database are of another release.
    #[error(
        "the database {server} has tables of format {found}; this release takes {oldest} to {newest}: {way_out}{}",
        if found < oldest { " (`thenar migrate`)" } else { "" }
    )]
    TableFormat {
        /// Host, port and name.
        server: String,
        /// Their format; 0 where there are none.
        found: u32,
        /// The oldest that this release takes.
        oldest: u32,
        /// The newest.
        newest: u32,
        /// What to do.
        way_out: &'static str,
    },
    /// What a database keeps of a tenant is not what was written.
    #[error(
        "the catalog of tenant {tenant} in the database {server} is damaged: {fault}; restore it from a backup"
    )]
    CatalogDamaged {
        /// Host, port and name.
        server: String,
        /// The tenant.
        tenant: TenantId,
        /// Table, row and fault.
        fault: String,
    },
    /// The catalog's secret is not the one that it was made with.
    #[error(
        "the catalog of tenant {tenant} in the database {server} does not open with this key: the keyring is not the one it was created with"
    )]
    CatalogKey {
        /// Host, port and name.
        server: String,
        /// The tenant.
        tenant: TenantId,
    },
    /// A tenant was made anew since its files were.
    #[error("{} belongs to another incarnation of tenant {tenant} than the database {server} has", path.display())]
    Incarnation {
        /// Its files here.
        path: PathBuf,
        /// The tenant.
        tenant: TenantId,
        /// Host, port and name.
        server: String,
    },
    /// A data directory that has catalogs, where these are to be in a database.
    #[error(
        "{} has the catalog of tenant {tenant} in it, and the configuration names a database (catalog.address): take that out, or take a new data directory and import the palms into that",
        path.display()
    )]
    CatalogHere {
        /// The data directory.
        path: PathBuf,
        /// A tenant that has one.
        tenant: TenantId,
    },
    /// A data directory whose catalogs are in a database, for what needs them in files.
    #[error(
        "the catalogs of {} are in a PostgreSQL database, and this works on catalogs in files alone; nothing was looked at or changed. Back up the database, and this directory with its keyring after it, by their own means; the server checks each tenant when it starts. What a cluster has is verified and audited on a restored copy of its backup (`thenar data backup`)",
        .0.display()
    )]
    CatalogElsewhere(PathBuf),
    /// The same for a server that is not told which.
    #[error("the catalogs of {} are in a PostgreSQL database, and the configuration names none: set catalog.address", .0.display())]
    DatabaseUnnamed(PathBuf),
    /// A tenant whose segments are in an object store, for a server that is not told of one.
    #[error("the segments of {} are in an object store, and the configuration names none: set storage.objects.url", .0.display())]
    ObjectsUnnamed(PathBuf),
    /// A tenant whose segments are in another object store.
    #[error("{} names another object store than {store}: set storage.objects.url to the one that has the tenant's segments, or bring them there with all that is below its prefix", path.display())]
    OtherObjects {
        /// What names it.
        path: PathBuf,
        /// The one that is configured.
        store: String,
    },
    /// A tenant of which the database has rows, and this directory nothing.
    #[error(
        "the database {server} has tenant {tenant}, and {} has no directory of it: bring back its directory; nothing is known of its palms without",
        path.display()
    )]
    DirectoryMissing {
        /// The data directory.
        path: PathBuf,
        /// The tenant.
        tenant: TenantId,
        /// Host, port and name.
        server: String,
    },
    /// A tenant that has a directory and no rows.
    #[error(
        "tenant {tenant} has a directory, and the database {server} has no rows of it: bring back the database, or name the right one (catalog.address)"
    )]
    RowsMissing {
        /// The tenant.
        tenant: TenantId,
        /// Host, port and name.
        server: String,
    },
    /// A tenant whose making has begun in a database and not ended.
    #[error(
        "tenant {tenant} is being made in the database {server}, or a making of it was cut off: wait for whoever makes it, or drop it and make it again"
    )]
    InTheMaking {
        /// Host, port and name.
        server: String,
        /// The tenant.
        tenant: TenantId,
    },
    /// It may be done or not. Nothing in memory depends on it: the same request again is answered, or done.
    #[error("it can't be told whether this was done, so repeat the request: {0}")]
    Uncertain(String),
    /// The node was taken for gone.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// Another machine has begun an epoch whose key is not in memory. Nothing was changed; it is to be read, and the same done again.
    #[error("the key of epoch {0}, which pending rows are to be sealed with, has to be read first")]
    EpochUnread(u64),
    /// The keys of a tenant were rotated since its catalog was opened. Nothing was changed; it is to be opened anew.
    #[error("the keys of tenant {0} were rotated meanwhile, and nothing was changed: repeat the request")]
    KeysRotated(TenantId),
    /// Rows were flushed or purged by another node since they were read to be flushed. Nothing was changed.
    #[error("rows of tenant {0} that were to be flushed have moved on since they were read: read them anew")]
    RowsMoved(TenantId),
    /// The catalog knows a later course of this registration than the one that begins, or this very one by what it reported. Nothing was changed; the next one has a higher number.
    #[error("another course of this node through the gallery of tenant {0} stands: begin the next one")]
    CourseTaken(TenantId),
    /// Changes that a node has not applied are not in the feed any more. It begins anew.
    #[error(
        "the changes of tenant {tenant} after {after} are not in its feed any more, which ends with {sequence}: begin anew"
    )]
    FeedCut {
        /// The tenant.
        tenant: TenantId,
        /// The last one that was applied.
        after: u64,
        /// The last one.
        sequence: u64,
    },
    /// A list of segments can't change so. Nothing was changed.
    #[error(transparent)]
    List(#[from] ListError),
    /// Not done with a catalog in a database.
    #[error("{0} is not built for a catalog in a database")]
    NotBuilt(&'static str),
}

/// Why one write of a group was not done. It changed nothing; the others stand.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// No such subject, or it was erased since the request was first answered.
    #[error("the subject is unknown")]
    SubjectUnknown,
    /// The subject is not due to be erased.
    #[error("the subject is not due to be erased")]
    NotDue,
    /// An import brings a subject that is there already, or twice.
    #[error("subject {subject_id} exists already")]
    SubjectExists {
        /// The subject.
        subject_id: SubjectId,
    },
    /// An import brings a subject that was erased since it began.
    #[error("subject {subject_id} was erased since the import began; begin it anew")]
    SubjectErased {
        /// The subject.
        subject_id: SubjectId,
    },
    /// A link of somebody else.
    #[error("the {0:?} link belongs to another subject")]
    LinkTaken(LinkKind),
    /// The request id was used for something else before.
    #[error("the request id was used before for a different request")]
    RequestIdReused,
    /// The palm has as many references as it may have.
    #[error("the {hand:?} palm would have more than {max} references")]
    ReferencesFull {
        /// The hand.
        hand: Hand,
        /// The limit.
        max: usize,
    },
    /// A row is not of the tenant's dimension.
    #[error("a row has {found} bytes; the tenant's rows have {expected}")]
    RowLength {
        /// What came.
        found: usize,
        /// 2 bytes a coordinate.
        expected: usize,
    },
    /// An import did not bring as many rows as it announced.
    #[error("{found} rows came; {announced} were announced")]
    RowCount {
        /// What came.
        found: u64,
        /// What the header said.
        announced: u64,
    },
}

impl StorageError {
    /// Wraps an error of the operating system; a full disk is told apart.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(format!("{action} {}", path.display()))
            }
            _ => Self::Io {
                action,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// Whether an engine is away, or calls something off: the catalog is as it was, and the same may be asked again.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Database { .. })
            || matches!(self, Self::Object(error) if error.is_away())
            || matches!(self, Self::Keys(error) if error.is_away())
    }

    /// Whether what was asked for may be done all the same.
    pub(crate) fn may_be_done(&self) -> bool {
        matches!(self, Self::Poisoned(_) | Self::Uncertain(_))
    }

    /// Why a tenant can't be relocated, or discarded.
    pub(crate) fn relocation(tenant: &TenantId, problem: impl Into<String>) -> Self {
        Self::Relocation {
            tenant: tenant.clone(),
            problem: problem.into(),
        }
    }

    /// A file that is not what was written.
    pub(crate) fn damaged(path: &Path, fault: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            fault: fault.into(),
        }
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error().map(|error| error.extended_code) == Some(SQLITE_IOERR_DATA) {
            let fault = take_fault().map_or_else(|| error.to_string(), |fault| fault.to_string());
            return Self::damaged(Path::new("catalog.db"), fault);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full("write catalog.db".to_owned()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::damaged(Path::new("catalog.db"), error.to_string())
            }
            _ => Self::Catalog(error),
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
