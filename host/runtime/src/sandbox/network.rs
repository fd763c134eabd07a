//! What a guest reaches of the network: the addresses that it is granted, within bounds. What is refused is counted and logged.
//!
//! A name is resolved by the host, and only a granted one. A guest may connect to an address because it is granted itself, or because a
//! granted name of the same port was resolved to it within [`REMEMBERED`].

mod addresses;
mod http;
mod lookup;
mod metered;
mod refusal;
mod sockets;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use larder_core::telemetry::{Metrics, PluginLabels};
use parking_lot::Mutex;
use tracing::warn;
use wasmtime::component::Linker;

use self::lookup::{Lookup, SystemLookup};
use self::refusal::Refusal;
use super::grants::{Authority, Grants, Host};
use super::guest::GuestState;

pub(crate) use http::HttpHooks;
pub(crate) use sockets::OpenSockets;

/// How long an address is taken for that of the name that it was resolved from.
const REMEMBERED: Duration = Duration::from_mins(5);
/// The most addresses of one name.
const MAX_ADDRESSES: usize = 64;
/// Connections that may be begun in a second, and names that may be looked up, as a multiple of those that may be open.
const BEGUN_A_SECOND: usize = 4;
/// One kind of refusal is logged once within this time.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// The network as one instance sees it.
pub(crate) struct Network {
    grants: Grants,
    /// Who is told of; nobody where a plugin is tried out.
    counted: Option<(PluginLabels, Arc<Metrics>)>,
    lookup: Arc<dyn Lookup>,
    /// By name: the addresses that it was resolved to, and when.
    resolved: Mutex<HashMap<String, Vec<(IpAddr, Instant)>>>,
    open: AtomicUsize,
    begun: Rate,
    looked_up: Rate,
    /// Bytes that the call which runs may still send and receive.
    left: AtomicU64,
    /// The running call has used the network.
    is_used: AtomicBool,
    /// When each kind of refusal was logged last.
    told: Mutex<HashMap<&'static str, Instant>>,
}

/// How much was begun within a second of the time.
struct Rate(Mutex<(Instant, usize)>);

/// A connection's place among those that an instance may have open.
pub(crate) struct OpenConnection(Arc<Network>);

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Sent,
    Received,
}

// === impl Network ===

impl Network {
    /// Nothing at all, of which nobody is told.
    pub(crate) fn none() -> Arc<Self> {
        Self::new(Grants::default(), None, Arc::new(SystemLookup::new()))
    }

    /// What is granted to a tenant's plugin.
    pub(crate) fn granted(
        grants: Grants,
        labels: PluginLabels,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Self::new(
            grants,
            Some((labels, metrics)),
            Arc::new(SystemLookup::new()),
        )
    }

    fn new(
        grants: Grants,
        counted: Option<(PluginLabels, Arc<Metrics>)>,
        lookup: Arc<dyn Lookup>,
    ) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU64::new(grants.max_call_bytes),
            grants,
            counted,
            lookup,
            resolved: Mutex::default(),
            open: AtomicUsize::new(0),
            begun: Rate::new(),
            looked_up: Rate::new(),
            is_used: AtomicBool::new(false),
            told: Mutex::default(),
        })
    }

    /// True if the guest may reach anything.
    pub(crate) fn reaches_out(&self) -> bool {
        self.grants.reaches_out()
    }

    pub(crate) fn has_tcp(&self) -> bool {
        !self.grants.tcp.is_empty()
    }

    /// True if the call that runs, or that ran last, has used the network.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Gives the call that follows its bytes.
    pub(crate) fn begin_call(&self) {
        self.is_used.store(false, Ordering::Relaxed);
        self.left
            .store(self.grants.max_call_bytes, Ordering::Relaxed);
    }

    /// The addresses of a granted name that are fit for it, or the one that is granted itself.
    async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, Resolved> {
        let mut granted = self.grants.tcp.iter().chain(&self.grants.http);
        if !granted.any(|it| it.host() == host) {
            return Err(self.refuse(&Refusal::Name(host.to_string())).into());
        }
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        self.may(&self.looked_up)?;
        let found = self.lookup.lookup(name).await.map_err(Resolved::Failed)?;
        let is_fit = |address: &IpAddr| unfit_for(name, *address).is_none();
        let fit = found.iter().copied().filter(is_fit).take(MAX_ADDRESSES);
        let fit: Vec<IpAddr> = fit.collect();
        if fit.is_empty() {
            let unfit = found
                .iter()
                .find_map(|it| Some((*it, unfit_for(name, *it)?)));
            return Err(match unfit {
                Some((address, is)) => {
                    let name = name.clone();
                    self.refuse(&Refusal::Unfit { name, address, is }).into()
                }
                None => Resolved::Failed(std::io::ErrorKind::NotFound.into()),
            });
        }
        let now = Instant::now();
        let mut resolved = self.resolved.lock();
        let known = resolved.entry(name.clone()).or_default();
        known.retain(|(address, at)| at.elapsed() < REMEMBERED && !fit.contains(address));
        known.truncate(MAX_ADDRESSES - fit.len());
        known.extend(fit.iter().map(|address| (*address, now)));
        Ok(fit)
    }

    /// Whether a TCP connection may be begun.
    fn may_connect(&self, to: SocketAddr) -> Result<(), Refused> {
        let address = to.ip().to_canonical();
        let has_scope = matches!(to, SocketAddr::V6(to) if to.scope_id() != 0);
        let is_granted = !has_scope
            && self.grants.tcp.iter().any(|granted| {
                granted.port() == to.port()
                    && match granted.host() {
                        Host::Address(granted) => *granted == address,
                        Host::Name(name) => self.is_resolved(name, address),
                    }
            });
        if !is_granted {
            return Err(self.refuse(&Refusal::Authority {
                kind: "tcp",
                wanted: to.to_string(),
            }));
        }
        self.may_begin()
    }

    fn is_resolved(&self, name: &str, address: IpAddr) -> bool {
        let resolved = self.resolved.lock();
        let known = resolved.get(name).into_iter().flatten();
        let mut fresh = known.filter(|(_, at)| at.elapsed() < REMEMBERED);
        fresh.any(|(known, _)| *known == address)
    }

    /// Whether a request may be sent to this authority.
    fn may_request(&self, to: &str, authority: Option<&Authority>) -> Result<(), Refused> {
        match authority {
            Some(authority) if self.grants.http.contains(authority) => Ok(()),
            _ => Err(self.refuse(&Refusal::Authority {
                kind: "http",
                wanted: to.to_owned(),
            })),
        }
    }

    /// Counts a connection that is about to be begun.
    fn may_begin(&self) -> Result<(), Refused> {
        self.may(&self.begun)
    }

    fn may(&self, rate: &Rate) -> Result<(), Refused> {
        self.is_used.store(true, Ordering::Relaxed);
        let most = self.grants.max_connections.saturating_mul(BEGUN_A_SECOND);
        if rate.is_above(most) {
            return Err(self.refuse(&Refusal::TooFast(most)));
        }
        Ok(())
    }

    /// A place for one more connection.
    fn open(self: &Arc<Self>) -> Result<OpenConnection, Refused> {
        let most = self.grants.max_connections;
        let has_place = |open: usize| (open < most).then_some(open + 1);
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_place);
        if taken.is_err() {
            return Err(self.refuse(&Refusal::TooMany(most)));
        }
        Ok(OpenConnection(Arc::clone(self)))
    }

    /// A connection was made.
    fn connected(&self) {
        if let Some((labels, metrics)) = &self.counted {
            metrics.plugin_connected(labels);
        }
    }

    /// How many of these bytes the running call may move. None are left where it is an error.
    fn allowance(&self, bytes: usize) -> Result<usize, Refused> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 && bytes > 0 {
            return Err(self.refuse(&Refusal::Bytes(self.grants.max_call_bytes)));
        }
        Ok(usize::try_from(left).map_or(bytes, |left| left.min(bytes)))
    }

    /// Whether the running call may move all of these bytes.
    fn all_of(&self, bytes: usize) -> Result<(), Refused> {
        if self.allowance(bytes)? < bytes {
            return Err(self.refuse(&Refusal::Bytes(self.grants.max_call_bytes)));
        }
        Ok(())
    }

    /// Bytes were moved.
    fn moved(&self, direction: Direction, bytes: usize) {
        let bytes = bytes as u64;
        let less = |left: u64| Some(left.saturating_sub(bytes));
        let relaxed = Ordering::Relaxed;
        self.is_used.store(true, relaxed);
        self.left.fetch_update(relaxed, relaxed, less).unwrap_or(0);
        if let Some((labels, metrics)) = &self.counted {
            metrics.plugin_moved(labels, direction.as_str(), bytes);
        }
    }

    /// Counts and logs what is refused.
    fn refuse(&self, refusal: &Refusal) -> Refused {
        let reason = refusal.reason();
        if let Some((labels, metrics)) = &self.counted {
            metrics.plugin_connection_refused(labels, reason);
            let mut told = self.told.lock();
            if told.get(reason).is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
                told.insert(reason, Instant::now());
                warn!(
                    plugin = &*labels.plugin,
                    reason, "the plugin is refused the network: {refusal}"
                );
            }
        }
        Refused(refusal.to_string())
    }
}

/// Links `wasi:sockets` and `wasi:http`, which answer by what is granted.
pub(crate) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    lookup::link(linker)?;
    sockets::link(linker)?;
    http::link(linker)
}

/// What is wrong with an address of a name. `localhost` is the loopback, and nothing else is.
fn unfit_for(name: &str, address: IpAddr) -> Option<&'static str> {
    if name == "localhost" {
        let is_loopback = address.to_canonical().is_loopback();
        return (!is_loopback).then_some("no loopback address");
    }
    addresses::unfit(address)
}

/// What was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(String);

/// Why a name has no addresses.
#[derive(Debug)]
enum Resolved {
    Refused,
    Failed(std::io::Error),
}

impl From<Refused> for Resolved {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

// === impl Rate ===

impl Rate {
    fn new() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }

    /// Counts one more.
    fn is_above(&self, most: usize) -> bool {
        let mut begun = self.0.lock();
        let (since, number) = &mut *begun;
        if since.elapsed() >= Duration::from_secs(1) {
            *since = Instant::now();
            *number = 0;
        }
        *number += 1;
        *number > most
    }
}

// === impl OpenConnection ===

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Direction ===

impl Direction {
    /// As of OpenTelemetry's `network.io.direction`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "transmit",
            Self::Received => "receive",
        }
    }
}

#[cfg(test)]
mod tests;
