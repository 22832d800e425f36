//! Asks each device for the rows that it holds, all at once, and the CPU for the rest; what a device does not answer the CPU answers.

use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};

use super::device::guarded;
use super::host::Host;
use super::parts::{self, Part};
use super::speed::Measured;
use super::{Backend, BackendError, Backends, Found, Survivors, Work, joined};

/// What a device answered, and what it took.
type Answer = Result<Answered, BackendError>;
type Answered = (Vec<Found>, Measured);

impl Backends {
    /// What was found for each piece of work, which is for all rows of its gallery; and who found it.
    pub(in crate::engine) fn scan(&mut self, work: &[Work<'_>]) -> (Vec<Found>, Arc<str>) {
        let (on_gpus, on_cpu) = self.cut(work);
        let lone = on_gpus.iter().filter(|parts| !parts.is_empty()).count() == 1 && on_cpu.is_empty();
        let mut found: Vec<Vec<Found>> = work.iter().map(|_| Vec::new()).collect();
        let (answers, by_cpu) = self.ask_all(work, &on_gpus, &on_cpu, lone);
        let (mut names, mut unanswered) = (Vec::new(), Vec::new());
        for (at, (parts, answer)) in on_gpus.into_iter().zip(answers).enumerate() {
            match answer {
                Some(Ok((answers, measured))) => {
                    if let Some(gpu) = self.gpus.get_mut(at) {
                        gpu.speed.observe(measured);
                        names.push(Arc::clone(gpu.name()));
                    }
                    self.spent.add(measured);
                    sort_in(&mut found, &parts, answers);
                    continue;
                }
                Some(Err(error)) => self.failed_to_scan(at, work, &parts, &error),
                None => {}
            }
            unanswered.extend(parts);
        }
        let again =
            (!unanswered.is_empty()).then(|| on_the_cpu(&mut *self.cpu, &*self.host, work, &unanswered));
        for (parts, (answers, measured)) in [(&on_cpu, by_cpu), (&unanswered, again)]
            .into_iter()
            .filter_map(|(parts, answer)| Some((parts, answer?)))
        {
            self.cpu_speed.observe(measured);
            self.spent.add(measured);
            sort_in(&mut found, parts, answers);
        }
        if !on_cpu.is_empty() || !unanswered.is_empty() {
            names.push(self.cpu.name());
        }
        let found = work.iter().zip(found);
        let found = found
            .map(|(work, parts)| parts::join(work.probes.len(), parts))
            .collect();
        (found, joined(names).unwrap_or_else(|| self.cpu.name()))
    }

    /// The parts that each GPU scans, and those of the CPU.
    fn cut(&self, work: &[Work<'_>]) -> (Vec<Vec<Part>>, Vec<Part>) {
        let mut on_gpus = vec![Vec::new(); self.gpus.len()];
        let mut on_cpu = Vec::new();
        for (number, piece) in work.iter().enumerate() {
            let part = |rows| Part { work: number, rows };
            let placed = self.galleries.get(&piece.gallery.id());
            let mut held = placed.map_or_else(Vec::new, |placed| placed.held.clone());
            for (parts, rows) in on_gpus.iter_mut().zip(&held) {
                if !rows.is_empty() {
                    parts.push(part(rows.clone()));
                }
            }
            held.retain(|rows| !rows.is_empty());
            on_cpu.extend(parts::rest(piece.gallery.rows(), &mut held).into_iter().map(part));
        }
        (on_gpus, on_cpu)
    }

    /// Asks every device that has parts, each on a thread of its own, and the CPU on this one; a lone GPU on this one too. `None` for a
    /// device that was not asked.
    fn ask_all(
        &mut self,
        work: &[Work<'_>],
        on_gpus: &[Vec<Part>],
        on_cpu: &[Part],
        lone: bool,
    ) -> (Vec<Option<Answer>>, Option<Answered>) {
        let (host, cpu) = (&*self.host, &mut *self.cpu);
        let gpus = self.gpus.iter_mut().zip(on_gpus);
        let gpus = gpus.map(|(gpu, parts)| Some((gpu.backend()?, parts)).filter(|_| !parts.is_empty()));
        if lone {
            let answers = gpus.map(|gpu| gpu.map(|(gpu, parts)| ask(gpu, host, work, parts)));
            return (answers.collect(), None);
        }
        thread::scope(|scope| {
            let running: Vec<_> = gpus
                .map(|gpu| gpu.and_then(|(gpu, parts)| begin(scope, move || ask(gpu, host, work, parts))))
                .collect();
            let by_cpu = (!on_cpu.is_empty()).then(|| on_the_cpu(cpu, host, work, on_cpu));
            let answer = |thread: ScopedJoinHandle<'_, Answer>| {
                thread.join().expect("a device's panic is caught on its thread")
            };
            (
                running.into_iter().map(|thread| thread.map(answer)).collect(),
                by_cpu,
            )
        })
    }

    fn failed_to_scan(&mut self, at: usize, work: &[Work<'_>], parts: &[Part], error: &BackendError) {
        if matches!(error, BackendError::Lost(_)) {
            self.lose(at, error);
            return;
        }
        // What it holds leaves no room to scan it.
        for part in parts {
            if let Some(work) = work.get(part.work) {
                self.drop_from(at, work.gallery.id());
            }
        }
        self.fill(at, error);
    }
}

/// Begins to ask a device; `None` where the system has no thread, so that the CPU does its part.
fn begin<'scope>(
    scope: &'scope Scope<'scope, '_>,
    job: impl FnOnce() -> Answer + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, Answer>> {
    thread::Builder::new()
        .name("thenar-gpu-scan".to_owned())
        .spawn_scoped(scope, job)
        .inspect_err(|error| tracing::warn!(%error, "no thread to ask a GPU; the CPU scans its part"))
        .ok()
}

/// Asks a device and checks that it answered everything.
fn ask(backend: &mut dyn Backend, host: &dyn Host, work: &[Work<'_>], parts: &[Part]) -> Answer {
    let pieces: Vec<Work<'_>> = parts.iter().map(|part| part.of(work)).collect();
    let began = host.now();
    let found = guarded(|| backend.scan(&pieces))?;
    let complete = found.len() == pieces.len()
        && found
            .iter()
            .zip(&pieces)
            .all(|(found, piece)| found.survivors.len() == piece.probes.len());
    if !complete {
        return Err(BackendError::Lost("it did not answer every probe".to_owned()));
    }
    Ok((found, measured(&pieces, host, began)))
}

fn on_the_cpu(cpu: &mut dyn Backend, host: &dyn Host, work: &[Work<'_>], parts: &[Part]) -> Answered {
    let pieces: Vec<Work<'_>> = parts.iter().map(|part| part.of(work)).collect();
    let began = host.now();
    let found = cpu.scan(&pieces).unwrap_or_else(|error| {
        tracing::error!(%error, "the CPU scan failed; every row is scored");
        // No row was ruled out.
        let everything = |piece: &Work<'_>| Found {
            survivors: vec![Survivors::All; piece.probes.len()],
            by_sign: false,
        };
        pieces.iter().map(everything).collect()
    });
    (found, measured(&pieces, host, began))
}

fn measured(pieces: &[Work<'_>], host: &dyn Host, began: std::time::Instant) -> Measured {
    let rows = |piece: &Work<'_>| piece.rows.len() as u64;
    Measured {
        rows: pieces.iter().map(rows).sum(),
        products: pieces
            .iter()
            .map(|piece| rows(piece) * piece.probes.len() as u64)
            .sum(),
        took: host.now().saturating_duration_since(began),
    }
}

/// Puts what was found in parts to the work they were cut from.
fn sort_in(found: &mut [Vec<Found>], parts: &[Part], answers: Vec<Found>) {
    for (part, answer) in parts.iter().zip(answers) {
        if let Some(found) = found.get_mut(part.work) {
            found.push(answer);
        }
    }
}
