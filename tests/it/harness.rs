//! What the tests share: servers in this process or as a child, callers with certificates, palms.

mod caller;
mod child;
mod collector;
mod line;
mod palms;
#[path = "../../src/storage/database/testing/server.rs"]
pub mod postgres;
mod world;

pub use caller::{Caller, PATIENCE, import_messages};
pub use child::{Child, Process, SETTINGS};
pub use collector::{Collector, Told, attribute};
pub use line::Line;
pub use palms::{DIM, consent, contains, dot, palm, policy, signature};
pub use world::{Backend, World, copy_tree, knock};
