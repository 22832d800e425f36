//! What becomes of spans: a queue with an end, and one task that hands them to a collector. Keeps nobody waiting: what finds no room, or a collector that does not answer, is dropped and counted.

use std::error::Error;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::Traces;
use crate::telemetry;

/// Most spans of one message.
const BATCH_MAX: usize = 512;
/// How long spans wait for others, so that those of one call go together.
const GATHER: Duration = Duration::from_secs(1);
/// Longest time in which the spans that are left are handed over at the end.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// What is recorded, and how much of it may wait.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What the server calls itself.
    pub service: &'static str,
    /// Share of the calls that are recorded, 0 to 1.
    pub share: f64,
    /// Spans that wait for the collector; further ones are dropped.
    pub queue_max: usize,
    /// Longest wait for the collector's answer.
    pub answer_max: Duration,
}

/// The task that hands spans over.
pub struct Exporter {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Hands spans to the collector behind `channel` from now on.
    pub fn start(channel: Channel, settings: Settings) -> (Traces, Self) {
        let (sender, spans) = mpsc::channel(settings.queue_max);
        let collector = Collector::new(channel, settings);
        let provider = SdkTracerProvider::builder()
            // Which calls are recorded is decided before there is a span.
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(Queue(sender))
            .build();
        let stop = CancellationToken::new();
        let task = tokio::spawn(hand_over(collector, spans, stop.clone()));
        let traces = Traces::new(provider.tracer("thenar"), settings.share);
        (traces, Self { stop, task })
    }

    /// Takes no further spans and hands over what waits, for two seconds at most.
    pub async fn flush(mut self) {
        self.stop.cancel();
        if timeout(FLUSH_MAX, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// What became of spans.
fn count(outcome: &'static str, spans: usize) {
    metrics::counter!(telemetry::SPANS, "outcome" => outcome).increment(spans as u64);
}

/// The end of the queue at which spans come.
#[derive(Debug)]
struct Queue(mpsc::Sender<SpanData>);

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.0.try_send(span).is_err() {
            count("dropped", 1);
        }
    }

    /// What waits is the task's; see [`Exporter::flush`].
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Works until it is told to stop, and then until nothing is left.
async fn hand_over(mut collector: Collector, mut spans: mpsc::Receiver<SpanData>, stop: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = gather(&mut spans, &mut batch) => {}
            () = stop.cancelled() => {}
        }
        // Nothing came, so that nothing will come.
        if batch.is_empty() {
            break;
        }
        collector.take(std::mem::take(&mut batch)).await;
    }
    spans.close();
    while spans.recv_many(&mut batch, BATCH_MAX).await > 0 {
        collector.take(std::mem::take(&mut batch)).await;
    }
}

/// Waits for a span, and then for some more.
async fn gather(spans: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    spans.recv_many(batch, BATCH_MAX).await;
    let more = async {
        while batch.len() < BATCH_MAX && spans.recv_many(batch, BATCH_MAX - batch.len()).await > 0 {}
    };
    // Late is as good as full.
    let _ = timeout(GATHER, more).await;
}

struct Collector {
    client: TraceServiceClient<Channel>,
    resource: ResourceAttributesWithSchema,
    answer_max: Duration,
    /// Whether it took the last spans; it is told when that changes.
    is_up: bool,
}

impl Collector {
    fn new(channel: Channel, settings: Settings) -> Self {
        // None of what the environment says: it may name the machine.
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", settings.service),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        Self {
            client: TraceServiceClient::new(channel),
            resource: (&resource).into(),
            answer_max: settings.answer_max,
            is_up: true,
        }
    }

    async fn take(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len();
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let answer = timeout(self.answer_max, self.client.export(request)).await;
        let failure = match answer {
            Ok(Ok(answer)) => {
                let refused = answer.into_inner().partial_success;
                let refused = refused.map_or(0, |part| usize::try_from(part.rejected_spans).unwrap_or(0));
                let refused = refused.min(spans);
                count("refused", refused);
                count("exported", spans - refused);
                None
            }
            Ok(Err(status)) => Some(cause(&status)),
            Err(_) => Some(format!("no answer within {:?}", self.answer_max)),
        };
        if failure.is_some() {
            count("failed", spans);
        }
        self.tell(failure);
    }

    fn tell(&mut self, failure: Option<String>) {
        let was_up = std::mem::replace(&mut self.is_up, failure.is_none());
        match failure {
            Some(cause) if was_up => {
                tracing::warn!(
                    cause,
                    "the collector takes no traces; they are dropped until it does"
                );
            }
            None if !was_up => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

/// The code of a status and what is at the bottom of it.
fn cause(status: &Status) -> String {
    let mut last: Option<&dyn Error> = status.source();
    while let Some(next) = last.and_then(Error::source) {
        last = Some(next);
    }
    match last {
        Some(fault) => format!("{:?}: {fault}", status.code()),
        None => format!("{:?}", status.code()),
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
