//! `thenar data backup`: writes a sealed backup to a new file, into a directory or to standard output. Seals nothing itself.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::cli::error::CliError;
use crate::cli::local::{self, BackedUp, DataOptions, Side};
use crate::cli::output::{Output, table};
use crate::model::id::TenantId;

/// Stands for standard output.
const STREAM: &str = "-";

/// Options of `data backup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    of: DataOptions,
    /// This tenant alone; may be given again
    #[arg(long = "tenant", value_name = "TENANT")]
    tenants: Vec<TenantId>,
    /// Of a cluster, the keys of its fronts, by the configuration of one; without this its tenants, with the keys of its match nodes, by the configuration of one of these
    #[arg(long, conflicts_with = "tenants")]
    front: bool,
    /// New file, directory to make a file named after the time in, or - for standard output
    #[arg(long, value_name = "FILE|DIR|-")]
    to: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    let side = if args.front { Side::Fronts } else { Side::Nodes };
    let make = |to: &mut dyn Write| local::backup(&args.of, side, &args.tenants, to).map_err(CliError::from);
    if args.to == Path::new(STREAM) {
        let done = make(&mut io::stdout().lock())?;
        let json = args.output.json.then(|| answer(&done).to_string());
        eprintln!("{}", json.unwrap_or_else(|| text(&done, "standard output")));
        return Ok(());
    }
    let path = destination(&args.to);
    let done = to_file(&path, make)?;
    let mut answer = answer(&done);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("file".to_owned(), json!(path));
    }
    args.output
        .print(&text(&done, &path.display().to_string()), &answer)
}

/// The file that is meant.
fn destination(to: &Path) -> PathBuf {
    if !to.is_dir() {
        return to.to_owned();
    }
    let now = OffsetDateTime::now_utc();
    let (date, at) = (now.date(), now.time());
    to.join(format!(
        "thenar-{:04}{:02}{:02}T{:02}{:02}{:02}Z.backup",
        date.year(),
        u8::from(date.month()),
        date.day(),
        at.hour(),
        at.minute(),
        at.second()
    ))
}

/// Makes a file that is there whole or not at all. One that has the name already is refused, before anything is done and after.
fn to_file(
    path: &Path,
    make: impl FnOnce(&mut dyn Write) -> Result<BackedUp, CliError>,
) -> Result<BackedUp, CliError> {
    let failed = |source| CliError::file(path, source);
    if path.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    // For this user alone, and gone if this fails.
    let mut file = tempfile::Builder::new()
        .prefix(".thenar-backup-")
        .tempfile_in(parent)
        .map_err(failed)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    let done = make(&mut buffered)?;
    buffered.flush().map_err(failed)?;
    drop(buffered);
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path)
        .map_err(|error| failed(error.error))?;
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(failed)?;
    Ok(done)
}

fn text(done: &BackedUp, to: &str) -> String {
    let rows: Vec<Vec<String>> = done
        .manifest
        .tenants
        .iter()
        .map(|of| {
            vec![
                of.tenant.to_string(),
                format!("{} subjects", of.subjects),
                format!("{} references", of.references),
                format!("{} segments", of.segments),
                format!("change {}", of.sequence),
            ]
        })
        .collect();
    let left_out = done.left_out.iter().map(|path| {
        let path = path.display();
        format!("{path} is left out: only files with plain names are taken from there\n")
    });
    let left_out: String = left_out.collect();
    let none = if rows.is_empty() {
        "no tenants: keys alone\n"
    } else {
        ""
    };
    format!(
        "{}{none}{left_out}backed up to {to}, {} bytes",
        table(&rows),
        done.bytes
    )
}

fn answer(done: &BackedUp) -> Value {
    json!({
        "made_at": done.manifest.made_at.to_string(),
        "bytes": done.bytes,
        "left_out": done.left_out,
        "tenants": done.manifest.tenants,
    })
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
