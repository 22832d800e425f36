//! A collector of traces that keeps what it is sent, or takes what it is sent and never answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

struct Room {
    taken: Taken,
    answers: bool,
}

#[tonic::async_trait]
impl TraceService for Room {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.taken.0.lock().push(request.into_inner());
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector on loopback.
pub struct Collector {
    pub port: u16,
    taken: Taken,
}

/// A span with the name of its server.
#[derive(Clone)]
pub struct Told {
    pub service: String,
    pub span: Span,
}

impl Collector {
    pub async fn start() -> Self {
        Self::listen(true, None).await
    }

    /// With TLS, under this certificate.
    pub async fn start_sealed(cert_pem: &str, key_pem: &str) -> Self {
        Self::listen(true, Some(Identity::from_pem(cert_pem, key_pem))).await
    }

    pub async fn start_hanging() -> Self {
        Self::listen(false, None).await
    }

    async fn listen(answers: bool, identity: Option<Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let taken = Taken::default();
        let room = Room {
            taken: taken.clone(),
            answers,
        };
        let mut server = Server::builder();
        if let Some(identity) = identity {
            let tls = ServerTlsConfig::new().identity(identity);
            server = server.tls_config(tls).expect("sound");
        }
        let router = server.add_service(TraceServiceServer::new(room));
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { port, taken }
    }

    /// Everything that was taken, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        let taken = self.taken.0.lock();
        taken.iter().flat_map(Message::encode_to_vec).collect()
    }

    pub fn spans(&self) -> Vec<Told> {
        let taken = self.taken.0.lock();
        let resources = taken.iter().flat_map(|request| &request.resource_spans);
        let told = resources.flat_map(|resource| {
            let about = resource.resource.as_ref().expect("it is told");
            let service = attribute(&about.attributes, "service.name").expect("it is told");
            let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
            spans.map(move |span| Told {
                service: service.clone(),
                span: span.clone(),
            })
        });
        told.collect()
    }

    /// The keys of all attributes, of spans and servers.
    pub fn keys(&self) -> BTreeSet<String> {
        let taken = self.taken.0.lock();
        let resources = taken.iter().flat_map(|request| &request.resource_spans);
        let attributes = resources.flat_map(|resource| {
            let of_server = resource.resource.iter().flat_map(|about| &about.attributes);
            let scopes = resource.scope_spans.iter();
            let of_spans = scopes.flat_map(|scope| scope.spans.iter().flat_map(|span| &span.attributes));
            of_server.chain(of_spans)
        });
        attributes.map(|attribute| attribute.key.clone()).collect()
    }
}

/// The value of an attribute, as text.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}
