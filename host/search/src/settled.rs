//! Answers from a storage that other hosts can purge: none of them leaves before the storage has said, after the last read for it, that
//! what was read is the tenant's still ([`Storage::still_current`]).
//!
//! A query that a purge has overtaken is run once more, on what is there now. What is known of the data beforehand (listed values, kept
//! calls) is of the data that is gone, so the second run does without. A stream whose first messages have left cannot be begun again, and
//! fails. A storage that is not shared is not asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::Either;
use futures_util::stream::{self, Stream, StreamExt as _};
use larder_model::storage::{Error, ErrorKind};
use prost::Message;
use tokio::time::{Instant, timeout, timeout_at};

use super::Searcher;

/// Messages of a stream that wait for the same answer of the storage: about so many bytes, or what is found in so much time.
pub(crate) const GROUP_BYTES: usize = 256 << 10;
const GROUP_TIME: Duration = Duration::from_millis(5);

/// A stream whose messages leave in groups.
struct Settling<T> {
    searcher: Searcher,
    /// Begins the query.
    make: Make<T>,
    found: Found<T>,
    /// Messages that may leave.
    settled: VecDeque<T>,
    /// The error after them.
    failed: Option<Error>,
    has_sent: bool,
    is_second: bool,
    has_ended: bool,
}

type Found<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

/// The error of an answer that a purge has overtaken.
fn overtaken() -> Error {
    let text = "the tenant was purged while the query ran, so its answer is void; retry";
    Error::new(ErrorKind::Unavailable, text)
}

/// True for an error that the request itself has, whatever is stored.
fn is_of_request(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidArgument
        | ErrorKind::InvalidFilter
        | ErrorKind::InvalidPagination
        | ErrorKind::UnsupportedPagination
        | ErrorKind::InvalidOrdering => true,
        ErrorKind::ResourceExhausted
        | ErrorKind::QueryBudget
        | ErrorKind::AnswerTooLarge
        | ErrorKind::Unavailable
        | ErrorKind::ContractBroken
        | ErrorKind::Poison
        | ErrorKind::DataLoss
        | ErrorKind::Internal => false,
    }
}

// === impl Searcher ===

impl Searcher {
    /// The answer of `run`, which is given a searcher.
    pub(crate) async fn settled<T, F>(&self, mut run: impl FnMut(Self) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let answer = run(self.clone()).await;
        if self.is_settled(&answer).await? {
            return answer;
        }
        let answer = run(self.anew()).await;
        if self.is_settled(&answer).await? {
            return answer;
        }
        Err(overtaken())
    }

    /// As [`Searcher::settled`], for an answer that cannot do without what is known of the data beforehand.
    pub(crate) async fn settled_once<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if self.is_settled(&answer).await? {
            return answer;
        }
        Err(overtaken())
    }

    /// The messages of the streams that `make` begins.
    pub(crate) fn settling<T, S, M>(
        &self,
        make: M,
    ) -> impl Stream<Item = Result<T, Error>> + Send + use<T, S, M>
    where
        T: Message + 'static,
        S: Stream<Item = Result<T, Error>> + Send + 'static,
        M: Fn(&Self) -> S + Send + 'static,
    {
        let found = make(self);
        if !self.storage.is_shared() {
            return Either::Left(found);
        }
        let make = move |searcher: &Self| -> Found<T> { Box::pin(make(searcher)) };
        Either::Right(settling(self.clone(), Box::pin(found), Box::new(make)))
    }

    /// False if a purge has overtaken what was read for the answer.
    async fn is_settled<T>(&self, answer: &Result<T, Error>) -> Result<bool, Error> {
        if !self.storage.is_shared() || answer.as_ref().is_err_and(is_of_request) {
            return Ok(true);
        }
        self.still_current().await
    }

    async fn still_current(&self) -> Result<bool, Error> {
        let limit = self.limits.timeout;
        let asked = timeout(limit, self.storage.still_current()).await;
        asked.unwrap_or_else(|_| {
            let text = format!(
                "whether the tenant was purged meanwhile could not be found out in {limit:?}; retry"
            );
            Err(Error::new(ErrorKind::Unavailable, text))
        })
    }

    /// For the second run of a query.
    fn anew(&self) -> Self {
        self.clone().with_snapshot(None)
    }
}

type Make<T> = Box<dyn Fn(&Searcher) -> Found<T> + Send>;

fn settling<T: Message + 'static>(
    searcher: Searcher,
    found: Found<T>,
    make: Make<T>,
) -> impl Stream<Item = Result<T, Error>> + Send {
    let settling = Settling {
        searcher,
        make,
        found,
        settled: VecDeque::new(),
        failed: None,
        has_sent: false,
        is_second: false,
        has_ended: false,
    };
    stream::try_unfold(settling, |mut settling| async move {
        Ok(settling.next().await?.map(|message| (message, settling)))
    })
}

// === impl Settling ===

impl<T: Message> Settling<T> {
    /// The next message that may leave.
    async fn next(&mut self) -> Result<Option<T>, Error> {
        loop {
            if let Some(message) = self.settled.pop_front() {
                self.has_sent = true;
                return Ok(Some(message));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.has_ended {
                return Ok(None);
            }
            self.gather().await;
            if self.failed.as_ref().is_some_and(is_of_request) {
                continue;
            }
            if self.searcher.still_current().await? {
                continue;
            }
            self.settled.clear();
            self.failed = None;
            if self.has_sent || self.is_second {
                return Err(overtaken());
            }
            self.is_second = true;
            self.has_ended = false;
            self.found = (self.make)(&self.searcher.anew());
        }
    }

    /// Takes the messages of a group, and what follows them if that is the end.
    async fn gather(&mut self) {
        let (mut bytes, mut until) = (0, None);
        while bytes < GROUP_BYTES {
            // The first one is waited for however long it takes.
            let next = match until {
                None => self.found.next().await,
                Some(until) => match timeout_at(until, self.found.next()).await {
                    Ok(next) => next,
                    Err(_) => return,
                },
            };
            match next {
                Some(Ok(message)) => {
                    bytes += message.encoded_len();
                    self.settled.push_back(message);
                    until.get_or_insert_with(|| Instant::now() + GROUP_TIME);
                }
                Some(Err(error)) => {
                    self.failed = Some(error);
                    self.has_ended = true;
                    return;
                }
                None => {
                    self.has_ended = true;
                    return;
                }
            }
        }
    }
}
