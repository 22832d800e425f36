//! Exchanges a set of TLS files for its successor while the server runs. Ends no connection: who was taken back is told to those who ask for callers.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::crl::Numbers;
use super::material::{End, Material, TlsError, TlsFiles};
use crate::front::revocation::{Revocations, Revoked};
use crate::model::timestamp::Timestamp;
use crate::telemetry;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is told that something ends soon or has ended.
const REMIND_EVERY: Duration = Duration::from_mins(10);
/// How long before its end something ends soon; a third of its life where that is less.
const SOON: Duration = Duration::from_hours(14 * 24);

/// What tells a file from its successor; `None` where there is none.
type Stamp = Option<(u64, u64, [i64; 2], [i64; 2], u64)>;

/// One set of files, what was made of it, and who is on its lists.
pub struct Rotation<T> {
    files: TlsFiles,
    make: fn(&Material) -> Result<T, TlsError>,
    /// Of the set that was read last, whether it was taken or refused.
    tried: [Stamp; 4],
    /// Of a change that may not be complete.
    seen: Option<[Stamp; 4]>,
    ends: Vec<End>,
    /// Of the lists that were taken last.
    numbers: Numbers,
    made: watch::Sender<T>,
    revoked: watch::Sender<Arc<Revoked>>,
}

impl<T: Send + Sync + 'static> Rotation<T> {
    /// Reads the files for the first time.
    pub fn load(files: TlsFiles, make: fn(&Material) -> Result<T, TlsError>) -> Result<Self, TlsError> {
        let tried = files.all().map(stamp);
        let material = Material::read(&files)?;
        let mut rotation = Self {
            made: watch::Sender::new(make(&material)?),
            revoked: watch::Sender::new(Arc::default()),
            files,
            make,
            tried,
            seen: None,
            ends: Vec::new(),
            numbers: Numbers::new(),
        };
        rotation.follow(&material);
        Ok(rotation)
    }

    /// What was made of the files, now and as it changes.
    pub fn made(&self) -> watch::Receiver<T> {
        self.made.subscribe()
    }

    /// Who was taken back, now and as it changes.
    pub fn revocations(&self) -> Revocations {
        Revocations::new(self.revoked.subscribe())
    }

    /// Looks at the files until `stop` is cancelled: every few seconds, and at once when `asked` changes.
    pub async fn run(mut self, mut asked: watch::Receiver<()>, stop: CancellationToken) {
        let mut remind_at = Instant::now();
        loop {
            if remind_at <= Instant::now() {
                self.remind();
                remind_at = Instant::now() + REMIND_EVERY;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = asked.changed() => self.exchange().await,
                () = tokio::time::sleep(LOOK_EVERY) => self.look().await,
            }
        }
    }

    /// Takes a change once it was the same in two looks: several files are not written in one moment.
    async fn look(&mut self) {
        let now = self.files.all().map(stamp);
        if now == self.tried {
            self.seen = None;
        } else if self.seen == Some(now) {
            self.exchange().await;
        } else {
            self.seen = Some(now);
        }
    }

    async fn exchange(&mut self) {
        self.seen = None;
        self.tried = self.files.all().map(stamp);
        let (files, make) = (self.files.clone(), self.make);
        let numbers = self.numbers.clone();
        let read = move || {
            let material = Material::read(&files)?;
            material.check_numbers(&numbers)?;
            Ok((make(&material)?, material))
        };
        let outcome = match tokio::task::spawn_blocking(read).await {
            Ok(Ok((made, material))) => {
                self.follow(&material);
                self.made.send_replace(made);
                tracing::info!(which = self.files.which, "certificates were read again");
                "loaded"
            }
            Ok(Err(error)) => self.refuse(&error),
            Err(error) => self.refuse(&TlsError::Config(error.to_string())),
        };
        metrics::counter!(telemetry::TLS_RELOADS, "outcome" => outcome).increment(1);
    }

    fn refuse(&self, error: &TlsError) -> &'static str {
        tracing::error!(which = self.files.which, %error, "the new certificates are refused; the former stay");
        "refused"
    }

    fn follow(&mut self, material: &Material) {
        // A list that goes away would let everybody in again.
        self.files.crl_required |= material.has_list();
        let mut revoked = material.revoked();
        // An authority that went takes its list along, and not back what stood on it: connections of its certificates may still be open.
        let former = Arc::clone(&self.revoked.borrow());
        let left = former
            .iter()
            .filter(|known| !material.has_list_of(known.issuer()));
        revoked.extend(left.cloned());
        self.revoked.send_replace(Arc::new(revoked));
        self.ends = material.ends().to_vec();
        self.numbers.extend(material.numbers().clone());
        for end in &self.ends {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are few")]
            let until = end.until.0 as f64 / 1e6;
            metrics::gauge!(telemetry::CERTIFICATE_EXPIRY, "which" => end.which).set(until);
        }
    }

    fn remind(&self) {
        let now = Timestamp::now();
        for end in &self.ends {
            let (file, until) = (end.path.display(), end.until);
            if until < now && end.which == "crl" {
                tracing::error!(%file, %until, "the revocation list has ended: no new connection is let in until there is a newer one");
            } else if until < now {
                tracing::error!(%file, %until, "a certificate has ended: replace the file");
            } else if ends_soon(end, now) {
                tracing::warn!(%file, %until, "ends soon: replace the file");
            }
        }
    }
}

fn ends_soon(end: &End, now: Timestamp) -> bool {
    let life = u64::try_from(end.until.0.saturating_sub(end.from.0)).unwrap_or(0);
    end.until < now.plus(SOON.min(Duration::from_micros(life / 3)))
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        [found.mtime(), found.mtime_nsec()],
        // A change of owner or mode, too: what could not be read may be readable now.
        [found.ctime(), found.ctime_nsec()],
        found.size(),
    ))
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
