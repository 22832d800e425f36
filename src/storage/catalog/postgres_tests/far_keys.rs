//! Keys of epochs that are far away: nobody waits for them who holds a lock, and nobody needs them who seals nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::keys::error::KeyError;
use crate::storage::cluster::{Cluster, SegmentObject, SharedCatalog};
use crate::storage::on_cluster::KEY_GENERATION;

/// Longer than a write takes on any machine.
const WAIT: Duration = Duration::from_mins(1);

/// Whatever is to happen while the store is asked.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// Keys in a store that takes its time.
struct Far {
    keys: Arc<EpochKeys>,
    /// The last epoch whose key is in memory.
    known: AtomicU64,
    is_away: AtomicBool,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Far {
    fn ask(&self) -> Result<(), KeyError> {
        if let Some(meanwhile) = self.meanwhile.lock().take() {
            meanwhile();
        }
        if self.is_away.load(Ordering::SeqCst) {
            return Err(KeyError::Store {
                path: self.path().to_owned(),
                problem: "it is far away".to_owned(),
                passing: true,
            });
        }
        Ok(())
    }
}

impl Epochs for Far {
    fn incarnation(&self) -> [u8; INCARNATION_LEN] {
        self.keys.incarnation()
    }

    fn path(&self) -> &Path {
        self.keys.path()
    }

    fn read(&self, epoch: u64) -> Result<Option<SecretKey>, KeyError> {
        if let Some(key) = self.known(epoch)? {
            return Ok(Some(key));
        }
        self.ask()?;
        self.known.fetch_max(epoch, Ordering::SeqCst);
        self.keys.read(epoch)
    }

    fn known(&self, epoch: u64) -> Result<Option<SecretKey>, KeyError> {
        if epoch > self.known.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.keys.read(epoch)
    }

    fn may_look_ahead(&self, _epoch: u64) -> bool {
        false
    }

    fn look_ahead(&self) -> Result<(), KeyError> {
        Ok(())
    }

    fn begin(&self, after: u64) -> Result<(u64, SecretKey), KeyError> {
        self.ask()?;
        let begun = self.keys.begin(after)?;
        self.known.fetch_max(begun.0, Ordering::SeqCst);
        Ok(begun)
    }

    fn end_before(&self, epoch: u64) -> Result<(), KeyError> {
        self.ask()?;
        self.keys.end_before(epoch)
    }
}

/// A node whose keys are far away, and another one that has them.
struct Two {
    kept: Kept,
    far: Arc<Far>,
    one: Arc<SharedCatalog>,
    other: SharedCatalog,
}

impl Two {
    fn new() -> Option<Self> {
        let kept = Kept::new()?;
        // One file, which one process has.
        let keys = Arc::new(kept.epochs());
        let far = Arc::new(Far {
            keys: Arc::clone(&keys),
            known: AtomicU64::new(1),
            is_away: AtomicBool::new(false),
            meanwhile: Mutex::default(),
        });
        let open = |number, epochs: Arc<dyn Epochs>| {
            let cluster = Cluster::new(&connect(&kept.address), 2).expect("there are tables");
            let standing = cluster.register(NodeId(number), 1, "here").expect("registered");
            cluster.advance(standing, Life::Serving).expect("it is new");
            let opened = cluster.open(
                standing,
                &id("acme"),
                &super::keys().secret,
                (KEY_GENERATION, epochs),
                signer(),
            );
            opened.expect("opened")
        };
        let (one, other) = (open(1, Arc::clone(&far) as _), open(2, keys as _));
        Some(Self {
            kept,
            far,
            one: Arc::new(one),
            other,
        })
    }
}

impl Two {
    /// Has another caller of the node record an event while the store is asked for keys the next time, and the store wait for that. Whether that was so.
    fn write_meanwhile(&self) -> Arc<AtomicBool> {
        let (done, outcome) = channel();
        let one = Arc::clone(&self.one);
        let waited = Arc::new(AtomicBool::new(false));
        let has_waited = Arc::clone(&waited);
        *self.far.meanwhile.lock() = Some(Box::new(move || {
            thread::spawn(move || done.send(write(&one, used("u1"))));
            let recorded = outcome.recv_timeout(WAIT).expect("it waits for nobody");
            recorded.expect("recorded");
            has_waited.store(true, Ordering::SeqCst);
        }));
        waited
    }
}

fn write(catalog: &SharedCatalog, write: Write) -> Result<(), StorageError> {
    let sealed = |object: &SegmentObject, row| Ok(format!("{}/{row}", object.ulid).into_bytes());
    let mut answers = catalog.commit(&[write], Timestamp::now(), &sealed)?;
    answers.remove(0).expect("it is possible");
    Ok(())
}

fn new(subject: &str) -> Write {
    Write::Enroll(enroll(&format!("enroll-{subject}"), subject, &[1]))
}

fn used(request: &str) -> Write {
    Write::Usage(usage(request, UsageKind::Identify, Some("s1")).into())
}

#[test]
fn an_event_needs_no_key_and_an_enrolment_that_lacks_its_key_changes_nothing() {
    let Some(two) = Two::new() else { return };
    write(&two.one, new("s1")).expect("written");
    assert!(two.other.forget_copies().expect("done"));
    two.far.is_away.store(true, Ordering::SeqCst);
    write(&two.one, used("u1")).expect("recorded");
    let refused = write(&two.one, new("s2")).expect_err("its key is far away");
    assert!(refused.is_away(), "{refused}");
    let counts = "SELECT refs || '/' || last_usage FROM tenant";
    assert_eq!(two.kept.sql(counts), "1/2");
    two.far.is_away.store(false, Ordering::SeqCst);
    write(&two.one, new("s2")).expect("written");
    assert_eq!(two.kept.sql(counts), "2/3");
}

#[test]
fn a_key_that_another_node_began_is_read_while_nothing_is_locked() {
    let Some(two) = Two::new() else { return };
    write(&two.one, new("s1")).expect("written");
    assert!(two.other.forget_copies().expect("done"));
    let waited = two.write_meanwhile();
    write(&two.one, new("s2")).expect("written");
    assert!(waited.load(Ordering::SeqCst));
}

#[test]
fn whoever_forgets_copies_holds_up_no_write() {
    let Some(two) = Two::new() else { return };
    write(&two.one, new("s1")).expect("written");
    let waited = two.write_meanwhile();
    assert!(two.one.forget_copies().expect("done"));
    assert!(waited.load(Ordering::SeqCst));
}
