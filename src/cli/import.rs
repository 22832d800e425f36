//! `thenar import`: a `NumPy` file into a tenant, all rows or none. Checks everything before it connects; where the connection breaks off it goes on by itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::json;
use tonic::{Code, Status};

use crate::client::import as upload;
use crate::client::{Client, api, explain};
use crate::model::id::{RequestId, SubjectId, TenantId};

use super::capture::{
    ConsentOptions, EncoderOption, HandOption, element_message, encoder_message, new_request_id,
};
use super::connection::Connection;
use super::error::CliError;
use super::npy::{self, Matrix, NpyError};
use super::output::Output;
use super::progress;

/// Attempts in a row that get no row further, after which the command gives up: as a server stops waiting for rows of a caller
/// who is gone after a minute, that is two minutes.
const FAILURES_MAX: u32 = 8;
/// Longest pause before an attempt. The first takes a second, each one twice as long as that before.
const PAUSE_MAX: Duration = Duration::from_secs(32);

/// Options of `import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Signatures: `NumPy`, rows × coordinates, '<f2' or '<f4', C order
    file: PathBuf,
    /// Subject ids, one a line; without it the server makes them
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Tenant; that of the certificate when not given
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Who made the signatures, NAME/VERSION; must be the tenant's
    #[arg(long, value_name = "NAME/VERSION")]
    encoder: EncoderOption,
    /// Hand of every row
    #[arg(long, value_enum)]
    hand: HandOption,
    /// Quality of every row, 0 to 100
    #[arg(long, value_name = "0-100", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100))]
    quality: u32,
    /// Makes a repetition harmless, and goes on with an import that broke off; made up when not given
    #[arg(long, value_name = "ID")]
    request_id: Option<RequestId>,
    #[command(flatten)]
    consent: ConsentOptions,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), CliError> {
    let matrix = Matrix::open(&args.file)?;
    let ids = args
        .ids
        .as_deref()
        .map(|path| npy::read_ids(path, matrix.rows))
        .transpose()?;
    let bar = progress::rows("checking", matrix.rows);
    matrix.check_rows(|done| bar.set_position(done))?;
    bar.finish_and_clear();

    let client = args.connection.connect().await?;
    let header = header(&args, &matrix);
    let bar = progress::rows("importing", matrix.rows);
    let answer = import(&client, header, &Rows(Arc::new((matrix, ids))), &bar).await?;
    bar.finish_and_clear();
    args.output.print(
        &format!("imported {} palms (change {})", answer.imported, answer.sequence),
        &json!({"imported": answer.imported, "sequence": answer.sequence}),
    )
}

/// Imports from the row that the server needs next, again and again while that gets further.
async fn import(
    client: &Client,
    mut header: api::ImportHeader,
    rows: &Rows,
    bar: &ProgressBar,
) -> Result<api::ImportResponse, CliError> {
    // A certificate that is refused shows here, and is no reason to come again.
    let mut asked = Ok(held(client, &header).await?);
    let mut failures = 0;
    loop {
        let outcome = match asked {
            Ok(held) => {
                if held > header.first_row {
                    failures = 0;
                }
                header.first_row = held;
                rows.upload(client, &header, bar).await?
            }
            Err(refusal) => Err(refusal),
        };
        let refusal = match outcome {
            Ok(answer) => return Ok(answer),
            Err(refusal) if !may_go_on(&refusal) => return Err(refusal.into()),
            Err(refusal) if failures == FAILURES_MAX => {
                return Err(CliError::ImportBrokenOff {
                    given: given(&header),
                    request_id: header.request_id,
                    refusal: Box::new(refusal),
                });
            }
            Err(refusal) => refusal,
        };
        let pause = Duration::from_secs(1 << failures).min(PAUSE_MAX);
        failures += 1;
        let (what, seconds) = (explain::describe(&refusal), pause.as_secs());
        bar.suspend(|| eprintln!("thenar: {what}; trying to go on in {seconds} s"));
        tokio::time::sleep(pause).await;
        asked = held(client, &header).await;
    }
}

/// When the consent was given, as the option takes it.
fn given(header: &api::ImportHeader) -> String {
    let at = header
        .consent
        .as_ref()
        .and_then(|consent| consent.give_time.as_ref());
    at.map(ToString::to_string).unwrap_or_default()
}

/// Rows that the server has of this import. One that is done is answered from its beginning.
async fn held(client: &Client, header: &api::ImportHeader) -> Result<u64, Status> {
    let request = api::GetImportRequest {
        tenant: header.tenant.clone(),
        request_id: header.request_id.clone(),
    };
    let progress = client.enrollment().get_import(request).await?.into_inner();
    Ok(if progress.done.is_some() {
        0
    } else {
        progress.rows_taken
    })
}

/// Whether the same may succeed later: the connection failed, the server is not ready, or it still waits for rows of the connection before.
fn may_go_on(refusal: &Status) -> bool {
    match explain::reason(refusal).as_deref() {
        Some("IMPORT_BROKEN_OFF" | "IMPORT_POSITION" | "LIMIT_REACHED") => true,
        Some(_) => refusal.code() == Code::Unavailable,
        // No answer of the server's own.
        None => !matches!(refusal.code(), Code::Unimplemented | Code::OutOfRange),
    }
}

fn header(args: &Args, matrix: &Matrix) -> api::ImportHeader {
    api::ImportHeader {
        tenant: args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
        request_id: args
            .request_id
            .as_ref()
            .map_or_else(new_request_id, RequestId::to_string),
        encoder: Some(encoder_message(&args.encoder.0)),
        element_type: element_message(matrix.element).into(),
        hand: args.hand.message().into(),
        quality: args.quality,
        consent: Some(args.consent.message()),
        rows: matrix.rows,
        first_row: 0,
    }
}

/// What is sent: the file, and ids where there are some.
#[derive(Clone)]
struct Rows(Arc<(Matrix, Option<Vec<SubjectId>>)>);

impl Rows {
    async fn upload(
        &self,
        client: &Client,
        header: &api::ImportHeader,
        bar: &ProgressBar,
    ) -> Result<Result<api::ImportResponse, Status>, NpyError> {
        bar.set_position(header.first_row);
        bar.reset_eta();
        let (rows, shown, first_row) = (self.clone(), bar.clone(), header.first_row);
        let produce = move |sender: upload::RowSender| rows.send(first_row, &sender, &shown);
        upload::import(client, header.clone(), produce).await
    }

    fn send(&self, first_row: u64, sender: &upload::RowSender, bar: &ProgressBar) -> Result<(), NpyError> {
        let (matrix, ids) = &*self.0;
        let chunk_rows = upload::chunk_rows(matrix.row_bytes());
        let skipped = usize::try_from(first_row).expect("rows of a file that was read");
        let ids = ids.as_deref().and_then(|ids| ids.get(skipped..));
        let mut ids = ids.unwrap_or_default().chunks(chunk_rows);
        let mut open = true;
        matrix.for_each_chunk(first_row, chunk_rows, |_, bytes| {
            let subject_ids = ids.next().unwrap_or_default();
            // Once the server has ended the call its answer says why; the rest of the file is only read through.
            open = open
                && sender.send_blocking(api::ImportRows {
                    data: bytes.to_vec().into(),
                    subject_ids: subject_ids.iter().map(SubjectId::to_string).collect(),
                });
            if open {
                bar.inc((bytes.len() / matrix.row_bytes()) as u64);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
