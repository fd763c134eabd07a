//! A story: calls to a plugin one after the other, small enough to be read, and kept as JSON.

use std::fmt;

use larder_plugin::testing::{FragmentBuilder, fragment};
use larder_plugin::{DurationRange, Search, SpanKind, TimeRange, TraceId};
use serde::{Deserialize, Serialize};

/// The version of the format.
const VERSION: u32 = 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    version: u32,
    /// The calls.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// `write` of these fragments, in one batch or two.
    Write(Vec<Fragment>),
    /// `find` until the last page.
    Find {
        /// What is sought.
        search: Sought,
        /// The limits of the pages, in turn.
        limits: Vec<u32>,
        /// What is written after each page, as long as there is more.
        between: Vec<Vec<Fragment>>,
    },
    /// `read` of both parts of these traces, and again by the handles.
    Read {
        /// The traces.
        traces: Vec<Id>,
        /// The size of a page.
        max_bytes: u32,
    },
    /// `services` and `operations`.
    Names,
    /// So many steps of `maintain`, or fewer where there is no more to do.
    Maintain(u32),
    /// New instances on the same store, for `replicated` plugins.
    Reopen,
}

/// A trace id, in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub u128);

/// A fragment to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fragment {
    pub trace: Id,
    pub spans: u32,
    pub starts: (u64, u64),
    pub durations: (u64, u64),
    pub terms: Vec<u64>,
    /// Service, name and kind.
    pub operations: Vec<(String, String, Kind)>,
    /// The sizes of the digest and of the otlp in bytes, besides a number in each.
    pub digest: u32,
    pub otlp: u32,
}

/// The contract's `span-kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

/// The contract's `search`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sought {
    pub starts: (u64, u64),
    pub durations: (u64, u64),
    pub clauses: Vec<Vec<u64>>,
}

/// A file that is no story.
#[derive(Debug, thiserror::Error)]
pub enum BadStory {
    /// It is not the JSON of one.
    #[error("it is no story that `larder plugin test` has kept: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of a later release.
    #[error("it is a story of version {0}; this release knows version {VERSION}")]
    Version(u32),
}

// === impl Story ===

impl Story {
    /// A story of these steps.
    pub fn new(steps: Vec<Step>) -> Self {
        Self {
            version: VERSION,
            steps,
        }
    }

    /// Reads a story that was kept.
    ///
    /// # Errors
    /// [`BadStory`]
    pub fn from_json(text: &str) -> Result<Self, BadStory> {
        let story: Self = serde_json::from_str(text)?;
        if story.version != VERSION {
            return Err(BadStory::Version(story.version));
        }
        Ok(story)
    }

    /// The story to be kept.
    ///
    /// # Errors
    /// None that can happen: a story has no keys but texts.
    pub fn to_json(&self) -> Result<String, BadStory> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

// === impl Fragment ===

impl Fragment {
    /// As the list and the plugin take it.
    pub(crate) fn builder(&self) -> FragmentBuilder {
        let mut built = fragment(self.trace.0)
            .spans(self.spans.max(1))
            .starts(self.starts.0, self.starts.1.max(self.starts.0))
            .durations(self.durations.0, self.durations.1.max(self.durations.0))
            .terms(self.terms.iter().copied())
            .digest(vec![b'd'; self.digest as usize])
            .otlp(vec![b'o'; self.otlp as usize]);
        for (service, name, kind) in &self.operations {
            built = built.operation(service, name, (*kind).into());
        }
        built
    }
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Unspecified => Self::Unspecified,
            Kind::Internal => Self::Internal,
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
        }
    }
}

// === impl Sought ===

impl Sought {
    pub(crate) fn search(&self) -> Search {
        Search {
            starts: TimeRange {
                start: self.starts.0,
                end: self.starts.1,
            },
            durations: DurationRange {
                shortest: self.durations.0,
                longest: self.durations.1,
            },
            clauses: self.clauses.clone(),
        }
    }
}

// === impl Id ===

impl From<Id> for TraceId {
    fn from(id: Id) -> Self {
        Self::from(id.0)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let id = u128::from_str_radix(&text, 16);
        id.map(Self).map_err(|error| {
            serde::de::Error::custom(format!("`{text}` is no trace id in hexadecimal: {error}"))
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

// === The story in words ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(fragments) => write!(f, "write {}", Fragments(fragments)),
            Self::Find {
                search,
                limits,
                between,
            } => {
                write!(f, "find {search}, pages of {limits:?}")?;
                for fragments in between {
                    write!(f, ", then write {}", Fragments(fragments))?;
                }
                Ok(())
            }
            Self::Read { traces, max_bytes } => {
                write!(f, "read traces")?;
                for id in traces {
                    write!(f, " {id}")?;
                }
                write!(f, ", max-bytes {max_bytes}")
            }
            Self::Names => f.write_str("services, operations"),
            Self::Maintain(steps) => write!(f, "maintain, {steps} times"),
            Self::Reopen => f.write_str("open again on the same store"),
        }
    }
}

struct Fragments<'a>(&'a [Fragment]);

impl fmt::Display for Fragments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fragment) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{fragment}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a fragment of trace {} (starts {}, durations {}, terms {:?}",
            self.trace,
            Range(self.starts),
            Range(self.durations),
            self.terms
        )?;
        for (service, name, kind) in &self.operations {
            write!(f, ", operation {service:?} {name:?} {kind:?}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (starts, durations) = (Range(self.starts), Range(self.durations));
        let clauses = &self.clauses;
        write!(
            f,
            "starts {starts}, durations {durations}, clauses {clauses:?}"
        )
    }
}

struct Range((u64, u64));

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self((from, to)) = self;
        if *to == u64::MAX {
            write!(f, "{from}..max")
        } else {
            write!(f, "{from}..{to}")
        }
    }
}
