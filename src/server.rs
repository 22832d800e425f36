//! The composition root: builds every layer, listens, reports health, drains. Holds no rule of its own.
