//! A folder of images and what each one shows, by its path. Opens no image.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use regex::{Captures, Regex};

use crate::cli::error::CliError;
use crate::eval::set::check_count;

use super::EvalError;

/// The groups that a pattern may have.
const GROUPS: [&str; 5] = ["palm", "hand", "session", "sample", "index"];

/// A regular expression with a group for the palm.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let regex = Regex::new(text).map_err(|error| error.to_string())?;
        let names: Vec<&str> = regex.capture_names().flatten().collect();
        if let Some(unknown) = names.iter().find(|name| !GROUPS.contains(name)) {
            return Err(format!("group {unknown} is none of {}", GROUPS.join(", ")));
        }
        if names.contains(&"palm") == names.contains(&"index") {
            return Err("a group (?<palm>…) is needed, or (?<index>…) in its place".to_owned());
        }
        Ok(Self(regex))
    }
}

/// An image and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// The same below the folder, with slashes.
    pub name: String,
    /// Label of the palm.
    pub palm: String,
    /// Which capture of it.
    pub sample: String,
}

/// The images of a folder.
#[derive(Debug)]
pub struct Found {
    /// In order of their paths.
    pub images: Vec<Image>,
    /// Files that the pattern is not found in.
    pub skipped: usize,
    /// Links to folders, links that lead nowhere, and what is neither file nor folder.
    pub not_followed: usize,
}

/// Looks for images below `dir`. `per_palm` goes with a pattern that has an index.
pub fn find(dir: &Path, pattern: &Pattern, per_palm: Option<u64>) -> Result<Found, CliError> {
    let indexed = pattern.0.capture_names().flatten().any(|name| name == "index");
    if indexed != per_palm.is_some() {
        return Err(CliError::Usage(
            "--per-palm and a group (?<index>…) in --pattern need each other".to_owned(),
        ));
    }
    let mut files = Vec::new();
    let not_followed = walk(dir, &mut files)?;
    files.sort();
    let mut images = Vec::new();
    for path in &files {
        let name = name_below(dir, path);
        if let Some(groups) = pattern.0.captures(&name)
            && let Some((palm, sample)) = label(&groups, &name, per_palm)?
        {
            images.push(Image {
                path: path.clone(),
                name: name.clone(),
                palm,
                sample,
            });
        }
    }
    let Some(first) = files.first() else {
        return Err(EvalError::NoFile(dir.to_owned()).into());
    };
    if images.is_empty() {
        return Err(EvalError::NoMatch {
            dir: dir.to_owned(),
            pattern: pattern.0.to_string(),
            files: files.len(),
            first: name_below(dir, first),
        }
        .into());
    }
    check_count(images.len() as u64).map_err(EvalError::from)?;
    refuse_same_labels(&images)?;
    Ok(Found {
        skipped: files.len() - images.len(),
        not_followed,
        images,
    })
}

/// All files below a folder, and links to files; gives the number of what else is there. Folders behind links are not entered: one may lead round in a
/// circle, and images that are found twice would be two palms.
fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<usize, CliError> {
    let failed = |error| CliError::file(dir, error);
    let mut others = 0;
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            others += walk(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        } else {
            others += 1;
        }
    }
    Ok(others)
}

fn name_below(dir: &Path, path: &Path) -> String {
    let below = path.strip_prefix(dir).unwrap_or(path);
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Palm and sample; none where the group of the palm took no part in the match.
fn label(
    groups: &Captures,
    name: &str,
    per_palm: Option<u64>,
) -> Result<Option<(String, String)>, EvalError> {
    let group = |name: &str| groups.name(name).map(|found| found.as_str().to_owned());
    let (palm, sample) = match (group("palm"), group("index"), per_palm) {
        (Some(palm), _, _) => (palm, group("sample")),
        (None, Some(number), Some(per_palm)) => {
            let index = number.parse::<u64>().ok().and_then(|index| index.checked_sub(1));
            let index = index.ok_or_else(|| EvalError::Index {
                path: name.to_owned(),
                number,
            })?;
            let sample = index % per_palm + 1;
            ((index / per_palm + 1).to_string(), Some(sample.to_string()))
        }
        _ => return Ok(None),
    };
    let joined = |parts: [Option<String>; 2]| parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    if palm.is_empty() {
        return Err(EvalError::NoLabel {
            path: name.to_owned(),
        });
    }
    let palm = joined([Some(palm), group("hand")]);
    // Without a sample's number the path tells captures of a palm apart, and their order.
    let sample = joined([group("session"), sample.or_else(|| Some(name.to_owned()))]);
    Ok(Some((palm, sample)))
}

fn refuse_same_labels(images: &[Image]) -> Result<(), EvalError> {
    let mut seen = HashMap::new();
    for image in images {
        if let Some(first) = seen.insert((&image.palm, &image.sample), &image.name) {
            return Err(EvalError::SameLabel {
                first: first.clone(),
                second: image.name.clone(),
                palm: image.palm.clone(),
                sample: image.sample.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
