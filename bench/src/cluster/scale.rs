//! How many identifications a second a cluster gives with one node, two and more, each on a core of its own or with a share of one, beside one match node without a cluster. Hits nobody.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::Serialize;
use thenar::client::api;

use super::deployment::{Deployment, Size};
use super::gallery::{Gallery, words};
use super::run::galleries;
use super::verdict::subject_id;
use crate::machine::{self, Machine};
use crate::timing::Samples;
use crate::{Failure, progress};

/// Tenants by name, as many as are asked for.
pub const NAMES: [&str; 24] = [
    "t-01", "t-02", "t-03", "t-04", "t-05", "t-06", "t-07", "t-08", "t-09", "t-10", "t-11", "t-12", "t-13",
    "t-14", "t-15", "t-16", "t-17", "t-18", "t-19", "t-20", "t-21", "t-22", "t-23", "t-24",
];
/// Questions before anything is measured.
const WARM: u64 = 200;
/// How long a caller waits.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most of the time of an answer that merging and routing may take.
const OVERHEAD_MAX: f64 = 0.1;
/// Least part of what so many nodes should give that they have to, where the machine has cores left for it.
const SCALING_MIN: f64 = 0.8;
/// Of the machine's cores, from where on more nodes can't show more.
const BUSY: f64 = 0.9;

/// What is put in and asked.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Palms of all tenants together.
    pub palms: u64,
    /// Tenants that share them.
    pub tenants: usize,
    /// Rows of one import: a segment.
    pub import_rows: u64,
    /// Callers at once where as much as possible is asked.
    pub callers: u64,
    /// How long each figure is measured.
    pub length: Duration,
    /// Of palms.
    pub seed: u64,
}

/// What was measured with so many nodes.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Nodes of the cluster; 0: one match node without a cluster.
    pub nodes: usize,
    /// Median of the answers to one caller, in milliseconds.
    pub one_caller_p50_ms: f64,
    /// Identifications a second of many callers.
    pub per_second: f64,
    /// Processor time of nodes and fronts meanwhile, in cores.
    pub cores_used: f64,
    /// Share of the machine's cores that were busy meanwhile, with whatever.
    pub machine_busy: f64,
    /// Questions that were not answered, or not by the palm's own subject.
    pub wrong: u64,
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Palms of all tenants together.
    pub palms: u64,
    /// Tenants, of equal size and asked in turn.
    pub tenants: usize,
    /// Callers of the throughput.
    pub callers: u64,
    /// By the number of nodes.
    pub stages: Vec<Stage>,
    /// Share of the answer of a cluster of one node that it takes longer than one match node without a cluster, one caller at a time.
    pub overhead: f64,
    /// Cores that each node may use; one of the machine's, as far as there are any, unless told.
    pub node_cores: Option<f64>,
    /// Answers a second of most nodes, over as many times those of one.
    pub scaling: f64,
    /// Whether more could not be shown: with most nodes the machine's cores were used up.
    pub is_short_of_cores: bool,
    /// On what.
    pub machine: Machine,
}

impl Report {
    fn new(
        (palms, tenants, callers): (u64, usize, u64),
        node_cores: Option<f64>,
        stages: Vec<Stage>,
    ) -> Result<Self, Failure> {
        let of = |nodes| stages.iter().find(|stage| stage.nodes == nodes);
        let (alone, one) = (of(0).ok_or("nothing alone")?, of(1).ok_or("no cluster of one")?);
        let most = stages.iter().max_by_key(|stage| stage.nodes).unwrap_or(one);
        #[expect(clippy::cast_precision_loss, reason = "nodes are few")]
        let fair = one.per_second * most.nodes as f64;
        Ok(Self {
            palms,
            tenants,
            callers,
            overhead: overhead(alone.one_caller_p50_ms, one.one_caller_p50_ms),
            node_cores,
            scaling: most.per_second / fair,
            is_short_of_cores: most.machine_busy >= BUSY,
            stages,
            machine: Machine::this(),
        })
    }

    /// Why the run fails; `None` where it does not.
    pub fn fault(&self) -> Option<String> {
        let wrong: u64 = self.stages.iter().map(|stage| stage.wrong).sum();
        if wrong > 0 {
            return Some(format!("{wrong} questions had no answer or a wrong one"));
        }
        if self.scaling < SCALING_MIN && !self.is_short_of_cores {
            return Some(format!(
                "most nodes give {:.0} % of as many times what one gives, less than {:.0} %, and the machine has cores left",
                self.scaling * 100.0,
                SCALING_MIN * 100.0
            ));
        }
        // Who has a share of a core waits for the next period in the midst of an answer.
        (self.overhead > OVERHEAD_MAX && self.node_cores.is_none()).then(|| {
            format!(
                "merging and routing take {:.1} % of an answer, more than {:.0} %",
                self.overhead * 100.0,
                OVERHEAD_MAX * 100.0
            )
        })
    }

    /// For people.
    pub fn table(&self) -> String {
        let line = |stage: &Stage| {
            let name = match stage.nodes {
                0 => "no cluster".to_owned(),
                1 => "1 node".to_owned(),
                nodes => format!("{nodes} nodes"),
            };
            format!(
                "{name:<12} {:8.2} ms one caller, {:8.1} a second of {}, {:.2} cores, the machine {:3.0} % busy, {} wrong\n",
                stage.one_caller_p50_ms,
                stage.per_second,
                self.callers,
                stage.cores_used,
                stage.machine_busy * 100.0,
                stage.wrong
            )
        };
        let lines: String = self.stages.iter().map(line).collect();
        let short = if self.is_short_of_cores {
            "; the machine's cores were used up"
        } else {
            ""
        };
        let share = self
            .node_cores
            .map_or_else(String::new, |cores| format!(", {cores} a node"));
        format!(
            "{} palms of {} tenants; {}, {} cores{share}\n{lines}overhead     {:.1} % of an answer of one node (one caller, against no cluster)\n\
             scaling      {:.0} % of as many times what one node gives{short}\n",
            self.palms,
            self.tenants,
            self.machine.cpu,
            self.machine.cores,
            self.overhead * 100.0,
            self.scaling * 100.0
        )
    }
}

/// Measures clusters of one node to as many as `size` says, and no cluster first. Not to be spawned: processes end with the thread that starts them.
pub async fn scale((folder, thenar): (&Path, &Path), size: &Size, extent: Extent) -> Result<Report, Failure> {
    let mut stages = Vec::new();
    for nodes in 0..=size.nodes {
        let folder = folder.join(format!("nodes-{nodes}"));
        std::fs::create_dir(&folder)?;
        let size = Size {
            nodes: nodes.max(1),
            fronts: 1,
            is_alone: nodes == 0,
            is_pinned: size.node_cores.is_none(),
            ..size.clone()
        };
        let deployment = Deployment::start(&folder, thenar, size).await?;
        let stage = stage(&deployment, nodes, extent).await;
        deployment.keep_logs()?;
        stages.push(stage?);
    }
    let of = (extent.palms, extent.tenants, extent.callers);
    Report::new(of, size.node_cores, stages)
}

async fn stage(deployment: &Deployment, nodes: usize, extent: Extent) -> Result<Stage, Failure> {
    let Extent {
        palms,
        tenants,
        import_rows,
        callers,
        length,
        seed,
    } = extent;
    let names = NAMES
        .get(..tenants)
        .ok_or("there are no names for so many tenants")?;
    let galleries = galleries(deployment, names, seed).await?;
    let each = palms / galleries.len() as u64;
    progress(format!(
        "{each} palms of each of {tenants} tenants into a cluster of {nodes} nodes"
    ));
    for gallery in &galleries {
        for from in (0..each).step_by(usize::try_from(import_rows)?) {
            let imported = gallery.import(from..each.min(from + import_rows)).await;
            imported.map_err(|status| format!("palms can't be imported: {}", words(&status)))?;
        }
    }
    let asked = AtomicU64::new(0);
    let ask = |callers, end| measure(&galleries, each, callers, &asked, end);
    let wrong_warm = ask(1, End::Questions(WARM)).await.1;
    let (times, wrong_one) = ask(1, End::After(length)).await;
    let (cpu, times_before, begun) = (deployment.cpu().await?, machine::times()?, Instant::now());
    let (many, wrong_many) = ask(callers, End::After(length)).await;
    let took = begun.elapsed().as_secs_f64();
    let cores_used = (deployment.cpu().await? - cpu) / took;
    let machine_busy = machine::times()?.busy_since(times_before);
    #[expect(clippy::cast_precision_loss, reason = "answers of a bench are far below 2^52")]
    Ok(Stage {
        nodes,
        one_caller_p50_ms: times.quantile(0.5).ok_or("no answer")?,
        per_second: many.len() as f64 / took,
        cores_used,
        machine_busy,
        wrong: wrong_warm + wrong_one + wrong_many,
    })
}

/// When callers stop.
#[derive(Clone, Copy)]
enum End {
    Questions(u64),
    After(Duration),
}

/// Callers who ask one question after the other: the times of right answers, and how many were not right.
async fn measure(
    galleries: &[Arc<Gallery>],
    palms: u64,
    callers: u64,
    asked: &AtomicU64,
    end: End,
) -> (Samples, u64) {
    let begun = Instant::now();
    let caller = async || {
        let (mut times, mut wrong) = (Vec::new(), BTreeMap::new());
        for question in 0.. {
            let is_over = match end {
                End::Questions(count) => question >= count,
                End::After(length) => begun.elapsed() >= length,
            };
            if is_over {
                break;
            }
            let turn = asked.fetch_add(1, Ordering::Relaxed);
            let tenant = turn % galleries.len() as u64;
            let gallery = galleries
                .get(usize::try_from(tenant).expect("there are few"))
                .expect("a remainder");
            // Spread over all, in no order.
            let number = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % palms;
            let palm = gallery.palms.probe(number, turn + 1);
            let from = Instant::now();
            let why = match gallery.identify(0, &palm, DEADLINE).await {
                Ok(answer) if answer.decision() != api::Decision::Match => "nobody was found".to_owned(),
                Ok(answer) if answer.subject_id != subject_id(gallery.name, number) => {
                    "somebody else was found".to_owned()
                }
                Ok(_) => {
                    times.push(from.elapsed().as_secs_f64() * 1e3);
                    continue;
                }
                Err(refused) => words(&refused),
            };
            *wrong.entry(why).or_insert(0) += 1;
        }
        (times, wrong)
    };
    let (mut samples, mut wrong) = (Samples::default(), BTreeMap::<String, u64>::new());
    for (times, missed) in join_all((0..callers).map(|_| caller())).await {
        for time in times {
            samples.push(time);
        }
        for (why, count) in missed {
            *wrong.entry(why).or_default() += count;
        }
    }
    for (why, count) in &wrong {
        progress(format!("{count} times: {why}"));
    }
    (samples, wrong.into_values().sum())
}

/// Share of the longer time that the shorter one does not explain.
fn overhead(alone_ms: f64, cluster_ms: f64) -> f64 {
    ((cluster_ms - alone_ms) / cluster_ms).max(0.0)
}

#[cfg(test)]
#[path = "scale_tests.rs"]
mod tests;
