//! One identification over many nodes, as a front asks it: the head, the parts, one holder of each, the merged answer (rules R1, R2 and R4 of `docs/cluster.md`). Knows neither the
//! catalog nor the network, which stand behind traits; `node.rs` makes a [`Node`](super::node::Node) of it.

pub mod budget;
#[cfg(test)]
mod fixture;
pub mod heads;
pub mod holder;
mod merge;
pub mod node;
pub mod nodes;
pub mod record;
pub mod register;
mod round;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::{Either, select};
use tokio::time::{Instant, timeout_at};

use self::budget::Budget;
use self::heads::{GalleryHead, HeadReader, Heads};
use self::merge::merge;
use self::nodes::Nodes;
use self::round::{Asked, Found, Round, Stop};
use super::node::{NodeError, RankQuery, SearchQuery};
use crate::cluster::question::Question;
use crate::cluster::view::NoSuchVersion;
use crate::model::decision::SearchAnswer;

/// How much earlier than its own caller a front's nodes are to be done, so that there is time to merge and to answer; a quarter of what is left where that is less.
pub const DEADLINE_MARGIN: Duration = Duration::from_millis(20);

/// Asks many nodes as if they were one.
pub struct Asker {
    heads: HeadReader,
    nodes: ArcSwap<Nodes>,
    budget: Budget,
    turn: AtomicUsize,
}

impl Asker {
    /// Asks these nodes, by heads that are read there. To be used within a runtime.
    pub fn new(heads: impl Heads, nodes: Nodes) -> Self {
        Self {
            heads: HeadReader::new(heads),
            nodes: ArcSwap::from_pointee(nodes),
            budget: Budget::new(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Asks these nodes from now on. What is remembered of those that stay is kept; identifications that are under way go on with the former ones.
    pub fn set_nodes(&self, nodes: Nodes) {
        let nodes = nodes.after(&self.nodes.load());
        self.nodes.store(Arc::new(nodes));
    }

    /// Everybody at or above the threshold, in the whole gallery.
    pub async fn search(&self, mut query: SearchQuery) -> Result<SearchAnswer, NodeError> {
        let deadline = query.deadline;
        query.deadline = downstream(deadline);
        let answer = in_time(deadline, self.ask(Asked::Search(&query))).await?;
        // Nobody searched anything for this subject alone.
        if query.only.is_some() && answer.searched == 0 {
            return Err(NodeError::SubjectUnknown(query.tenant));
        }
        Ok(answer)
    }

    /// The subjects of the whole gallery with the best scores.
    pub async fn rank(&self, mut query: RankQuery) -> Result<SearchAnswer, NodeError> {
        let deadline = query.deadline;
        query.deadline = downstream(deadline);
        in_time(deadline, self.ask(Asked::Rank(&query))).await
    }

    /// Reads the head, asks for all its parts, and begins anew where the view is gone. How often, the question says.
    async fn ask(&self, asked: Asked<'_>) -> Result<SearchAnswer, NodeError> {
        let guess = self.heads.likely(asked.tenant());
        // What was asked too early was asked: what is asked in its place earns no budget.
        let is_first = guess.is_none();
        let (read, early) = self.ask_early(asked, guess).await?;
        let mut question = Question::new(read.head, &read.view).map_err(|error| mixed(&error))?;
        let mut found = match early {
            Some(found) => found,
            None => self.round(asked, &question, &read, is_first).await,
        };
        loop {
            match found {
                Ok(found) => return answer(asked, question, found),
                Err(Stop::Nobody(error) | Stop::Failed(error)) => return Err(error),
                Err(Stop::ReadAgain) => {}
            }
            let read = self.heads.read(asked.tenant()).await?;
            question = question
                .again(read.head, &read.view)
                .map_err(|error| mixed(&error))?;
            found = self.round(asked, &question, &read, false).await;
        }
    }

    /// Reads the head, and meanwhile asks by the one that it is likely to be. What is found by that counts where the head is the same by the reading: then nothing happened that the earlier one does not name, and the
    /// answers are those that would be had by asking now.
    async fn ask_early(
        &self,
        asked: Asked<'_>,
        guess: Option<Arc<GalleryHead>>,
    ) -> Result<(Arc<GalleryHead>, Option<Ended>), NodeError> {
        let reading = self.heads.read(asked.tenant());
        let Some(guess) = guess else {
            return Ok((reading.await?, None));
        };
        let question = Question::new(guess.head, &guess.view).map_err(|error| mixed(&error))?;
        let asking = pin!(self.round(asked, &question, &guess, true));
        match select(pin!(reading), asking).await {
            Either::Left((read, asking)) => {
                let read = read?;
                let is_same = read.is_at(&guess);
                Ok((read, if is_same { Some(asking.await) } else { None }))
            }
            Either::Right((found, reading)) => {
                let read = reading.await?;
                let is_same = read.is_at(&guess);
                Ok((read, is_same.then_some(found)))
            }
        }
    }

    /// Asks the owners of all parts of a question, which is by this head.
    async fn round(
        &self,
        asked: Asked<'_>,
        question: &Question,
        read: &GalleryHead,
        is_first: bool,
    ) -> Ended {
        let round = Round {
            asked,
            question,
            nodes: &self.nodes.load_full(),
            budget: &self.budget,
            is_first,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        round.run(read.gallery, turn).await
    }
}

/// What came of asking for all parts once.
type Ended = Result<Vec<Found>, Stop>;

/// The answer over all parts.
fn answer(asked: Asked<'_>, mut question: Question, found: Vec<Found>) -> Result<SearchAnswer, NodeError> {
    let count = found.len();
    let mut answers = Vec::with_capacity(count);
    for (scope, answer) in found {
        if question.answered(&scope) {
            answers.push(answer);
        }
    }
    if !question.missing().is_empty() || answers.len() < count {
        let text = "the answers to a question are not for all its parts";
        return Err(NodeError::Internal(text.to_owned()));
    }
    Ok(merge(answers, asked.candidates_max()))
}

/// What the catalog gave together does not belong together.
fn mixed(error: &NoSuchVersion) -> NodeError {
    NodeError::Internal(format!("a head was read with another view: {error}"))
}

/// When nodes are to be done.
fn downstream(deadline: Option<std::time::Instant>) -> Option<std::time::Instant> {
    let deadline = deadline?;
    let left = deadline.saturating_duration_since(Instant::now().into_std());
    Some(
        deadline
            .checked_sub(DEADLINE_MARGIN.min(left / 4))
            .unwrap_or(deadline),
    )
}

/// Waits until the caller's deadline.
async fn in_time<T>(
    deadline: Option<std::time::Instant>,
    answer: impl Future<Output = Result<T, NodeError>>,
) -> Result<T, NodeError> {
    match deadline.map(Instant::from_std) {
        None => answer.await,
        Some(deadline) if deadline <= Instant::now() => Err(NodeError::DeadlineExceeded),
        Some(deadline) => match timeout_at(deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(NodeError::DeadlineExceeded),
        },
    }
}

#[cfg(test)]
#[path = "placed_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "placed/early_tests.rs"]
mod early_tests;

#[cfg(test)]
#[path = "placed/lagging_tests.rs"]
mod lagging_tests;

#[cfg(test)]
#[path = "placed/random_tests.rs"]
mod random_tests;

#[cfg(test)]
#[path = "placed/slow_tests.rs"]
mod slow_tests;
