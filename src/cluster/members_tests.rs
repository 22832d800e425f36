//! Tests of the register: lives, generations, fences.

use super::*;

const NODE: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn ids(members: Vec<Member>) -> Vec<NodeId> {
    members.into_iter().map(|member| member.id).collect()
}

fn suspect(members: &Members, node: NodeId) -> Suspect {
    let seen = members.current(node).expect("it is not gone");
    Suspect {
        node,
        generation: seen.generation,
        beat: seen.beat,
    }
}

#[test]
fn a_node_owns_from_serving_on_until_it_is_gone() {
    let mut members = Members::default();
    let generation = members.register(NODE, 8);
    let owns = |members: &Members| (ids(members.now()), ids(members.next()));
    assert_eq!(owns(&members), (vec![], vec![NODE]));
    members
        .advance(NODE, generation, Life::Serving)
        .expect("it is current");
    assert_eq!(owns(&members), (vec![NODE], vec![NODE]));
    members
        .advance(NODE, generation, Life::Draining)
        .expect("it is current");
    assert_eq!(owns(&members), (vec![NODE], vec![]));
    members
        .advance(NODE, generation, Life::Gone)
        .expect("it is current");
    assert_eq!(owns(&members), (vec![], vec![]));
    assert_eq!(members.generation(), 4);
}

#[test]
fn a_life_never_goes_back() {
    let mut members = Members::default();
    let generation = members.register(NODE, 8);
    members
        .advance(NODE, generation, Life::Draining)
        .expect("it is current");
    let before = members.clone();
    members
        .advance(NODE, generation, Life::Serving)
        .expect("it is current");
    assert_eq!(members, before);
}

#[test]
fn a_fenced_node_can_do_nothing_until_it_registers_again() {
    let mut members = Members::default();
    let generation = members.register(NODE, 8);
    assert!(members.fence(&suspect(&members, NODE)));
    let fenced = Fenced {
        node: NODE,
        generation,
    };
    assert_eq!(members.check(NODE, generation), Err(fenced));
    assert_eq!(members.beat(NODE, generation), Err(fenced));
    assert_eq!(members.advance(NODE, generation, Life::Serving), Err(fenced));
    let next = members.register(NODE, 8);
    assert_eq!(members.check(NODE, next), Ok(()));
    assert_eq!(members.check(NODE, generation), Err(fenced));
}

#[test]
fn a_sign_of_life_refutes_a_suspicion() {
    let mut members = Members::default();
    let generation = members.register(NODE, 8);
    let seen = suspect(&members, NODE);
    members.beat(NODE, generation).expect("it is current");
    assert!(!members.fence(&seen));
    assert_eq!(members.check(NODE, generation), Ok(()));
    // So does a new registration, whose beats begin anew.
    let seen = suspect(&members, NODE);
    members.register(NODE, 8);
    assert!(!members.fence(&seen));
}

#[test]
fn a_node_is_fenced_once() {
    let mut members = Members::default();
    members.register(NODE, 8);
    let seen = suspect(&members, NODE);
    assert!(members.fence(&seen));
    let after = members.clone();
    assert!(!members.fence(&seen));
    assert_eq!(members, after);
}

#[test]
fn who_never_registered_is_nobody() {
    let mut members = Members::default();
    members.register(OTHER, 8);
    assert!(members.check(NODE, 0).is_err());
    assert!(members.check(NODE, 1).is_err());
    assert_eq!(members.current(NODE), None);
    let refused = members.beat(NODE, 1).expect_err("nobody");
    assert!(refused.to_string().contains("no longer of generation 1"));
}
