//! The house rules as tests: shape of files, layers, suppressions, paths named in the docs. Reads the tree; builds and runs nothing of it.

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/lex.rs"]
mod lex;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/tree.rs"]
mod tree;

use tree::Source;

/// Fails with every fault that `rule` finds in the files that `of` selects.
fn hold(of: fn(&Source) -> bool, rule: impl Fn(&Source) -> Vec<String>) {
    let tree = tree::read();
    let chosen: Vec<&Source> = tree.iter().filter(|source| of(source)).collect();
    assert!(
        !chosen.is_empty(),
        "no file to check: is the rule looking in the right place?"
    );
    let faults: Vec<String> = chosen.into_iter().flat_map(rule).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn rust(source: &Source) -> bool {
    source.is_rust()
}

#[test]
fn files_begin_with_what_they_are() {
    hold(rust, rules::head);
}

#[test]
fn files_are_short() {
    hold(rust, rules::length);
}

#[test]
fn modules_are_named_after_themselves() {
    hold(rust, rules::module_name);
}

#[test]
fn layers_point_down() {
    hold(|source| source.path.starts_with("src/"), layers::check);
}

#[test]
fn unsafe_stays_where_it_belongs() {
    hold(rust, rules::unsafe_places);
}

#[test]
fn the_catalog_s_engine_stays_behind_its_seam() {
    hold(rust, rules::sqlite_places);
    hold(rust, rules::postgres_places);
}

#[test]
fn nothing_is_suppressed_or_left_undone() {
    hold(rust, rules::suppressions);
}

#[test]
fn the_root_exports_modules_alone() {
    hold(|source| source.path == "src/lib.rs", rules::root_exports);
}

#[test]
fn no_file_names_a_machine() {
    hold(|_| true, rules::machine_paths);
}

#[test]
fn every_shader_has_a_cpu_twin() {
    let faults = rules::twins(&tree::paths());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn documents_exist_and_name_what_exists() {
    let paths = tree::paths();
    let mut faults = rules::documents(&paths);
    for source in tree::read() {
        if rules::DOCUMENTS.contains(&source.path.as_str()) {
            faults.extend(rules::named_paths(&source, &paths));
            faults.extend(rules::map_length(&source));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
