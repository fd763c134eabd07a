//! The keyspace and its tables.
//!
//! | column | meaning |
//! |---|---|
//! | `k` | 0: all rows are in one partition, so that they can be listed |
//! | `ns` | a namespace: a random number that is never used twice |
//! | `writer.holder` | the process that has claimed the id last, at `address`; whether it has `adopted` it; `host` is the one that has claimed it last otherwise |
//! | `writer.committed` | whether anything was ever committed under the id, and it is not retired |
//! | `place.change` | grows with each change of the row, and is the condition of the next |
//! | `place.has_entries`, `place.has_objects` | whether anything was ever committed, or put, in the partition |
//! | `place.reclaimed` | when it was reclaimed. Such a row is kept for half a year, so that the name is not used again |
//! | `head.kind` | 0 for the seat of a writer, whose id is in `sort`; 1 for an entry |
//! | `head.epoch`, `head.last` | of a seat: the claim that may commit, and a random number that each commit replaces |
//! | `head.value` | of an entry; empty for an object that was deleted by a commit |
//! | `sweep.done`, `doom.done` | how often the data was deleted: once after the linger, and once a day later |
//!
//! Tombstones of `head` and `object` are kept for as long as hints are (three hours): a node that was down for longer has to be repaired
//! before it serves again. No reader scans over tombstones: logs are read from their first live entry. Levelled compaction gives the space
//! of deleted partitions back by itself.

use std::fmt::Write as _;

use larder_store::Error;

use crate::options::{DEFAULT_COPIES, Options};

/// The version of the schema that this release makes and understands.
pub(crate) const VERSION: i32 = 1;

/// A table of the keyspace.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Columns and their types.
    columns: &'static [(&'static str, &'static str)],
    key: &'static str,
    with: &'static str,
}

const LEVELLED: &str = "compaction = {'class': 'LeveledCompactionStrategy'} AND compression = {'enabled': 'false'} AND gc_grace_seconds = 10800";

pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "meta",
        columns: &[("k", "int"), ("version", "int")],
        key: "k",
        with: "",
    },
    Table {
        name: "tenant",
        columns: &[("k", "int"), ("tenant", "text"), ("ns", "bigint")],
        key: "k, tenant",
        with: "",
    },
    Table {
        name: "writer",
        columns: &[
            ("ns", "bigint"),
            ("writer", "text"),
            ("number", "int"),
            ("epoch", "bigint"),
            ("holder", "text"),
            ("address", "text"),
            ("host", "text"),
            ("adopted", "boolean"),
            ("committed", "boolean"),
        ],
        key: "ns, writer",
        with: "",
    },
    Table {
        name: "number",
        columns: &[("ns", "bigint"), ("number", "int"), ("writer", "text")],
        key: "ns, number",
        with: "",
    },
    Table {
        name: "place",
        columns: &[
            ("ns", "bigint"),
            ("part", "text"),
            ("change", "bigint"),
            ("writer", "text"),
            ("epoch", "bigint"),
            ("shards", "int"),
            ("has_entries", "boolean"),
            ("has_objects", "boolean"),
            ("reclaimed", "bigint"),
        ],
        key: "(ns, part)",
        with: "",
    },
    Table {
        name: "part",
        columns: &[
            ("ns", "bigint"),
            ("writer", "text"),
            ("part", "text"),
            ("shards", "int"),
            ("has_entries", "boolean"),
            ("has_objects", "boolean"),
            ("bytes", "bigint"),
        ],
        key: "(ns, writer), part",
        with: "gc_grace_seconds = 10800",
    },
    Table {
        name: "head",
        columns: &[
            ("ns", "bigint"),
            ("part", "text"),
            ("kind", "tinyint"),
            ("sort", "blob"),
            ("epoch", "bigint"),
            ("last", "bigint"),
            ("value", "blob"),
        ],
        key: "(ns, part), kind, sort",
        with: LEVELLED,
    },
    Table {
        name: "object",
        columns: &[
            ("ns", "bigint"),
            ("part", "text"),
            ("shard", "int"),
            ("sort", "blob"),
            ("value", "blob"),
        ],
        key: "(ns, part, shard), sort",
        with: LEVELLED,
    },
    Table {
        name: "sweep",
        columns: &[
            ("ns", "bigint"),
            ("writer", "text"),
            ("part", "text"),
            ("shards", "int"),
            ("since", "bigint"),
            ("done", "int"),
        ],
        key: "(ns, writer), part",
        with: "gc_grace_seconds = 10800",
    },
    Table {
        name: "doom",
        columns: &[
            ("k", "int"),
            ("ns", "bigint"),
            ("tenant", "text"),
            ("since", "bigint"),
            ("lease", "bigint"),
            ("done", "int"),
        ],
        key: "k, ns",
        with: "",
    },
    Table {
        name: "heartbeat",
        columns: &[
            ("k", "int"),
            ("host", "text"),
            ("instance", "text"),
            ("address", "text"),
            ("version", "text"),
            ("process", "text"),
            ("beat", "bigint"),
            ("gone", "boolean"),
        ],
        key: "k, host, instance",
        with: "gc_grace_seconds = 10800",
    },
    Table {
        name: "probe",
        columns: &[("host", "text"), ("beat", "bigint")],
        key: "host",
        with: "",
    },
];

/// The CQL statements that make what is missing of the keyspace and its tables. They can be run any number of times.
pub fn schema(options: &Options) -> String {
    let mut text = String::new();
    for statement in statements(options) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{statement};");
    }
    text
}

/// The statements of [`schema`], each without its semicolon.
pub(crate) fn statements(options: &Options) -> Vec<String> {
    let keyspace = &options.keyspace;
    let mut statements = vec![create_keyspace(options)];
    statements.extend(TABLES.iter().map(|table| table.create(keyspace)));
    statements.push(format!(
        "INSERT INTO \"{keyspace}\".meta (k, version) VALUES (0, {VERSION}) IF NOT EXISTS"
    ));
    statements
}

pub(crate) fn create_keyspace(options: &Options) -> String {
    let mut copies: Vec<String> = options
        .replication
        .iter()
        .map(|(datacenter, copies)| format!("{}: {copies}", quoted(datacenter)))
        .collect();
    if copies.is_empty() {
        let datacenter = options.datacenter.as_deref();
        // Cassandra takes `replication_factor` for every datacentre.
        let datacenter = datacenter.unwrap_or("replication_factor");
        copies.push(format!("{}: {DEFAULT_COPIES}", quoted(datacenter)));
    }
    format!(
        "CREATE KEYSPACE IF NOT EXISTS \"{}\" WITH replication = {{'class': 'NetworkTopologyStrategy', {}}}",
        options.keyspace,
        copies.join(", ")
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Refuses a name that is no keyspace's. It is part of statements.
pub(crate) fn check_keyspace_name(name: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 48 || !name.chars().all(fits) {
        return Err(Error::Other(format!(
            "`{name}` cannot be a keyspace: take 1 to 48 letters, digits and `_`"
        )));
    }
    Ok(())
}

// === impl Table ===

impl Table {
    pub(crate) fn create(&self, keyspace: &str) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        let with = if self.with.is_empty() {
            String::new()
        } else {
            format!(" WITH {}", self.with)
        };
        format!(
            "CREATE TABLE IF NOT EXISTS \"{keyspace}\".{} ({}, PRIMARY KEY ({})){with}",
            self.name,
            columns.join(", "),
            self.key
        )
    }

    /// What is wrong with the columns that a keyspace has of the table, and the statement that helps. `None` if nothing is.
    ///
    /// `has` gives the type of a column.
    pub(crate) fn fault(
        &self,
        keyspace: &str,
        has: impl Fn(&str) -> Option<String>,
    ) -> Option<String> {
        let Self { name, columns, .. } = self;
        if columns.iter().all(|(column, _)| has(column).is_none()) {
            return Some(format!(
                "the table `{name}` is missing; run: {};",
                self.create(keyspace)
            ));
        }
        columns.iter().find_map(|(column, kind)| match has(column) {
            None => Some(format!(
                "the table `{name}` has no column `{column}`; run: ALTER TABLE \"{keyspace}\".{name} ADD {column} {kind};"
            )),
            Some(other) if other != *kind => Some(format!(
                "the column `{column}` of table `{name}` is a {other} and not a {kind}: this is no keyspace of Larder; choose another `keyspace`"
            )),
            Some(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::options::tests::options;

    #[test]
    fn the_schema_can_be_run_twice() {
        let text = schema(&options());
        assert_eq!(text.lines().count(), TABLES.len() + 2);
        for line in text.lines() {
            assert!(
                line.contains("IF NOT EXISTS") && line.ends_with(';'),
                "{line}"
            );
        }
    }

    #[test]
    fn three_copies_are_the_default_and_others_are_taken_as_told() {
        let mut options = options();
        assert!(create_keyspace(&options).contains("'replication_factor': 3"));
        options.datacenter = Some("dc1".to_owned());
        assert!(create_keyspace(&options).contains("'dc1': 3"));
        options.replication = [("a".to_owned(), 1), ("b'c".to_owned(), 2)].into();
        let text = create_keyspace(&options);
        assert!(
            text.ends_with("{'class': 'NetworkTopologyStrategy', 'a': 1, 'b''c': 2}"),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_is_named_with_the_statement_that_makes_it() {
        let table = TABLES.iter().find(|table| table.name == "doom").unwrap();
        let types = |column: &str| {
            let found = table.columns.iter().find(|(name, _)| *name == column);
            found.map(|(_, kind)| (*kind).to_owned())
        };
        assert_eq!(table.fault("ks", types), None);
        let missing = table.fault("ks", |_| None).unwrap();
        assert!(
            missing.contains("CREATE TABLE IF NOT EXISTS \"ks\".doom"),
            "{missing}"
        );
        let old = table.fault("ks", |column| types(column).filter(|_| column != "lease"));
        let old = old.unwrap();
        assert!(
            old.contains("ALTER TABLE \"ks\".doom ADD lease bigint;"),
            "{old}"
        );
        let foreign = table.fault("ks", |_| Some("uuid".to_owned())).unwrap();
        assert!(foreign.contains("choose another `keyspace`"), "{foreign}");
    }

    #[test]
    fn a_name_that_would_change_the_statements_is_refused() {
        assert!(check_keyspace_name("larder_2").is_ok());
        for name in ["", "a\"; DROP", "a.b", "a-b", &"x".repeat(49)] {
            assert!(check_keyspace_name(name).is_err(), "{name}");
        }
    }
}
