//! The searches that are timed, each with what it asks for.

use bytes::Bytes;
use larder_proto::storage::v2 as proto;
use prost::Message;

use crate::generate::Corpus;
use crate::queries::{FIND_TRACES, nanos, within};
use crate::truth::{Question, Seen, Selection};

mod expression;
mod filters;
mod legacy;
#[cfg(test)]
mod tests;

/// One kind of search.
pub(crate) struct Search {
    /// Its name in the table.
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) request: Bytes,
    /// What it asks for, from which what it has to find is worked out.
    pub(crate) question: Question,
}

/// All searches, for a corpus that is written.
pub(crate) fn searches(corpus: &Corpus) -> Vec<Search> {
    let all = within(corpus, 20);
    let mut searches = legacy::searches(corpus, &all);
    searches.extend(filters::searches(corpus.identity().1, &all));
    searches
}

/// The search that costs a server most: its name in the table, and a request of `FindTraces`.
pub(crate) fn costliest(corpus: &Corpus) -> (&'static str, Bytes) {
    let query = proto::TraceQueryParameters {
        filter: Some(filters::unnarrowed()),
        ..within(corpus, 20)
    };
    let search = find(filters::UNNARROWED, &query, filters::of_lettered_item);
    (search.name, search.request)
}

fn find(
    name: &'static str,
    query: &proto::TraceQueryParameters,
    matches: fn(&Seen<'_>) -> bool,
) -> Search {
    let request = proto::FindTracesRequest {
        query: Some(query.clone()),
    };
    Search {
        name,
        method: FIND_TRACES,
        request: request.encode_to_vec().into(),
        question: Question::Traces(selection(query, matches)),
    }
}

fn summaries(
    name: &'static str,
    query: &proto::TraceQueryParameters,
    matches: fn(&Seen<'_>) -> bool,
) -> Search {
    let request = proto::FindTraceSummariesRequest {
        query: Some(query.clone()),
    };
    Search {
        name,
        method: "/jaeger.storage.v2.TraceReader/FindTraceSummaries",
        request: request.encode_to_vec().into(),
        question: Question::Summaries(selection(query, matches)),
    }
}

/// What matches, in the query's window and as many as it wants.
fn selection(query: &proto::TraceQueryParameters, matches: fn(&Seen<'_>) -> bool) -> Selection {
    Selection {
        matches,
        from: nanos(query.start_time_min.as_ref()),
        to: nanos(query.start_time_max.as_ref()),
        depth: usize::try_from(query.search_depth).unwrap_or(0),
    }
}
