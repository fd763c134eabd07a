//! A storage that other hosts can purge: no answer is of what was purged, and one that a purge has overtaken is made anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use larder_core::telemetry::Metrics;
use larder_model::storage::{
    Batch, Error, ErrorKind, Operation, Part, Pieces, Search, Sightings, Storage, Wanted,
};
use larder_proto::TracesBytes;
use larder_proto::storage::v2::GetDependenciesRequest;

use super::super::Searcher;
use super::super::testing::{Memory, limits, spans};
use super::{by_id, by_service, traces};

/// A memory that purges put another one in the place of.
struct Purged {
    /// The one that is read, and those that take its place.
    memories: Mutex<VecDeque<Arc<Memory>>>,
    /// What the storage says each time that it is asked; `true` once these are told.
    says: Mutex<VecDeque<Result<bool, ErrorKind>>>,
    is_shared: bool,
}

impl Purged {
    fn new(memories: &[u64], says: &[Result<bool, ErrorKind>]) -> Arc<Self> {
        let memories = memories
            .iter()
            .map(|count| Arc::new(Memory::of(&traces(*count))));
        Arc::new(Self {
            memories: Mutex::new(memories.collect()),
            says: Mutex::new(says.iter().copied().collect()),
            is_shared: true,
        })
    }

    fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memories.lock().unwrap()[0])
    }

    fn is_told(&self) -> bool {
        self.says.lock().unwrap().is_empty()
    }
}

#[async_trait::async_trait]
impl Storage for Purged {
    async fn write(&self, batch: Batch) -> Result<(), Error> {
        self.memory().write(batch).await
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        self.memory().find(search, resume, limit).await
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        self.memory().read(wanted, part, resume, max_bytes).await
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        self.memory().services().await
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error> {
        self.memory().operations(service).await
    }

    fn report(&self, breach: &Error) {
        self.memory().report(breach);
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    async fn still_current(&self) -> Result<bool, Error> {
        let said = self.says.lock().unwrap().pop_front().unwrap_or(Ok(true));
        if said == Ok(false) {
            self.memories.lock().unwrap().pop_front();
        }
        said.map_err(|kind| Error::new(kind, "cannot tell"))
    }
}

fn over(storage: &Arc<Purged>) -> Searcher {
    let storage = Arc::clone(storage) as Arc<dyn Storage>;
    Searcher::new(storage, limits(), Arc::new(Metrics::new()))
}

async fn found(searcher: &Searcher) -> Vec<Result<TracesBytes, Error>> {
    searcher.find_traces(by_service("s")).collect().await
}

#[tokio::test]
async fn a_query_that_a_purge_has_overtaken_is_answered_from_what_is_there_now() {
    let storage = Purged::new(&[5, 2], &[Ok(false)]);
    let answer = found(&over(&storage)).await;
    let answer: Result<Vec<_>, _> = answer.into_iter().collect();
    assert_eq!(answer.unwrap().iter().flat_map(spans).count(), 2);
    assert!(storage.is_told());

    let storage = Purged::new(&[5, 2], &[Ok(false)]);
    let ids = over(&storage).find_trace_ids(by_service("s")).await;
    assert_eq!(ids.unwrap().trace_ids.len(), 2);

    let storage = Purged::new(&[5, 0], &[Ok(false)]);
    assert!(over(&storage).services().await.unwrap().is_empty());

    let storage = Purged::new(&[5, 0], &[Ok(false)]);
    let gone = over(&storage).get_traces(by_id(&[1, 2]));
    assert_eq!(gone.collect::<Vec<_>>().await.len(), 0);
}

#[tokio::test]
async fn an_empty_answer_is_overtaken_as_well() {
    let storage = Purged::new(&[0, 3], &[Ok(false)]);
    let ids = over(&storage).find_trace_ids(by_service("s")).await;
    assert_eq!(ids.unwrap().trace_ids.len(), 3);
    let storage = Purged::new(&[0, 3], &[Ok(false)]);
    assert!(!found(&over(&storage)).await.is_empty());
}

#[tokio::test]
async fn a_query_that_two_purges_overtake_is_to_be_retried() {
    let storage = Purged::new(&[5, 5, 5], &[Ok(false), Ok(false)]);
    let answer = found(&over(&storage)).await;
    let errors = answer
        .iter()
        .map(|it| it.as_ref().map_err(Error::kind).err());
    assert_eq!(errors.collect::<Vec<_>>(), [Some(ErrorKind::Unavailable)]);
    let storage = Purged::new(&[5, 5, 5], &[Ok(false), Ok(false)]);
    let refused = over(&storage).services().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("purged"), "{refused}");
}

#[tokio::test]
async fn nothing_leaves_while_the_storage_cannot_tell() {
    let storage = Purged::new(&[5], &[Err(ErrorKind::Unavailable)]);
    let answer = found(&over(&storage)).await;
    assert!(matches!(&answer[..], [Err(error)] if error.kind() == ErrorKind::Unavailable));
}

/// Each message is larger than a group.
#[tokio::test]
async fn a_stream_that_a_purge_overtakes_between_its_messages_ends_there() {
    let storage = Purged::new(&[5, 5], &[Ok(true), Ok(false)]);
    let mut limits = limits();
    limits.max_message_bytes = 1 << 20;
    let searcher = Searcher::new(
        Arc::clone(&storage) as Arc<dyn Storage>,
        limits,
        Arc::new(Metrics::new()),
    );
    let messages = vec![0_u8; super::super::settled::GROUP_BYTES];
    let messages = move |_: &Searcher| {
        let message = TracesBytes(messages.clone().into());
        futures_util::stream::iter([Ok(message.clone()), Ok(message)])
    };
    let answer: Vec<_> = searcher.settling(messages).collect().await;
    assert!(
        matches!(&answer[..], [Ok(_), Err(error)] if error.kind() == ErrorKind::Unavailable),
        "{} messages",
        answer.len()
    );
}

#[tokio::test]
async fn dependencies_of_a_purged_tenant_are_counted_anew() {
    let storage = Purged::new(&[5, 0], &[Ok(false)]);
    let request = GetDependenciesRequest {
        start_time: Some(prost_types::Timestamp::default()),
        end_time: Some(prost_types::Timestamp {
            seconds: 1 << 30,
            nanos: 0,
        }),
    };
    let links = over(&storage).dependencies(request, None).await.unwrap();
    assert!(links.is_empty() && storage.is_told());
}

#[tokio::test]
async fn a_storage_that_is_not_shared_is_not_asked() {
    let storage = Purged::new(&[5, 0], &[Ok(false)]);
    let alone = Purged {
        is_shared: false,
        memories: Mutex::new(std::mem::take(&mut *storage.memories.lock().unwrap())),
        says: Mutex::new(std::mem::take(&mut *storage.says.lock().unwrap())),
    };
    let storage = Arc::new(alone);
    assert_eq!(over(&storage).services().await.unwrap(), ["s"]);
    assert!(!found(&over(&storage)).await.is_empty());
    assert!(!storage.is_told());
}
