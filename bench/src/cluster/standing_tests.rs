//! When nobody could be answered for the harness's own doing.

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn window(from: u64, to: u64, why: Why) -> Window {
    Window {
        from: at(from),
        to: at(to),
        why,
    }
}

fn standing() -> Standing {
    Standing::new(3, 2, 2, false)
}

#[test]
fn one_node_and_one_front_away_excuse_nothing() {
    let mut standing = standing();
    standing.set(Part::Node(1), false, at(1));
    standing.set(Part::Front(0), false, at(2));
    standing.set(Part::Store, false, at(3));
    assert_eq!(standing.windows(at(9)), []);
    assert_eq!(standing.nodes_away(), 1);
}

#[test]
fn as_many_nodes_as_replicas_away_are_an_excuse_until_one_is_back() {
    let mut standing = standing();
    standing.set(Part::Node(0), false, at(1));
    standing.set(Part::Node(2), false, at(3));
    standing.set(Part::Node(0), true, at(5));
    assert_eq!(standing.windows(at(9)), [window(3, 5, Why::Replicas)]);
}

#[test]
fn other_rows_are_an_excuse_until_they_are_there() {
    let mut standing = standing();
    standing.set(Part::Keys, false, at(1));
    standing.set(Part::Keys, true, at(2));
    assert_eq!(standing.windows(at(9)), [window(1, 2, Why::Keys)]);
}

#[test]
fn the_database_and_the_last_front_are_an_excuse() {
    let mut standing = standing();
    standing.set(Part::Database, false, at(1));
    // Nobody is away twice: this changes nothing.
    standing.set(Part::Database, false, at(2));
    standing.set(Part::Front(0), false, at(3));
    standing.set(Part::Front(1), false, at(4));
    standing.set(Part::Database, true, at(6));
    standing.set(Part::Front(1), true, at(7));
    assert_eq!(
        standing.windows(at(9)),
        [window(1, 6, Why::Database), window(6, 7, Why::Fronts)]
    );
}

#[test]
fn what_is_still_away_is_an_excuse_up_to_now() {
    let mut standing = standing();
    standing.set(Part::Database, false, at(4));
    assert_eq!(standing.windows(at(9)), [window(4, 9, Why::Database)]);
}

#[test]
fn the_store_counts_where_nodes_need_it() {
    let mut standing = Standing::new(3, 2, 2, true);
    standing.set(Part::Store, false, at(1));
    standing.set(Part::Store, true, at(2));
    assert_eq!(standing.windows(at(9)), [window(1, 2, Why::Store)]);
}

#[test]
fn two_nodes_of_three_replicas_have_one_part_between_them() {
    let mut standing = Standing::new(2, 1, 3, false);
    standing.set(Part::Node(0), false, at(1));
    assert_eq!(standing.windows(at(2)), []);
    standing.set(Part::Node(1), false, at(3));
    assert_eq!(standing.windows(at(4)), [window(3, 4, Why::Replicas)]);
}
