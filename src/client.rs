//! A gRPC client of the public API with a client certificate, for the command line and the demo. Adds no retry of its own.
