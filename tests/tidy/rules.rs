//! The rules that need one file, or the list of files, and nothing else. Each returns its faults in words; changes nothing.

use crate::lex;
use crate::tree::Source;

/// Longest file, in lines.
const LINES_MAX: usize = 500;
/// Longest ARCHITECTURE.md, in lines.
const MAP_LINES_MAX: usize = 150;
/// Documents that must be there and whose paths must exist.
pub const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "README.md"];
/// Folders whose paths are checked where a document names them.
const ROOTS: [&str; 8] = [
    "src/",
    "shaders/",
    "proto/",
    "docs/",
    "tests/",
    "bench/",
    "docker/",
    "examples/",
];
/// Where `unsafe` is allowed: the CPU kernels, the unchecked shaders, locked memory, the file layer of `SQLite`, the memory map; and two that
/// are no part of the server: the library that takes the place of C functions, and the allocator that counts in a test.
const UNSAFE_PLACES: [&str; 7] = [
    "bench/faults/src/",
    "src/engine/cpu/",
    "src/engine/gpu/trust.rs",
    "src/engine/memory.rs",
    "src/storage/catalog/vfs.rs",
    "src/storage/map.rs",
    "tests/fuzz/allocator.rs",
];
/// Where the catalog's engine is named: behind the catalog's seam (but not where the rules are), in the tools that read the file itself, in the storage's errors, and
/// where tests change a file.
const SQLITE_PLACES: [&str; 16] = [
    "src/storage/absence.rs",
    "src/storage/audit",
    "src/storage/backup.rs",
    "src/storage/catalog/code",
    "src/storage/catalog/connection",
    "src/storage/catalog/draft_tests/",
    "src/storage/catalog/import.rs",
    "src/storage/catalog/local",
    "src/storage/catalog/pending.rs",
    "src/storage/catalog/schema.rs",
    "src/storage/catalog/segments.rs",
    "src/storage/catalog/state.rs",
    "src/storage/catalog/vfs",
    "src/storage/error.rs",
    "src/storage/testing.rs",
    "src/storage/verify.rs",
];
/// Where the driver of PostgreSQL is named: what speaks to a database, and the engine that keeps rows in one.
const POSTGRES_PLACES: [&str; 2] = ["src/storage/catalog/postgres", "src/storage/database"];
/// Folder of shader texts that are parts of several stages.
const SHADERS_SHARED: &str = "common";
/// Macros that stand for work not done.
const UNDONE: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// Where somebody's files lie on one machine. Put together here so that this file does not hold them.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Line 1 says what the file is.
pub fn head(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let told = first
        .strip_prefix("//!")
        .is_some_and(|what| !what.trim().is_empty());
    fault_if(!told, || {
        format!("{}:1: begin with //! and what the file is", source.path)
    })
}

/// No file is long.
pub fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    fault_if(lines > LINES_MAX, || {
        format!(
            "{}: {lines} lines; at most {LINES_MAX}: split it by role",
            source.path
        )
    })
}

/// `foo.rs` beside `foo/`, so that a tab says what it shows.
pub fn module_name(source: &Source) -> Vec<String> {
    let name = source.path.rsplit('/').next();
    fault_if(name == Some("mod.rs"), || {
        format!("{}: name it after its folder, beside it", source.path)
    })
}

/// `unsafe`, and the permission to write it, only where it belongs.
pub fn unsafe_places(source: &Source) -> Vec<String> {
    confined(source, &["unsafe", "unsafe_code"], &UNSAFE_PLACES)
}

/// `SQLite` only where it belongs, so that another engine can take its place.
pub fn sqlite_places(source: &Source) -> Vec<String> {
    confined(source, &["rusqlite"], &SQLITE_PLACES)
}

/// The same of the other engine.
pub fn postgres_places(source: &Source) -> Vec<String> {
    let words = ["tokio_postgres", "deadpool_postgres", "tokio_postgres_rustls"];
    confined(source, &words, &POSTGRES_PLACES)
}

fn confined(source: &Source, words: &[&str], places: &[&str]) -> Vec<String> {
    if places.iter().any(|place| source.path.starts_with(place)) {
        return Vec::new();
    }
    let code = lex::code_only(&source.text);
    let fault = |(word, at): (&str, usize)| {
        let line = lex::line_of(&code, at);
        let places = places.join(", ");
        format!("{}:{line}: {word} belongs in {places}", source.path)
    };
    words
        .iter()
        .flat_map(|word| lex::find_word(&code, word).into_iter().map(move |at| (*word, at)))
        .map(fault)
        .collect()
}

/// No test is left out, no lint allowed, nothing left undone.
pub fn suppressions(source: &Source) -> Vec<String> {
    let code = lex::code_only(&source.text);
    let mut faults = Vec::new();
    let mut fault = |at: usize, problem: String| {
        faults.push(format!("{}:{}: {problem}", source.path, lex::line_of(&code, at)));
    };
    for (at, attribute) in lex::attributes(&code) {
        let mut lints = lex::find_word(attribute, "allow").into_iter();
        if lints.any(|word| lex::rest(attribute, word + "allow".len()).starts_with('(')) {
            fault(at, "use expect(lint, reason) in place of allow".to_owned());
        }
        if !lex::find_word(attribute, "ignore").is_empty() {
            fault(at, "a test that does not run tests nothing".to_owned());
        }
    }
    for name in UNDONE {
        for at in lex::find_word(&code, name) {
            let after = lex::rest(&code, at + name.len());
            if after.starts_with('!') && !after.starts_with("!=") {
                fault(at, format!("{name}! is not for keeping"));
            }
        }
    }
    faults
}

/// The root of the library re-exports nothing, so that a path tells the layer.
pub fn root_exports(source: &Source) -> Vec<String> {
    let code = lex::code_only(&source.text);
    lex::find_word(&code, "use")
        .into_iter()
        .map(|at| {
            format!(
                "{}:{}: the root holds modules alone",
                source.path,
                lex::line_of(&code, at)
            )
        })
        .collect()
}

/// No file tells where somebody's files lie.
pub fn machine_paths(source: &Source) -> Vec<String> {
    let names_machine = |line: &str| {
        MACHINE_PATHS.iter().any(|path| {
            // Behind a letter it is the inside of a longer path, `docs/home/` say.
            let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '>');
            line.match_indices(path)
                .any(|(at, _)| !line.get(..at).unwrap_or_default().ends_with(inside))
        })
    };
    let lines = source.text.lines().enumerate();
    lines
        .filter(|(_, line)| names_machine(line))
        .map(|(at, _)| format!("{}:{}: an absolute path of one machine", source.path, at + 1))
        .collect()
}

/// Every `shaders/<stage>.wgsl` has `src/engine/cpu/<stage>.rs`, and every `shaders/<stage>/<variant>.wgsl` its stage.
pub fn twins(paths: &[String]) -> Vec<String> {
    let shaders = paths
        .iter()
        .filter_map(|path| path.strip_prefix("shaders/")?.strip_suffix(".wgsl"));
    let needed = shaders.filter_map(|shader| match shader.split_once('/') {
        None => Some((shader, format!("src/engine/cpu/{shader}.rs"))),
        Some((SHADERS_SHARED, _)) => None,
        Some((stage, _)) => Some((shader, format!("shaders/{stage}.wgsl"))),
    });
    needed
        .filter(|(_, twin)| !paths.contains(twin))
        .map(|(shader, twin)| format!("shaders/{shader}.wgsl: {twin} is missing"))
        .collect()
}

/// The documents are there.
pub fn documents(paths: &[String]) -> Vec<String> {
    let missing = DOCUMENTS
        .iter()
        .filter(|document| !paths.iter().any(|path| path == *document));
    missing.map(|document| format!("{document} is missing")).collect()
}

/// The map stays one that can be read.
pub fn map_length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    fault_if(source.path == "ARCHITECTURE.md" && lines > MAP_LINES_MAX, || {
        format!("{}: {lines} lines; at most {MAP_LINES_MAX}", source.path)
    })
}

/// Every path that a document names exists, in prose, in backticks, in a link or in a listing.
pub fn named_paths(source: &Source, paths: &[String]) -> Vec<String> {
    let exists = |path: &str| {
        let folder = format!("{}/", path.trim_end_matches('/'));
        paths.iter().any(|p| p == path || p.starts_with(&folder))
    };
    let mut faults = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let breaks = |c: char| c.is_whitespace() || "`()[]|\"'".contains(c);
        let tokens = line
            .split(breaks)
            .map(|token| token.trim_end_matches(['.', ',', ':', ';']));
        for token in tokens.filter(|token| ROOTS.iter().any(|root| token.starts_with(root))) {
            for path in spelled_out(token) {
                if !exists(&path) {
                    faults.push(format!("{}:{}: {path} does not exist", source.path, at + 1));
                }
            }
        }
    }
    faults
}

/// A name as it stands in prose as the paths it means: `a/{b,c}.rs` is two, `a/<stage>.rs` and `a/*.rs` mean the folder.
fn spelled_out(token: &str) -> Vec<String> {
    let token = token.split('#').next().unwrap_or_default();
    if let Some((before, rest)) = token.split_once('{')
        && let Some((choices, after)) = rest.split_once('}')
    {
        let paths = choices
            .split(',')
            .map(|choice| format!("{before}{choice}{after}"));
        return paths.flat_map(|path| spelled_out(&path)).collect();
    }
    let end = token.find(['<', '*']).map_or(token.len(), |at| {
        token
            .get(..at)
            .and_then(|t| t.rfind('/'))
            .map_or(at, |slash| slash + 1)
    });
    vec![token.get(..end).unwrap_or_default().to_owned()]
}

fn fault_if(broken: bool, fault: impl Fn() -> String) -> Vec<String> {
    if broken { vec![fault()] } else { Vec::new() }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
