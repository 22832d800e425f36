//! Which services a listener offers, with the limits of their messages. Listens to nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Ready, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use super::admin::AdminRoom;
use super::body::{Sharing, Timed};
use super::enrollment::EnrollmentRoom;
use super::identity::IdentityRoom;
use super::matching::{FrontsOnly, MatchRoom};
use super::shares::{Share, Shares};
use super::{Counted, Rooms};
use super::{caller, deadline, observe, status};
use crate::front::authorize::Method;
use crate::front::revocation::Revocations;
use crate::matcher::node::NodeError;
use crate::matcher::remote::MESSAGE_BYTES_MAX;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::matching::v1::match_server::{MatchServer, SERVICE_NAME};
use crate::proto::v1::admin_server::AdminServer;
use crate::proto::v1::enrollment_server::EnrollmentServer;
use crate::proto::v1::identity_server::IdentityServer;
use crate::telemetry::traces::{Span, Traced, Traces};

/// Largest request but for imports, in bytes: 16 signatures of 2,048 coordinates take 128 KiB. What is decoded can take some
/// hundred times as much memory (an empty signature is 2 bytes of a message), before anybody has looked at who asks.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// Largest request of the Identity service: a signature of 2,048 coordinates takes 8 KiB. Room for one is made as soon as its length comes, and any scanner may
/// open many streams.
const IDENTITY_BYTES_MAX: usize = 32 << 10;
/// Most calls at once, over all connections, so that the bodies of unary calls take no more than some GiB together. A stream of probes counts until its
/// answers begin.
pub const CALLS_MAX: usize = 8_192;
/// Most lists that are made at once.
const LISTS_MAX: usize = 256;
/// Most lists of one caller until it has read them: a page of a history takes up to 700 KiB, and what its caller does not read stays in memory.
const LISTS_PER_CALLER_MAX: usize = 32;
/// Most imports at once: a message of each is read whole before anything in it is looked at.
const IMPORTS_MAX: usize = 64;
/// Most imports of one caller at once: one may still hang on a connection that is gone while the next goes on.
const IMPORTS_PER_CALLER_MAX: usize = 4;
/// Most calls at once of a service of small messages.
const SMALL_CALLS_MAX: usize = 256;
/// Most calls of one caller that are open at once there, those that watch a health among them.
const SMALL_CALLS_PER_CALLER_MAX: usize = SMALL_CALLS_MAX / 2;
/// Largest request of such a service, in bytes.
pub const SMALL_BYTES_MAX: usize = 4 << 10;
/// The method whose messages may be larger, and whose rows may take long.
const IMPORT_PATH: &str = "/thenar.v1.Enrollment/Import";
/// The methods whose answers may be long.
const USAGE_PATH: &str = "/thenar.v1.Enrollment/ListUsage";
const INVESTIGATE_PATH: &str = "/thenar.v1.Identity/Investigate";
const TENANTS_PATH: &str = "/thenar.v1.Admin/ListTenants";
/// The method whose stream may rest as long as its caller likes. It counts among its caller's calls meanwhile.
const STREAM_PATH: &str = "/thenar.v1.Identity/IdentifyStream";
/// How long before its deadline a call is told that it has passed: the transport's own timer says less, and to nobody but the caller.
const BEFORE_DEADLINE: Duration = Duration::from_millis(2);
/// Longest time from the beginning of a call to the end of its request.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// How long the body of a call to this method may take, if that is bounded as a whole. Each message of an import has a time of its own
/// ([`super::import`]).
fn patience(path: &str) -> Option<Duration> {
    match path {
        STREAM_PATH | IMPORT_PATH => None,
        _ => Some(REQUEST_MAX),
    }
}

/// What a listener of the public API is told to allow.
#[derive(Debug, Clone, Copy)]
pub struct PublicLimits {
    /// Largest message of an import in bytes and, where it is the smaller one, of any request.
    pub message_bytes_max: usize,
    /// Most calls of one caller that are open at once, until their answer has ended: a stream of probes takes about 14 KiB while it rests.
    pub calls_per_caller_max: usize,
}

/// The public API.
pub fn public(rooms: Rooms, limits: PublicLimits) -> Routes {
    let PublicLimits {
        message_bytes_max,
        calls_per_caller_max,
    } = limits;
    let request_bytes_max = REQUEST_BYTES_MAX.min(message_bytes_max);
    let identity = IdentityServer::new(IdentityRoom::new(rooms.clone()));
    let enrollment = EnrollmentServer::new(EnrollmentRoom::new(rooms.clone()));
    let admin = AdminServer::new(AdminRoom::new(rooms.clone()));
    let traces = rooms.traces.clone();
    let look: Look = Arc::new(move |request| {
        let path = request.uri().path();
        let called = method(path);
        // Each probe of a stream is counted when it comes.
        let counts = called.is_some_and(Method::is_counted) && path != STREAM_PATH;
        let caller = rooms.admit(request, called)?;
        if counts && let Some(counted) = rooms.count(&caller)? {
            request.extensions_mut().insert(counted);
        }
        Ok(caller.principal.path())
    });
    let of_one = ("listen.calls_per_caller_max", calls_per_caller_max);
    let places = Places::new(("calls at once", CALLS_MAX), of_one, &look);
    let of_one = ("imports of one caller at once", IMPORTS_PER_CALLER_MAX);
    let import_places = Places::new(("imports at once", IMPORTS_MAX), of_one, &look);
    let of_one = ("lists of one caller at once", LISTS_PER_CALLER_MAX);
    let list_places = Places::new(("lists at once", LISTS_MAX), of_one, &look);
    let imports = import_places.bound(enrollment.clone().max_decoding_message_size(message_bytes_max));
    let enrollment = enrollment.max_decoding_message_size(request_bytes_max);
    let enrollment = ByPath {
        apart: [
            (IMPORT_PATH, imports),
            (USAGE_PATH, list_places.bound(enrollment.clone())),
        ],
        others: places.bound(enrollment),
    };
    let identity_bytes_max = IDENTITY_BYTES_MAX.min(message_bytes_max);
    let identity = identity.max_decoding_message_size(identity_bytes_max);
    let identity = ByPath {
        apart: [(INVESTIGATE_PATH, list_places.bound(identity.clone()))],
        others: places.bound(identity),
    };
    let admin = admin.max_decoding_message_size(request_bytes_max);
    let admin = ByPath {
        apart: [(TENANTS_PATH, list_places.bound(admin.clone()))],
        others: places.bound(admin),
    };
    let mut routes = Routes::new(traced(identity, &traces))
        .add_service(traced(enrollment, &traces))
        .add_service(traced(admin, &traces));
    let router = routes.axum_router_mut();
    *router = std::mem::take(router).fallback_service(Unknown);
    routes
}

/// Refuses calls of services that are not there.
#[derive(Clone)]
struct Unknown;

impl<B> Service<http::Request<B>> for Unknown {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut call = Call::new(request.uri().path());
        ready(Ok(call.told(Status::unimplemented("").into_http())))
    }
}

/// Records calls of whoever it may be: what such a call says of traces is not looked at. Probes of a stream are recorded one by one.
fn traced<S: NamedService>(
    service: S,
    traces: &Traces,
) -> Traced<S, impl FnMut(&mut http::Request<Body>) -> Option<Span> + Clone + use<S>> {
    let traces = traces.clone();
    Traced::new(service, move |request: &mut http::Request<Body>| {
        let path = request.uri().path();
        let called = method(path).filter(|_| path != STREAM_PATH)?;
        traces.begin(S::NAME, called.name())
    })
}

/// Bounds a service of small messages: health, reflection.
pub fn small<S>(service: S, look: &Look) -> Bounded<S> {
    let limit = ("small calls at once", SMALL_CALLS_MAX);
    let of_one = ("small calls of one caller at once", SMALL_CALLS_PER_CALLER_MAX);
    Places::new(limit, of_one, look).bound(service)
}

/// Who calls, or why the request is refused by its head. What the handler has to know of it is among the request's extensions then.
pub type Look = Arc<dyn Fn(&mut http::Request<Body>) -> Result<String, Status> + Send + Sync>;

/// Lets in every caller of the public API.
pub fn callers(rooms: Rooms) -> Look {
    Arc::new(move |request| Ok(rooms.admit(request, None)?.principal.path()))
}

/// Lets in fronts alone.
pub fn fronts(trust_domain: Arc<str>, revocations: Revocations) -> Look {
    Arc::new(move |request| {
        let front = caller::front_node(request.extensions(), &trust_domain, &revocations);
        let name = front.map(|front| front.principal.to_string());
        name.map_err(|error| status::from_front(&error, ""))
    })
}

/// The method that a path calls.
fn method(path: &str) -> Option<Method> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match path {
        STREAM_PATH => Some(Method::Identify),
        _ => Method::ALL.into_iter().find(|method| method.name() == name),
    }
}

/// Places for calls.
#[derive(Clone)]
struct Places {
    /// What it is called and how many there are.
    limit: (&'static str, usize),
    calls: Arc<Semaphore>,
    /// What the limit of each caller is called.
    of_one: &'static str,
    of_callers: Shares<String>,
    look: Look,
}

impl Places {
    /// As many as the limit says, and so many for each caller.
    fn new(limit: (&'static str, usize), of_one: (&'static str, usize), look: &Look) -> Self {
        Self {
            limit,
            calls: Arc::new(Semaphore::new(limit.1)),
            of_one: of_one.0,
            of_callers: Shares::new(of_one.1),
            look: Arc::clone(look),
        }
    }

    fn bound<S>(&self, service: S) -> Bounded<S> {
        Bounded {
            service,
            places: self.clone(),
        }
    }

    /// A place for a call until its answer begins and one of its caller's until it ends, or why there is none.
    fn take(
        &self,
        request: &mut http::Request<Body>,
    ) -> Result<(OwnedSemaphorePermit, Share<String>), Status> {
        let (limit, value) = self.limit;
        let place = Arc::clone(&self.calls).try_acquire_owned();
        let place = place.map_err(|_| exhausted(limit, value))?;
        let who = (self.look)(request)?;
        let share = self.of_callers.take(who);
        let full = || exhausted(self.of_one, self.of_callers.each_max());
        Ok((place, share.ok_or_else(full)?))
    }
}

fn exhausted(limit: &'static str, value: usize) -> Status {
    let error = NodeError::Exhausted {
        limit,
        value: value as u64,
        retry_after: Duration::from_millis(100),
    };
    status::from_front(&error.into(), "")
}

/// A service that refuses a call, its body unread, where there is no room for it, and gives up one whose body does not come.
#[derive(Clone)]
pub struct Bounded<S> {
    service: S,
    places: Places,
}

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Bounded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let mut call = Call::new(request.uri().path());
        let (place, share) = match self.places.take(&mut request) {
            Ok(taken) => taken,
            Err(refusal) => return ready(Ok(call.refused(refusal))).boxed(),
        };
        let counted = request.extensions().get::<Counted>().cloned();
        let deadline = deadline::of(request.headers());
        let request = match patience(request.uri().path()) {
            Some(limit) => request.map(|body| Timed::wrap(body, limit)),
            None => request,
        };
        let answer = self.service.call(request);
        async move {
            let answer = match deadline {
                None => Ok(answer.await),
                Some(deadline) => {
                    let told = deadline.checked_sub(BEFORE_DEADLINE).unwrap_or(deadline);
                    timeout_at(told.into(), answer).await
                }
            };
            drop((place, counted));
            let late = |_| {
                let error = NodeError::DeadlineExceeded.into();
                Ok(call.refused(status::from_front(&error, "")))
            };
            let answer = answer.unwrap_or_else(late).map(|answer| call.told(answer));
            call.answered();
            answer.map(|answer| answer.map(|body| Sharing::wrap(body, share)))
        }
        .boxed()
    }
}

/// A call that is counted whatever becomes of it: handlers count what they answer.
struct Call {
    method: &'static str,
    started: Instant,
    is_answered: bool,
}

impl Call {
    fn new(path: &str) -> Self {
        let name = match path {
            STREAM_PATH => "IdentifyStream",
            path => method(path).map_or("other", Method::name),
        };
        Self {
            method: name,
            started: Instant::now(),
            is_answered: false,
        }
    }

    /// Nothing is left to count.
    fn answered(mut self) {
        self.is_answered = true;
    }

    /// An answer as it is, or what is told in the place of one that the gRPC library made: no handler saw that call.
    fn told(&mut self, answer: http::Response<Body>) -> http::Response<Body> {
        let refusal = Status::from_header_map(answer.headers());
        match refusal.as_ref().and_then(status::of_library) {
            Some(refusal) => self.refused(refusal),
            None => answer,
        }
    }

    /// Answers in the handler's place.
    fn refused(&mut self, refusal: Status) -> http::Response<Body> {
        observe::record(self.method, self.started, Some(&refusal));
        self.is_answered = true;
        refusal.into_http()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_answered {
            observe::record(
                self.method,
                self.started,
                Some(&Status::cancelled("the caller hung up")),
            );
        }
    }
}

/// One service, some methods of which have limits of their own.
#[derive(Clone)]
struct ByPath<S, const N: usize> {
    apart: [(&'static str, S); N],
    others: S,
}

impl<S: NamedService, const N: usize> NamedService for ByPath<S, N> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<http::Request<B>>, B, const N: usize> Service<http::Request<B>> for ByPath<S, N> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // All are one room and ready together.
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let path = request.uri().path();
        let apart = self.apart.iter_mut().find(|(own, _)| *own == path);
        apart
            .map_or(&mut self.others, |(_, service)| service)
            .call(request)
    }
}

/// The internal API of a match node, for fronts of this trust domain alone.
pub fn internal(room: MatchRoom, trust_domain: Arc<str>, revocations: Revocations, traces: Traces) -> Routes {
    let room = MatchServer::new(room)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    // Behind the guard: only a front is believed what it says of traces.
    let room = Traced::new(room, move |request: &mut http::Request<Body>| {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        traces.join(SERVICE_NAME, method, request.headers())
    });
    Routes::new(InterceptedService::new(
        room,
        FrontsOnly::new(trust_domain, revocations),
    ))
}

/// Reflection of every service, for tools such as grpcurl.
pub fn reflection()
-> Result<ServerReflectionServer<impl ServerReflection + use<>>, tonic_reflection::server::Error> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
