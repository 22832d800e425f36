//! A cluster of real processes over PostgreSQL and an object store, under load while its parts are killed, stopped and drained. Linux alone. Claims nothing of what it was not told.

pub mod audit;
pub mod availability;
pub mod deployment;
pub mod faults;
pub mod gallery;
pub mod grow;
pub mod ledger;
pub mod load;
pub mod moved;
mod namespace;
pub mod postgres;
pub mod probe;
pub mod processes;
pub mod programs;
pub mod quota;
pub mod report;
pub mod run;
pub mod scale;
pub mod settings;
pub mod standing;
pub mod store;
pub mod striker;
pub mod tally;
pub mod verdict;
pub mod wire;
pub mod wires;
