//! The chain over the history (docs/format.md): a salted commitment an event, a head over all of them, signed checkpoints. Judges nothing.
//!
//! An event's commitment is made when it is recorded. Heads follow from commitments, so that they are computed where one is asked for: when a
//! checkpoint is made, from the one before on, and from the beginning when somebody audits. An erasure takes event and salt, and leaves number and commitment.

use aws_lc_rs::{digest, rand};
use rusqlite::{Connection, Row, params};

use super::code::{int, uint};
use super::state::State;
use crate::keys::encoding::to_hex;
use crate::keys::receipt::ReceiptSigner;
use crate::model::checkpoint::{ChainStart, Checkpoint, SignedCheckpoint};
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;

/// Events after which a checkpoint is made with the transaction that records them.
const CHECKPOINT_EVENTS: u64 = 1_024;
/// Events that get their commitments at a time when a chain begins.
const BEGIN_EVENTS: u64 = 4_096;
/// Without it a commitment could be tried against what an event may have been.
const SALT_LEN: usize = 16;
/// Stand before what is hashed.
const EVENT_DOMAIN: &[u8] = b"thenar event 1";
const HEAD_DOMAIN: &[u8] = b"thenar history 1";

/// SHA-256.
pub(in crate::storage) type Digest = [u8; 32];
/// Random bytes of one event, gone with it.
pub(in crate::storage) type Salt = [u8; SALT_LEN];

/// An event as it is committed to: numbers and texts of its row, and its subject's id.
pub(in crate::storage) struct Event<'a> {
    /// Its number.
    pub(in crate::storage) number: u64,
    /// Microseconds since 1970.
    pub(in crate::storage) at: i64,
    /// Code of its kind.
    pub(in crate::storage) kind: i64,
    /// Code of its outcome.
    pub(in crate::storage) outcome: i64,
    /// Who.
    pub(in crate::storage) subject: Option<&'a str>,
    /// Where.
    pub(in crate::storage) site: Option<&'a str>,
    /// Who asked.
    pub(in crate::storage) principal: &'a str,
    /// The request.
    pub(in crate::storage) request: &'a str,
}

impl<'a> Event<'a> {
    /// The columns of [`EVENT_COLUMNS`].
    pub(in crate::storage) fn read(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        let text = |column: usize| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str_or_null()?);
        Ok(Self {
            number: uint(row, 0)?,
            at: row.get(1)?,
            kind: row.get(2)?,
            outcome: row.get(3)?,
            subject: text(4)?,
            site: text(5)?,
            principal: row.get_ref(6)?.as_str()?,
            request: row.get_ref(7)?.as_str()?,
        })
    }

    /// What stays when the event goes. No id or name is empty, so that an empty one stands for none.
    pub(in crate::storage) fn commitment(&self, tenant: &TenantId, salt: &Salt) -> Digest {
        hash(&[
            EVENT_DOMAIN,
            salt,
            tenant.as_str().as_bytes(),
            &self.number.to_le_bytes(),
            &self.at.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &self.outcome.to_le_bytes(),
            self.subject.unwrap_or_default().as_bytes(),
            self.site.unwrap_or_default().as_bytes(),
            self.principal.as_bytes(),
            self.request.as_bytes(),
        ])
    }
}

/// The columns of an event `u` and its subject `s`.
pub(in crate::storage) const EVENT_COLUMNS: &str =
    "u.id, u.at, u.kind, u.outcome, s.subject_id, u.site, u.principal, u.request_id";

/// A new salt.
pub(in crate::storage) fn salt() -> Salt {
    let mut salt = [0; SALT_LEN];
    rand::fill(&mut salt).expect("the operating system's generator answers");
    salt
}

/// The head after an event.
pub(in crate::storage) fn next_head(head: &Digest, number: u64, commitment: &Digest) -> Digest {
    hash(&[HEAD_DOMAIN, head, &number.to_le_bytes(), commitment])
}

/// SHA-256 of parts, each preceded by its length (u64).
fn hash(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    context
        .finish()
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// Where the chain begins, and how far heads were computed.
pub(in crate::storage) struct Chain {
    /// Where it begins.
    pub(in crate::storage) since: ChainStart,
    /// Events that erasures removed since.
    pub(in crate::storage) erased: u64,
    /// The last event that the head is over; 0 before the first.
    pub(in crate::storage) event: u64,
    /// The head there.
    pub(in crate::storage) head: Digest,
}

impl Chain {
    /// As the catalog has it.
    pub(in crate::storage) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let select = "SELECT since_event, since_erasure, erased, event, head FROM chain";
        conn.prepare_cached(select)?.query_row([], |row| {
            Ok(Self {
                since: ChainStart {
                    event: uint(row, 0)?,
                    erasure: uint(row, 1)?,
                },
                erased: uint(row, 2)?,
                event: uint(row, 3)?,
                head: row.get(4)?,
            })
        })
    }

    fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        let update = "UPDATE chain SET since_event = ?, since_erasure = ?, erased = ?, event = ?, head = ?";
        conn.prepare_cached(update)?.execute(params![
            int(self.since.event),
            int(self.since.erasure),
            int(self.erased),
            int(self.event),
            self.head,
        ])?;
        Ok(())
    }

    /// Computes the head of the last event.
    fn advance(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let select = "SELECT id, commitment FROM usage WHERE id > ?1
            UNION ALL SELECT id, commitment FROM usage_erased WHERE id > ?1 ORDER BY id";
        let mut statement = conn.prepare_cached(select)?;
        let mut rows = statement.query([int(self.event)])?;
        while let Some(row) = rows.next()? {
            self.event = uint(row, 0)?;
            // One of another length is none that was ever made: an audit tells of it, and nothing else stops for it.
            self.head = next_head(&self.head, self.event, &row.get(1).unwrap_or_default());
        }
        Ok(())
    }
}

/// Begins the chain of a catalog that had none, with the events that are there.
pub(in crate::storage) fn begin(conn: &Connection, tenant: &TenantId) -> rusqlite::Result<()> {
    let state = State::load(conn)?;
    let mut update = conn.prepare("UPDATE usage SET salt = ?, commitment = ? WHERE id = ?")?;
    let mut select = conn.prepare(&format!(
        "SELECT {EVENT_COLUMNS} FROM usage u LEFT JOIN subject s ON s.handle = u.subject
         WHERE u.id > ? ORDER BY u.id LIMIT ?"
    ))?;
    let mut last = 0;
    loop {
        let mut committed = Vec::new();
        let mut rows = select.query([int(last), int(BEGIN_EVENTS)])?;
        while let Some(row) = rows.next()? {
            let (event, salt) = (Event::read(row)?, salt());
            last = event.number;
            committed.push((last, salt, event.commitment(tenant, &salt)));
        }
        if committed.is_empty() {
            break;
        }
        for (number, salt, commitment) in committed {
            update.execute(params![salt, commitment, int(number)])?;
        }
    }
    let mut chain = Chain::load(conn)?;
    chain.since = ChainStart {
        event: state.last_usage,
        erasure: state.last_erasure,
    };
    // The checkpoint of the start that follows is over all of them.
    chain.save(conn)
}

/// Events that an erasure took.
pub(in crate::storage) struct Forgotten {
    /// All of them.
    pub(in crate::storage) events: u64,
    /// Those that did not fit their commitments. Afterwards nobody could tell.
    pub(in crate::storage) altered: u64,
}

/// Takes the events of a subject, and leaves of each its number and its commitment, and not whose they were.
pub(in crate::storage) fn forget(
    conn: &Connection,
    tenant: &TenantId,
    subject: u64,
) -> rusqlite::Result<Forgotten> {
    let run = |sql: &str, value: u64| conn.prepare_cached(sql)?.execute([int(value)]);
    let altered = altered(conn, tenant, subject)?;
    let keep = "INSERT INTO usage_erased (id, commitment) SELECT id, commitment FROM usage WHERE subject = ?";
    let events = run(keep, subject)? as u64;
    run("DELETE FROM usage WHERE subject = ?", subject)?;
    run("UPDATE chain SET erased = erased + ?", events)?;
    Ok(Forgotten { events, altered })
}

/// Counts the events of a subject that don't fit their commitments.
fn altered(conn: &Connection, tenant: &TenantId, subject: u64) -> rusqlite::Result<u64> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {EVENT_COLUMNS}, u.commitment, u.salt FROM usage u JOIN subject s ON s.handle = u.subject WHERE u.subject = ?"
    ))?;
    let mut rows = statement.query([int(subject)])?;
    let mut altered = 0;
    while let Some(row) = rows.next()? {
        altered += u64::from(!fits(row, tenant));
    }
    Ok(altered)
}

/// Whether the event of [`EVENT_COLUMNS`] fits the commitment and the salt in the next two columns.
pub(in crate::storage) fn fits(row: &Row<'_>, tenant: &TenantId) -> bool {
    let made = row
        .get(9)
        .and_then(|salt| Ok(Event::read(row)?.commitment(tenant, &salt)));
    // A commitment of another length is none that was ever made.
    matches!((made, row.get::<_, Digest>(8)), (Ok(made), Ok(kept)) if made == kept)
}

/// Whether there are events that no head was computed over.
pub(in crate::storage) fn is_ahead(conn: &Connection) -> rusqlite::Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM usage WHERE id > event)
        OR EXISTS (SELECT 1 FROM usage_erased WHERE usage_erased.id > event) FROM chain";
    conn.prepare_cached(select)?.query_row([], |row| row.get(0))
}

/// Makes a checkpoint where one is due, given the last event before this transaction.
pub(in crate::storage) fn checkpoint_if_due(
    conn: &Connection,
    state: &State,
    (spec, signer): (&TenantSpec, &ReceiptSigner),
    last_before: u64,
) -> rusqlite::Result<()> {
    if state.last_usage / CHECKPOINT_EVENTS > last_before / CHECKPOINT_EVENTS {
        checkpoint(conn, state, (spec, signer))?;
    }
    Ok(())
}

/// Makes a checkpoint of the history as it is within this transaction, and keeps it where there are events that no other one has.
pub(in crate::storage) fn checkpoint(
    conn: &Connection,
    state: &State,
    (spec, signer): (&TenantSpec, &ReceiptSigner),
) -> rusqlite::Result<SignedCheckpoint> {
    let mut chain = Chain::load(conn)?;
    let last_before = chain.event;
    chain.advance(conn)?;
    let signed = signer.sign_checkpoint(&Checkpoint {
        tenant: spec.id.clone(),
        created_at: spec.created_at,
        at: Timestamp::now(),
        event: chain.event,
        head: to_hex(&chain.head),
        erasures: state.last_erasure,
        events_erased: chain.erased,
        since: chain.since,
    });
    if chain.event > last_before {
        chain.save(conn)?;
        let insert = "INSERT INTO checkpoint (checkpoint, signature, public_key) VALUES (?, ?, ?)";
        conn.prepare_cached(insert)?.execute(params![
            signed.checkpoint_json,
            signed.signature,
            signed.public_key
        ])?;
    }
    Ok(signed)
}

/// Every checkpoint that is kept, with its number, in the order in which they were made.
pub(in crate::storage) fn checkpoints(conn: &Connection) -> rusqlite::Result<Vec<(u64, SignedCheckpoint)>> {
    conn.prepare("SELECT id, checkpoint, signature, public_key FROM checkpoint ORDER BY id")?
        .query_map([], |row| {
            let signed = SignedCheckpoint {
                checkpoint_json: row.get(1)?,
                signature: row.get(2)?,
                public_key: row.get(3)?,
            };
            Ok((uint(row, 0)?, signed))
        })?
        .collect()
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
