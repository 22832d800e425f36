//! Tests of the file layer against `SQLite` itself: what it does in ordinary use works, and what was not written is not read.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::storage::catalog::connection::{create_writer, open_reader, open_writer};
use crate::storage::durable;
use crate::storage::testing::key;

thread_local! {
    /// Whether [`sync_catalog`] fails as a disk does.
    pub(in crate::storage::catalog) static SYNC_FAILS: Cell<bool> = const { Cell::new(false) };
}

/// A catalog with a table of its own.
struct Case {
    dir: TempDir,
    seal: Arc<PageSeal>,
    conn: Connection,
}

impl Case {
    fn new(sql: &str) -> Self {
        let dir = TempDir::new().expect("a folder");
        let seal = Arc::new(PageSeal::new(&key(1)));
        let path = dir.path().join("catalog.db");
        durable::create_file(&path).expect("made");
        let conn = create_writer(&path, &seal).expect("opened");
        let case = Self { dir, seal, conn };
        case.run(sql);
        case.checkpoint();
        case
    }

    fn run(&self, sql: &str) {
        self.conn.execute_batch(sql).expect("done");
    }

    fn checkpoint(&self) {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = self
            .conn
            .query_row(sql, [], |row| row.get(0))
            .expect("checkpointed");
        assert_eq!(busy, 0);
    }

    /// What a loss of power leaves: the files as they are, the log changed.
    fn crash(&self, change: impl FnOnce(&mut Vec<u8>)) -> (TempDir, PathBuf) {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("catalog.db");
        fs::copy(self.dir.path().join("catalog.db"), &path).expect("copied");
        let mut log = fs::read(self.dir.path().join("catalog.db-wal")).expect("readable");
        change(&mut log);
        fs::write(dir.path().join("catalog.db-wal"), log).expect("written");
        (dir, path)
    }

    fn open(&self, path: &Path) -> Connection {
        open_writer(path, &self.seal).expect("opened")
    }
}

fn text(conn: &Connection, sql: &str) -> rusqlite::Result<String> {
    conn.query_row(sql, [], |row| row.get(0))
}

#[test]
fn rows_longer_than_a_page_are_read_and_their_pages_checked() {
    let case = Case::new("CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB);");
    let lens: [usize; 6] = [4_000, 4_124, 5_000, 8_000, 12_000, 20_000];
    for len in lens {
        case.conn
            .execute(
                "INSERT INTO t VALUES (?1, ?2)",
                rusqlite::params![i64::try_from(len).expect("small"), vec![7_u8; len]],
            )
            .expect("inserted");
    }
    case.checkpoint();
    let path = case.dir.path().join("catalog.db");
    let read = |len: usize| {
        let conn = open_reader(&path, &case.seal).expect("opened");
        let id = i64::try_from(len).expect("small");
        conn.query_row("SELECT b FROM t WHERE id = ?", [id], |row| {
            row.get::<_, Vec<u8>>(0)
        })
    };
    for len in lens {
        assert_eq!(read(len).expect("readable"), vec![7; len]);
    }
    // Every page of sevens is one that a row goes on in.
    let whole = fs::read(&path).expect("readable");
    let mut pages = whole.chunks(PAGE_LEN).enumerate();
    let page = pages.rfind(|(_, page)| page[4..100].iter().all(|byte| *byte == 7));
    let (page, _) = page.expect("the longest row fills pages");
    let mut forged = whole.clone();
    forged[page * PAGE_LEN + 4] = 8;
    fs::write(&path, forged).expect("written");
    let damaged = lens.into_iter().filter(|len| read(*len).is_err()).count();
    assert_eq!(damaged, 1, "one row goes on there");
}

#[test]
fn a_commit_that_lost_its_last_sector_did_not_happen() {
    // The page at the end of the log is zeros up to its digest, as SQLite's own checksum has it.
    let case = Case::new("CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB); INSERT INTO t VALUES (1, 'x');");
    case.run("INSERT INTO t VALUES (2, zeroblob(6000));");
    for lost in [32, 512, 700] {
        let (_dir, path) = case.crash(|log| {
            let from = log.len() - lost;
            assert!(
                log[from..log.len() - RESERVED_LEN].iter().all(|byte| *byte == 0),
                "a tail of zeros"
            );
            log[from..].fill(0);
        });
        let conn = case.open(&path);
        assert_eq!(
            text(&conn, "SELECT group_concat(id) FROM t").expect("readable"),
            "1"
        );
        let busy: i64 = conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .expect("checkpointed");
        assert_eq!(busy, 0);
        conn.execute_batch("INSERT INTO t VALUES (3, 'y')")
            .expect("goes on");
    }
}

#[test]
fn a_frame_says_which_page_it_is() {
    let case = Case::new(
        "CREATE TABLE good(id INTEGER PRIMARY KEY, b TEXT); CREATE TABLE bad(id INTEGER PRIMARY KEY, b TEXT);",
    );
    case.run(
        "BEGIN; INSERT INTO good VALUES (1, 'allowed'); INSERT INTO bad VALUES (1, 'forbidden'); COMMIT",
    );
    let (_dir, path) = case.crash(|log| {
        let frames = (log.len() - LOG_HEADER_LEN) / FRAME_LEN;
        let at = |frame: usize| LOG_HEADER_LEN + frame * FRAME_LEN;
        let number = |log: &[u8], frame: usize| log[at(frame)..][..4].to_vec();
        let (first, second) = (number(log, frames - 2), number(log, frames - 1));
        assert_ne!(first, second);
        log[at(frames - 2)..][..4].copy_from_slice(&second);
        log[at(frames - 1)..][..4].copy_from_slice(&first);
        mend_checksums(log);
    });
    let conn = case.open(&path);
    assert_eq!(
        text(&conn, "SELECT count(*) || '' FROM good").expect("readable"),
        "0"
    );
    assert_eq!(
        text(&conn, "SELECT count(*) || '' FROM bad").expect("readable"),
        "0"
    );
    let (_dir, path) = case.crash(|log| mend_checksums(log));
    let conn = case.open(&path);
    assert_eq!(
        text(&conn, "SELECT b FROM good").expect("mended as SQLite does"),
        "allowed"
    );
}

/// Makes the checksums of all frames anew, as anybody can: <https://sqlite.org/fileformat2.html#wal_format>.
fn mend_checksums(log: &mut [u8]) {
    let is_big = log[3] & 1 == 1;
    let be = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four"));
    let word = |bytes: &[u8]| if is_big { be(bytes) } else { be(bytes).swap_bytes() };
    let mut sums = [be(&log[24..28]), be(&log[28..32])];
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks_exact(8) {
            sums[0] = sums[0].wrapping_add(word(&pair[..4])).wrapping_add(sums[1]);
            sums[1] = sums[1].wrapping_add(word(&pair[4..])).wrapping_add(sums[0]);
        }
        sums
    };
    for frame in log[LOG_HEADER_LEN..].chunks_exact_mut(FRAME_LEN) {
        add(&frame[..8]);
        let mut page = frame[FRAME_HEADER_LEN..].to_vec();
        page[PAGE_LEN - RESERVED_LEN..].fill(0);
        let sums = add(&page);
        frame[16..20].copy_from_slice(&sums[0].to_be_bytes());
        frame[20..24].copy_from_slice(&sums[1].to_be_bytes());
    }
}

#[test]
fn a_transaction_that_outgrows_the_cache_and_goes_back_to_its_pages_is_read() {
    let case = Case::new("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE, n INTEGER);");
    // Four pages of cache: pages are logged before the commit, and logged again in the same place when they change again.
    case.run("PRAGMA cache_size = 4; BEGIN;");
    let of = |id: u64| format!("name-{}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for id in 0..3_000 {
        let sql = "INSERT INTO t VALUES (?, ?, 0)";
        case.conn
            .execute(sql, rusqlite::params![i64::try_from(id).expect("small"), of(id)])
            .expect("inserted");
    }
    case.run("UPDATE t SET n = n + 1; UPDATE t SET n = n + 1; COMMIT;");
    let sound = |conn: &Connection| {
        assert_eq!(text(conn, "PRAGMA integrity_check").expect("readable"), "ok");
        assert_eq!(
            text(conn, "SELECT sum(n) || '' FROM t").expect("readable"),
            "6000"
        );
        for id in (0..3_000).step_by(100) {
            let sql = format!("SELECT id || '' FROM t WHERE name = '{}'", of(id));
            assert_eq!(text(conn, &sql).expect("readable"), id.to_string());
        }
    };
    sound(&case.conn);
    let (_dir, path) = case.crash(|_| ());
    sound(&case.open(&path));
    case.checkpoint();
    sound(&case.conn);
    sound(&open_reader(&case.dir.path().join("catalog.db"), &case.seal).expect("opened"));
}

#[test]
fn pages_of_another_length_are_not_read_whoever_wrote_them() {
    let seal = Arc::new(PageSeal::new(&key(1)));
    for len in [512, 2_048, 8_192] {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("catalog.db");
        let plain = Connection::open(&path).expect("made");
        let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
            INSERT INTO t SELECT i, 'forged' FROM n;";
        let made = plain.execute_batch(&format!(
            "PRAGMA page_size = {len}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); {rows}"
        ));
        made.expect("done");
        // As a crash leaves it, a copy for each who opens it: all of it is in the log, and of the catalog no more is left than what is read before its first page.
        let header = usize::try_from(HEADER_LEN).expect("small");
        let mut catalog = fs::read(&path).expect("readable");
        catalog.get_mut(header..).expect("longer").fill(0xff);
        catalog.resize(catalog.len().max(PAGE_LEN), 0xff);
        let crash = || {
            let crashed = TempDir::new().expect("a folder");
            let copy = crashed.path().join("catalog.db");
            fs::write(&copy, &catalog).expect("written");
            let log = crashed.path().join("catalog.db-wal");
            fs::copy(dir.path().join("catalog.db-wal"), log).expect("copied");
            (crashed, copy)
        };
        let counted = "SELECT count(*) || '' FROM t WHERE a = 'forged'";
        let (_itself, copy) = crash();
        let believed = text(&Connection::open(&copy).expect("opened"), counted);
        assert_eq!(believed.expect("SQLite itself believes it"), "200");
        for open in [open_reader, open_writer] {
            let (_folder, copy) = crash();
            let read = open(&copy, &seal).and_then(|conn| Ok(text(&conn, counted)?));
            assert!(read.is_err(), "pages of {len} bytes: {read:?}");
        }
    }
}

#[test]
fn without_its_seal_nothing_is_read_or_written() {
    let case = Case::new("CREATE TABLE t(id INTEGER PRIMARY KEY);");
    let path = case.dir.path().join("catalog.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let conn =
        Connection::open_with_flags_and_vfs(&path, flags, NAME).expect("a file is opened before it is read");
    assert!(text(&conn, "SELECT count(*) || '' FROM t").is_err());
    assert!(
        conn.execute_batch("CREATE TABLE u(id INTEGER PRIMARY KEY);")
            .is_err()
    );
    let other = Arc::new(PageSeal::new(&key(2)));
    assert!(open_writer(&path, &other).is_err());
}
