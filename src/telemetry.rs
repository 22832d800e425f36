//! Metric names and logging set-up. Never sees a signature, key or personal field.
