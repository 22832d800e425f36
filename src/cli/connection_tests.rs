//! Tests of the connection's options: which source wins.

use std::path::Path;

use super::*;

fn nothing(_: &str) -> Option<OsString> {
    None
}

#[test]
fn defaults_point_into_the_data_directory() {
    let config = Connection::default().resolve(nothing);
    assert_eq!(config.server, SERVER_DEFAULT);
    assert_eq!(config.server_name, None);
    assert_eq!(
        config.ca,
        Path::new(local::DATA_DEFAULT).join("tls").join(local::CA_FILE)
    );
    let other = Connection {
        data: Some("elsewhere".into()),
        ..Connection::default()
    };
    assert!(other.resolve(nothing).key.starts_with("elsewhere/tls"));
}

#[test]
fn options_win_over_the_environment_and_that_over_the_defaults() {
    let environment = |name: &str| match name {
        "THENAR_CLIENT_SERVER" => Some("https://env:1".into()),
        "THENAR_CLIENT_CERT" => Some("env.pem".into()),
        "THENAR_CLIENT_DATA" => Some("env-data".into()),
        _ => None,
    };
    let options = Connection {
        server: Some("https://option:1".into()),
        ..Connection::default()
    };
    let config = options.resolve(environment);
    assert_eq!(config.server, "https://option:1");
    assert_eq!(config.cert, Path::new("env.pem"));
    assert!(config.ca.starts_with("env-data/tls"));
}
