//! Tests of the queue and of the task behind it: what has no room is counted, what fails is told once, and an end comes.

use std::io;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response};

use super::*;

/// Refuses some spans of each message.
struct Refusing(i64);

#[tonic::async_trait]
impl TraceService for Refusing {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let refused = ExportTracePartialSuccess {
            rejected_spans: self.0,
            error_message: String::new(),
        };
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: Some(refused),
        }))
    }
}

/// What is logged.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(queue_max: usize) -> Settings {
    Settings {
        service: "test",
        share: 1.0,
        queue_max,
        answer_max: Duration::from_secs(30),
    }
}

/// What was counted while `work` ran, outcome by outcome.
fn counted(work: impl Future<Output = ()>) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    metrics::with_local_recorder(&recorder, || runtime.expect("a runtime").block_on(work));
    recorder.handle().render()
}

fn end_some(traces: &Traces, spans: usize) {
    for _ in 0..spans {
        traces.begin("s", "m").expect("all are").answered(Code::Ok);
    }
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    // Nothing runs meanwhile, so that nothing leaves the queue.
    let text = counted(async {
        let nobody = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let (traces, exporter) = Exporter::start(nobody, settings(3));
        end_some(&traces, 10);
        drop(exporter);
    });
    assert!(
        text.contains("thenar_spans_total{outcome=\"dropped\"} 7"),
        "{text}"
    );
}

#[test]
fn what_no_collector_takes_is_counted_and_the_end_comes_all_the_same() {
    let text = counted(async {
        let nobody = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let (traces, exporter) = Exporter::start(nobody, settings(100));
        end_some(&traces, 10);
        exporter.flush().await;
        end_some(&traces, 1);
    });
    assert!(
        text.contains("thenar_spans_total{outcome=\"failed\"} 10"),
        "{text}"
    );
    assert!(
        text.contains("thenar_spans_total{outcome=\"dropped\"} 1"),
        "{text}"
    );
}

#[test]
fn what_the_collector_refuses_is_counted_apart() {
    let text = counted(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = TraceServiceServer::new(Refusing(4));
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let (traces, exporter) = Exporter::start(channel.connect_lazy(), settings(100));
        end_some(&traces, 10);
        exporter.flush().await;
    });
    assert!(
        text.contains("thenar_spans_total{outcome=\"exported\"} 6"),
        "{text}"
    );
    assert!(
        text.contains("thenar_spans_total{outcome=\"refused\"} 4"),
        "{text}"
    );
}

#[tokio::test]
async fn a_task_whose_spans_have_all_come_ends() {
    let nobody = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let (traces, exporter) = Exporter::start(nobody, settings(1));
    drop(traces);
    exporter.task.await.expect("it ends by itself");
}

#[tokio::test]
async fn a_collector_is_told_of_when_it_changes_alone() {
    let told = Told::default();
    let writer = told.clone();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(log.finish());
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let mut collector = Collector::new(channel, settings(1));
    for failure in [
        None,
        Some("Unavailable"),
        Some("Unavailable"),
        None,
        None,
        Some("Internal"),
    ] {
        collector.tell(failure.map(str::to_owned));
    }
    let told = String::from_utf8(told.0.lock().clone()).expect("text");
    let lines: Vec<&str> = told.lines().collect();
    let [down, up, down_again] = lines.as_slice() else {
        panic!("{told}");
    };
    assert!(down.contains("WARN") && down.contains("Unavailable"), "{down}");
    assert!(up.contains("INFO") && up.contains("again"), "{up}");
    assert!(down_again.contains("Internal"), "{down_again}");
}
