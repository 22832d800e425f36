//! Two nodes with a gallery in segments are joined by a third one: what it takes over, by the rule and on its disk, and whether everybody is found then. Hits nobody.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use futures::{StreamExt, stream};
use serde::Serialize;
use thenar::client::api;
use thenar::cluster::placement::{Gallery as PlacedGallery, Member, NodeId};
use thenar::model::timestamp::Timestamp;

use super::deployment::{Deployment, Size};
use super::gallery::{Gallery, words};
use super::moved::{Moved, Segment};
use super::run::galleries;
use super::verdict::{TENANTS, subject_id};
use crate::live::calls;
use crate::machine::Machine;
use crate::{Failure, progress};

/// Questions at once.
const AT_ONCE: usize = 48;
/// Everything has to be in segments, and the third node to have its own, by then.
const SETTLED_MAX: Duration = Duration::from_mins(3);
/// As long as nothing changes for so many looks, so long after one another, it is settled.
const LOOKS: usize = 8;
const LOOK: Duration = Duration::from_secs(1);
/// Palms of each tenant that are looked for at the end.
const ASKED: u64 = 300;
/// How long a caller waits.
const DEADLINE: Duration = Duration::from_secs(10);
/// A life that is over, as the register writes it.
const GONE: &str = "4";

/// What a node has on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Copies of segments.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Palms of both tenants.
    pub palms: u64,
    /// Rows that make a segment.
    pub flush_rows: u32,
    /// Limit of a node's copies of segments, in MiB.
    pub cache_mib: Option<u32>,
    /// What moves by the rule.
    pub moved: Moved,
    /// What each node's cache had before, node by node.
    pub held_before: Vec<Held>,
    /// What it has after, the third node last.
    pub held_after: Vec<Held>,
    /// Copies that the third node fetched, over all copies; less than its share where its cache is smaller.
    pub fetched_share: f64,
    /// Whether a node's copies are fewer than the segments that it answers for: the gallery is larger than its cache.
    pub is_larger_than_cache: bool,
    /// From the third node's start until it served, in seconds.
    pub join_s: f64,
    /// Palms that were looked for at the end.
    pub asked: u64,
    /// Of these, those that were not found.
    pub not_found: u64,
    /// On what.
    pub machine: Machine,
}

impl Report {
    /// Why the run fails; `None` where it does not.
    pub fn fault(&self) -> Option<String> {
        if self.not_found > 0 {
            return Some(format!(
                "{} of {} palms are not found",
                self.not_found, self.asked
            ));
        }
        self.moved.fault()
    }

    /// For people.
    pub fn table(&self) -> String {
        let moved = &self.moved;
        let held = |all: &[Held]| {
            let texts = all
                .iter()
                .map(|one| format!("{} ({} KiB)", one.files, one.bytes >> 10));
            texts.collect::<Vec<_>>().join(", ")
        };
        format!(
            "{} palms in {} segments, {} groups, {} copies\n\
             moved      {} copies, {:.1} % (fair {:.1} %, by chance {:.1} % off); {} between nodes that were there\n\
             held       before {}; after {}\nfetched    {:.1} % of all copies by the third node, which served after {:.1} s\n\
             cache      {}\nasked      {}, {} not found\n",
            self.palms,
            moved.segments,
            moved.groups,
            moved.copies,
            moved.moved,
            moved.share * 100.0,
            moved.fair * 100.0,
            moved.chance * 100.0,
            moved.needless,
            held(&self.held_before),
            held(&self.held_after),
            self.fetched_share * 100.0,
            self.join_s,
            if self.is_larger_than_cache {
                "smaller than what a node answers for"
            } else {
                "as large as what a node answers for"
            },
            self.asked,
            self.not_found
        )
    }
}

/// Runs it in `folder`. Not to be spawned: processes end with the thread that starts them.
pub async fn grow(
    folder: &Path,
    thenar: &Path,
    size: Size,
    palms: u64,
    seed: u64,
) -> Result<Report, Failure> {
    let mut deployment = Deployment::start(folder, thenar, size).await?;
    let grown = joined(&mut deployment, palms, seed).await;
    deployment.keep_logs()?;
    grown
}

async fn joined(deployment: &mut Deployment, palms: u64, seed: u64) -> Result<Report, Failure> {
    let galleries = galleries(deployment, &TENANTS, seed).await?;
    let each = palms / galleries.len() as u64;
    progress(format!("{each} palms into each tenant"));
    let rows = u64::from(deployment.size().flush_rows);
    try_join_all(galleries.iter().map(|gallery| fill(gallery, each, rows))).await?;
    settled(deployment, "all palms in segments", flushed).await?;
    let (before, held_before) = (members(deployment)?, held(deployment).await?);
    let begun = Instant::now();
    deployment.add_node().await?;
    let join_s = begun.elapsed().as_secs_f64();
    settled(deployment, "the third node has its own", |deployment| {
        let files = deployment.folder().join(deployment.newest()).join("data/cache");
        Ok(sum(&files)?.files.to_string())
    })
    .await?;
    let (after, held_after) = (members(deployment)?, held(deployment).await?);
    let segments = segments(deployment).await?;
    let moved = Moved::of(&segments, &before, &after, deployment.size().replicas)?;
    let fetched = held_after.last().map_or(0, |held| held.files);
    let owns_most = moved.owned.values().copied().max().unwrap_or_default() as u64;
    let holds_most = held_after.iter().map(|held| held.files).max().unwrap_or_default();
    let asked = each.min(ASKED);
    let mut not_found = 0;
    for gallery in &galleries {
        not_found += missing(gallery, each, asked).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "copies of a bench are far below 2^52")]
    Ok(Report {
        palms: each * galleries.len() as u64,
        flush_rows: deployment.size().flush_rows,
        cache_mib: deployment.size().cache_mib,
        fetched_share: fetched as f64 / moved.copies.max(1) as f64,
        is_larger_than_cache: holds_most < owns_most,
        moved,
        held_before,
        held_after,
        join_s,
        asked: asked * galleries.len() as u64,
        not_found,
        machine: Machine::this(),
    })
}

/// One import for each segment: what is enrolled is flushed together, and would make few.
async fn fill(gallery: &Arc<Gallery>, palms: u64, rows: u64) -> Result<(), Failure> {
    let step = usize::try_from(rows.max(1)).unwrap_or(usize::MAX);
    for first in (0..palms).step_by(step) {
        let imported = gallery.import(first..palms.min(first + rows)).await;
        imported.map_err(|status| words(&status))?;
    }
    Ok(())
}

/// How many of `asked` palms, spread over all, are not found.
async fn missing(gallery: &Arc<Gallery>, palms: u64, asked: u64) -> u64 {
    let numbers = (0..asked).map(|turn| turn * palms / asked.max(1));
    let found = stream::iter(numbers)
        .map(async |number| {
            let palm = gallery.palms.probe(number, 1);
            let front = usize::from(!number.is_multiple_of(2));
            let answer = gallery.identify(front, &palm, DEADLINE).await;
            answer.is_ok_and(|answer| {
                answer.decision() == api::Decision::Match
                    && answer.subject_id == subject_id(gallery.name, number)
            })
        })
        .buffer_unordered(AT_ONCE);
    found
        .fold(0, async |missing, is_found| missing + u64::from(!is_found))
        .await
}

/// Waits until what is looked at has been the same for a while.
async fn settled(
    deployment: &Deployment,
    what: &str,
    look: impl Fn(&Deployment) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let (mut last, mut same) = (String::new(), 0);
    while same < LOOKS {
        if begun.elapsed() > SETTLED_MAX {
            return Err(format!("not within {} s: {what}; last {last}", SETTLED_MAX.as_secs()).into());
        }
        let now = look(deployment)?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Segments that are live and rows that are in none, tenant by tenant.
fn flushed(deployment: &Deployment) -> Result<String, Failure> {
    deployment.database().query(
        "SELECT t.name, t.pending, (SELECT count(*) FROM segment s WHERE s.tenant = t.tenant AND s.live_from IS NOT NULL) FROM tenant t ORDER BY 1",
    )
}

/// The nodes of the register that are not gone.
fn members(deployment: &Deployment) -> Result<Vec<Member>, Failure> {
    let rows = deployment
        .database()
        .query("SELECT encode(node, 'hex'), weight, life FROM node ORDER BY 1")?;
    let mut members = Vec::new();
    for row in rows.lines() {
        let [node, weight, life] = columns(row)?;
        if life != GONE {
            members.push(Member {
                id: NodeId(u128::from_str_radix(node, 16)?),
                weight: weight.parse()?,
            });
        }
    }
    Ok(members)
}

/// All live segments.
async fn segments(deployment: &Deployment) -> Result<Vec<Segment>, Failure> {
    let administrators = deployment.administrators().await?;
    let administrator = administrators.first().ok_or("there is no front")?;
    let mut galleries = std::collections::BTreeMap::new();
    for tenant in calls::tenants(administrator).await? {
        let made = tenant.create_time.ok_or("a tenant has no time of its creation")?;
        let micros = made.seconds * 1_000_000 + i64::from(made.nanos) / 1_000;
        let gallery = PlacedGallery::of(&tenant.tenant.parse()?, Timestamp(micros));
        galleries.insert(tenant.tenant, gallery);
    }
    let rows = deployment.database().query(
        "SELECT t.name, t.group_segments, s.number FROM segment s JOIN tenant t USING (tenant) WHERE s.live_from IS NOT NULL AND s.retired_from IS NULL",
    )?;
    let mut segments = Vec::new();
    for row in rows.lines() {
        let [name, group_segments, number] = columns(row)?;
        segments.push(Segment {
            gallery: *galleries
                .get(name)
                .ok_or("a segment of a tenant that nobody lists")?,
            number: number.parse()?,
            group_segments: group_segments.parse()?,
        });
    }
    Ok(segments)
}

fn columns<const N: usize>(row: &str) -> Result<[&str; N], Failure> {
    let columns: Vec<&str> = row.split('|').collect();
    let columns = <[&str; N]>::try_from(columns);
    columns.map_err(|columns| format!("{} columns in place of {N}: {row}", columns.len()).into())
}

/// What each node's cache has.
async fn held(deployment: &Deployment) -> Result<Vec<Held>, Failure> {
    let mut held = Vec::new();
    for node in 0..deployment.nodes() {
        let cache = deployment.node(node).await.site().data().join("cache");
        held.push(sum(&cache)?);
    }
    Ok(held)
}

/// The copies of segments below a folder.
fn sum(folder: &Path) -> Result<Held, Failure> {
    let mut held = Held { files: 0, bytes: 0 };
    let Ok(entries) = std::fs::read_dir(folder) else {
        // A node that holds nothing yet has none.
        return Ok(held);
    };
    for entry in entries {
        let entry = entry?;
        // Whatever goes meanwhile is not held.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            let below = sum(&entry.path())?;
            held.files += below.files;
            held.bytes += below.bytes;
        } else if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "seg")
        {
            held.files += 1;
            held.bytes += metadata.len();
        }
    }
    Ok(held)
}

#[cfg(test)]
#[path = "grow_tests.rs"]
mod tests;
