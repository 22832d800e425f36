//! The command tree: parses, calls, prints, exits. Holds no logic that a server needs.
