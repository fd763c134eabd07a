//! The statements: their text, and how they are executed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use larder_store::{Error, StatementStatistics};
use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};

use crate::counters::Counter;
use crate::errors::prepare_words;

/// How a statement is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A read at `LOCAL_QUORUM`.
    Read,
    /// A read at `LOCAL_SERIAL`, which ends what conditions have begun.
    Serial,
    /// A write at `LOCAL_QUORUM` that may be repeated.
    Write,
    /// A write with a condition. Whether it may be repeated, its caller knows.
    Condition,
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident, $mode:ident, $text:literal;)*) => {
        /// Name of a statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Name { $($(#[$doc])* $name,)* }

        /// All statements, in the order of [`Name`]. Tables have the prefix `ks.`.
        const ALL: &[(Name, &str, Mode, &str)] =
            &[$((Name::$name, stringify!($name), Mode::$mode, $text),)*];
    };
}

statements! {
    MetaGet, Read, "SELECT version FROM ks.meta WHERE k = 0";

    TenantGet, Serial, "SELECT ns FROM ks.tenant WHERE k = 0 AND tenant = ?";
    TenantNow, Read, "SELECT ns FROM ks.tenant WHERE k = 0 AND tenant = ?";
    TenantList, Read, "SELECT tenant, ns FROM ks.tenant WHERE k = 0";
    TenantNew, Condition, "INSERT INTO ks.tenant (k, tenant, ns) VALUES (0, ?, ?) IF NOT EXISTS";
    TenantSet, Condition, "UPDATE ks.tenant SET ns = ? WHERE k = 0 AND tenant = ? IF ns = ?";
    TenantDelete, Condition, "DELETE FROM ks.tenant WHERE k = 0 AND tenant = ? IF ns = ?";

    WriterGet, Serial, "SELECT number, epoch, holder, host, adopted, committed FROM ks.writer WHERE ns = ? AND writer = ?";
    WriterEpoch, Read, "SELECT epoch FROM ks.writer WHERE ns = ? AND writer = ?";
    WriterList, Read, "SELECT writer, epoch, committed FROM ks.writer WHERE ns = ?";
    WriterHolders, Read, "SELECT writer, epoch, address, adopted, committed FROM ks.writer WHERE ns = ?";
    WriterNew, Condition, "INSERT INTO ks.writer (ns, writer, number, epoch, holder, address, host, adopted, committed) VALUES (?, ?, ?, 1, ?, ?, ?, false, false) IF NOT EXISTS";
    WriterClaim, Condition, "UPDATE ks.writer SET epoch = ?, holder = ?, address = ?, host = ?, adopted = ? WHERE ns = ? AND writer = ? IF epoch = ?";
    WriterCommits, Condition, "UPDATE ks.writer SET committed = true WHERE ns = ? AND writer = ? IF epoch = ?";
    WriterRetire, Condition, "UPDATE ks.writer SET epoch = ?, committed = false WHERE ns = ? AND writer = ? IF epoch = ?";
    WriterEnd, Condition, "UPDATE ks.writer SET epoch = 9223372036854775807 WHERE ns = ? AND writer = ? IF EXISTS";
    WriterDrop, Write, "DELETE FROM ks.writer USING TIMESTAMP ? WHERE ns = ?";
    NumberTake, Condition, "INSERT INTO ks.number (ns, number, writer) VALUES (?, ?, ?) IF NOT EXISTS";
    NumberDrop, Write, "DELETE FROM ks.number USING TIMESTAMP ? WHERE ns = ?";

    PlaceGet, Read, "SELECT change, writer, epoch, shards, has_entries, has_objects, reclaimed FROM ks.place WHERE ns = ? AND part = ?";
    PlaceSerial, Serial, "SELECT change, writer, epoch, shards, has_entries, has_objects, reclaimed FROM ks.place WHERE ns = ? AND part = ?";
    /// An update and no insert, so that the row is gone once its columns are.
    PlaceNew, Condition, "UPDATE ks.place SET change = 1, writer = ?, epoch = ?, shards = ?, has_entries = ?, has_objects = ? WHERE ns = ? AND part = ? IF change = null";
    PlaceSet, Condition, "UPDATE ks.place SET change = ?, epoch = ?, has_entries = ?, has_objects = ? WHERE ns = ? AND part = ? IF change = ?";
    PlaceReclaimNew, Condition, "UPDATE ks.place USING TTL 15552000 SET change = 1, reclaimed = ? WHERE ns = ? AND part = ? IF change = null";
    /// Writes all columns, so that all expire.
    PlaceReclaim, Condition, "UPDATE ks.place USING TTL 15552000 SET change = ?, writer = ?, epoch = ?, shards = ?, has_entries = ?, has_objects = ?, reclaimed = ? WHERE ns = ? AND part = ? IF change = ?";
    /// Writes all columns as well, so that none expires any more.
    PlaceReturn, Condition, "UPDATE ks.place SET change = ?, writer = ?, epoch = ?, shards = ?, has_entries = ?, has_objects = ?, reclaimed = null WHERE ns = ? AND part = ? IF change = ?";
    PlaceDrop, Write, "DELETE FROM ks.place USING TIMESTAMP ? WHERE ns = ? AND part = ?";

    PartEntries, Write, "INSERT INTO ks.part (ns, writer, part, shards, has_entries) VALUES (?, ?, ?, ?, true)";
    PartObjects, Write, "INSERT INTO ks.part (ns, writer, part, shards, has_objects) VALUES (?, ?, ?, ?, true)";
    PartBytes, Write, "UPDATE ks.part SET bytes = ? WHERE ns = ? AND writer = ? AND part = ?";
    PartList, Read, "SELECT part, shards, has_entries, has_objects, bytes FROM ks.part WHERE ns = ? AND writer = ?";
    PartWriters, Read, "SELECT writer FROM ks.part WHERE ns = ? AND writer IN ? AND part = ?";
    PartDelete, Write, "DELETE FROM ks.part WHERE ns = ? AND writer = ? AND part = ?";

    SeatGet, Serial, "SELECT epoch, last FROM ks.head WHERE ns = ? AND part = ? AND kind = 0 AND sort = ?";
    SeatList, Read, "SELECT sort FROM ks.head WHERE ns = ? AND part = ? AND kind = 0";
    SeatNew, Condition, "INSERT INTO ks.head (ns, part, kind, sort, epoch, last) VALUES (?, ?, 0, ?, ?, ?) IF NOT EXISTS";
    SeatRaise, Condition, "UPDATE ks.head SET epoch = ?, last = ? WHERE ns = ? AND part = ? AND kind = 0 AND sort = ? IF epoch < ?";
    /// The condition of a commit. Alone, it makes sure that no earlier commit is applied any more.
    SeatTurn, Condition, "UPDATE ks.head SET last = ? WHERE ns = ? AND part = ? AND kind = 0 AND sort = ? IF epoch = ? AND last = ?";
    HeadPut, Condition, "INSERT INTO ks.head (ns, part, kind, sort, value) VALUES (?, ?, 1, ?, ?)";
    HeadDelete, Condition, "DELETE FROM ks.head WHERE ns = ? AND part = ? AND kind = 1 AND sort = ?";
    HeadGet, Read, "SELECT sort, value FROM ks.head WHERE ns = ? AND part = ? AND kind = 1 AND sort = ?";
    HeadGetMany, Read, "SELECT sort, value FROM ks.head WHERE ns = ? AND part = ? AND kind = 1 AND sort IN ?";
    HeadUp, Read, "SELECT sort, value FROM ks.head WHERE ns = ? AND part = ? AND kind = 1 AND sort >= ? AND sort < ? LIMIT ?";
    HeadDown, Read, "SELECT sort, value FROM ks.head WHERE ns = ? AND part = ? AND kind = 1 AND sort >= ? AND sort < ? ORDER BY kind DESC, sort DESC LIMIT ?";
    HeadDrop, Write, "DELETE FROM ks.head USING TIMESTAMP ? WHERE ns = ? AND part = ?";

    ObjectPut, Write, "INSERT INTO ks.object (ns, part, shard, sort, value) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    ObjectGet, Read, "SELECT sort, value FROM ks.object WHERE ns = ? AND part = ? AND shard = ? AND sort = ?";
    ObjectGetMany, Read, "SELECT sort, value FROM ks.object WHERE ns = ? AND part = ? AND shard = ? AND sort IN ?";
    ObjectUp, Read, "SELECT sort, value FROM ks.object WHERE ns = ? AND part = ? AND shard = ? AND sort >= ? AND sort < ? LIMIT ?";
    ObjectDown, Read, "SELECT sort, value FROM ks.object WHERE ns = ? AND part = ? AND shard = ? AND sort >= ? AND sort < ? ORDER BY sort DESC LIMIT ?";
    ObjectDrop, Write, "DELETE FROM ks.object USING TIMESTAMP ? WHERE ns = ? AND part = ? AND shard = ?";

    SweepPut, Write, "INSERT INTO ks.sweep (ns, writer, part, shards, since, done) VALUES (?, ?, ?, ?, ?, 0)";
    SweepDone, Write, "UPDATE ks.sweep SET done = ? WHERE ns = ? AND writer = ? AND part = ?";
    SweepList, Read, "SELECT part, shards, since, done FROM ks.sweep WHERE ns = ? AND writer = ?";
    SweepDelete, Write, "DELETE FROM ks.sweep WHERE ns = ? AND writer = ? AND part = ?";

    DoomPut, Condition, "INSERT INTO ks.doom (k, ns, tenant, since, lease, done) VALUES (0, ?, ?, ?, 0, 0) IF NOT EXISTS";
    DoomLease, Condition, "UPDATE ks.doom SET lease = ? WHERE k = 0 AND ns = ? IF lease = ?";
    DoomDone, Condition, "UPDATE ks.doom SET done = ? WHERE k = 0 AND ns = ? IF EXISTS";
    DoomList, Read, "SELECT ns, tenant, since, lease, done FROM ks.doom WHERE k = 0";
    DoomDelete, Condition, "DELETE FROM ks.doom WHERE k = 0 AND ns = ? IF EXISTS";

    BeatPut, Write, "INSERT INTO ks.heartbeat (k, host, instance, address, version, process, beat, gone) VALUES (0, ?, ?, ?, ?, ?, ?, ?) USING TTL 300";
    BeatList, Read, "SELECT host, instance, address, version, process, beat, gone FROM ks.heartbeat WHERE k = 0";
    Probe, Condition, "UPDATE ks.probe USING TTL 86400 SET beat = ? WHERE host = ? IF beat != ?";
}

/// The prepared statements, and their counters.
pub(crate) struct Statements {
    prepared: Vec<PreparedStatement>,
    counters: Vec<Arc<Counter>>,
}

// === impl Name ===

impl Name {
    pub(crate) fn mode(self) -> Mode {
        ALL.get(self as usize).map_or(Mode::Condition, |it| it.2)
    }

    /// True for a write of any kind.
    pub(crate) fn writes(self) -> bool {
        matches!(self.mode(), Mode::Write | Mode::Condition)
    }
}

// === impl Statements ===

impl Statements {
    /// Prepares all statements on a keyspace. Reads have a profile of their own.
    pub(crate) async fn prepare(
        session: &Session,
        keyspace: &str,
        reads: &ExecutionProfileHandle,
    ) -> Result<Self, Error> {
        let counters: Vec<Arc<Counter>> = ALL.iter().map(|_| Arc::default()).collect();
        let each = ALL.iter().zip(&counters);
        let prepared = each.map(|((_, _, mode, text), counter)| async move {
            let text = text.replace("ks.", &format!("\"{keyspace}\"."));
            let prepared = session.prepare(text).await;
            let mut prepared =
                prepared.map_err(|error| Error::Unavailable(prepare_words(&error, keyspace)))?;
            prepared.set_is_idempotent(*mode != Mode::Condition);
            prepared.set_history_listener(Arc::<Counter>::clone(counter));
            prepared.set_serial_consistency(Some(SerialConsistency::LocalSerial));
            prepared.set_consistency(match mode {
                Mode::Serial => Consistency::LocalSerial,
                Mode::Read | Mode::Write | Mode::Condition => Consistency::LocalQuorum,
            });
            if *mode == Mode::Read {
                prepared.set_execution_profile_handle(Some(reads.clone()));
            }
            Ok::<_, Error>(prepared)
        });
        Ok(Self {
            prepared: try_join_all(prepared).await?,
            counters,
        })
    }

    pub(crate) fn get(&self, name: Name) -> Result<&PreparedStatement, Error> {
        let prepared = self.prepared.get(name as usize);
        prepared.ok_or_else(|| Error::Other(format!("the statement {name:?} is not prepared")))
    }

    /// Counts a call.
    pub(crate) fn count(&self, name: Name, took: Duration, failed: bool) {
        if let Some(counter) = self.counters.get(name as usize) {
            counter.count(took, failed);
        }
    }

    pub(crate) fn statistics(&self) -> Vec<StatementStatistics> {
        let counted = ALL.iter().zip(&self.counters);
        counted
            .map(|(it, counter)| counter.statistics(it.1))
            .collect()
    }

    /// Number and time of the calls of a statement.
    pub(crate) fn cost(&self, name: Name) -> (u64, Duration) {
        let counter = self.counters.get(name as usize);
        counter.map_or((0, Duration::ZERO), |counter| counter.cost())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TABLES;

    #[test]
    fn the_table_of_statements_is_in_the_order_of_their_names() {
        for (index, (name, ..)) in ALL.iter().enumerate() {
            assert_eq!(*name as usize, index);
        }
    }

    #[test]
    fn no_table_is_written_both_plainly_and_by_conditions() {
        // Removals are of partitions to which no condition can write any more: see `heads.rs` and `doom.rs`.
        let is_removal =
            |text: &str| text.starts_with("DELETE") && text.contains("USING TIMESTAMP");
        for table in TABLES {
            let table = format!("ks.{} ", table.name);
            let writes = |wanted: Mode| {
                let of_table = ALL.iter().filter(|it| it.3.contains(&table));
                of_table
                    .filter(|it| it.2 == wanted && !is_removal(it.3))
                    .count()
            };
            let (plain, conditional) = (writes(Mode::Write), writes(Mode::Condition));
            assert!(plain == 0 || conditional == 0, "{table}");
        }
    }
}
