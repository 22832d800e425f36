//! What is on disk: one directory a tenant with a catalog (SQLite) and sealed, memory-mapped segments. Knows nothing of GPUs, codes or gRPC: planes are bytes to it.
