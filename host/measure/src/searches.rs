//! The searches: both plugins are asked in turns, and have to find the same.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use larder_core::telemetry::Metrics;
use larder_corpus::{Corpus, RARE_ATTRIBUTE, service_name};
use larder_model::storage::{self, TraceId};
use larder_proto::storage::v2::any_value::Value;
use larder_proto::storage::v2::{
    AnyValue, GetOperationsRequest, GetTraceParams, GetTracesRequest, KeyValue,
    TraceQueryParameters,
};
use larder_search::{Limits, Searcher};
use prost_types::Timestamp;

use crate::Options;
use crate::answer::{Answer, Found, Messages};
use crate::error::Error;
use crate::fill::{EXPORT_SPANS, Filled};
use crate::held::Held;
use crate::numbers::{median, millis, whole};
use crate::report::{Both, Pair, SearchFigures};
use crate::spent::{Spent, spent};

/// Rounds in which each plugin answers each search.
const ROUNDS: usize = 5;
/// A search is asked again in its round until it has taken so much processor time,
const ROUND_CPU: Duration = Duration::from_millis(20);
/// or so much time in all.
const ROUND_WALL: Duration = Duration::from_millis(200);
/// Traces that are read together.
const MANY_TRACES: usize = 1_000;
const SERVICE: usize = 7;

/// One search.
struct Search {
    name: String,
    asks: Asks,
}

enum Asks {
    Found(Box<TraceQueryParameters>),
    ByIds(GetTracesRequest),
    /// The services, and the operations of one of them.
    Names(String),
}

/// Asks all of them.
pub(crate) async fn run(
    held: &Pair<Arc<Held>>,
    options: &Options,
    filled: &Filled,
) -> Result<Vec<SearchFigures>, Error> {
    let asked = Pair {
        plugin: Asked::new(&held.plugin),
        memory: Asked::new(&held.memory),
    };
    let mut measured = Vec::new();
    for search in searches(options, &filled.traces) {
        let found = compare(&asked, &search).await?;
        let (mut cpu, mut wall) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // None of them is always the one that finds the caches of the processor full of the other's data.
            let (plugin, memory) = if round.is_multiple_of(2) {
                let plugin = asked.plugin.round(&search).await?;
                (plugin, asked.memory.round(&search).await?)
            } else {
                let memory = asked.memory.round(&search).await?;
                (asked.plugin.round(&search).await?, memory)
            };
            let took = Pair { plugin, memory };
            cpu.push(took.by_ref().map(|(cpu, _)| *cpu));
            wall.push(took.by_ref().map(|(_, wall)| *wall));
        }
        measured.push(SearchFigures {
            name: search.name,
            found,
            cpu_ms: middle(&cpu),
            wall_ms: middle(&wall),
        });
    }
    Ok(measured)
}

/// The medians of the rounds, and that of their ratios.
fn middle(rounds: &[Pair<f64>]) -> Both {
    let of = |each: fn(&Pair<f64>) -> f64| median(rounds.iter().map(each).collect());
    let medians = Pair {
        plugin: of(|it| it.plugin),
        memory: of(|it| it.memory),
    };
    Both::new(medians, of(|it| it.plugin / it.memory))
}

fn searches(options: &Options, traces: &[TraceId]) -> Vec<Search> {
    let (from, to) = Corpus::new(options.seed, options.spans, EXPORT_SPANS).window();
    let query = |depth, service: String, attribute: Option<(&str, &str)>| {
        let attributes = attribute.map(|(key, value)| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(value.to_owned())),
            }),
        });
        Asks::Found(Box::new(TraceQueryParameters {
            service_name: service,
            attributes: attributes.into_iter().collect(),
            start_time_min: Some(timestamp(from)),
            start_time_max: Some(timestamp(to)),
            search_depth: depth,
            ..TraceQueryParameters::default()
        }))
    };
    let by_ids = |ids: Vec<&TraceId>| {
        let query = ids.into_iter().map(|id| GetTraceParams {
            trace_id: id.0.to_be_bytes().to_vec(),
            ..GetTraceParams::default()
        });
        Asks::ByIds(GetTracesRequest {
            query: query.collect(),
        })
    };
    let every = (traces.len() / MANY_TRACES).max(1);
    let many: Vec<_> = traces.iter().step_by(every).take(MANY_TRACES).collect();
    let one = traces.get(traces.len() / 2).into_iter().collect();
    let (rare, _) = RARE_ATTRIBUTE;
    let search = |name: &str, asks| Search {
        name: name.to_owned(),
        asks,
    };
    vec![
        search(
            "newest 20 of a service",
            query(20, service_name(SERVICE), None),
        ),
        search(
            "a rare attribute",
            query(100, String::new(), Some(RARE_ATTRIBUTE)),
        ),
        search(
            "an attribute that none has",
            query(100, String::new(), Some((rare, "nobody-has-this"))),
        ),
        search("one trace by its id", by_ids(one)),
        search(
            &format!("{} traces by their ids", whole(many.len() as u64)),
            by_ids(many),
        ),
        search(
            "services, and operations of one",
            Asks::Names(service_name(SERVICE)),
        ),
    ]
}

/// Both answers, once; they have to be the same.
async fn compare(asked: &Pair<Asked>, search: &Search) -> Result<Found, Error> {
    let answer = asked.plugin.answer(search).await?;
    let expected = asked.memory.answer(search).await?;
    if answer == expected {
        return Ok(answer.found);
    }
    let plugin = asked.plugin.held.name().to_owned();
    let beside = asked.memory.held.name().to_owned();
    let search = search.name.clone();
    let found = answer.found;
    if found == expected.found {
        return Err(Error::Content {
            plugin,
            beside,
            search,
            found,
        });
    }
    Err(Error::Answer {
        plugin,
        beside,
        search,
        found,
        expected: expected.found,
    })
}

/// A plugin that is asked.
struct Asked {
    held: Arc<Held>,
    metrics: Arc<Metrics>,
}

// === impl Asked ===

impl Asked {
    fn new(held: &Arc<Held>) -> Self {
        Self {
            held: Arc::clone(held),
            metrics: Arc::new(Metrics::new()),
        }
    }

    /// Processor time and real time of one answer, in milliseconds.
    async fn round(&self, search: &Search) -> Result<(f64, f64), Error> {
        let (mut all, mut answers) = (Spent::default(), 0.0);
        while all.cpu < ROUND_CPU && all.wall < ROUND_WALL {
            let (answer, took) = spent(Box::pin(self.ask(search))).await;
            drop(answer?);
            self.held.sound()?;
            all += took;
            answers += 1.0;
        }
        Ok((millis(all.cpu) / answers, millis(all.wall) / answers))
    }

    async fn answer(&self, search: &Search) -> Result<Answer, Error> {
        let messages = Box::pin(self.ask(search)).await?;
        self.held.sound()?;
        let answer = messages.answer();
        answer.map_err(|error| self.failed(search, &error))
    }

    /// Asks as a server does for a client: the reader learns first what was written.
    async fn ask(&self, search: &Search) -> Result<Messages, Error> {
        self.held.refresh().await?;
        let storage = Arc::clone(&self.held);
        let searcher = Searcher::new(storage, Limits::OF_BENCHMARKS, Arc::clone(&self.metrics));
        let asked = search.asks.ask(&searcher).await;
        asked.map_err(|error| self.failed(search, &error))
    }

    fn failed(&self, search: &Search, error: &dyn fmt::Display) -> Error {
        let what = format!("the search \"{}\" fails: {error}", search.name);
        self.held.failed(what)
    }
}

// === impl Asks ===

impl Asks {
    async fn ask(&self, searcher: &Searcher) -> Result<Messages, storage::Error> {
        let mut bytes = Vec::new();
        match self {
            Self::Found(query) => {
                let mut answer = std::pin::pin!(searcher.find_traces((**query).clone()));
                while let Some(message) = answer.try_next().await? {
                    bytes.extend_from_slice(&message.0);
                }
            }
            Self::ByIds(request) => {
                let mut answer = std::pin::pin!(searcher.get_traces(request.clone()));
                while let Some(message) = answer.try_next().await? {
                    bytes.extend_from_slice(&message.0);
                }
            }
            Self::Names(service) => {
                let services = searcher.services().await?;
                let request = GetOperationsRequest {
                    service: service.clone(),
                    span_kind: String::new(),
                };
                let operations = searcher.operations(request).await?.into_iter();
                let operations = operations.map(|it| format!("{} {}", it.span_kind, it.name));
                return Ok(Messages::Names(services, operations.collect()));
            }
        }
        Ok(Messages::Traces(bytes))
    }
}

fn timestamp(nanos: u64) -> Timestamp {
    const SECOND: u64 = 1_000_000_000;
    Timestamp {
        seconds: i64::try_from(nanos / SECOND).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos % SECOND).unwrap_or_default(),
    }
}
