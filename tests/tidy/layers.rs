//! The layers: a module uses only modules on a lower line. Reads `crate::` and `super::` paths; knows no other crate.

use crate::lex;
use crate::tree::Source;

/// The layers from the top down. Those on one line don't know each other.
const LINES: [&[&str]; 10] = [
    &["cli"],
    &["config"],
    &["server"],
    &["service"],
    &["front"],
    &["matcher"],
    &["engine", "storage"],
    &["keys"],
    &["cluster", "proto", "telemetry"],
    &["model"],
];
/// Modules beside the layers: what each may use.
const BESIDE: [(&str, &[&str]); 5] = [
    ("population", &["model"]),
    ("client", &["proto", "model"]),
    ("palms", &[]),
    ("encode", &["model"]),
    ("eval", &["model"]),
];
/// Layers that use less than the lines below them.
const STRICT: [(&str, &[&str]); 5] = [
    ("front", &["matcher", "keys", "telemetry", "model"]),
    ("keys", &["model"]),
    ("cluster", &["model"]),
    ("telemetry", &[]),
    ("proto", &[]),
];
/// Who names the generated messages, besides the one part of `matcher` below.
const NAME_PROTO: [&str; 3] = ["service", "client", "cli"];
/// The part of `matcher` that names them.
const REMOTE: &str = "src/matcher/remote";

/// Every use of a layer that `source` may not know.
pub fn check(source: &Source) -> Vec<String> {
    let Some(user) = layer_of(&source.path) else {
        return Vec::new();
    };
    if !is_layer(user) {
        return vec![format!(
            "{}: {user} is in no line of the layers; put it into one in tests/tidy/layers.rs",
            source.path
        )];
    }
    let code = lex::code_only(&source.text);
    uses(&code, depth_of(&source.path))
        .into_iter()
        .filter_map(|(line, used)| {
            let problem = refuse(&source.path, user, &used)?;
            Some(format!("{}:{line}: {user} uses {used}: {problem}", source.path))
        })
        .collect()
}

/// The layer a file belongs to; the root and the binary belong to none.
fn layer_of(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    let first = inner.split('/').next()?;
    let layer = first.strip_suffix(".rs").unwrap_or(first);
    let layer = layer.strip_suffix("_tests").unwrap_or(layer);
    (!matches!(layer, "lib" | "main")).then_some(layer)
}

/// How many times `super::` leads from a file to the root.
fn depth_of(path: &str) -> usize {
    // `x_tests.rs` is the module `tests` within `x`.
    path.matches('/').count() + usize::from(is_test(path))
}

fn is_test(path: &str) -> bool {
    path.ends_with("_tests.rs")
}

fn is_layer(name: &str) -> bool {
    line_of_layer(name).is_some() || BESIDE.iter().any(|(beside, _)| *beside == name)
}

fn line_of_layer(name: &str) -> Option<usize> {
    LINES.iter().position(|line| line.contains(&name))
}

/// Why `user` may not use `named`, if it may not.
fn refuse(path: &str, user: &str, named: &str) -> Option<&'static str> {
    if user == named {
        return None;
    }
    if !is_layer(named) {
        return Some("is no layer; the root holds nothing else");
    }
    // The simulated population gives unit tests their palms, and knows the vocabulary alone.
    if user == "cli" || (named == "population" && is_test(path)) {
        return None;
    }
    let find = |table: &[(&str, &'static [&'static str])]| {
        let row = table.iter().find(|(name, _)| *name == user);
        row.map(|(_, allowed)| *allowed)
    };
    // Drawn palms give the encoder's unit tests something to look at.
    if (user, named) == ("encode", "palms") && is_test(path) {
        return None;
    }
    if let Some(allowed) = find(&BESIDE) {
        return (!allowed.contains(&named)).then_some("it stands beside the layers");
    }
    match named {
        "population" | "client" | "palms" | "encode" | "eval" => return Some("it stands beside the layers"),
        "proto" if NAME_PROTO.contains(&user) || path.starts_with(REMOTE) => return None,
        "proto" => return Some("only service, matcher::remote, client and cli name it"),
        _ => {}
    }
    // A unit test of the front sets up a node of its own, so it may name what is below.
    if let (Some(allowed), false) = (find(&STRICT), is_test(path) && user == "front") {
        return (!allowed.contains(&named)).then_some("it uses less than what is below it");
    }
    (line_of_layer(named) <= line_of_layer(user)).then_some("it is not on a lower line")
}

/// The layers that `code` names, with the line of each; `depth` as of [`depth_of`].
fn uses(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in lex::find_word(code, "crate") {
        if let Some(path) = lex::rest(code, at + "crate".len()).strip_prefix("::") {
            found.extend(heads(path).into_iter().map(|name| (lex::line_of(code, at), name)));
        }
    }
    for at in lex::find_word(code, "super") {
        let (mut steps, mut path) = (0, lex::rest(code, at));
        while let Some(inner) = path
            .strip_prefix("super")
            .and_then(|p| p.trim_start().strip_prefix("::"))
        {
            (steps, path) = (steps + 1, inner.trim_start());
        }
        if steps >= depth {
            // Within an inline module the same steps lead elsewhere, so other names are let be.
            let layers = heads(path).into_iter().filter(|name| is_layer(name));
            found.extend(layers.map(|name| (lex::line_of(code, at), name)));
        }
    }
    found.sort();
    found
}

/// The first names of a path or of a use tree: `a::b` gives a, `{a::b, c::{d, e}}` gives a and c.
fn heads(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let Some(tree) = path.strip_prefix('{') else {
        return vec![head(path)];
    };
    let (mut depth, mut names, mut begins) = (1_usize, Vec::new(), true);
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            c if begins && !c.is_whitespace() => {
                names.push(head(tree.get(at..).unwrap_or_default()));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn head(path: &str) -> String {
    if path.starts_with('*') {
        return "*".to_owned();
    }
    path.trim_start_matches("r#")
        .chars()
        .take_while(|&c| lex::is_word(c))
        .collect()
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
