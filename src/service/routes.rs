//! Which services a listener offers, with the limits of their messages. Listens to nothing.

use std::sync::Arc;

use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use super::Rooms;
use super::admin::AdminRoom;
use super::enrollment::EnrollmentRoom;
use super::identity::IdentityRoom;
use super::matching::{FrontsOnly, MatchRoom};
use crate::matcher::node::Node;
use crate::matcher::remote::MESSAGE_BYTES_MAX;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::matching::v1::match_server::MatchServer;
use crate::proto::v1::admin_server::AdminServer;
use crate::proto::v1::enrollment_server::EnrollmentServer;
use crate::proto::v1::identity_server::IdentityServer;

/// The public API. `message_bytes_max` bounds a request.
pub fn public(rooms: Rooms, message_bytes_max: usize) -> Routes {
    Routes::new(
        IdentityServer::new(IdentityRoom::new(rooms.clone())).max_decoding_message_size(message_bytes_max),
    )
    .add_service(
        EnrollmentServer::new(EnrollmentRoom::new(rooms.clone()))
            .max_decoding_message_size(message_bytes_max),
    )
    .add_service(AdminServer::new(AdminRoom::new(rooms)).max_decoding_message_size(message_bytes_max))
}

/// The internal API of a match node, for fronts of this trust domain alone.
pub fn internal(node: Arc<dyn Node>, trust_domain: Arc<str>) -> Routes {
    let room = MatchServer::new(MatchRoom::new(node))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Routes::new(InterceptedService::new(room, FrontsOnly::new(trust_domain)))
}

/// Reflection of every service, for tools such as grpcurl.
pub fn reflection()
-> Result<ServerReflectionServer<impl ServerReflection + use<>>, tonic_reflection::server::Error> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
}
