//! `thenar import`: a `NumPy` file into a tenant, all rows or none. Checks everything before it connects.

use std::path::PathBuf;

use indicatif::ProgressBar;
use serde_json::json;

use crate::client::api;
use crate::client::import as upload;
use crate::model::id::{RequestId, SubjectId, TenantId};

use super::capture::{ConsentOptions, EncoderOption, HandOption, element_message, new_request_id};
use super::connection::Connection;
use super::error::CliError;
use super::npy::{self, Matrix, NpyError};
use super::output::Output;
use super::progress;

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
    /// Who made the signatures, NAME/VERSION
    #[arg(long, value_name = "NAME/VERSION", default_value = "thenar-palm/1")]
    encoder: EncoderOption,
    /// Hand of every row
    #[arg(long, value_enum)]
    hand: HandOption,
    /// Quality of every row, 0 to 100
    #[arg(long, value_name = "0-100", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100))]
    quality: u32,
    /// Makes a repetition harmless; made up when not given
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
    let shown = bar.clone();
    let produce = move |sender: upload::RowSender| send(&matrix, ids.as_deref(), &sender, &shown);
    let answer = upload::import(&client, header, produce).await??;
    bar.finish_and_clear();
    args.output.print(
        &format!("imported {} palms (change {})", answer.imported, answer.sequence),
        &json!({"imported": answer.imported, "sequence": answer.sequence}),
    )
}

fn header(args: &Args, matrix: &Matrix) -> api::ImportHeader {
    api::ImportHeader {
        tenant: args.tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
        request_id: args
            .request_id
            .as_ref()
            .map_or_else(new_request_id, RequestId::to_string),
        encoder: Some(args.encoder.message()),
        element_type: element_message(matrix.element).into(),
        hand: args.hand.message().into(),
        quality: args.quality,
        consent: Some(args.consent.message()),
        rows: matrix.rows,
    }
}

fn send(
    matrix: &Matrix,
    ids: Option<&[SubjectId]>,
    sender: &upload::RowSender,
    bar: &ProgressBar,
) -> Result<(), NpyError> {
    let chunk_rows = upload::chunk_rows(matrix.row_bytes());
    let mut open = true;
    let mut ids = ids.unwrap_or_default().chunks(chunk_rows);
    matrix.for_each_chunk(chunk_rows, |_, bytes| {
        let subject_ids = ids.next().unwrap_or_default();
        // Once the server has ended the call its answer says why; the rest of the file is only read through.
        open = open
            && sender.send_blocking(api::ImportRows {
                data: bytes.to_vec().into(),
                subject_ids: subject_ids.iter().map(SubjectId::to_string).collect(),
            });
        bar.inc((bytes.len() / matrix.row_bytes()) as u64);
        Ok(())
    })
}
