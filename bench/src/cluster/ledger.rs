//! The subjects of one caller, whom nobody else changes: who was acknowledged, who was erased, who is in doubt. Asks nobody and judges nothing.

use rand::{Rng, RngExt};

use super::verdict::State;

/// One caller's subjects, numbered from `first` on.
#[derive(Debug)]
pub struct Ledger {
    first: u64,
    states: Vec<State>,
}

impl Ledger {
    /// Of nobody. No other ledger of the tenant has numbers from `first` on.
    pub fn new(first: u64) -> Self {
        Self {
            first,
            states: Vec::new(),
        }
    }

    /// A new subject is about to be enrolled.
    pub fn begin_enroll(&mut self) -> u64 {
        self.states.push(State::Enrolling);
        self.first + self.states.len() as u64 - 1
    }

    /// Somebody who is there is about to be erased.
    pub fn begin_erase(&mut self, rng: &mut impl Rng) -> Option<u64> {
        let number = self.pick(State::Present, rng)?;
        self.turn(number, State::Erasing);
        Some(number)
    }

    /// A subject's state is this from now on.
    pub fn turn(&mut self, number: u64, state: State) {
        let index = usize::try_from(number - self.first).expect("numbers are of this ledger");
        *self.states.get_mut(index).expect("numbers are of this ledger") = state;
    }

    /// What is known of a subject.
    pub fn state(&self, number: u64) -> State {
        let index = usize::try_from(number - self.first).expect("numbers are of this ledger");
        *self.states.get(index).expect("numbers are of this ledger")
    }

    /// Somebody in this state, whoever.
    pub fn pick(&self, state: State, rng: &mut impl Rng) -> Option<u64> {
        let all = self.all(state);
        if all.is_empty() {
            return None;
        }
        all.get(rng.random_range(0..all.len())).copied()
    }

    /// How many are in this state.
    pub fn count(&self, state: State) -> usize {
        self.states.iter().filter(|one| **one == state).count()
    }

    /// All who are in this state.
    pub fn all(&self, state: State) -> Vec<u64> {
        let numbers = self.first..;
        let all = numbers.zip(&self.states);
        all.filter(|(_, one)| **one == state)
            .map(|(number, _)| number)
            .collect()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
