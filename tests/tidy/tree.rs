//! The files of the repository, as the rules see them. Leaves out what is built or hidden; judges nothing.

use std::fs;
use std::path::Path;

/// Folders that hold nothing of ours.
const LEFT_OUT: [&str; 5] = ["target", "out", "generated", "__pycache__", "node_modules"];
/// Hidden folders that are ours all the same.
const HIDDEN_BUT_OURS: [&str; 1] = [".ci"];

/// A text file.
pub struct Source {
    /// From the root of the repository, with forward slashes.
    pub path: String,
    /// Content.
    pub text: String,
}

impl Source {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|ext| ext == "rs")
    }

    /// A file that exists in a test alone.
    #[cfg(test)]
    pub fn made(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// Every file, from the root of the repository, sorted.
pub fn paths() -> Vec<String> {
    let mut paths = Vec::new();
    walk(root(), "", &mut paths);
    paths.sort();
    paths
}

/// Every text file, sorted.
pub fn read() -> Vec<Source> {
    let text_of = |path: String| {
        let bytes = fs::read(root().join(&path)).expect("a listed file can be read");
        let text = String::from_utf8(bytes).ok()?;
        (!text.contains('\0')).then_some(Source { path, text })
    };
    paths().into_iter().filter_map(text_of).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(root: &Path, under: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(under)).expect("a folder of the repository can be listed") {
        let entry = entry.expect("a folder of the repository can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if under.is_empty() {
            name.clone()
        } else {
            format!("{under}/{name}")
        };
        let kind = entry.file_type().expect("the kind of a listed entry is known");
        let hidden = name.starts_with('.') && !HIDDEN_BUT_OURS.contains(&name.as_str());
        if kind.is_dir() && !hidden && !LEFT_OUT.contains(&name.as_str()) {
            walk(root, &path, paths);
        } else if kind.is_file() && name != ".git" {
            paths.push(path);
        }
    }
}
