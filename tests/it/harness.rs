//! What the tests share: servers in this process or as a child, callers with certificates, palms.

mod caller;
mod child;
mod palms;
mod world;

pub use caller::Caller;
pub use child::Child;
pub use palms::{DIM, consent, contains, dot, palm, policy, signature};
pub use world::{Backend, World, copy_tree};
