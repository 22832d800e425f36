//! Tests of the keyring: keys stay, other keys and changed files are refused, destroyed keys are gone from the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

struct Fixture {
    dir: tempfile::TempDir,
    kek: SecretKey,
}

impl Fixture {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("temporary directory"),
            kek: SecretKey::from_bytes([9; 32]),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("keyring")
    }

    fn create(&self) -> Keyring {
        Keyring::create(&self.path(), &self.kek).expect("made")
    }

    fn open(&self) -> Result<Keyring, KeyError> {
        Keyring::open(&self.path(), &self.kek)
    }

    /// Every byte in every file of the directory.
    fn bytes(&self) -> Vec<u8> {
        fs::read_dir(self.dir.path())
            .expect("readable")
            .flat_map(|entry| fs::read(entry.expect("readable").path()).expect("readable"))
            .collect()
    }

    fn holds(&self, text: &str) -> bool {
        self.bytes().windows(text.len()).any(|w| w == text.as_bytes())
    }
}

fn tenant(id: &str) -> TenantId {
    id.parse().expect("valid")
}

fn wrapped(keyring: &Keyring, id: &str) -> Vec<String> {
    keyring
        .held
        .with(|body| body.tenants[&tenant(id)].values().cloned().collect())
}

#[test]
fn keys_stay_and_differ_by_tenant_and_purpose() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    let mut keys = Vec::new();
    for id in ["acme", "other"] {
        for purpose in Purpose::ALL {
            keys.push(keyring.get_or_create(&tenant(id), purpose).expect("made"));
        }
    }
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key), "key {at} repeats");
    }
    let reopened = fixture.open().expect("opens");
    let mut expected = keys.iter();
    for id in ["acme", "other"] {
        for purpose in Purpose::ALL {
            assert_eq!(
                reopened.get(&tenant(id), purpose).expect("opens").as_ref(),
                expected.next()
            );
        }
    }
    assert_eq!(
        reopened.get(&tenant("nobody"), Purpose::Data).expect("opens"),
        None
    );
}

#[test]
fn the_signer_stays() {
    use crate::keys::receipt::verify;
    use crate::model::erasure::{ErasureReceipt, ErasureState};
    let fixture = Fixture::new();
    let receipt = ErasureReceipt {
        erasure: 1,
        tenant: tenant("acme"),
        subject_id: "s".parse().expect("valid"),
        erased_at: crate::model::timestamp::Timestamp(1),
        purged_at: None,
        state: ErasureState::Erased,
        sealed_row_sha256: Vec::new(),
        sealed_row_search: Vec::new(),
        removed: None,
    };
    let before = fixture.create().signer().sign(&receipt);
    let after = fixture.open().expect("opens").signer().sign(&receipt);
    assert_eq!(before, after);
    verify(&after).expect("stands");
}

#[test]
fn another_key_does_not_open_it() {
    let fixture = Fixture::new();
    drop(fixture.create());
    let error = Keyring::open(&fixture.path(), &SecretKey::random())
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains("the key-encryption key does not open this keyring"),
        "{error}"
    );
}

#[test]
fn an_existing_keyring_is_not_replaced() {
    let fixture = Fixture::new();
    let key = fixture
        .create()
        .get_or_create(&tenant("acme"), Purpose::Data)
        .expect("made");
    assert!(matches!(
        Keyring::create(&fixture.path(), &fixture.kek),
        Err(KeyError::Io { .. })
    ));
    let reopened = fixture.open().expect("opens");
    assert_eq!(
        reopened.get(&tenant("acme"), Purpose::Data).expect("opens"),
        Some(key)
    );
}

#[test]
fn a_changed_file_is_refused() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    for id in ["a", "b"] {
        keyring.get_or_create(&tenant(id), Purpose::Data).expect("made");
    }
    let text = fs::read_to_string(fixture.path()).expect("readable");
    let (key_a, key_b) = (&wrapped(&keyring, "a")[0], &wrapped(&keyring, "b")[0]);
    let exchanged = text
        .replace(key_a, "swap")
        .replace(key_b, key_a)
        .replace("swap", key_b);
    for (what, changed) in [
        ("exchanged", exchanged),
        ("renamed", text.replace("\"b\":", "\"c\":")),
        ("cut", text[..text.len() - 9].to_owned()),
        ("flipped", text.replacen(&key_a[..9], "000000000", 1)),
        ("unknown field", text.replacen('{', "{\"more\":1,", 1)),
        ("empty", String::new()),
    ] {
        fs::write(fixture.path(), changed).expect("written");
        let error = fixture.open().err().expect(what);
        assert!(matches!(error, KeyError::Damaged { .. }), "{what}: {error}");
    }
    fs::write(fixture.path(), text.replace("\"format\":1", "\"format\":2")).expect("written");
    assert!(matches!(fixture.open(), Err(KeyError::Format { found: 2, .. })));
    fs::write(fixture.path(), text).expect("written");
    fixture.open().expect("the original still opens");
}

#[test]
fn destroyed_keys_are_gone_from_memory_and_disk() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    let kept = keyring
        .get_or_create(&tenant("kept"), Purpose::Link)
        .expect("made");
    keyring
        .get_or_create(&tenant("gone"), Purpose::Link)
        .expect("made");
    let traces = wrapped(&keyring, "gone");
    assert!(traces.iter().all(|trace| fixture.holds(trace)));
    keyring.destroy(&tenant("gone")).expect("destroyed");
    keyring.destroy(&tenant("gone")).expect("twice is no error");
    for keyring in [keyring, fixture.open().expect("opens")] {
        for purpose in Purpose::ALL {
            assert_eq!(keyring.get(&tenant("gone"), purpose).expect("opens"), None);
        }
        assert_eq!(
            keyring
                .get(&tenant("kept"), Purpose::Link)
                .expect("opens")
                .as_ref(),
            Some(&kept)
        );
    }
    assert!(!traces.iter().any(|trace| fixture.holds(trace)));
    assert_eq!(fs::read_dir(fixture.dir.path()).expect("readable").count(), 1);
}

#[test]
fn the_old_file_is_overwritten_not_just_unlinked() {
    use std::io::Read;
    let fixture = Fixture::new();
    let keyring = fixture.create();
    keyring
        .get_or_create(&tenant("gone"), Purpose::Data)
        .expect("made");
    let mut old = fs::File::open(fixture.path()).expect("readable");
    keyring.destroy(&tenant("gone")).expect("destroyed");
    let mut bytes = Vec::new();
    old.read_to_end(&mut bytes).expect("readable");
    assert!(!bytes.is_empty() && bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn what_a_crash_left_is_wiped_at_the_next_opening() {
    let fixture = Fixture::new();
    drop(fixture.create());
    let old = fixture.dir.path().join(".keyring.thenar-old");
    fs::hard_link(fixture.path(), &old).expect("linked");
    fs::write(fixture.dir.path().join(".keyring.thenar-new"), "half").expect("written");
    let keyring = fixture.open().expect("the shared file is not overwritten");
    assert!(!old.exists() && !fixture.holds("half"));
    keyring
        .get_or_create(&tenant("a"), Purpose::Data)
        .expect("changes go on");
    fixture.open().expect("opens");
}

#[test]
fn the_file_is_private_from_the_first_change_to_the_last() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    for _ in 0..2 {
        let mode = fs::metadata(fixture.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        keyring.get_or_create(&tenant("a"), Purpose::Data).expect("made");
    }
}

#[test]
fn a_failed_write_changes_nothing() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    // A directory in the way of the new file's name.
    let way = fixture.dir.path().join(".keyring.thenar-new");
    fs::create_dir(&way).expect("made");
    assert!(keyring.get_or_create(&tenant("a"), Purpose::Data).is_err());
    assert_eq!(keyring.get(&tenant("a"), Purpose::Data).expect("opens"), None);
    fs::remove_dir(&way).expect("removed");
    keyring
        .get_or_create(&tenant("a"), Purpose::Data)
        .expect("works again");
}

#[test]
fn ten_thousand_tenants_fit() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    let filled = keyring.held.change(|body| {
        let wrapping = keyring.wrapping(body);
        for i in 0..10_000 {
            let id = tenant(&format!("t{i}"));
            let keys =
                Purpose::ALL.map(|purpose| (purpose, wrapping.wrap(&SecretKey::random(), &id, purpose)));
            body.tenants.insert(id, BTreeMap::from(keys));
        }
        Ok(Done::Changed(()))
    });
    filled.expect("written");
    let last = keyring
        .get_or_create(&tenant("last"), Purpose::Data)
        .expect("made");
    let reopened = fixture.open().expect("opens");
    assert_eq!(
        reopened.get(&tenant("last"), Purpose::Data).expect("opens"),
        Some(last)
    );
    assert!(
        reopened
            .get(&tenant("t9999"), Purpose::Link)
            .expect("opens")
            .is_some()
    );
    assert_eq!(reopened.held.with(|body| body.tenants.len()), 10_001);
}

#[test]
fn a_keyring_that_can_t_be_read_costs_no_copy_of_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, old) = (dir.path().join("keyring"), dir.path().join(".keyring.thenar-old"));
    let kek = SecretKey::random();
    drop(Keyring::create(&path, &kek).expect("made"));
    std::fs::copy(&path, &old).expect("copied");
    std::fs::write(&path, "cut").expect("written");
    assert!(Keyring::open(&path, &kek).is_err());
    assert!(old.exists(), "the only good copy");
    std::fs::rename(&old, &path).expect("put back");
    Keyring::open(&path, &kek).map(drop).expect("sound");
}

#[test]
fn a_rewrapped_keyring_has_the_same_keys_under_another_key() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    let (acme, other) = (tenant("acme"), tenant("other"));
    for id in [&acme, &other] {
        keyring.get_or_create(id, Purpose::Data).expect("made");
    }
    let backup_kek = SecretKey::from_bytes([7; 32]);
    let text = keyring.rewrapped(&backup_kek, |id| *id == acme).expect("text");
    let path = Path::new("the backup");
    assert!(matches!(
        Keyring::parse(path, &text, &fixture.kek),
        Err(KeyError::WrongKek { .. })
    ));
    let backed_up = Keyring::parse(path, &text, &backup_kek).expect("opens");
    for purpose in Purpose::ALL {
        assert_eq!(
            backed_up.get(&acme, purpose).expect("opens"),
            keyring.get(&acme, purpose).expect("opens")
        );
        assert_eq!(backed_up.get(&other, purpose).expect("well"), None);
    }
    let restored = fixture.dir.path().join("restored");
    let kek = SecretKey::from_bytes([8; 32]);
    backed_up.save_as(&restored, &kek, |_| true).expect("written");
    assert!(
        backed_up.save_as(&restored, &kek, |_| true).is_err(),
        "overwrites nothing"
    );
    let restored = Keyring::open(&restored, &kek).expect("opens");
    assert_eq!(
        restored.get(&acme, Purpose::Link).expect("opens"),
        keyring.get(&acme, Purpose::Link).expect("opens")
    );
    let signature = keyring.signer().sign_entry("{}");
    assert!(
        restored.signer().verify_entry("{}", &signature),
        "the signer is the same"
    );
}

#[test]
fn a_rotation_is_durable_from_its_beginning_and_leaves_no_trace_of_the_former_key() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    let acme = tenant("acme");
    let begin = |keyring: &Keyring| keyring.begin_rotation(&acme, Renewable::Data).expect("written");
    assert_eq!(begin(&keyring), None, "there is nothing to rotate");
    let former = keyring.get_or_create(&acme, Purpose::Data).expect("made");
    let transform = keyring.get(&acme, Purpose::Transform).expect("opens");
    let former_wrapped = keyring
        .held
        .with(|body| body.tenants[&acme][&Purpose::Data].clone());
    let next = begin(&keyring).expect("made");
    assert!(next != former);

    let keyring = fixture.open().expect("opens");
    assert_eq!(
        begin(&keyring).as_ref(),
        Some(&next),
        "the same one until it is ended"
    );
    assert_eq!(
        keyring.get(&acme, Purpose::Data).expect("opens").as_ref(),
        Some(&former)
    );
    assert!(fixture.holds(&former_wrapped));
    keyring
        .end_rotation(&acme, Renewable::Data, &next)
        .expect("written");
    keyring
        .end_rotation(&acme, Renewable::Data, &next)
        .expect("nothing is left to do");

    let keyring = fixture.open().expect("opens");
    assert_eq!(
        keyring.get(&acme, Purpose::Data).expect("opens").as_ref(),
        Some(&next)
    );
    assert_eq!(keyring.get(&acme, Purpose::DataNext).expect("opens"), None);
    assert_eq!(keyring.get(&acme, Purpose::Transform).expect("opens"), transform);
    assert!(!fixture.holds(&former_wrapped));
    keyring
        .end_rotation(&tenant("nobody"), Renewable::Data, &next)
        .expect("nothing to end");
    assert_eq!(keyring.held.with(|body| body.tenants.len()), 1);
}

#[test]
fn each_rotation_ends_its_own_key_and_none_that_came_later() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    let acme = tenant("acme");
    let data = keyring.get_or_create(&acme, Purpose::Data).expect("made");
    let begin = |of| keyring.begin_rotation(&acme, of).expect("written").expect("made");
    let get = |purpose| keyring.get(&acme, purpose).expect("opens");
    let (first, next_data) = (begin(Renewable::Transform), begin(Renewable::Data));
    assert!(first != next_data);
    keyring
        .end_rotation(&acme, Renewable::Transform, &next_data)
        .expect("it is not that one's");
    assert!(keyring.is_rotating(&acme, Renewable::Transform));
    keyring
        .end_rotation(&acme, Renewable::Transform, &first)
        .expect("written");
    assert!(get(Purpose::Transform) == Some(first.clone()) && get(Purpose::TransformNext).is_none());
    assert!(get(Purpose::Data) == Some(data) && get(Purpose::DataNext) == Some(next_data));

    let second = begin(Renewable::Transform);
    keyring
        .end_rotation(&acme, Renewable::Transform, &first)
        .expect("it was ended before");
    assert!(get(Purpose::Transform) == Some(first) && get(Purpose::TransformNext) == Some(second));
    keyring.destroy(&acme).expect("written");
    assert!(!keyring.is_rotating(&acme, Renewable::Transform));
    assert_eq!(
        keyring.begin_rotation(&acme, Renewable::Transform).expect("read"),
        None
    );
}

#[test]
fn the_secret_of_a_catalog_is_made_when_it_is_asked_for_and_stays_through_rotations() {
    let fixture = Fixture::new();
    let keyring = fixture.create();
    let acme = tenant("acme");
    let data = keyring.get_or_create(&acme, Purpose::Data).expect("made");
    assert!(keyring.get(&acme, Purpose::Catalog).expect("readable").is_none());
    let secret = keyring.get_or_create(&acme, Purpose::Catalog).expect("made");
    assert_ne!(secret, data);
    let next = keyring
        .begin_rotation(&acme, Renewable::Data)
        .expect("begun")
        .expect("has keys");
    keyring
        .end_rotation(&acme, Renewable::Data, &next)
        .expect("ended");
    let reopened = fixture.open().expect("opens");
    assert_eq!(
        reopened.get(&acme, Purpose::Catalog).expect("readable"),
        Some(secret)
    );
    assert_eq!(reopened.get(&acme, Purpose::Data).expect("readable"), Some(next));
}

#[test]
fn keys_of_another_keyring_are_taken_where_there_are_no_others() {
    let tmp = tempfile::tempdir().expect("a directory");
    let path = tmp.path().join("keyring");
    let kek = SecretKey::from_bytes([1; 32]);
    let keyring = Keyring::create(&path, &kek).expect("made");
    let acme: TenantId = "acme".parse().expect("valid");
    let key = |seed| SecretKey::from_bytes([seed; 32]);
    let adopted = [(Purpose::Data, key(2)), (Purpose::Catalog, key(3))];
    for _ in 0..2 {
        keyring
            .adopt(&acme, &adopted, None)
            .expect("the same ones are well");
    }
    let opened = Keyring::open(&path, &kek).expect("durable");
    for (purpose, key) in &adopted {
        assert_eq!(opened.get(&acme, *purpose).expect("read").as_ref(), Some(key));
    }
    assert_eq!(
        opened.get(&acme, Purpose::Link).expect("read"),
        None,
        "and no other"
    );
    let others = [(Purpose::Link, key(4)), (Purpose::Data, key(5))];
    let refused = keyring.adopt(&acme, &others, None);
    assert!(
        matches!(&refused, Err(KeyError::Taken { tenant, .. }) if *tenant == acme),
        "{refused:?}"
    );
    assert_eq!(
        keyring.get(&acme, Purpose::Link).expect("read"),
        None,
        "nothing was changed"
    );
    keyring.begin_drop(&acme).expect("noted");
    let refused = keyring.adopt(&acme, &adopted, None);
    assert!(matches!(refused, Err(KeyError::Taken { .. })), "{refused:?}");
}
