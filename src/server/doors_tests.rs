//! Tests of places for connections: whoever has its share is refused and counted, and others are let in.

use futures::FutureExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::*;

/// Places for a test that asks for few.
pub(in crate::server) fn limits() -> Limits {
    Limits {
        connections_max: 5,
        connections_per_caller_max: 2,
        handshakes_max: 6,
        handshakes_per_address_max: 3,
        handshake_max: Duration::from_secs(10),
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

async fn knock(doors: &Doors, from: &str) -> Option<Knock> {
    let handshake = doors.handshake().await;
    doors.knock(address(from), handshake)
}

fn refused(handle: &PrometheusHandle, limit: &str) -> bool {
    let line = format!("thenar_connections_refused_total{{limit=\"{limit}\"}} 1\n");
    handle.render().contains(&line)
}

#[tokio::test]
async fn one_address_leaves_room_for_the_handshakes_of_others() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let doors = Doors::new(&limits());
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(knock(&doors, "192.0.2.1").await.expect("let begin"));
    }
    assert!(knock(&doors, "192.0.2.1").await.is_none());
    assert!(refused(&recorder.handle(), "listen.handshakes_per_address_max"));
    let other = knock(&doors, "192.0.2.2").await.expect("another address");
    drop(other);
    drop(silent.pop());
    knock(&doors, "192.0.2.1").await.expect("one has ended");
}

#[tokio::test]
async fn addresses_that_take_what_they_get_leave_room_for_one_that_has_none() {
    let limits = Limits {
        connections_max: 1_024,
        handshakes_max: 64,
        handshakes_per_address_max: 8,
        ..limits()
    };
    let doors = Doors::new(&limits);
    let mut silent = Vec::new();
    // Ten times eight are more than all there are.
    for _ in 0..8 {
        for address in 1..=10 {
            let begun = knock(&doors, &format!("192.0.2.{address}")).now_or_never();
            silent.extend(begun.flatten());
        }
    }
    assert!((50..64).contains(&silent.len()), "{}", silent.len());
    for address in 1..=4 {
        let others = knock(&doors, &format!("198.51.100.{address}")).await;
        silent.push(others.expect("it has none"));
    }
}

#[tokio::test]
async fn one_address_that_stands_for_everybody_has_them_all() {
    let limits = Limits {
        handshakes_max: 4,
        handshakes_per_address_max: 4,
        ..limits()
    };
    let doors = Doors::new(&limits);
    let mut here = Vec::new();
    for _ in 0..4 {
        here.push(knock(&doors, "192.0.2.1").await.expect("a place"));
    }
}

#[tokio::test]
async fn one_caller_leaves_room_for_the_connections_of_others() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let doors = Doors::new(&limits());
    let mut there = Vec::new();
    for _ in 0..2 {
        let knock = knock(&doors, "192.0.2.1").await.expect("let begin");
        there.push(doors.enter(knock, "greedy".to_owned()).expect("let in"));
    }
    let third = knock(&doors, "192.0.2.1").await.expect("let begin");
    assert!(doors.enter(third, "greedy".to_owned()).is_none());
    assert!(refused(&recorder.handle(), "listen.connections_per_caller_max"));
    for who in ["ada", "bob", "eve"] {
        let knock = knock(&doors, "192.0.2.1").await.expect("its handshake is over");
        there.push(doors.enter(knock, who.to_owned()).expect("let in"));
    }
    assert!(recorder.handle().render().contains("thenar_connections 5\n"));
    assert!(knock(&doors, "192.0.2.2").await.is_none(), "all places are taken");
    assert!(refused(&recorder.handle(), "listen.connections_max"));
    there.clear();
    assert!(recorder.handle().render().contains("thenar_connections 0\n"));
    knock(&doors, "192.0.2.2").await.expect("let begin");
}

#[test]
fn addresses_of_one_network_are_one() {
    let same = |one, other| source(address(one)) == source(address(other));
    assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1"));
    assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    assert!(!same("192.0.2.1", "192.0.2.2"));
    assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
}
