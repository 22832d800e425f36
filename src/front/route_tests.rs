//! Tests of routes: the table first, then the default, and a way to nowhere is refused when it is made.

use super::*;
use crate::front::fake::FakeNode;
use crate::front::fixture::id;

fn nodes() -> BTreeMap<String, Arc<dyn Node>> {
    let node = || -> Arc<dyn Node> { Arc::new(FakeNode::default()) };
    BTreeMap::from([("a".to_owned(), node()), ("b".to_owned(), node())])
}

#[test]
fn the_table_goes_before_the_default() {
    let nodes = nodes();
    let table = BTreeMap::from([(id("acme"), "b".to_owned())]);
    let routes = Routes::table(table.clone(), nodes.clone(), Some("a".to_owned())).expect("stands");
    assert!(routes.leads_to(&id("acme"), &nodes["b"]));
    assert!(routes.leads_to(&id("other"), &nodes["a"]));
    assert!(!routes.leads_to(&id("other"), &nodes["b"]));
    assert_eq!(routes.nodes().count(), 2);
    let routes = Routes::table(table, nodes, None).expect("stands");
    assert!(matches!(
        routes.node(&id("other")),
        Err(NodeError::TenantUnavailable { reason, .. }) if reason.contains("routing table")
    ));
}

#[test]
fn a_way_to_nowhere_is_refused() {
    let table = BTreeMap::from([(id("acme"), "c".to_owned())]);
    let error = Routes::table(table, nodes(), None).err().expect("refused");
    assert_eq!(
        error.to_string(),
        "tenant acme is routed to node \"c\", which is not among the nodes (a, b)"
    );
    let error = Routes::table(BTreeMap::new(), nodes(), Some("x".to_owned())).err();
    assert!(matches!(error, Some(RouteError::NodeUnknown { tenant, .. }) if tenant == "(default)"));
    let error = Routes::table(BTreeMap::new(), BTreeMap::new(), None).err();
    assert_eq!(error, Some(RouteError::NoNode));
}

#[test]
fn a_single_node_has_all() {
    let node: Arc<dyn Node> = Arc::new(FakeNode::default());
    let routes = Routes::single(Arc::clone(&node));
    assert!(routes.leads_to(&id("anybody"), &node));
}
