//! How fast a server makes things durable and comes back: enrolments, an import, starts, each beside what the disk does by itself. Sets no goal.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use thenar::client::import::{self, RowSender, chunk_rows};
use thenar::client::{Client, Credentials, api};
use tokio::task::JoinSet;

use crate::live::calls::{self, Badges, Desk};
use crate::live::child::{Child, Site};
use crate::live::palms::{Palms, bytes, consent, encoder, policy};
use crate::timing::{Samples, Summary};
use crate::{Failure, progress};

/// The tenant that is enrolled with, and the one that is imported into.
const ENROLLED: &str = "enrolled";
const IMPORTED: &str = "imported";
/// Rows of a flush and seconds within which a purge is due: the server's defaults.
const SETTINGS: (u32, u32) = (4_096, 60);
/// Bytes of one write before its fsync: a page.
const SYNC_BYTES: usize = 4_096;
/// Writes and enrolments, one after the other, that a median is of.
const LONE_REPEATS: u64 = 300;
/// Starts that a median is of.
const STARTS: usize = 5;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rows of the import.
    pub rows: u64,
    /// Dimension.
    pub dim: usize,
    /// Callers that enrol at once.
    pub callers: u64,
    /// Connections that they share.
    pub connections: u64,
    /// How long they enrol.
    pub length: Duration,
    /// Seed of the palms.
    pub seed: u64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// A page appended to a file and fsynced, beside the data directory.
    pub sync: Summary,
    /// One caller that enrols one palm after the other.
    pub lone_enrolment: Summary,
    /// Median of the latter over median of the former.
    pub lone_ratio: f64,
    /// Enrolments that were acknowledged, of all callers together.
    pub enrolments: u64,
    /// The same in a second.
    pub enrolments_per_second: f64,
    /// The same over the fsyncs that one writer would do in a second.
    pub enrolments_a_sync: f64,
    /// Seconds of the import, upload included.
    pub import_seconds: f64,
    /// Its rows in a second.
    pub import_rows_per_second: f64,
    /// Start to ready without a row in either tenant, stopped cleanly before.
    pub ready_empty: Summary,
    /// Start to ready with all of them, stopped cleanly before.
    pub ready: Summary,
    /// Rows that such a start takes in.
    pub ready_rows: u64,
    /// Rows in a second and core: of the time that a start takes longer than the empty one.
    pub ready_rows_per_second_core: f64,
    /// Start to ready with all of them, killed before.
    pub ready_after_kill: Summary,
}

/// A server and whoever asks it.
struct Bench<'a> {
    site: &'a Site,
    plan: Plan,
    administrator: Credentials,
    enrolled: (Badges, Palms),
    imported: (Badges, Palms),
}

/// Measures a fresh site.
pub async fn measure(site: &Site, folder: &Path, plan: Plan) -> Result<Measured, Failure> {
    site.configure(SETTINGS.0, SETTINGS.1)?;
    let of = |tenant: &str, number| -> Result<(Badges, Palms), Failure> {
        let badges = site.badges(tenant, "bench")?;
        let palms = Palms {
            seed: plan.seed,
            tenant: number,
            dim: plan.dim,
        };
        Ok((badges, palms))
    };
    let bench = Bench {
        site,
        plan,
        administrator: site.credentials("/admin/bench")?,
        enrolled: of(ENROLLED, 0)?,
        imported: of(IMPORTED, 1)?,
    };
    bench.run(folder).await
}

impl Bench<'_> {
    async fn run(&self, folder: &Path) -> Result<Measured, Failure> {
        let (mut child, address, _) = self.site.start().await?;
        self.make_tenants(&address).await?;
        stop(&mut child).await?;
        progress("starts without rows");
        let ready_empty = self.starts(false).await?;

        let (mut child, address, _) = self.site.start().await?;
        progress("an fsync, and one enrolment after the other");
        let sync = syncs(&folder.join("sync"))?;
        let lone_enrolment = self.enrol_alone(&address).await?;
        progress(format!("{} callers that enrol", self.plan.callers));
        let (enrolments, seconds) = self.enrol_together(&address).await?;
        progress(format!("an import of {} rows", self.plan.rows));
        let import_seconds = self.import(&address).await?;
        stop(&mut child).await?;

        progress("starts with all rows");
        let ready = self.starts(false).await?;
        let ready_after_kill = self.starts(true).await?;
        let ready_rows = self.plan.rows + enrolments + LONE_REPEATS;
        let cores = std::thread::available_parallelism()?.get();
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let (rows, enrolled, all, cores) = (
            self.plan.rows as f64,
            enrolments as f64,
            ready_rows as f64,
            cores as f64,
        );
        Ok(Measured {
            sync,
            lone_enrolment,
            lone_ratio: lone_enrolment.ms / sync.ms,
            enrolments,
            enrolments_per_second: enrolled / seconds,
            enrolments_a_sync: enrolled / seconds * sync.ms / 1e3,
            import_seconds,
            import_rows_per_second: rows / import_seconds,
            ready_empty,
            ready,
            ready_rows,
            ready_rows_per_second_core: all / ((ready.ms - ready_empty.ms) / 1e3) / cores,
            ready_after_kill,
        })
    }

    /// Starts and ends it; the time of each start.
    async fn starts(&self, kill: bool) -> Result<Summary, Failure> {
        let mut samples = Samples::default();
        for _ in 0..STARTS {
            let (mut child, _, took) = self.site.start().await?;
            samples.push(took.as_secs_f64() * 1e3);
            if kill {
                child.kill()?;
            } else {
                stop(&mut child).await?;
            }
        }
        samples.summary().ok_or_else(|| "no start was timed".into())
    }

    async fn make_tenants(&self, address: &str) -> Result<(), Failure> {
        let admin = calls::connect(address, &self.administrator).await?;
        for tenant in [ENROLLED, IMPORTED] {
            calls::create_tenant(&admin, tenant, u32::try_from(self.plan.dim)?, policy(false)).await?;
        }
        Ok(())
    }

    async fn enrol_alone(&self, address: &str) -> Result<Summary, Failure> {
        let (badges, palms) = &self.enrolled;
        let desk = Desk::connect(address, badges).await?;
        let mut samples = Samples::default();
        for number in 0..LONE_REPEATS {
            let palm = palms.reference(number);
            let begun = Instant::now();
            desk.enroll(&format!("lone-{number}"), &format!("lone-{number}"), &palm)
                .await?;
            samples.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        samples.summary().ok_or_else(|| "no enrolment was timed".into())
    }

    /// How many were acknowledged, in how many seconds.
    async fn enrol_together(&self, address: &str) -> Result<(u64, f64), Failure> {
        let (badges, palms) = &self.enrolled;
        let numbers = Arc::new(AtomicU64::new(LONE_REPEATS));
        let mut desks = Vec::new();
        for _ in 0..self.plan.connections {
            desks.push(Desk::connect(address, badges).await?);
        }
        let begun = Instant::now();
        let mut callers = JoinSet::new();
        for (_, desk) in (0..self.plan.callers).zip(desks.iter().cycle()) {
            let (desk, numbers) = (desk.clone(), Arc::clone(&numbers));
            let (palms, length) = (*palms, self.plan.length);
            callers.spawn(async move {
                let mut done = 0_u64;
                while begun.elapsed() < length {
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    let name = format!("many-{number}");
                    desk.enroll(&name, &name, &palms.reference(number)).await?;
                    done += 1;
                }
                Ok::<u64, tonic::Status>(done)
            });
        }
        let mut done = 0;
        while let Some(caller) = callers.join_next().await {
            done += caller??;
        }
        Ok((done, begun.elapsed().as_secs_f64()))
    }

    /// Seconds that it took. The rows are made before.
    async fn import(&self, address: &str) -> Result<f64, Failure> {
        let (badges, palms) = self.imported.clone();
        let client: Client = calls::connect(address, &badges.operator).await?;
        let rows = self.plan.rows;
        let per_message = chunk_rows(self.plan.dim * size_of::<f32>());
        let messages: Vec<api::ImportRows> = (0..rows)
            .collect::<Vec<u64>>()
            .chunks(per_message)
            .map(|numbers| api::ImportRows {
                data: numbers
                    .iter()
                    .flat_map(|number| bytes(&palms.reference(*number)))
                    .collect::<Vec<u8>>()
                    .into(),
                subject_ids: numbers.iter().map(|number| format!("import-{number}")).collect(),
            })
            .collect();
        let header = api::ImportHeader {
            tenant: String::new(),
            request_id: "import".to_owned(),
            encoder: Some(encoder()),
            element_type: api::ElementType::F32.into(),
            hand: api::Hand::Right.into(),
            quality: 80,
            consent: Some(consent()),
            rows,
            first_row: 0,
        };
        let produce = move |sender: RowSender| {
            // Where the server ends the call early its answer says why.
            let _ = messages.into_iter().all(|rows| sender.send_blocking(rows));
            Ok::<(), std::convert::Infallible>(())
        };
        let begun = Instant::now();
        let Ok(answer) = import::import(&client, header, produce).await;
        let imported = answer?.imported;
        if imported != rows {
            return Err(format!("{imported} of {rows} rows were imported").into());
        }
        Ok(begun.elapsed().as_secs_f64())
    }
}

async fn stop(child: &mut Child) -> Result<(), Failure> {
    child.terminate()?;
    match child.ended().await? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("SIGTERM ended the server with {status}").into()),
        None => Err("the server does not obey SIGTERM".into()),
    }
}

/// Appends pages to a file, each with an fsync.
fn syncs(path: &Path) -> Result<Summary, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut samples = Samples::default();
    for number in 0..LONE_REPEATS {
        let page = [u8::try_from(number % 251)?; SYNC_BYTES];
        samples.time(|| -> std::io::Result<()> {
            file.write_all_at(&page, number * SYNC_BYTES as u64)?;
            file.sync_data()
        })?;
    }
    std::fs::remove_file(path)?;
    samples.summary().ok_or_else(|| "no fsync was timed".into())
}
