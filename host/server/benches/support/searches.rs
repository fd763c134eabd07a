//! Searches of each kind over the data of the benches, and their answers as bytes.

use anyhow::Result;
use futures_util::TryStreamExt as _;
use larder_oracle::Query;
use larder_oracle::corpus::{Corpus, operation_name, service_name, user_name};
use larder_oracle::filter::{attr_at, regex};
use larder_proto::storage::v2::{
    FindTraceSummariesResponse, GetTraceParams, GetTracesRequest, TraceQueryParameters,
};
use larder_search::Searcher;
use prost::Message as _;

/// One search.
pub(crate) struct Search {
    pub(crate) name: &'static str,
    asks: Asks,
}

enum Asks {
    /// Whole traces.
    Traces(TraceQueryParameters),
    /// One trace by its id.
    Trace(Vec<u8>),
    /// Trace summaries.
    Summaries(TraceQueryParameters),
}

/// The searches, over the window of the corpus.
pub(crate) fn searches(corpus: &Corpus) -> Vec<Search> {
    let (from, to) = corpus.window();
    let all = || Query::default().window(from, to).depth(20);
    let of_service = || all().service(service_name(7));
    let traces = |name, query: Query| Search {
        name,
        asks: Asks::Traces(query.0),
    };
    let lettered = regex(attr_at("span", "url.path"), "items/[a-z]");
    vec![
        traces("service, newest 20", of_service()),
        traces(
            "service and operation",
            of_service().operation(operation_name(3)),
        ),
        traces(
            "service and user, rare",
            of_service().attribute("enduser.id", user_name(42)),
        ),
        traces(
            "all services, no match",
            all().attribute("feature.flag", "nobody-has-this"),
        ),
        traces("service, 1,000 whole traces", of_service().depth(1_000)),
        traces("filter that no index narrows", all().filter(lettered)),
        Search {
            name: "summaries of a service, 1,000",
            asks: Asks::Summaries(of_service().depth(1_000).0),
        },
        Search {
            name: "trace by id",
            asks: Asks::Trace(corpus.trace_id(1).to_vec()),
        },
    ]
}

// === impl Search ===

impl Search {
    /// Its answer: all messages, one after the other.
    pub(crate) async fn answer(&self, searcher: &Searcher) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match &self.asks {
            Asks::Traces(query) => {
                let mut answer = std::pin::pin!(searcher.find_traces(query.clone()));
                while let Some(message) = answer.try_next().await? {
                    bytes.extend_from_slice(&message.0);
                }
            }
            Asks::Trace(id) => {
                let query = vec![GetTraceParams {
                    trace_id: id.clone(),
                    ..GetTraceParams::default()
                }];
                let mut answer = std::pin::pin!(searcher.get_traces(GetTracesRequest { query }));
                while let Some(message) = answer.try_next().await? {
                    bytes.extend_from_slice(&message.0);
                }
            }
            Asks::Summaries(query) => {
                let answer = searcher.find_trace_summaries(query.clone());
                let answer: Vec<FindTraceSummariesResponse> = answer.try_collect().await?;
                for message in answer {
                    message.encode(&mut bytes)?;
                }
            }
        }
        Ok(bytes)
    }
}
