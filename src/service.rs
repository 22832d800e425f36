//! gRPC handlers: parses messages into domain commands and turns answers and errors back. Decides nothing.
