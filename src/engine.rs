//! Search over codes: slices in, row numbers out. Knows nothing of gRPC, files or tenants' names.
