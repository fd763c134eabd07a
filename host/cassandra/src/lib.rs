//! The Cassandra driver of `kv`: one store that any number of hosts use at the same time.
//!
//! | table | contents | written |
//! |---|---|---|
//! | `meta` | the version of the schema | once |
//! | `tenant` | the namespace of each tenant; a purge replaces it | by conditions |
//! | `writer`, `number` | who holds each writer id of a namespace, with which epoch and number | by conditions |
//! | `place` | each partition by its name: the number of its shards, and whether it was reclaimed | by conditions |
//! | `part` | the partitions that each writer has written to, and their bytes | plainly |
//! | `head` | what is committed, and the seat of each writer in the partition | by conditions |
//! | `object` | what is put, in shards | plainly |
//! | `sweep`, `doom` | reclaimed partitions and purged namespaces whose data is to be deleted | plainly; by conditions |
//! | `heartbeat`, `probe` | the hosts, and a row of each host by which it finds out whether conditions can be judged | plainly; by conditions |
//!
//! Invariants:
//! - No partition of a table is written both plainly and by conditions while it is in use: Cassandra orders the two by different clocks.
//! - Data is at `LOCAL_QUORUM` and conditions are at `LOCAL_SERIAL`, so all hosts of a tenant are in one datacentre.
//! - A claim raises the seats of its writer in all partitions before it returns. A commit has the writer's seat as its condition. So what
//!   an earlier claim commits afterwards is never applied, whatever its host believes (`claim.rs`, `commit.rs`).
//! - Objects are never changed: of two values under one key the first counts (`timestamps.rs`).
//! - Nothing is deleted before a read at `LOCAL_SERIAL` has shown that it was reclaimed or purged (`sweep.rs`, `doom.rs`).

#![forbid(unsafe_code)]

mod claim;
mod commit;
mod connect;
mod counters;
mod db;
mod doom;
mod driver;
mod errors;
mod heads;
mod heartbeat;
mod held;
mod namespace;
mod objects;
mod options;
mod places;
mod process;
mod reach;
mod read;
mod reclaim;
mod restored;
mod scan;
mod schema;
mod seats;
mod statements;
mod sweep;
mod tenants;
mod timestamps;
#[cfg(feature = "tls")]
mod tls;
mod usage;
mod watch;

pub use driver::CassandraDriver;
pub use options::{Options, Replication, Tls};
pub use schema::schema;
