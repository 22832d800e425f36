//! Tests of rotations that were cut off between the catalog and the keyring that nodes share.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tests::{Node, Shared, kek};
use super::*;
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::keys::text::{Text, TextStore};
use crate::matcher::fixture::{spec, tenant};
use crate::storage::cluster::rotate::{Asks, Next, rotate};
use crate::storage::cluster::segments::{SegmentKeys, Segments};
use crate::storage::objects::text::{MATCH_KEYRING, ObjectText};

/// A text that nobody may exchange while it `refuses`.
struct Refusing {
    text: ObjectText,
    refuses: AtomicBool,
}

impl TextStore for Refusing {
    fn path(&self) -> &Path {
        self.text.path()
    }

    fn is_shared(&self) -> bool {
        self.text.is_shared()
    }

    fn version(&self) -> Result<Option<u64>, KeyError> {
        self.text.version()
    }

    fn read(&self) -> Result<Option<Text>, KeyError> {
        self.text.read()
    }

    fn create(&self, text: &str) -> Result<bool, KeyError> {
        self.text.create(text)
    }

    fn replace(&self, version: u64, text: &str) -> Result<bool, KeyError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(KeyError::Store {
                path: self.path().to_owned(),
                passing: true,
                problem: "the store is read only".to_owned(),
            });
        }
        self.text.replace(version, text)
    }

    fn settle(&self) -> Result<(), KeyError> {
        self.text.settle()
    }

    fn destroy(&self) -> Result<(), KeyError> {
        self.text.destroy()
    }
}

/// Has the next data key of the tenant count, and dies before the keyring knows. Gives the key.
fn rotated_half(shared: &Shared, node: &Node) -> SecretKey {
    let keys = node.home.keys(&tenant(), KEY_GENERATION).expect("there");
    let standing = node.cluster.register(NodeId(1), 1, "here").expect("registered");
    node.cluster.advance(standing, Life::Serving).expect("it is new");
    let epochs = (KEY_GENERATION, keys.epochs);
    let opened = node
        .cluster
        .open(standing, &tenant(), &keys.secret, epochs, keys.signer);
    let row = node.database.row(&tenant()).expect("read").expect("there");
    let present = SegmentKeys {
        home: Home::of(&tenant(), &row.incarnation),
        generation: KEY_GENERATION,
        dimension: spec().dimension,
        data_key: keys.data_key,
    };
    let (data_key, epochs) = node.home.begin_rotation(&present.home, 2).expect("begun");
    let next = Next {
        keys: SegmentKeys {
            generation: 2,
            data_key: data_key.clone(),
            ..present.clone()
        },
        epochs,
        convert: None,
    };
    let asks = Asks {
        goes_on: &|| Ok(()),
        in_doubt: &|ulid| panic!("{ulid} is listed"),
    };
    let staging = shared.dir.path().join("staging");
    let segments = Segments::open(&shared.objects("rotated"), staging).expect("opened");
    let done = rotate(&opened.expect("opened"), &segments, (&present, &next), &asks);
    assert!(done.expect("rotated"));
    data_key
}

#[test]
fn nobody_has_the_next_epochs_before_the_keyring_has_their_data_key() {
    let Some(shared) = Shared::new() else { return };
    let node = shared.node("one");
    node.create().expect("made");
    let next = rotated_half(&shared, &node);
    let objects = shared.objects("other");
    let text = Arc::new(Refusing {
        text: ObjectText::new(objects.store(), MATCH_KEYRING),
        refuses: AtomicBool::new(true),
    });
    let keyring = Keyring::open_in(Arc::clone(&text) as _, &kek()).expect("opened");
    let other = shared.node_with(&objects, keyring);
    for _ in 0..2 {
        let refused = other
            .home
            .keys(&tenant(), 2)
            .map(drop)
            .expect_err("the keyring can't follow");
        assert!(refused.is_away(), "{refused}");
    }
    text.refuses.store(false, Ordering::SeqCst);
    for home in [&other.home, &node.home] {
        assert!(home.keys(&tenant(), 2).expect("there").data_key == next);
        assert!(!home.is_rotating(&tenant()));
    }
    // Of the former ones nobody opens anything any more.
    assert!(node.home.keys(&tenant(), KEY_GENERATION).is_err());
}
