//! Shows that every rule catches a violation and lets good files be. Tests `rules` alone.

use super::*;

type Rule = fn(&Source) -> Vec<String>;

#[track_caller]
fn caught(rule: Rule, path: &str, text: &str) {
    assert_eq!(rule(&Source::made(path, text)).len(), 1, "{path}: {text}");
}

#[track_caller]
fn fine(rule: Rule, path: &str, text: &str) {
    let faults = rule(&Source::made(path, text));
    assert_eq!(faults, Vec::<String>::new(), "{path}: {text}");
}

fn listed(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

#[test]
fn a_file_without_a_head_is_caught() {
    fine(head, "src/a.rs", "//! What it is.\n");
    caught(head, "src/a.rs", "use std::fs;\n//! late\n");
    caught(head, "src/a.rs", "// What it is.\n");
    caught(head, "src/a.rs", "//! \n");
    caught(head, "src/a.rs", "");
}

#[test]
fn a_long_file_is_caught() {
    fine(length, "src/a.rs", &"x\n".repeat(500));
    caught(length, "src/a.rs", &"x\n".repeat(501));
}

#[test]
fn mod_rs_is_caught() {
    fine(module_name, "src/model.rs", "");
    caught(module_name, "src/model/mod.rs", "");
    caught(module_name, "tests/it/mod.rs", "");
}

#[test]
fn unsafe_elsewhere_is_caught() {
    let text = "fn f() { unsafe { g() } }";
    caught(unsafe_places, "src/keys/aead.rs", text);
    caught(unsafe_places, "tests/it/main.rs", text);
    caught(unsafe_places, "src/engine/gpu/scan.rs", "#![expect(unsafe_code)]");
    fine(unsafe_places, "src/engine/cpu/scan/avx2.rs", text);
    fine(unsafe_places, "src/storage/map.rs", text);
    fine(unsafe_places, "bench/faults/src/lib.rs", text);
    caught(unsafe_places, "bench/src/torture/child.rs", text);
    fine(unsafe_places, "src/engine/memory.rs", text);
    fine(
        unsafe_places,
        "src/keys/aead.rs",
        "// unsafe\nconst A: &str = \"unsafe\";",
    );
}

#[test]
fn sqlite_elsewhere_is_caught() {
    let text = "fn f(conn: &rusqlite::Connection) {}";
    caught(sqlite_places, "src/storage/flush.rs", text);
    caught(sqlite_places, "src/storage/catalog.rs", text);
    caught(sqlite_places, "src/matcher/apply.rs", "use rusqlite::Connection;");
    caught(
        sqlite_places,
        "src/storage/catalog/enroll.rs",
        "use rusqlite::Connection;",
    );
    caught(sqlite_places, "tests/it/formats.rs", text);
    fine(sqlite_places, "src/storage/catalog/local/write.rs", text);
    fine(sqlite_places, "src/storage/audit_erasure_tests.rs", text);
    fine(sqlite_places, "src/storage/flush.rs", "// rusqlite\nfn f() {}");
}

#[test]
fn a_database_s_driver_elsewhere_is_caught() {
    let text = "use tokio_postgres::Row;";
    caught(postgres_places, "src/storage/catalog/local/read.rs", text);
    caught(
        postgres_places,
        "src/storage/store.rs",
        "fn f(pool: deadpool_postgres::Pool) {}",
    );
    fine(postgres_places, "src/storage/catalog/postgres/read.rs", text);
    fine(postgres_places, "src/storage/database.rs", text);
}

#[test]
fn an_allowed_lint_is_caught() {
    caught(suppressions, "src/a.rs", "#[allow(dead_code)]\nfn f() {}");
    caught(suppressions, "src/a.rs", "#![allow(clippy::all)]");
    caught(
        suppressions,
        "src/a.rs",
        "#[cfg_attr(test, allow(dead_code))]\nfn f() {}",
    );
    fine(
        suppressions,
        "src/a.rs",
        "#[expect(dead_code, reason = \"x\")]\nfn f() { limits.allow(1) }",
    );
}

#[test]
fn an_ignored_test_is_caught() {
    caught(suppressions, "src/a_tests.rs", "#[test]\n#[ignore]\nfn f() {}");
    caught(suppressions, "src/a_tests.rs", "#[ignore = \"slow\"]\nfn f() {}");
    caught(
        suppressions,
        "src/a_tests.rs",
        "#[cfg_attr(slow, ignore)]\nfn f() {}",
    );
    fine(
        suppressions,
        "src/a_tests.rs",
        "#[arg(ignore_case = true)]\nfn ignore() {}",
    );
}

#[test]
fn undone_work_is_caught() {
    caught(suppressions, "src/a.rs", "fn f() { todo!() }");
    caught(suppressions, "src/a.rs", "fn f() { unimplemented!(\"x\") }");
    caught(suppressions, "src/a.rs", "fn f() { std::dbg!(1); }");
    fine(
        suppressions,
        "src/a.rs",
        "// todo!()\nfn f() -> bool { todo != dbg }",
    );
}

#[test]
fn a_re_export_at_the_root_is_caught() {
    fine(root_exports, "src/lib.rs", "//! use it\npub mod cli;");
    caught(root_exports, "src/lib.rs", "pub mod cli;\npub use cli::Cli;");
}

#[test]
fn a_path_of_one_machine_is_caught() {
    for path in MACHINE_PATHS {
        caught(machine_paths, "check", &format!("cd {path}somebody/thenar"));
        caught(machine_paths, "docs/a.md", &format!("`{path}x`"));
        fine(machine_paths, "docs/a.md", &format!("docs{path}x"));
    }
    fine(machine_paths, "docker/Dockerfile", "WORKDIR /src\nVOLUME /data");
}

#[test]
fn a_shader_without_a_twin_is_caught() {
    let alone = listed(&["shaders/scan.wgsl", "src/engine/cpu/other.rs"]);
    assert_eq!(
        twins(&alone),
        ["shaders/scan.wgsl: src/engine/cpu/scan.rs is missing"]
    );
    let together = listed(&["shaders/scan.wgsl", "src/engine/cpu/scan.rs"]);
    assert_eq!(twins(&together), Vec::<String>::new());
    let variant = listed(&["shaders/scan/fast.wgsl", "shaders/common/rows.wgsl"]);
    assert_eq!(
        twins(&variant),
        ["shaders/scan/fast.wgsl: shaders/scan.wgsl is missing"]
    );
}

#[test]
fn a_missing_document_is_caught() {
    assert_eq!(documents(&listed(&["README.md"])), ["ARCHITECTURE.md is missing"]);
    assert_eq!(documents(&listed(&DOCUMENTS)), Vec::<String>::new());
}

#[test]
fn a_long_map_is_caught() {
    fine(map_length, "ARCHITECTURE.md", &"x\n".repeat(150));
    caught(map_length, "ARCHITECTURE.md", &"x\n".repeat(151));
    fine(map_length, "README.md", &"x\n".repeat(151));
}

#[test]
fn a_path_that_does_not_exist_is_caught() {
    let paths = listed(&["src/engine/cpu/scan.rs", "src/engine.rs", "docs/api.md"]);
    let faults = |text: &str| named_paths(&Source::made("README.md", text), &paths);
    for text in [
        "`src/engine.rs` and `src/engine/`.",
        "`src/engine/cpu/<stage>.rs`, src/engine/*.rs",
        "[the API](docs/api.md#errors)",
        "`src/{engine,engine/cpu/scan}.rs`",
        "`./check` and `sources/none.rs`",
    ] {
        assert_eq!(faults(text), Vec::<String>::new(), "{text}");
    }
    for text in [
        "`src/gone.rs`",
        "[the API](docs/gone.md)",
        "```\nsrc/engine/gone  what it is\n```",
        "`src/{engine,gone}.rs`",
        "`src/gone/<stage>.rs`",
        "see src/gone.rs.",
        "`bench/run --rows 10`",
    ] {
        assert_eq!(faults(text).len(), 1, "{text}");
    }
}
