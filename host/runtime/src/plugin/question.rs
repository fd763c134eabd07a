//! One read: asked of an instance, and its answer held against the contract.

use larder_model::storage::{Error, ErrorKind, Operation, Part, Pieces, Search, Sightings, Wanted};

use super::bindings::exports::larder::storage::reader;
use super::check::{self, Breach};
use super::convert;
use super::guest::{Called, Failure, Instance};
use super::refusal;
use super::shared::Shared;

/// A read, as owned values: it outlives the caller, who may go away.
#[derive(Debug)]
pub(super) enum Question {
    Find {
        search: Search,
        resume: Option<Vec<u8>>,
        limit: u32,
    },
    Read {
        wanted: Wanted,
        part: Part,
        resume: Option<Vec<u8>>,
        max_bytes: u32,
    },
    Services,
    Operations {
        service: String,
    },
}

/// What came back, checked.
#[derive(Debug)]
pub(super) enum Answer {
    Sightings(Sightings),
    Pieces(Pieces),
    Services(Vec<String>),
    Operations(Vec<Operation>),
}

/// How a read ended.
pub(super) enum Outcome {
    Answer(Answer),
    /// The guest raised one of the contract's errors.
    Refused(Error),
    /// The guest's answer breaks the contract.
    Broken(Breach),
    /// The instance is gone.
    Failed(Failure),
}

impl Question {
    pub(super) async fn ask(&self, instance: &mut Instance, plugin: &str) -> Outcome {
        match self {
            Self::Find {
                search,
                resume,
                limit,
            } => {
                let resume = resume.as_deref();
                let clauses: Vec<_> = search.clauses.iter().map(Vec::as_slice).collect();
                let asked = reader::Search {
                    starts: convert::starts(search.starts),
                    durations: convert::durations(search.durations),
                    clauses: &clauses,
                };
                let called = instance.find(asked, resume, *limit).await;
                outcome(plugin, called, |page| {
                    let page = convert::sightings_back(page);
                    check::sightings(&page, resume, *limit)?;
                    Ok(Answer::Sightings(page))
                })
            }
            Self::Read {
                wanted,
                part,
                resume,
                max_bytes,
            } => {
                let resume = resume.as_deref();
                let ids: Vec<_>;
                let asked = match wanted {
                    Wanted::Traces(traces) => {
                        ids = traces.iter().copied().map(convert::trace_id).collect();
                        reader::Wanted::Traces(&ids)
                    }
                    Wanted::Fragments(fragments) => reader::Wanted::Fragments(fragments),
                };
                let called = instance.read(asked, convert::part(*part), resume, *max_bytes);
                outcome(plugin, called.await, |page| {
                    let page = convert::pieces_back(page);
                    check::pieces(&page, wanted, *part, resume, *max_bytes)?;
                    Ok(Answer::Pieces(page))
                })
            }
            Self::Services => outcome(plugin, instance.services().await, |names| {
                check::services(&names)?;
                Ok(Answer::Services(names))
            }),
            Self::Operations { service } => {
                let called = instance.operations(service).await;
                outcome(plugin, called, |operations| {
                    let operations = operations.into_iter().map(convert::operation_back);
                    let operations: Vec<_> = operations.collect();
                    check::operations(&operations, service)?;
                    Ok(Answer::Operations(operations))
                })
            }
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// What the caller gets, and the end of the instance if this was it.
    pub(super) fn settle(self, shared: &Shared) -> (Result<Answer, Error>, Option<Failure>) {
        match self {
            Self::Answer(answer) => (Ok(answer), None),
            Self::Refused(error) => (Err(error), None),
            Self::Broken(breach) => {
                let (error, out) = shared.broken(breach);
                (Err(error), out.then(Failure::struck_out))
            }
            Self::Failed(failure) => (Err(shared.unavailable(&failure)), Some(failure)),
        }
    }
}

fn outcome<T>(
    plugin: &str,
    called: Called<T>,
    checked: impl FnOnce(T) -> Result<Answer, Breach>,
) -> Outcome {
    match called {
        Err(failure) => Outcome::Failed(failure),
        Ok(Err(raised)) => Outcome::Refused(refusal::of_read(plugin, &raised)),
        Ok(Ok(result)) => match checked(result) {
            Ok(answer) => Outcome::Answer(answer),
            Err(breach) => Outcome::Broken(breach),
        },
    }
}

/// The answer to another question: a bug of ours.
pub(super) fn mixed_up(answer: &Answer) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("a read was answered with {answer:?}"),
    )
}
