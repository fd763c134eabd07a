//! The names of the partitions in which hosts keep what they derive.

use std::fmt;

use larder_store::HOST_PREFIX;

/// The names of one host's partitions.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// What each of them begins with.
    base: String,
}

/// What is in the name of a state's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateName<'a> {
    pub(super) gap: u64,
    pub(super) epoch: u64,
    pub(super) plugin: &'a str,
}

/// The id of the host's own writer beside the plugin's.
pub(super) fn own_writer(writer: &str) -> String {
    format!("{HOST_PREFIX}graph/{writer}")
}

// === impl Names ===

impl Names {
    /// Those of the host with this id. Where it has the store to itself they do not tell its id, as older releases knew no other stores.
    pub(super) fn new(writer: &str, is_shared: bool) -> Self {
        let mut base = format!("{HOST_PREFIX}graph/");
        if is_shared {
            base.push_str(&escaped(writer));
            base.push('/');
        }
        Self { base }
    }

    /// What the name of each partition of the host begins with.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The partition of a group.
    pub(super) fn group(&self, name: &str) -> String {
        format!("{}group/{name}", self.base)
    }

    /// The partition of a state.
    pub(super) fn state(&self, name: StateName<'_>) -> String {
        format!("{}{name}", self.base)
    }

    /// What the name of a state's partition tells; `None` for another host's, and for anything else.
    pub(super) fn parse<'a>(&self, partition: &'a str) -> Option<StateName<'a>> {
        StateName::parse(partition.strip_prefix(&self.base)?)
    }

    /// Returns `true` for the partition of a state, and for what might be one.
    pub(super) fn is_state(&self, partition: &str) -> bool {
        let name = partition.strip_prefix(&self.base);
        name.is_some_and(|name| name.starts_with(STATE))
    }
}

/// What the names of states begin with.
const STATE: &str = "state/";

/// A host's id without what separates the parts of a name.
fn escaped(writer: &str) -> String {
    writer.replace('%', "%25").replace('/', "%2F")
}

// === impl StateName ===

impl<'a> StateName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.strip_prefix(STATE)?.splitn(3, '/');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (gap, epoch) = (number()?, number()?);
        Some(Self {
            gap,
            epoch,
            plugin: parts.next()?,
        })
    }

    /// Returns `true` if the state was begun with the first claims of both ids, so that nothing was written under either before. After a
    /// purge the host claims its own id before any instance has claimed the writer's.
    pub(super) fn is_whole(self) -> bool {
        self.epoch == 1 && (self.gap == 0 || self.gap == 0_u64.wrapping_sub(1))
    }
}

impl fmt::Display for StateName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gap, epoch, plugin } = self;
        write!(f, "{STATE}{gap:x}/{epoch:x}/{plugin}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NAME: StateName<'_> = StateName {
        gap: 1,
        epoch: 26,
        plugin: "a/b",
    };

    #[test]
    fn a_host_knows_the_names_of_its_own_partitions_and_no_others() {
        // Ids that look like parts of names.
        let ids = [
            "h1",
            "h1/state",
            "h1%2Fstate",
            "state",
            "group",
            "state/1/2",
        ];
        let mut all: Vec<_> = ids.iter().map(|id| Names::new(id, true)).collect();
        all.push(Names::new("h1", false));
        for (at, names) in all.iter().enumerate() {
            let partition = names.state(NAME);
            for (other, others) in all.iter().enumerate() {
                let parsed = others.parse(&partition);
                assert_eq!(parsed, (at == other).then_some(NAME), "{partition}");
            }
        }
    }

    #[test]
    fn a_host_that_has_the_store_to_itself_has_the_names_of_older_releases() {
        let names = Names::new("h1", false);
        assert_eq!(names.state(NAME), "_host/graph/state/1/1a/a/b");
        assert_eq!(names.group("g"), "_host/graph/group/g");
        assert_eq!(own_writer("h1"), "_host/graph/h1");
        let shared = Names::new("h1", true);
        assert_eq!(shared.state(NAME), "_host/graph/h1/state/1/1a/a/b");
    }
}
