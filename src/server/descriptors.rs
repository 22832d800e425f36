//! File descriptors: a connection takes one and a tenant some. Asks for no more than the system allows this user.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What a process needs beside connections.
const OTHERS: u64 = 1_024;

/// Raises the limit on open files to what is allowed, and gives what it is then.
pub fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files can't be raised");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the limit, and says where it is too little for so many connections.
pub(super) fn raise_for(connections_max: usize) {
    let wanted = connections_max as u64 + OTHERS;
    let limit = raise_open_files();
    if limit < wanted {
        tracing::warn!(
            limit,
            wanted,
            "connections may use up all open files, of which a tenant needs seven; raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=) or lower listen.connections_max"
        );
    }
}
