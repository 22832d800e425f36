//! The scanners of a tenant and the people who come to them: certificates, connections, palms made beforehand. Fixes no time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use prost::bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use tonic::{Request, Status};

use crate::cli::error::CliError;
use crate::cli::local::Authority;
use crate::cli::simulated::mix::Mix;
use crate::cli::simulated::oracle::{Answer, Asker};
use crate::cli::simulated::{self, Question};
use crate::client::throttle::Throttle;
use crate::client::{Client, api};
use crate::model::id::{PrincipalName, TenantId};
use crate::model::principal::{Principal, Role};
use crate::population::Population;

use super::prepare::Gallery;
use super::tally::Finding;
use super::target::Target;

/// Captures that are made before the run. When more people come they begin again from the first.
pub const CAPTURES_MAX: usize = 65_536;
/// Connections that are made at once.
const HANDSHAKES_AT_ONCE: usize = 32;
/// Days that a scanner's certificate holds.
const CERT_DAYS: u32 = 2;

/// Everybody who comes to one tenant's scanners, one after the other.
pub struct Crowd {
    scanners: Vec<Scanner>,
    captures: Vec<Capture>,
    threshold: f64,
    /// Tells this run's requests from those of another.
    run: u128,
    rng: ChaCha8Rng,
    asked: usize,
}

/// A connection, and what its scanner holds back, if anything.
struct Scanner {
    client: Client,
    throttle: Option<Arc<Throttle>>,
}

/// A palm at a scanner, and who it is of.
struct Capture {
    data: Bytes,
    asker: Asker,
}

impl Crowd {
    /// Makes `count` captures. `are_throttled`: the scanners hold back calls while the server refuses many.
    pub async fn new(
        gallery: &Gallery,
        mix: Mix,
        seed: u64,
        count: usize,
        scanners: Vec<Client>,
        are_throttled: bool,
    ) -> Result<Self, CliError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The arrivals have the first stream.
        rng.set_stream(1);
        let questions: Vec<Question> = (0..)
            .take(count.clamp(1, CAPTURES_MAX))
            .map(|number| mix.draw(&mut rng, gallery.palms, number))
            .collect();
        let population = gallery.population.clone();
        let captures = tokio::task::spawn_blocking(move || captures(&population, &questions)).await;
        Ok(Self {
            scanners: scanners
                .into_iter()
                .map(|client| Scanner::new(client, are_throttled))
                .collect(),
            captures: captures.map_err(|error| CliError::Runtime(error.into()))?,
            threshold: gallery.threshold,
            run: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_micros()),
            rng,
            asked: 0,
        })
    }

    /// The next person shows their palm to any scanner: the call, ready to be made, or nothing where the scanner holds it back.
    pub fn next(
        &mut self,
        give_up: Instant,
    ) -> Option<impl Future<Output = Result<Finding, Status>> + Send + use<>> {
        let number = self.asked;
        self.asked += 1;
        let scanner = pick(self.rng.next_u64(), &self.scanners);
        let admitted = match &scanner.throttle {
            Some(throttle) => Some(throttle.admit()?),
            None => None,
        };
        let mut client = scanner.client.identity();
        let capture = pick(number as u64, &self.captures);
        let (data, asker, threshold) = (capture.data.clone(), capture.asker, self.threshold);
        let request_id = format!("load-{:x}-{number:x}", self.run);
        Some(async move {
            let mut request = Request::new(api::IdentifyRequest {
                tenant: String::new(),
                request_id,
                probe: Some(simulated::capture(data)),
                site: "gate-1".to_owned(),
                candidates_max: 0,
                sealed_probe: None,
            });
            request.set_timeout(whole_millis_above(
                give_up.saturating_duration_since(Instant::now()),
            ));
            // An error drops `admitted`: of well-made questions it is a refusal.
            let response = client.identify(request).await?.into_inner();
            if let Some(admitted) = admitted {
                admitted.accepted();
            }
            Ok(Finding::of(asker, Answer::of(&response), threshold))
        })
    }
}

impl Scanner {
    fn new(client: Client, is_throttled: bool) -> Self {
        let throttle = is_throttled.then(Arc::default);
        Self { client, throttle }
    }
}

/// Few values, so that HTTP/2 sends one that it has sent before as a number, as with callers whose patience is a setting. Never less: the server must not
/// give up before the caller.
fn whole_millis_above(left: Duration) -> Duration {
    Duration::from_millis(
        u64::try_from(left.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1),
    )
}

fn captures(population: &Population, questions: &[Question]) -> Vec<Capture> {
    questions
        .par_iter()
        .map(|question| {
            let palm = question.palm(population);
            Capture {
                asker: question.asker(population, &palm),
                data: palm.data,
            }
        })
        .collect()
}

/// One of them, which must not be empty.
fn pick<T>(number: u64, among: &[T]) -> &T {
    let at = usize::try_from(number % among.len() as u64).expect("below a length");
    among.get(at).expect("below the length")
}

/// Connects so many scanners, each with a certificate of its own.
pub async fn connect(
    target: &Target,
    authority: &Authority,
    tenant: &TenantId,
    count: u32,
) -> Result<Vec<Client>, CliError> {
    stream::iter(0..count)
        .map(async |number| {
            let name: PrincipalName = format!("load-{number}").parse()?;
            member(target, authority, tenant, Role::Scanner, name).await
        })
        .buffered(HANDSHAKES_AT_ONCE)
        .try_collect()
        .await
}

/// Connects as somebody of a tenant.
pub async fn member(
    target: &Target,
    authority: &Authority,
    tenant: &TenantId,
    role: Role,
    name: PrincipalName,
) -> Result<Client, CliError> {
    let tenant = tenant.clone();
    principal(target, authority, &Principal::Member { tenant, role, name }).await
}

/// Connects as whoever this is.
pub async fn principal(
    target: &Target,
    authority: &Authority,
    principal: &Principal,
) -> Result<Client, CliError> {
    let credentials = authority.credentials(principal, CERT_DAYS)?;
    Ok(Client::connect_with(&target.url(), Some(&target.server_name), &credentials).await?)
}
