//! Generated messages, clients and servers of `proto/`. Named by `service`, `matcher::remote` and clients alone.

/// The public API.
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated from the commented files under proto/"
)]
pub mod v1 {
    tonic::include_proto!("thenar.v1");
}

/// The internal API between front and match.
pub mod matching {
    /// Version 1.
    #[expect(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::large_enum_variant,
        reason = "generated from the commented files under proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("thenar.r#match.v1");
    }
}

/// Descriptors of every service, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("thenar");
