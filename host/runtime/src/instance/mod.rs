//! One tenant's plugin at work: a writer, readers beside it where the plugin is `replicated`, and their restarts.
//!
//! [`Plugin`] is the only [`Storage`](larder_model::storage::Storage) of the server. `queue` holds the writes that wait; `worker` hands
//! them to the writer in its `slot`; `acks` makes them durable; `pool` and `pools` hold the readers. `freshness` tells whether a `reader`
//! knows enough for a request. `starter` starts instances; `backoff` and `suspects` decide about restarts and about batches that kill
//! instances; `exchange` replaces a component that runs. `observed` tells the tenant's observer what happens, and `keep` is where that
//! keeps what it derives. Where several hosts share the store, `following` goes on in the namespace that a purge by another one has made,
//! `fence` notices a claim that is lost, and `adoption` keeps up what dead hosts have written.

mod acks;
pub(crate) mod adoption;
mod backoff;
mod exchange;
mod fence;
mod following;
mod forgotten;
mod freshness;
pub(crate) mod keep;
mod observed;
mod plugin;
mod pool;
mod pools;
mod question;
mod queue;
mod reader;
mod reads;
mod shared;
mod slot;
pub(crate) mod starter;
mod suspects;
mod worker;

pub(crate) use backoff::Backoff;
pub use exchange::Exchanged;
pub use plugin::Plugin;
