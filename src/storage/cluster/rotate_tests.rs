//! Tests of rotations of a tenant that the nodes of a cluster share: the same rows under the next keys, whatever is written meanwhile, and nothing under the former ones.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::cluster::course::Reference;
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::keys::epochs::EpochKeys;
use crate::keys::secret::SecretKey;
use crate::model::signature::Dimension;
use crate::model::tenant::TransformId;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::segments::Located;
use crate::storage::cluster::Cluster;
use crate::storage::database::testing::connect;
use crate::storage::error::WriteError;
use crate::storage::objects::Objects;
use crate::storage::objects::key::{Home, ObjectKey};
use crate::storage::objects::testing::cache_config;
use crate::storage::objects::text::epochs_text;
use crate::storage::on_cluster::KEY_GENERATION;
use crate::storage::place::RowPlanes;
use crate::storage::relocate::tests::stopped::Stopped;
use crate::storage::testing::{DIM, encode, enroll, enrolled, erase, erased, id, key, keys, rows, signer};
use crate::storage::write::{Committed, SubjectKey, Write};

#[path = "rotate_tests/unlisted.rs"]
mod unlisted;

/// Seeds of the data keys of the first generations.
const KEY_SEEDS: [u8; 3] = [1, 31, 32];

/// A tenant with segments, holes, tombstones and pending rows, and the nodes that share it.
struct World {
    stopped: Stopped,
    segments: Segments,
    nodes: AtomicU32,
}

/// The tenant as a node has it, by the keys of a generation.
struct Node {
    catalog: SharedCatalog,
    keys: SegmentKeys,
}

impl World {
    /// `None` where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        let stopped = Stopped::new()?;
        stopped.relocate().expect("relocated");
        let cache = cache_config(&stopped.tmp.path().join("node"), 1 << 20);
        let objects = Objects::of(stopped.yard.store.clone(), &cache).expect("opened");
        let segments = Segments::open(&objects, stopped.tmp.path().join("staging")).expect("opened");
        Some(Self {
            stopped,
            segments,
            nodes: AtomicU32::new(0),
        })
    }

    fn data_key(generation: u32) -> SecretKey {
        key(KEY_SEEDS[generation as usize - 1])
    }

    fn keys(&self, generation: u32) -> SegmentKeys {
        SegmentKeys {
            home: Home::of(&id("acme"), &self.stopped.incarnation()),
            generation,
            dimension: Dimension::new(DIM).expect("valid"),
            data_key: Self::data_key(generation),
        }
    }

    fn epochs(&self, generation: u32) -> Arc<EpochKeys> {
        let incarnation = self.stopped.incarnation();
        let text = Arc::new(epochs_text(
            &self.stopped.yard.store,
            &id("acme"),
            &incarnation,
            generation,
        ));
        let data_key = Self::data_key(generation);
        let made = EpochKeys::create_in(Arc::clone(&text) as _, &data_key, incarnation);
        Arc::new(
            made.or_else(|_| EpochKeys::open_in(text, &data_key))
                .expect("there"),
        )
    }

    /// As another node each time.
    fn open(&self, generation: u32) -> Result<Node, StorageError> {
        let cluster = Cluster::new(&connect(&self.stopped.address), 2)?;
        let number = 10 + u128::from(self.nodes.fetch_add(1, Ordering::Relaxed));
        let standing = cluster.register(NodeId(number), 1, "here")?;
        cluster.advance(standing, Life::Serving)?;
        let epochs = (generation, self.epochs(generation) as Arc<dyn Epochs>);
        Ok(Node {
            catalog: cluster.open(standing, &id("acme"), &keys().secret, epochs, signer())?,
            keys: self.keys(generation),
        })
    }

    fn next(&self, generation: u32, convert: Option<Arc<dyn Convert>>) -> Next {
        Next {
            keys: self.keys(generation),
            epochs: self.epochs(generation),
            convert,
        }
    }

    /// Of whose copies it is known what became of them.
    fn rotate(
        &self,
        node: &Node,
        next: &Next,
        goes_on: &dyn Fn() -> Result<(), StorageError>,
    ) -> Result<bool, StorageError> {
        let asks = Asks {
            goes_on,
            in_doubt: &|ulid| panic!("{ulid} is listed, or it is not"),
        };
        rotate(&node.catalog, &self.segments, (&node.keys, next), &asks)
    }

    /// Every row that counts.
    fn rows(&self, node: &Node) -> Rows {
        let references: Vec<u64> = (1..=200).collect();
        let located = node.catalog.reader().locate(&references).expect("read");
        let objects = node.catalog.all_objects().expect("read");
        let found = references
            .into_iter()
            .zip(located)
            .filter_map(|(reference, located)| {
                let (place, exact) = match located? {
                    Located::Pending(row) => (None, row.exact.to_vec()),
                    Located::Placed { segment, row } => {
                        let read = self
                            .segments
                            .exact(&node.keys, &objects[&segment], &[row])
                            .expect("read");
                        let row_of = read[0].as_ref().expect("it is there");
                        assert_eq!(row_of.id.reference, reference);
                        (Some((segment, row)), row_of.exact.to_vec())
                    }
                };
                Some((reference, (place, exact)))
            });
        found.collect()
    }

    /// Files in the store, of a generation.
    fn files(&self, generation: u32) -> usize {
        let home = Home::of(&id("acme"), &self.stopped.incarnation());
        let listed = self.stopped.yard.store.list(&home).expect("listed");
        listed
            .iter()
            .filter(|info| info.key.generation == generation)
            .count()
    }

    /// Destroys what nobody lists, as a purge does.
    fn purge(&self, node: &Node) {
        let unlisted = node.catalog.unlisted().expect("read");
        self.segments
            .destroy(&node.keys.home, &unlisted)
            .expect("destroyed");
        let ulids: Vec<Ulid> = unlisted.into_iter().map(|(ulid, _)| ulid).collect();
        node.catalog.removed(&ulids).expect("noted");
    }

    fn write(&self, node: &Node, write: Write) -> Result<Result<Committed, WriteError>, StorageError> {
        let sealed = |object: &SegmentObject, row| self.segments.sealed(&node.keys, object, row);
        let mut answers = node.catalog.commit(&[write], Timestamp::now(), &sealed)?;
        Ok(answers.remove(0))
    }

    fn enroll(&self, node: &Node, subject: &str, seed: u64) {
        let write = Write::Enroll(enroll(&format!("enroll-{subject}"), subject, &[seed]));
        enrolled(self.write(node, write).expect("committed"));
    }
}

/// Nobody stops it.
const ON: fn() -> Result<(), StorageError> = || Ok(());

/// By reference: segment and row, if it is in one, and coordinates.
type Rows = BTreeMap<u64, (Option<(u32, u32)>, Vec<u8>)>;

/// Turns each byte around; codes are those of the fixture.
struct Around(TransformId);

impl Convert for Around {
    fn transform(&self) -> &TransformId {
        &self.0
    }

    fn exact(&self, exact: &mut [u8]) {
        for byte in exact.iter_mut().filter(|byte| **byte != 0) {
            *byte = byte.reverse_bits();
        }
    }

    fn planes(&self, exact: &[u8]) -> RowPlanes {
        encode(exact, exact.len() / (2 * DIM))
    }
}

#[test]
fn rows_are_where_they_were_and_open_by_the_next_keys_alone() {
    let Some(world) = World::new() else { return };
    let node = world.open(KEY_GENERATION).expect("opened");
    erased(world.write(&node, erase("erase-s6", "s6")).expect("committed"));
    let before = world.rows(&node);
    assert!(
        before.values().any(|(place, _)| place.is_none()),
        "some are pending"
    );
    let (segments, tombstones) = (
        node.catalog.all_objects().expect("read"),
        node.catalog.reader().tombstones().expect("read"),
    );
    assert!(segments.len() > 1 && !tombstones.is_empty());
    let files = world.files(1);
    assert!(world.rotate(&node, &world.next(2, None), &ON).expect("rotated"));
    assert_eq!((world.files(1), world.files(2)), (files, segments.len()));
    // Nothing is written by who has the former keys, and nobody opens it by these.
    let late = world.write(&node, Write::Enroll(enroll("late", "late", &[150])));
    assert!(matches!(late, Err(StorageError::KeysRotated(_))), "{late:?}");
    let late = world.rotate(&node, &world.next(2, None), &ON).expect("told");
    assert!(!late, "it was done before");
    assert!(matches!(world.open(1), Err(StorageError::KeysRotated(_))));
    let next = world.open(2).expect("opened");
    assert_eq!(world.rows(&next), before);
    assert_eq!(next.catalog.reader().tombstones().expect("read"), tombstones);
    let former: BTreeSet<(Ulid, u32)> = segments.values().map(|object| (object.ulid, 1)).collect();
    let unlisted = next
        .catalog
        .unlisted()
        .expect("read")
        .into_iter()
        .collect::<BTreeSet<_>>();
    assert_eq!(unlisted, former);
    world.purge(&next);
    assert_eq!((world.files(1), world.files(2)), (0, segments.len()));
    // It goes on as before: who is erased has a receipt, and another rotation comes.
    world.enroll(&next, "later", 151);
    let (answer, _) = erased(world.write(&next, erase("erase-later", "s5")).expect("committed"));
    assert!(answer.erasure > 0);
    assert!(world.rotate(&next, &world.next(3, None), &ON).expect("rotated"));
    let third = world.open(3).expect("opened");
    assert_eq!(world.rows(&third).len(), before.len(), "one came and one went");
    assert!(
        third
            .catalog
            .subject(&SubjectKey::Id(id("later")))
            .expect("read")
            .is_some()
    );
    assert!(
        third
            .catalog
            .subject(&SubjectKey::Id(id("s5")))
            .expect("read")
            .is_none()
    );
}

#[test]
fn rows_are_converted_once_wherever_they_are() {
    let Some(world) = World::new() else { return };
    let node = world.open(KEY_GENERATION).expect("opened");
    let before = world.rows(&node);
    let to = TransformId {
        version: 2,
        digest: [8; 32],
    };
    let around = Around(to.clone());
    let next = world.next(2, Some(Arc::new(Around(to.clone()))));
    assert!(world.rotate(&node, &next, &ON).expect("rotated"));
    let node = world.open(2).expect("opened");
    let after = world.rows(&node);
    assert!(before.keys().eq(after.keys()));
    for (reference, (place, exact)) in &before {
        let mut expected = exact.clone();
        around.exact(&mut expected);
        assert_ne!(expected, *exact);
        assert_eq!(after[reference], (*place, expected), "{reference}");
    }
    assert_eq!(node.catalog.spec().expect("read").transform, to);
    // Codes are those of the converted rows, and holes have none.
    for object in node.catalog.all_objects().expect("read").values() {
        let file = world.segments.fetch(&node.keys, object).expect("there");
        let all: Vec<u32> = (0..object.rows).collect();
        let rows = file.rows(&all).expect("read");
        let holes = rows.iter().filter(|row| row.is_none()).count();
        assert_eq!(holes, object.holes as usize);
        let exact = rows
            .iter()
            .flat_map(|row| row.as_ref().map_or(vec![0; 2 * DIM], |row| row.exact.to_vec()));
        let exact: Vec<u8> = exact.collect();
        let planes = super::super::segments::planes(&file).expect("read");
        assert_eq!(planes.sign, encode(&exact, rows.len()).sign);
    }
}

#[test]
fn what_is_written_meanwhile_is_rotated_as_well() {
    let Some(world) = World::new() else { return };
    let node = world.open(KEY_GENERATION).expect("opened");
    erased(world.write(&node, erase("erase-s6", "s6")).expect("committed"));
    let other = world.stopped.shared();
    let (asked, expected) = (Cell::new(0), RefCell::new(None));
    let goes_on = || {
        asked.set(asked.get() + 1);
        match asked.get() {
            1 => {
                // A segment comes, of which somebody is erased since.
                let fresh = other.load_fresh(None).expect("read").1;
                let ids: Vec<_> = fresh.iter().map(|row| row.id).collect();
                let object = world
                    .segments
                    .put(&node.keys, &rows(&ids), |ulid| other.intend(ulid))
                    .expect("put");
                other.warm(object, &ids).expect("listed");
            }
            2 => world.enroll(&node, "meanwhile", 160),
            3 => {
                // Another one is written anew without who is erased.
                let buried = other.buried().expect("read");
                let number = *buried.first().expect("somebody was erased");
                let listed = other.load_segment(number).expect("read").1.expect("there");
                let gone: BTreeMap<u32, Reference> = listed.dead.clone();
                let object = world
                    .segments
                    .rewrite(&node.keys, &listed.object, &gone, |ulid| other.intend(ulid))
                    .expect("written");
                other
                    .replace(number, listed.object.ulid, object, &gone)
                    .expect("listed");
                assert!(other.forget_copies().expect("another epoch begins"));
                *expected.borrow_mut() = Some(world.rows(&node));
            }
            _ => {}
        }
        Ok(())
    };
    let segments = node.catalog.all_objects().expect("read").len();
    assert!(segments >= 3, "three are copied at first");
    assert!(
        world
            .rotate(&node, &world.next(2, None), &goes_on)
            .expect("rotated")
    );
    assert!(asked.get() > segments, "what came is copied, too");
    let next = world.open(2).expect("opened");
    assert_eq!(Some(world.rows(&next)), expected.into_inner());
    assert_eq!(next.catalog.all_objects().expect("read").len(), segments + 1);
    // The copy that nobody needs any more is gone, and the segment that came goes live.
    assert_eq!(world.files(2), segments + 1);
    world.purge(&next);
    assert_eq!(world.files(1), 0);
}

#[test]
fn a_rotation_that_is_cut_off_changes_nothing_and_is_done_again() {
    let Some(world) = World::new() else { return };
    let node = world.open(KEY_GENERATION).expect("opened");
    let before = world.rows(&node);
    let asked = Cell::new(0);
    let stops = || {
        asked.set(asked.get() + 1);
        if asked.get() < 3 {
            return Ok(());
        }
        Err(StorageError::Rotation {
            tenant: id("acme"),
            problem: "it stops",
        })
    };
    let refused = world.rotate(&node, &world.next(2, None), &stops);
    assert!(
        matches!(refused, Err(StorageError::Rotation { .. })),
        "{refused:?}"
    );
    assert_eq!(world.files(2), 0, "what was copied is gone");
    assert_eq!(world.rows(&node), before);
    world.enroll(&node, "between", 170);
    assert!(world.rotate(&node, &world.next(2, None), &ON).expect("rotated"));
    let next = world.open(2).expect("opened");
    assert_eq!(world.rows(&next).len(), before.len() + 1);
}

#[test]
fn copies_of_which_nobody_knows_whether_they_are_listed_are_left_to_whoever_asks_again() {
    let Some(world) = World::new() else { return };
    let node = world.open(KEY_GENERATION).expect("opened");
    let before = world.rows(&node);
    let rename = |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        world.stopped.server.sql(&world.stopped.address, &sql);
    };
    let (asked, left) = (Cell::new(0), RefCell::new(Vec::new()));
    let asks = Asks {
        goes_on: &|| {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                rename("loose", "away");
            }
            Ok(())
        },
        in_doubt: &|ulid| left.borrow_mut().push(ulid),
    };
    let next = world.next(2, None);
    let refused = rotate(&node.catalog, &world.segments, (&node.keys, &next), &asks);
    assert!(
        matches!(refused, Err(StorageError::Database { .. })),
        "{refused:?}"
    );
    rename("away", "loose");
    assert_eq!(
        left.borrow().len(),
        3,
        "two that were put, and one that was to be"
    );
    assert_eq!(world.files(2), 2);
    for ulid in left.into_inner() {
        assert!(node.catalog.abandon(ulid).expect("asked"), "it is not listed");
        world.segments.discard(&next.keys, ulid).expect("deleted");
    }
    assert_eq!((world.files(2), world.rows(&node)), (0, before));
}

#[test]
fn of_two_nodes_that_rotate_at_once_one_is_told_that_the_other_did_it() {
    let Some(world) = World::new() else { return };
    let node = world.open(KEY_GENERATION).expect("opened");
    let other = Node {
        catalog: world.stopped.shared(),
        keys: world.keys(1),
    };
    let before = world.rows(&node);
    let asked = Cell::new(0);
    let meanwhile = || {
        asked.set(asked.get() + 1);
        if asked.get() == 2 {
            let is_first = world.rotate(&other, &world.next(2, None), &ON);
            assert!(is_first.expect("rotated"));
        }
        Ok(())
    };
    let is_first = world
        .rotate(&node, &world.next(2, None), &meanwhile)
        .expect("told");
    assert!(!is_first);
    let next = world.open(2).expect("opened");
    assert_eq!(world.rows(&next), before);
    let objects = next.catalog.all_objects().expect("read");
    assert_eq!(
        world.files(2),
        objects.len(),
        "the copies of who was late are gone"
    );
    let listed: BTreeSet<ObjectKey> = objects
        .values()
        .map(|object| next.keys.key(object.ulid))
        .collect();
    let there = world.stopped.yard.store.list(&next.keys.home).expect("listed");
    let there = there
        .into_iter()
        .map(|info| info.key)
        .filter(|key| key.generation == 2);
    assert_eq!(there.collect::<BTreeSet<_>>(), listed);
}
