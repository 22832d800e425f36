//! Tortures a server: kills it, makes its disk fail, and audits it against a model that is kept outside. Part of no server.

pub mod audit;
pub mod chain;
pub mod churn;
pub mod deeds;
pub mod faults;
pub mod journal;
pub mod layout;
pub mod ledger;
pub mod power;
pub mod report;
pub mod run;
pub mod traffic;
pub mod verdict;
