//! Partitions: what was written within a span of time, so that retention drops whole tables.
//!
//! A partition has a number, and the ids of its fragments have that number above 40 bits of a sequence of its own. So an id tells its
//! partition, and ids ascend in the order written.

use larder_plugin::Timestamp;

use crate::connection::{Connection, Failure, Value};
use crate::number::{from_ordered, ordered};
use crate::schema::{self, Tenant};
use crate::settings::Config;

/// The bits of an id below the number of its partition.
const BITS: u32 = 40;
/// A statement that waits for tables that others use gives up after this: retention can wait.
const LOCK_TIMEOUT: &str = "1s";
/// Of the queue of new fragments that GIN has not yet sorted in; a search reads through it. 4 MB is PostgreSQL's own default: what a larger
/// one saves in all is paid at once, by one write.
const GIN_QUEUE_KIB: u32 = 4096;

/// A partition of all tables of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) number: i32,
    /// The first time of writing that belongs into it.
    pub(crate) starts: Timestamp,
    /// The first one that does not.
    pub(crate) ends: Timestamp,
}

// === impl Partition ===

impl Partition {
    pub(crate) fn has(&self, now: Timestamp) -> bool {
        (self.starts..self.ends).contains(&now)
    }

    /// True if all in it was written longer ago than `retention`.
    pub(crate) fn is_expired(&self, now: Timestamp, retention: u64) -> bool {
        let end = self.ends.checked_add(retention);
        end.is_some_and(|end| end <= now)
    }
}

/// All partitions, by time.
pub(crate) fn all(connection: &mut Connection, tenant: &Tenant) -> Result<Vec<Partition>, Failure> {
    let mut all = Vec::new();
    let asked = format!(
        "SELECT number, starts, ends FROM {}.partitions ORDER BY starts",
        tenant.schema
    );
    connection.query(&asked, &[], |row| {
        all.push(Partition {
            number: row.int4(0)?,
            starts: from_ordered(row.int8(1)?),
            ends: from_ordered(row.int8(2)?),
        });
        Ok(())
    })?;
    Ok(all)
}

/// The partition for what is written now; made, if there is none.
pub(crate) fn for_writes(
    connection: &mut Connection,
    config: &Config,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<Partition, Failure> {
    let find = |all: &[Partition]| all.iter().find(|it| it.has(now)).copied();
    if let Some(found) = find(&all(connection, tenant)?) {
        return Ok(found);
    }
    schema::locked(connection, config, tenant.id, |connection| {
        // Another host may have made it meanwhile.
        let all = all(connection, tenant)?;
        match find(&all) {
            Some(found) => Ok(found),
            None => make(connection, tenant, range(&all, now, config.partition)),
        }
    })
}

/// The range of a new partition for `now`: a multiple of `width` from 0 on, as far as others leave it.
fn range(all: &[Partition], now: Timestamp, width: u64) -> (Timestamp, Timestamp) {
    let aligned = now - now % width.max(1);
    let before = all.iter().map(|it| it.ends).filter(|ends| *ends <= now);
    let after = all
        .iter()
        .map(|it| it.starts)
        .filter(|starts| *starts > now);
    let end = aligned.saturating_add(width);
    (
        before.fold(aligned, u64::max),
        // The last moment of all belongs into a partition too.
        after.fold(end, u64::min),
    )
}

fn make(
    connection: &mut Connection,
    tenant: &Tenant,
    (starts, ends): (Timestamp, Timestamp),
) -> Result<Partition, Failure> {
    let Tenant { schema, .. } = tenant;
    let mut number = 0;
    let insert =
        format!("INSERT INTO {schema}.partitions (starts, ends) VALUES ($1, $2) RETURNING number");
    let values = [Value::Int8(ordered(starts)), Value::Int8(ordered(ends))];
    connection.query(&insert, &values, |row| {
        number = row.int4(0)?;
        Ok(())
    })?;
    let first = i64::from(number) << BITS;
    let end = (i64::from(number) + 1) << BITS;
    let last = end - 1;
    // Attached once it is there, a table locks out no search, as `CREATE TABLE … PARTITION OF` would.
    connection.run(&format!(
        "CREATE SEQUENCE {schema}.ids_{number} AS bigint MINVALUE {first} MAXVALUE {last};
         CREATE TABLE {schema}.fragments_{number} (LIKE {schema}.fragments INCLUDING ALL);
         ALTER TABLE {schema}.fragments_{number} ALTER id SET DEFAULT nextval('{schema}.ids_{number}'), ADD PRIMARY KEY (id);
         ALTER SEQUENCE {schema}.ids_{number} OWNED BY {schema}.fragments_{number}.id;
         CREATE INDEX ON {schema}.fragments_{number} (trace, id);
         CREATE INDEX ON {schema}.fragments_{number} (start_last, id);
         CREATE INDEX ON {schema}.fragments_{number} (reach, start_last, id);
         CREATE INDEX ON {schema}.fragments_{number} USING gin (terms) WITH (fastupdate = on, gin_pending_list_limit = {GIN_QUEUE_KIB});
         ALTER TABLE {schema}.fragments ATTACH PARTITION {schema}.fragments_{number} FOR VALUES FROM ({first}) TO ({end});
         CREATE TABLE {schema}.services_{number} (LIKE {schema}.services, PRIMARY KEY (key));
         ALTER TABLE {schema}.services ATTACH PARTITION {schema}.services_{number} FOR VALUES IN ({number});
         CREATE TABLE {schema}.operations_{number} (LIKE {schema}.operations, PRIMARY KEY (service, key));
         ALTER TABLE {schema}.operations ATTACH PARTITION {schema}.operations_{number} FOR VALUES IN ({number})"
    ))?;
    Ok(Partition {
        number,
        starts,
        ends,
    })
}

/// One step of upkeep: drops the oldest partition, if it has expired, or makes the next one ahead of the writes. Returns true if there may
/// be more to do.
pub(crate) fn maintain(
    connection: &mut Connection,
    config: &Config,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<bool, Failure> {
    let partitions = all(connection, tenant)?;
    let expired = |it: &&Partition| it.is_expired(now, config.retention);
    if partitions.iter().any(|it| expired(&it)) {
        return drop_oldest(connection, config, tenant, now);
    }
    let Some(current) = partitions.iter().find(|it| it.has(now)) else {
        // Nothing was written for a while. The next write makes its partition itself.
        return Ok(false);
    };
    let is_late = current.ends.saturating_sub(now) <= config.partition / 2;
    let has_next = partitions.iter().any(|it| it.has(current.ends));
    if is_late
        && !has_next
        && current.ends < Timestamp::MAX
        && !is_empty(connection, tenant, current)?
    {
        for_writes(connection, config, tenant, current.ends)?;
    }
    Ok(false)
}

fn is_empty(
    connection: &mut Connection,
    tenant: &Tenant,
    partition: &Partition,
) -> Result<bool, Failure> {
    let mut is_empty = true;
    let asked = format!(
        "SELECT NOT EXISTS (SELECT FROM {}.fragments_{})",
        tenant.schema, partition.number
    );
    connection.query(&asked, &[], |row| {
        is_empty = row.bool(0)?;
        Ok(())
    })?;
    Ok(is_empty)
}

fn drop_oldest(
    connection: &mut Connection,
    config: &Config,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<bool, Failure> {
    let Tenant { id, schema } = tenant;
    let dropped = schema::locked(connection, config, *id, |connection| {
        let all = all(connection, tenant)?;
        let mut expired = all.iter().filter(|it| it.is_expired(now, config.retention));
        let Some(Partition { number, .. }) = expired.next() else {
            return Ok(false);
        };
        connection.run(&format!(
            "SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';
             DROP TABLE {schema}.fragments_{number}, {schema}.services_{number}, {schema}.operations_{number};
             DELETE FROM {schema}.partitions WHERE number = {number}"
        ))?;
        Ok(expired.next().is_some())
    });
    match dropped {
        // Searches are using it: the next call tries again.
        Err(failure) if failure.is_locked() => Ok(false),
        dropped => dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(starts: Timestamp, ends: Timestamp) -> Partition {
        let number = 1;
        Partition {
            number,
            starts,
            ends,
        }
    }

    #[test]
    fn a_new_partition_is_a_multiple_of_its_width_and_overlaps_no_other() {
        assert_eq!(range(&[], 25, 10), (20, 30));
        // Of a width that was set before.
        let others = [partition(0, 23), partition(27, 40)];
        assert_eq!(range(&others, 25, 10), (23, 27));
        assert_eq!(range(&others, 40, 10), (40, 50));
        assert_eq!(range(&others, 41, 100), (40, 100));
    }

    #[test]
    fn a_partition_expires_when_all_in_it_is_old() {
        let it = partition(20, 30);
        assert!(!it.is_expired(129, 100));
        assert!(it.is_expired(130, 100));
        assert!(!it.is_expired(u64::MAX, u64::MAX));
    }
}
