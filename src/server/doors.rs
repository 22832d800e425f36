//! Places for connections: how many there are at once, how many are in their handshake, and what share of either one caller or one address has. Knows no TLS.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::service::shares::{Share, Shares};
use crate::telemetry;

/// Limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once, those in their handshake included.
    pub connections_max: usize,
    /// Of these, connections of one SPIFFE id. All certificates without one are one caller.
    pub connections_per_caller_max: usize,
    /// Handshakes at once.
    pub handshakes_max: usize,
    /// Of these, handshakes of one IPv4 address or IPv6 network of 64 bits.
    pub handshakes_per_address_max: usize,
    /// Longest handshake; as long again may the first byte take that follows it.
    pub handshake_max: Duration,
}

/// The places of a listener.
pub(super) struct Doors {
    connections: Arc<Semaphore>,
    of_callers: Shares<String>,
    handshakes: Arc<Semaphore>,
    of_addresses: Shares<IpAddr>,
    /// The configuration says that one address stands for everybody.
    is_one_address: bool,
}

/// Somebody in its handshake.
pub(super) struct Knock {
    connection: OwnedSemaphorePermit,
    _handshake: OwnedSemaphorePermit,
    _of_address: Share<IpAddr>,
}

/// A connection's place, until it ends.
pub(super) struct Place {
    _connection: OwnedSemaphorePermit,
    _of_caller: Share<String>,
}

impl Doors {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            of_callers: Shares::new(limits.connections_per_caller_max),
            handshakes: Arc::new(Semaphore::new(limits.handshakes_max)),
            of_addresses: Shares::new(limits.handshakes_per_address_max),
            is_one_address: limits.handshakes_per_address_max >= limits.handshakes_max,
        }
    }

    /// Waits until one more handshake may begin. Meanwhile callers wait in the system's queue.
    pub(super) async fn handshake(&self) -> OwnedSemaphorePermit {
        let places = Arc::clone(&self.handshakes);
        places.acquire_owned().await.expect("never closed")
    }

    /// Lets somebody at `address` begin a handshake, or has it closed. No address has more of them than are free: so addresses that take what
    /// they get leave as many as each of them has, and some hundreds of them are needed to keep out whoever has none
    /// (Choudhury and Hahne, "Dynamic queue length thresholds", IEEE/ACM Transactions on Networking 6(2), 1998).
    pub(super) fn knock(&self, address: IpAddr, handshake: OwnedSemaphorePermit) -> Option<Knock> {
        let free = if self.is_one_address {
            usize::MAX
        } else {
            // With the place of this one.
            self.handshakes.available_permits() + 1
        };
        let Some(of_address) = self.of_addresses.take_below(free, source(address)) else {
            tracing::debug!(%address, "an address has too many handshakes");
            return refuse("listen.handshakes_per_address_max");
        };
        let Ok(connection) = Arc::clone(&self.connections).try_acquire_owned() else {
            return refuse("listen.connections_max");
        };
        Some(Knock {
            connection,
            _handshake: handshake,
            _of_address: of_address,
        })
    }

    /// Lets `who` in after its handshake, or has it closed.
    pub(super) fn enter(&self, knock: Knock, who: String) -> Option<Place> {
        let Some(of_caller) = self.of_callers.take(who) else {
            return refuse("listen.connections_per_caller_max");
        };
        metrics::gauge!(telemetry::CONNECTIONS).increment(1.0);
        Some(Place {
            _connection: knock.connection,
            _of_caller: of_caller,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!(telemetry::CONNECTIONS).decrement(1.0);
    }
}

fn refuse<T>(limit: &'static str) -> Option<T> {
    metrics::counter!(telemetry::CONNECTIONS_REFUSED, "limit" => limit).increment(1);
    None
}

/// Whom an address is counted as. Who has one IPv6 address mostly has 2^64 of them.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
#[path = "doors_tests.rs"]
pub(super) mod tests;
