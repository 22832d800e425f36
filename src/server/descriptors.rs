//! File descriptors: a connection takes one and a tenant some. Asks for no more than the system allows this user.

/// What a process needs beside connections.
const OTHERS: u64 = 1_024;

/// Raises the limit on open files to what is allowed, and says where that is too little for so many connections.
pub(super) fn raise_limit(connections_max: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files can't be raised");
    }
    let wanted = connections_max as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit < wanted {
        tracing::warn!(
            limit,
            wanted,
            "connections may use up all open files, of which a tenant needs six; raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=) or lower listen.connections_max"
        );
    }
}
