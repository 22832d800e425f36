//! Shows that the layer rule catches what it should and lets the rest be. Tests `layers` alone.

use super::*;

#[track_caller]
fn faults(path: &str, text: &str) -> Vec<String> {
    check(&Source::made(path, text))
}

#[track_caller]
fn caught(path: &str, text: &str) {
    assert_eq!(faults(path, text).len(), 1, "{path}: {text}");
}

#[track_caller]
fn fine(path: &str, text: &str) {
    assert_eq!(faults(path, text), Vec::<String>::new(), "{path}: {text}");
}

#[test]
fn a_lower_line_may_be_used() {
    fine("src/front/route.rs", "use crate::matcher::node::Node;");
    fine(
        "src/matcher/local.rs",
        "use crate::{engine::Engine, storage::{Store, map::Map}};",
    );
    fine("src/server.rs", "fn f() { crate::service::router() }");
    fine(
        "src/cli/demo.rs",
        "use crate::{client, population, proto, server};",
    );
}

#[test]
fn a_higher_line_is_caught() {
    caught("src/matcher/local.rs", "use crate::front::Front;");
    caught("src/model/id.rs", "use crate::keys::aead;");
    caught("src/server/pki.rs", "use crate::config::Config;");
    caught("src/config.rs", "use crate::cli::Cli;");
}

#[test]
fn inline_paths_are_caught() {
    caught(
        "src/engine/batch.rs",
        "fn f() -> crate::front::error::FrontError { g() }",
    );
    caught("src/keys.rs", "type T = Vec<crate ::\n storage::Store>;");
}

#[test]
fn every_branch_of_a_use_tree_counts() {
    let found = faults(
        "src/engine/batch.rs",
        "use crate::model::id;\nuse crate::{front::{a, b}, model::c, storage::{d}};",
    );
    assert_eq!(found.len(), 2);
    assert!(
        found
            .iter()
            .all(|fault| fault.starts_with("src/engine/batch.rs:2: engine uses"))
    );
}

#[test]
fn engine_and_storage_are_strangers() {
    caught("src/engine/cpu/scan.rs", "use crate::storage::map;");
    caught("src/storage/map.rs", "use crate::engine::code;");
}

#[test]
fn proto_is_named_at_the_border_alone() {
    fine("src/service/to_proto.rs", "use crate::proto::v1;");
    fine("src/matcher/remote.rs", "use crate::proto::matching::v1;");
    fine("src/matcher/remote/convert.rs", "use crate::proto::matching::v1;");
    fine("src/client.rs", "use crate::proto::v1;");
    caught("src/matcher/local.rs", "use crate::proto::v1;");
    caught("src/front/decide.rs", "use crate::proto::v1;");
    caught("src/server.rs", "use crate::proto::v1;");
}

#[test]
fn side_modules_know_little() {
    fine("src/population.rs", "use crate::model::signature;");
    caught("src/population.rs", "use crate::engine::code;");
    caught("src/client.rs", "use crate::keys::secret;");
    caught("src/service/status.rs", "use crate::client::Client;");
    caught("src/engine/code.rs", "use crate::population::Population;");
    fine("src/engine/code_tests.rs", "use crate::population::Population;");
    fine("src/encode/hand_tests.rs", "use crate::palms::Palms;");
    caught("src/encode/hand.rs", "use crate::palms::Palms;");
    caught("src/matcher/search.rs", "use crate::encode::PalmEncoder;");
}

#[test]
fn strict_layers_use_less_than_is_below_them() {
    caught("src/keys/aead.rs", "use crate::telemetry::names;");
    caught("src/telemetry.rs", "use crate::model::id;");
    caught("src/proto.rs", "use crate::model::id;");
    caught("src/cluster/placement.rs", "use crate::telemetry::names;");
    fine("src/cluster/placement.rs", "use crate::model::id::TenantId;");
    fine(
        "src/matcher/local.rs",
        "use crate::cluster::placement::Placement;",
    );
    caught("src/front/admit.rs", "use crate::storage::Store;");
    caught("src/front/admit.rs", "use crate::engine::Engine;");
    fine(
        "src/front/admit_tests.rs",
        "use crate::{engine::Engine, storage::DataDir};",
    );
    caught("src/front/admit_tests.rs", "use crate::service::status;");
}

#[test]
fn super_does_not_lead_around_the_rule() {
    caught("src/storage/map.rs", "use super::super::front::Front;");
    caught("src/storage.rs", "use super::engine;");
    caught(
        "src/storage/map_tests.rs",
        "use super::super::super::engine::code;",
    );
    fine("src/storage/map.rs", "use super::engine;");
    fine("src/storage/map_tests.rs", "use super::super::engine;");
}

#[test]
fn comments_and_text_are_no_uses() {
    fine(
        "src/model/id.rs",
        "// crate::front\n/// [`crate::front::Front`]\nconst A: &str = \"crate::front\";",
    );
}

#[test]
fn a_name_at_the_root_is_caught() {
    caught("src/front/admit.rs", "use crate::*;");
    caught("src/front/admit.rs", "use crate::Error;");
}

#[test]
fn an_unlisted_module_is_caught() {
    caught("src/util.rs", "");
    caught("src/util/text.rs", "");
}

#[test]
fn tests_of_a_layer_belong_to_it() {
    fine(
        "src/client_tests.rs",
        "use crate::proto::v1;\nuse super::super::model;",
    );
    caught("src/client_tests.rs", "use super::super::storage;");
    caught("src/engine_tests.rs", "use crate::storage::Store;");
}

#[test]
fn the_root_and_the_binary_are_free() {
    fine("src/main.rs", "use crate::cli;");
    fine("src/lib.rs", "pub mod cli;");
}
