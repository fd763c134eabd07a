//! Divides the files that the process may have open: the store has its part, the ports share the rest.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most files that the store keeps open.
const STORE: usize = 384;
/// Files that are open for a moment or few in number: the journal, tables that are being merged, listeners, compiled plugins, pipes.
const OTHER: usize = 128;

/// The parts of the limit of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    limit: usize,
    /// For the store.
    pub(crate) store: usize,
    /// For the connections of all ports.
    connections: usize,
}

/// The most connections of each port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    limit: usize,
    /// Of each gRPC port.
    pub(crate) grpc_port: usize,
    /// Of the admin port.
    pub(crate) admin_port: usize,
}

/// Raises the process's soft limit of open files to the hard one. Where that is refused, it stays as it is.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(
            soft = limit.current,
            hard = limit.maximum,
            %error,
            "the soft limit of open files could not be raised to the hard one"
        );
    }
}

// === impl OpenFiles ===

impl OpenFiles {
    /// The parts of the current soft limit.
    pub(crate) fn current() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self::of(limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        }))
    }

    fn of(limit: usize) -> Self {
        let store = STORE.min(limit / 2);
        let other = OTHER.min(limit / 8);
        Self {
            limit,
            store,
            connections: limit - store - other,
        }
    }

    /// The shares of the ports, with one or two gRPC ports.
    pub(crate) fn shares(self, has_writer_port: bool) -> Shares {
        let admin_port = (self.connections / 8).max(1);
        let rest = self.connections.saturating_sub(admin_port);
        Shares {
            limit: self.limit,
            grpc_port: (rest / (1 + usize::from(has_writer_port))).max(1),
            admin_port,
        }
    }
}

// === impl Shares ===

impl Shares {
    /// Warns if a port has fewer connections than `limits.connections`.
    pub(crate) fn warn(&self, wanted: usize) {
        if wanted > self.grpc_port.min(self.admin_port) {
            tracing::warn!(
                open_files = self.limit,
                grpc_port = self.grpc_port,
                admin_port = self.admin_port,
                "the limit of open files allows fewer connections on a port than limits.connections ({wanted}): raise the hard limit (`ulimit -Hn`, systemd's LimitNOFILE=)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_never_exceed_the_limit_and_the_store_has_the_first() {
        for (limit, store, grpc_port, admin_port) in [
            (64, 32, 21, 3),
            (200, 100, 66, 9),
            (1024, 384, 448, 64),
            (20_000, 384, 17_052, 2436),
        ] {
            let files = OpenFiles::of(limit);
            let shares = files.shares(false);
            assert_eq!(
                (files.store, shares.grpc_port, shares.admin_port),
                (store, grpc_port, admin_port),
                "{limit}"
            );
            let two = files.shares(true);
            let all = files.store + two.admin_port + 2 * two.grpc_port;
            assert!(all <= limit, "{limit}");
        }
    }
}
