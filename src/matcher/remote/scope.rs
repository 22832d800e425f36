//! Parts of a gallery, and refusals by parts, as they travel. Refuses what does not fit, naming the field.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::num::NonZeroU32;

use tonic::Status;
use tonic_types::StatusExt;

use super::error::{DOMAIN, Reason};
use super::vocabulary::required;
use crate::cluster::placement::Part;
use crate::cluster::question::{Refusal, Scope};
use crate::cluster::view::Edition;
use crate::matcher::node::NodeError;
use crate::matcher::placed::holder::PartError;
use crate::model::reject::Rejected;
use crate::proto::matching::v1 as pb;

/// Most groups of one scope: of 16 segments each they hold 68 billion palms.
pub const GROUPS_MAX: usize = 65_536;
/// Longest text of the parts of a refusal, in bytes: a status travels among the headers, which are limited to some KiB.
const PARTS_TEXT_MAX: usize = 2_048;
/// Key of the parts of a refusal.
pub const PARTS: &str = "parts";
/// All parts that were asked for.
const ALL: &str = "all";
const FRESH: &str = "fresh";

/// A scope as a message.
pub fn to_proto(scope: &Scope) -> pb::Scope {
    let group = |part: &Part| match part {
        Part::Fresh => None,
        Part::Group(number) => Some(*number),
    };
    pb::Scope {
        edition: Some(pb::Edition {
            incarnation: scope.edition.incarnation,
            key_generation: scope.edition.key_generation,
        }),
        at_least: scope.at_least,
        list: scope.list,
        group_segments: scope.group_segments.get(),
        fresh: scope.parts.contains(&Part::Fresh),
        groups: scope.parts.iter().filter_map(group).collect(),
    }
}

/// A scope from its message.
pub fn from_proto(message: Option<pb::Scope>) -> Result<Scope, Rejected> {
    let message = required("scope", message)?;
    let edition = required("scope.edition", message.edition)?;
    let group_segments = NonZeroU32::new(message.group_segments)
        .ok_or_else(|| Rejected::new("scope.group_segments", "is 0; at least 1 is required"))?;
    let count = message.groups.len();
    if count > GROUPS_MAX {
        let problem = format!("has {count} entries; at most {GROUPS_MAX} are allowed");
        return Err(Rejected::new("scope.groups", problem));
    }
    let mut parts: BTreeSet<Part> = BTreeSet::new();
    for number in message.groups {
        if !parts.insert(Part::Group(number)) {
            return Err(Rejected::new("scope.groups", format!("has {number} twice")));
        }
    }
    if message.fresh {
        parts.insert(Part::Fresh);
    }
    if parts.is_empty() {
        let problem = "is empty, and the fresh part is not asked for; at least one part is required";
        return Err(Rejected::new("scope.groups", problem));
    }
    Ok(Scope {
        edition: Edition {
            incarnation: edition.incarnation,
            key_generation: edition.key_generation,
        },
        at_least: message.at_least,
        list: message.list,
        group_segments,
        parts,
    })
}

/// Parts of a scope as a refusal names them: `all`, or `fresh` and ranges of groups, as in `fresh,0-3,7`. Where there are too many the last ones are left out: whoever is asked for them
/// again says so again.
pub fn parts_text(parts: &BTreeSet<Part>, scope: &Scope) -> String {
    if parts.is_superset(&scope.parts) {
        return ALL.to_owned();
    }
    let mut text = String::new();
    if parts.contains(&Part::Fresh) {
        text.push_str(FRESH);
    }
    for (from, to) in ranges(parts) {
        let before = text.len();
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string can't fail.
        let _ = if from == to {
            write!(text, "{comma}{from}")
        } else {
            write!(text, "{comma}{from}-{to}")
        };
        if text.len() > PARTS_TEXT_MAX {
            text.truncate(before);
            break;
        }
    }
    text
}

/// Groups in a row, from the first to the last of each.
fn ranges(parts: &BTreeSet<Part>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for part in parts {
        let Part::Group(number) = *part else { continue };
        match ranges.last_mut() {
            Some((_, to)) if to.checked_add(1) == Some(number) => *to = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// The parts of a scope that a refusal names. `None` where it is none: nothing that was asked for, ranges that are not in order, or anything else.
fn parts_from_text(text: &str, scope: &Scope) -> Option<BTreeSet<Part>> {
    if text == ALL {
        return Some(scope.parts.clone());
    }
    let mut parts = BTreeSet::new();
    // In order, so that no group is looked at twice, however many ranges there are.
    let mut next = Some(Part::Fresh);
    for piece in text.split(',') {
        let (from, to) = match piece.split_once('-') {
            _ if piece == FRESH => (Part::Fresh, Part::Fresh),
            None => (group(piece)?, group(piece)?),
            Some((from, to)) => (group(from)?, group(to)?),
        };
        if next.is_none_or(|next| from < next) || to < from {
            return None;
        }
        parts.extend(scope.parts.range(from..=to));
        next = match to {
            Part::Fresh => Some(Part::Group(0)),
            Part::Group(number) => number.checked_add(1).map(Part::Group),
        };
    }
    (!parts.is_empty()).then_some(parts)
}

fn group(text: &str) -> Option<Part> {
    text.parse().ok().map(Part::Group)
}

/// The refusal of `node` that a status is. `None` where it is none, but an error like those of other calls.
pub fn refusal_from_status(node: &str, status: &Status, scope: &Scope) -> Option<PartError> {
    let info = status.get_details_error_info()?;
    if info.domain != DOMAIN {
        return None;
    }
    match Reason::from_text(&info.reason)? {
        Reason::ViewGone => Some(PartError::Refused(Refusal::ViewGone)),
        Reason::PartsBehind => Some(behind(node, &info.metadata, scope)),
        _ => None,
    }
}

fn behind(node: &str, metadata: &HashMap<String, String>, scope: &Scope) -> PartError {
    let text = metadata.get(PARTS).map_or("", String::as_str);
    match parts_from_text(text, scope) {
        Some(parts) => PartError::Refused(Refusal::PartsBehind(parts)),
        None => PartError::Node(NodeError::Internal(format!(
            "the refusal of match node {node} does not fit: {PARTS} names none of those that were asked for"
        ))),
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
