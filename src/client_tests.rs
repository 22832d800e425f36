//! Tests of the connection: what is refused before any byte is sent, and that errors name the way out.

use super::*;

fn config() -> ClientConfig {
    ClientConfig {
        server: "https://localhost:1".into(),
        server_name: None,
        ca: "no-such-ca.pem".into(),
        cert: "no-such.pem".into(),
        key: "no-such-key.pem".into(),
    }
}

fn credentials() -> Credentials {
    Credentials {
        ca_pem: "not PEM".into(),
        cert_pem: "not PEM".into(),
        key_pem: Zeroizing::new("the secret".into()),
    }
}

#[tokio::test]
async fn a_missing_file_is_named_with_its_option() {
    let error = Client::connect(&config()).await.expect_err("no file").to_string();
    assert!(error.starts_with("--ca no-such-ca.pem: "), "{error}");
    assert!(error.contains("thenar cert issue"), "{error}");
}

#[tokio::test]
async fn only_https_is_spoken() {
    for server in ["http://localhost:1", "localhost:1", ""] {
        let error = Client::connect_with(server, None, &credentials())
            .await
            .expect_err(server);
        assert!(matches!(error, ClientError::Server { .. }), "{error}");
    }
}

#[tokio::test]
async fn files_that_hold_no_certificate_are_refused() {
    let error = Client::connect_with("https://localhost:1", None, &credentials())
        .await
        .expect_err("no PEM");
    assert!(
        matches!(
            error,
            ClientError::Credentials(_) | ClientError::Unreachable { .. }
        ),
        "{error}"
    );
}

#[test]
fn keys_are_never_shown() {
    assert_eq!(format!("{:?}", credentials()), "Credentials(..)");
}
