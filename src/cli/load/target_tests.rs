//! Tests of the target: loopback is fine, anything else only when it was named twice, nonsense never.

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn refusal(outcome: Result<Target, CliError>) -> String {
    match outcome {
        Err(error @ CliError::Usage(_)) => error.to_string(),
        other => panic!("{other:?} is no usage error"),
    }
}

#[test]
fn a_configuration_on_loopback_is_a_target() {
    for listens in ["127.0.0.1:7443", "[::1]:7443"] {
        let target = Target::configured(address(listens), None).expect("loopback");
        assert_eq!(target.url(), format!("https://{listens}"));
        assert_eq!(target.server_name, "localhost");
    }
}

#[test]
fn a_configuration_that_is_open_to_others_is_none() {
    for listens in ["0.0.0.0:7443", "192.0.2.1:7443", "127.0.0.1:0", "[::]:7443"] {
        let text = refusal(Target::configured(address(listens), None));
        assert!(text.contains(listens) && text.contains("--server"), "{text}");
    }
    // Not even when it is named: the configuration may be another machine's.
    refusal(Target::configured(address("192.0.2.1:7443"), Some("192.0.2.1")));
}

#[test]
fn a_foreign_address_has_to_be_named_again() {
    let foreign = [address("192.0.2.1:7443"), address("127.0.0.1:7443")];
    let text = refusal(Target::aim("palms.example", &foreign, None));
    assert!(
        text.contains("192.0.2.1") && text.contains("--yes-aim-at palms.example"),
        "{text}"
    );
    refusal(Target::aim("palms.example", &foreign, Some("192.0.2.1")));
    refusal(Target::aim("palms.example", &foreign, Some("palms.example.org")));
    let target = Target::aim("palms.example", &foreign, Some("palms.example")).expect("named");
    assert_eq!(target.url(), "https://192.0.2.1:7443");
    assert_eq!(target.server_name, "palms.example");
}

#[test]
fn a_second_name_that_is_another_one_is_refused_on_loopback_too() {
    refusal(Target::aim(
        "localhost",
        &[address("127.0.0.1:1")],
        Some("palms.example"),
    ));
}

#[test]
fn a_name_without_an_address_is_refused() {
    refusal(Target::aim("palms.example", &[], Some("palms.example")));
}

#[tokio::test]
async fn only_whole_urls_are_taken() {
    for url in [
        "http://localhost:7443",
        "localhost:7443",
        "https://localhost",
        "https://localhost:7443/v1",
        "https://localhost:7443?x=1",
        "https://localhost@192.0.2.1:7443",
        "",
    ] {
        let text = refusal(Target::told(url, None).await);
        assert!(text.contains("https://host:port"), "{text}");
    }
    let target = Target::told("https://127.0.0.1:7443", None)
        .await
        .expect("loopback");
    assert_eq!(target.host, "127.0.0.1");
    let target = Target::told("https://[::1]:7443", None).await.expect("loopback");
    assert_eq!(
        (target.host.as_str(), target.server_name.as_str()),
        ("::1", "localhost")
    );
    refusal(Target::told("https://192.0.2.1:7443", None).await);
}
