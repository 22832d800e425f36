//! Tests of the list of tenants and of their removal: all of one incarnation goes, and nothing of another.

use crate::storage::database::testing::{Server, connect};

#[test]
fn every_table_of_a_tenant_is_emptied_by_a_removal() {
    let Some(server) = Server::shared() else { return };
    let address = server.fresh();
    let tables = server.sql(
        &address,
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant' AND table_schema = 'public'",
    );
    let mut tables: Vec<&str> = tables.lines().collect();
    let emptied = super::OF_TENANT.map(|sql| {
        let rest = sql.strip_prefix("DELETE FROM ").expect("a deletion");
        rest.split(' ').next().expect("a table")
    });
    let mut emptied = emptied.to_vec();
    // By its key, with the tenant's own row: a database of the format before has no such table.
    emptied.push("loose");
    tables.sort_unstable();
    emptied.sort_unstable();
    assert_eq!(tables, emptied);
}

#[test]
fn tables_that_are_not_there_are_told_with_the_way_out() {
    let Some(server) = Server::shared() else { return };
    let refusal = connect(&server.empty()).tenants().expect_err("no tables");
    assert!(refusal.to_string().ends_with("(`thenar migrate`)"), "{refusal}");
    assert!(connect(&server.fresh()).tenants().expect("tables").is_empty());
}
