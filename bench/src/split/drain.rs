//! An import that a node has taken rows of and waits for the rest of, so that a drain has something to finish. Decides nothing about the drain.

use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use thenar::cli::simulated;
use thenar::client::import::RowSender;
use thenar::client::{Client, api, import};
use thenar::population::Population;
use tokio::task::JoinHandle;

use crate::Failure;

/// Rows before the drain, and as many after it.
const HALF: u64 = 64;
/// Palms that one such import adds.
pub const PALMS: u64 = 2 * HALF;
/// How often it is asked whether the node has them.
const POLL: Duration = Duration::from_millis(5);
/// Longest wait for that.
const PATIENCE: Duration = Duration::from_secs(30);

/// Such an import.
pub struct UnderWay {
    rest: Sender<()>,
    answer: JoinHandle<Result<api::ImportResponse, Failure>>,
}

impl UnderWay {
    /// Begins an import of the palms from `first` on, as an operator, and waits until the node has some of them.
    pub async fn begin(operator: &Client, population: &Population, first: u64) -> Result<Self, Failure> {
        let request_id = format!("drain-{first}");
        let header = api::ImportHeader {
            tenant: String::new(),
            request_id: request_id.clone(),
            encoder: Some(simulated::encoder()),
            element_type: api::ElementType::F16.into(),
            hand: api::Hand::Right.into(),
            quality: 90,
            consent: Some(simulated::consent()),
            rows: PALMS,
            first_row: 0,
        };
        let (rest, told) = mpsc::channel();
        let (importer, population) = (operator.clone(), population.clone());
        let produce = move |sender: RowSender| {
            let send = |from: u64| {
                let rows = from..from + HALF;
                sender.send_blocking(api::ImportRows {
                    data: simulated::half_bytes(&population.references(rows.clone())).into(),
                    subject_ids: rows.map(simulated::subject_id).collect(),
                })
            };
            // Whoever would tell is gone when the bench has failed; then the import is short and refused.
            if send(first) && told.recv().is_ok() {
                send(first + HALF);
            }
            Ok::<(), Failure>(())
        };
        let answer = tokio::spawn(async move { Ok(import::import(&importer, header, produce).await??) });
        let under_way = Self { rest, answer };
        under_way.taken(operator, &request_id).await?;
        Ok(under_way)
    }

    async fn taken(&self, operator: &Client, request_id: &str) -> Result<(), Failure> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let request = api::GetImportRequest {
                request_id: request_id.to_owned(),
                ..Default::default()
            };
            // It is unknown until its header has come.
            if let Ok(answer) = operator.enrollment().get_import(request).await
                && answer.get_ref().rows_taken > 0
            {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err("the node takes no rows of an import".into())
    }

    /// Sends the rest; an error where not all of it was imported.
    pub async fn finish(self) -> Result<(), Failure> {
        // The answer says why where nobody takes it.
        let _ = self.rest.send(());
        let answer = self.answer.await??;
        if answer.imported != PALMS {
            return Err(format!("{} of {PALMS} palms were imported", answer.imported).into());
        }
        Ok(())
    }
}
