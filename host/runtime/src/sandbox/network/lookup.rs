//! `wasi:sockets/ip-name-lookup`: the host resolves granted names.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network as NetworkHandle, Pollable, subscribe};

use super::{Host, Resolved};
use crate::sandbox::guest::GuestState;

/// Resolves names.
#[async_trait]
pub(super) trait Lookup: fmt::Debug + Send + Sync {
    /// All addresses of a name.
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// Lookups at a time, of all plugins: each takes a thread, which cannot be stopped, of those that everything shares.
static LOOKUPS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(32)));

/// Resolves names as the system does, one at a time.
#[derive(Debug)]
pub(super) struct SystemLookup {
    one: Arc<Semaphore>,
}

// === impl SystemLookup ===

impl SystemLookup {
    pub(super) fn new() -> Self {
        Self {
            one: Arc::new(Semaphore::new(1)),
        }
    }
}

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let permit = async |of: &Arc<Semaphore>| {
            let permit = Arc::clone(of).acquire_owned().await;
            permit.map_err(std::io::Error::other)
        };
        let permits = (permit(&self.one).await?, permit(&LOOKUPS).await?);
        let name = name.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            // Until the system has answered, whoever has gone meanwhile.
            let _permits = permits;
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        });
        found.await.map_err(std::io::Error::other)?
    }
}

/// The contract's `resolve-address-stream`.
struct Addresses(VecDeque<IpAddr>);

#[async_trait]
impl Pollable for Addresses {
    /// What there is, is there from the beginning.
    async fn ready(&mut self) {}
}

type Store<'a> = StoreContextMut<'a, GuestState>;

/// The library's own answers every name, and does not let another one be put into its streams.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance("wasi:sockets/ip-name-lookup@0.2.0")?;
    interface.resource(
        "resolve-address-stream",
        ResourceType::host::<Addresses>(),
        |mut store, rep| {
            let addresses: Resource<Addresses> = Resource::new_own(rep);
            store.data_mut().table().delete(addresses)?;
            Ok(())
        },
    )?;
    interface.func_wrap_async(
        "resolve-addresses",
        |mut store: Store<'_>, (_, name): (Resource<NetworkHandle>, String)| {
            let network = Arc::clone(store.data().network());
            Box::new(async move {
                let Some(host) = Host::parse(&name) else {
                    return Ok((Err(ErrorCode::InvalidArgument),));
                };
                let addresses = match network.resolve(&host).await {
                    Ok(addresses) => addresses,
                    Err(error) => return Ok((Err(error.into()),)),
                };
                let addresses = Addresses(addresses.into());
                let addresses = store.data_mut().table().push(addresses)?;
                Ok((Ok(addresses),))
            })
        },
    )?;
    interface.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: Store<'_>, (addresses,): (Resource<Addresses>,)| {
            let addresses = store.data_mut().table().get_mut(&addresses)?;
            let next = addresses.0.pop_front().map(IpAddress::from);
            Ok((Ok::<_, ErrorCode>(next),))
        },
    )?;
    interface.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: Store<'_>, (addresses,): (Resource<Addresses>,)| {
            let pollable: Resource<DynPollable> = subscribe(store.data_mut().table(), addresses)?;
            Ok((pollable,))
        },
    )
}

impl From<Resolved> for ErrorCode {
    fn from(error: Resolved) -> Self {
        match error {
            Resolved::Refused => Self::AccessDenied,
            Resolved::Failed(_) => Self::NameUnresolvable,
        }
    }
}
