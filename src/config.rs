//! Configuration: file, environment and flags become one `Config`; unknown keys are refused and limits are checked against each other. Does not start anything.
