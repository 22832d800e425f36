//! Tests of the options and of a server that goes away and comes back.

use super::*;
use crate::server::config::Metrics;

#[test]
fn an_address_is_host_and_port_of_plain_http() {
    let address = |text: &str| text.parse::<Address>().map(|address| address.0);
    for text in [
        "db:9464",
        "http://db:9464",
        "http://db:9464/",
        "http://db:9464/metrics",
    ] {
        assert_eq!(address(text), Ok("db:9464".to_owned()), "{text}");
    }
    assert_eq!(address("[::1]:9464"), Ok("[::1]:9464".to_owned()));
    for text in ["", "db", "db:", ":9464", "db:99999", "http://db:1/other"] {
        assert!(address(text).is_err(), "{text}");
    }
    assert!(address("https://db:9464").expect_err("no TLS").contains("TLS"));
}

#[test]
fn without_an_option_it_is_where_a_server_listens_by_default() {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let line: Line = clap::Parser::parse_from(["top"]);
    assert_eq!(line.args.metrics.0, Metrics::default().address.to_string());
    assert_eq!(line.args.interval, Duration::from_secs(1));
}

#[test]
fn intervals_have_bounds() {
    assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
    for text in ["0", "-1", "3601", "NaN", "x"] {
        assert!(interval(text).is_err(), "{text}");
    }
}

#[test]
fn a_server_may_go_away_and_come_back() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let calls = |count: u32| {
        let text = format!("thenar_requests_total{{method=\"Verify\",code=\"OK\"}} {count}\n");
        Ok(Reading::parse(&text).expect("of the format"))
    };
    let silent = || {
        Err(TopError {
            address: "db:1".to_owned(),
            reason: "connection refused".to_owned(),
        })
    };
    let mut watch = Watch::new(Address("db:1".to_owned()));
    let mut take = |seconds, read, shown: &[&str]| {
        watch.take(at(seconds), read);
        let frame = watch.frame(at(seconds));
        for part in shown {
            assert!(frame.contains(part), "at {seconds} s no {part:?} in\n{frame}");
        }
    };
    take(
        0,
        calls(10),
        &["thenar db:1: answers; figures come with the second reading"],
    );
    take(2, calls(30), &["db:1: answers\n", "Verify 10\n"]);
    take(4, calls(12), &["db:1: answers; began anew\n", "Verify 6.0\n"]);
    take(
        5,
        silent(),
        &[
            "NO ANSWER for 0 s: connection refused",
            "last ones",
            "Verify 6.0\n",
        ],
    );
    take(9, silent(), &["NO ANSWER for 4 s", "Verify 6.0\n"]);
    take(10, calls(900), &["answers; figures come with the second reading"]);
    take(11, calls(902), &["db:1: answers\n", "Verify 2.0\n"]);
}

#[tokio::test]
async fn what_is_no_server_of_metrics_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = Address(listener.local_addr().expect("bound").to_string());
    drop(listener);
    let error = read(&address).await.expect_err("nobody listens").to_string();
    assert!(error.contains(&address.0) && error.contains("refused"), "{error}");
}
