//! Tests of the seam: options reach the setting they stand for, and no other.

use super::*;

#[test]
fn options_win_and_the_rest_stays() {
    let mut config = Config::default();
    Overrides::default().apply(&mut config, Mode::Serve);
    assert_eq!(config, Config::default());
    let overrides = Overrides {
        data: Some("elsewhere".into()),
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
        backend: Some(BackendOption::Cpu),
        kernel: Some(Kernel::Portable),
    };
    overrides.apply(&mut config, Mode::Front);
    assert_eq!(config.data, Path::new("elsewhere"));
    assert_eq!(config.listen.address.port(), 9);
    assert_eq!(config.engine.backend, BackendChoice::Cpu);
    assert_eq!(config.engine.kernel, Some(Kernel::Portable));
    assert_eq!(config.matching, Config::default().matching);
}

#[test]
fn a_match_node_listens_at_its_own_address() {
    let mut config = Config::default();
    let overrides = Overrides {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
        ..Overrides::default()
    };
    overrides.apply(&mut config, Mode::Match);
    assert_eq!(config.matching.address.port(), 9);
    assert_eq!(config.listen, Config::default().listen);
}

#[test]
fn an_authority_that_is_not_there_names_its_file() {
    let error = Authority::open(Path::new("no-such-data"))
        .err()
        .expect("nothing there")
        .to_string();
    assert!(error.starts_with("no-such-data/tls/ca.pem: "), "{error}");
}

#[test]
fn a_kernel_is_named_as_in_the_configuration() {
    for known in Kernel::ALL {
        assert_eq!(kernel(known.name()), Ok(known));
    }
    let refusal = kernel("mmx").expect_err("unknown");
    assert!(refusal.contains("portable"), "{refusal}");
}
