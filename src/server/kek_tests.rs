//! Tests of the rotation of the key-encryption key.

use std::path::PathBuf;

use super::*;
use crate::keys::keyring::Purpose;
use crate::model::id::TenantId;
use crate::server::init;
use crate::storage::error::StorageError;

struct Scene {
    folder: tempfile::TempDir,
    config: Config,
    tenant: TenantId,
    data_key: SecretKey,
}

/// A data directory with the keys of one tenant.
fn scene() -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    init(&data, "example.org", &[], None).expect("made");
    let config = Config {
        data,
        ..Config::default()
    };
    let tenant: TenantId = "acme".parse().expect("an id");
    let key = config.kek_source().load().expect("a key");
    let keyring = Keyring::open(&config.data.join("keyring"), &key).expect("opened");
    let data_key = keyring.get_or_create(&tenant, Purpose::Data).expect("made");
    Scene {
        folder,
        config,
        tenant,
        data_key,
    }
}

impl Scene {
    fn keyring(&self) -> PathBuf {
        self.config.data.join("keyring")
    }

    fn kek(&self) -> SecretKey {
        self.config.kek_source().load().expect("a key")
    }

    /// The keyring opens with this key and has the tenant's key still.
    #[track_caller]
    fn assert_opens(&self, kek: &SecretKey) {
        let keyring = Keyring::read(&self.keyring(), kek).expect("opens");
        let key = keyring.get(&self.tenant, Purpose::Data).expect("read");
        assert_eq!(key.expect("there"), self.data_key);
    }

    #[track_caller]
    fn assert_closed(&self, kek: &SecretKey) {
        let opened = Keyring::read(&self.keyring(), kek);
        assert!(matches!(opened, Err(KeyError::WrongKek { .. })));
    }

    /// Nothing of a rotation lies about.
    #[track_caller]
    fn assert_tidy(&self) {
        let names = std::fs::read_dir(&self.config.data).expect("listed");
        let mut names: Vec<String> = names
            .map(|entry| entry.expect("listed").file_name().into_string().expect("UTF-8"))
            .filter(|name| name.starts_with("ke"))
            .collect();
        names.sort();
        assert_eq!(names, ["kek", "keyring"]);
    }
}

#[test]
fn a_new_key_takes_the_place_of_the_key_file() {
    let scene = scene();
    let old = scene.kek();
    let now = rotate_kek(&scene.config, None, true).expect("rotated");
    assert_eq!(now, scene.config.kek_source());
    scene.assert_opens(&scene.kek());
    scene.assert_closed(&old);
    scene.assert_tidy();
}

#[test]
fn a_key_from_elsewhere_wraps_the_keyring() {
    let scene = scene();
    let file = scene.folder.path().join("vault");
    let new = KekSource::create_file(&file).expect("made");
    let command = KekSource::Command(vec!["cat".to_owned(), file.display().to_string()]);
    let old = scene.kek();
    assert_eq!(
        rotate_kek(&scene.config, Some(&command), true).expect("rotated"),
        command
    );
    scene.assert_opens(&new);
    scene.assert_closed(&old);
    // Nobody has said so in the configuration yet; the same again is done already.
    rotate_kek(&scene.config, Some(&command), true).expect("done before");
    scene.assert_opens(&new);
}

#[test]
fn a_rotation_that_was_cut_off_is_finished_by_the_next() {
    // Before the keyring was wrapped anew, and after it.
    for is_wrapped in [false, true] {
        let scene = scene();
        let old = scene.kek();
        let KekSource::File(file) = scene.config.kek_source() else {
            panic!("the key is in a file");
        };
        let next = KekSource::next_of_file(&file).expect("made");
        if is_wrapped {
            rewrap(&scene.keyring(), &old, &next).expect("wrapped");
            scene.assert_closed(&old);
        }
        rotate_kek(&scene.config, None, true).expect("finished");
        assert_eq!(scene.kek(), next, "the key that was made first");
        scene.assert_opens(&next);
        scene.assert_tidy();
    }
}

#[test]
fn a_key_that_backups_need_is_overwritten_only_when_it_is_kept_elsewhere() {
    let mut scene = scene();
    let old = scene.kek();
    let refused = rotate_kek(&scene.config, None, false).expect_err("backups need it");
    assert!(refused.to_string().contains("--former-key-kept"), "{refused}");
    assert_eq!(scene.kek(), old);
    scene.assert_opens(&old);
    let file = scene.folder.path().join("backup.kek");
    KekSource::create_file(&file).expect("made");
    scene.config.backup_kek = Some(KekSource::File(file));
    rotate_kek(&scene.config, None, false).expect("backups have a key of their own");
    scene.assert_closed(&old);
}

#[test]
fn what_a_crash_left_of_a_former_key_is_wiped() {
    let scene = scene();
    let KekSource::File(file) = scene.config.kek_source() else {
        panic!("the key is in a file");
    };
    let beside = |name: &str| file.with_file_name(name);
    let left = [".kek.thenar-old", ".kek.thenar-new"].map(beside);
    // Copies that somebody made are none of ours.
    let own = ["kek.old", "kek.new", "kek.bak"].map(beside);
    for path in left.iter().chain(&own) {
        std::fs::write(path, "a former key").expect("written");
    }
    rotate_kek(&scene.config, None, true).expect("rotated");
    assert!(left.iter().all(|path| !path.exists()) && file.exists());
    for path in &own {
        assert_eq!(std::fs::read(path).expect("stays"), b"a former key");
    }
}

#[test]
fn a_key_that_opens_nothing_changes_nothing() {
    let scene = scene();
    let right = scene.kek();
    let KekSource::File(file) = scene.config.kek_source() else {
        panic!("the key is in a file");
    };
    std::fs::remove_file(&file).expect("removed");
    KekSource::create_file(&file).expect("made");
    let refused = rotate_kek(&scene.config, None, true);
    assert!(matches!(
        refused,
        Err(ServerError::Keys(KeyError::WrongKek { .. }))
    ));
    scene.assert_opens(&right);
}

#[test]
fn a_source_without_a_file_needs_to_be_told_the_new_key() {
    let mut scene = scene();
    let KekSource::File(file) = scene.config.kek_source() else {
        panic!("the key is in a file");
    };
    scene.config.kek = Some(KekSource::Command(vec![
        "cat".to_owned(),
        file.display().to_string(),
    ]));
    let refused = rotate_kek(&scene.config, None, true);
    assert!(matches!(refused, Err(ServerError::Keys(KeyError::NoNewKek))));
}

#[test]
fn a_running_server_is_in_the_way() {
    let scene = scene();
    let _held = DataDir::open(&scene.config.data).expect("held");
    let old = scene.kek();
    let refused = rotate_kek(&scene.config, None, true);
    assert!(matches!(
        refused,
        Err(ServerError::Storage(StorageError::InUse { .. }))
    ));
    scene.assert_opens(&old);
    scene.assert_tidy();
}

#[test]
fn a_cluster_has_its_keyrings_elsewhere() {
    let mut scene = scene();
    scene.config.cluster.enabled = true;
    let kek = scene.kek();
    let refused = rotate_kek(&scene.config, None, true).expect_err("they are in the bucket");
    assert!(refused.to_string().contains("cluster.enabled"), "{refused}");
    scene.assert_opens(&kek);
    scene.assert_tidy();
}
