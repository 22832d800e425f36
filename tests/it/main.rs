//! Integration tests: each goes through real gRPC with TLS to a real server. One file a promise, and one for refusals.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "palms and scores of tests are small numbers"
)]

mod harness;

mod access;
mod audited;
mod bad_clients;
mod bad_input;
mod brought_back;
mod climbing;
mod cluster_backup;
mod cluster_keks;
mod clustered;
mod evaluated;
mod exact;
mod formats;
mod found_at_once;
mod imports;
mod investigations;
mod journal;
mod loaded;
mod measured;
mod nothing_left;
mod nothing_lost;
mod nothing_readable;
mod nothing_shared;
mod on_postgres;
mod receipts;
mod relocated;
mod retention;
mod revoked;
mod rotated_keys;
mod sealed_probes;
mod split_nodes;
mod split_tiers;
mod traced;
mod unlinkable;
mod watched;
