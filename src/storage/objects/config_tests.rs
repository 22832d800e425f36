//! Tests of settings: what is refused before anything is reached, and what is never shown.

use super::*;
use crate::storage::objects::ObjectStore;
use crate::storage::objects::testing::{bucket, object_error};

fn refused(config: &ObjectStoreConfig) -> String {
    object_error(ObjectStore::connect(config)).to_string()
}

#[test]
fn a_url_names_a_store_and_nothing_secret() {
    for (url, told) in [
        ("palms", "has no scheme"),
        ("ftp://palms", "scheme is not known"),
        ("s3://", "names no bucket"),
        ("s3://id:secret@palms/x", "more than a bucket"),
        ("s3://palms?secret=secret", "more than a bucket"),
        ("s3://palms/a//b", "prefix"),
        ("file://relative", "whole path"),
    ] {
        let text = refused(&ObjectStoreConfig::new(url));
        assert!(text.contains(told), "{url}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn an_endpoint_without_tls_is_taken_only_where_that_is_stated() {
    let mut config = bucket("http://127.0.0.1:1", "palms");
    config.allow_http = false;
    assert!(refused(&config).contains("allow_http"));
    config.endpoint = Some("https://127.0.0.1:1".to_owned());
    ObjectStore::connect(&config).expect("with TLS");
}

#[test]
fn a_setting_that_is_not_known_is_refused_by_its_name() {
    for name in ["aws_acces_key", "allow_http", "allow_invalid_certificates"] {
        let mut config = bucket("https://127.0.0.1:1", "palms");
        config.settings.insert(name.to_owned(), "true".to_owned());
        assert!(refused(&config).contains(name), "{name}");
    }
}

#[test]
fn settings_are_not_shown() {
    let config = bucket("https://127.0.0.1:1", "palms");
    let text = format!("{config:?}");
    assert!(text.contains("aws_secret_access_key"), "{text}");
    assert!(!text.contains("known-secret"), "{text}");
}

#[test]
fn every_provider_is_known() {
    for (url, settings) in [
        ("gs://palms/x", vec![("google_skip_signature", "true")]),
        ("az://palms/x", vec![("azure_storage_account_name", "acme")]),
        ("abfs://palms", vec![("azure_storage_account_name", "acme")]),
    ] {
        let mut config = ObjectStoreConfig::new(url);
        config.settings = settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let store = ObjectStore::connect(&config).expect(url);
        assert_eq!(store.to_string(), url);
    }
}
