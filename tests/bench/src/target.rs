//! A storage under measurement: raw gRPC to it, and its process's usage of CPU and memory.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use larder_oracle::grpc::Raw;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

use crate::tenant::Tenant;

/// The interval at which CPU usage is sampled.
const PAUSE: Duration = Duration::from_millis(250);
/// CPU seconds per interval that count as idle, in whole ticks of the kernel's clock.
const HARDLY: f64 = 0.015;
/// The number of consecutive idle intervals after which a process is idle.
const CALM: u32 = 4;

/// The addresses of a target's hosts.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    name: String,
    hosts: Vec<Host>,
}

/// The address of a host, and its process, if that is to be measured.
#[derive(Debug, Clone)]
struct Host {
    endpoint: String,
    pid: Option<u32>,
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, hosts) = text
            .split_once('=')
            .context("a target is NAME=HOST:PORT[@PID][,HOST:PORT[@PID]]")?;
        Ok(Self {
            name: name.to_owned(),
            hosts: hosts.split(',').map(str::parse).collect::<Result<_>>()?,
        })
    }
}

impl FromStr for Host {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (endpoint, pid) = match text.split_once('@') {
            Some((endpoint, pid)) => (endpoint, Some(pid.parse().context("the PID is a number")?)),
            None => (text, None),
        };
        Ok(Self {
            endpoint: endpoint.to_owned(),
            pid,
        })
    }
}

/// A process of the store behind a target.
#[derive(Debug, Clone)]
pub(crate) struct StoreProcess {
    target: String,
    pid: u32,
}

impl FromStr for StoreProcess {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (target, pid) = text
            .split_once('=')
            .context("a store's process is NAME=PID, with the target's name")?;
        Ok(Self {
            target: target.to_owned(),
            pid: pid.parse().context("the PID is a number")?,
        })
    }
}

/// A connected target: one host, or several over one store.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// True if it is measured for comparison only: wrong answers are reported, but do not fail the run.
    pub(crate) peer: bool,
    hosts: Vec<Host>,
    /// The processes of the store behind it, if they are to be measured.
    store: Vec<u32>,
    /// To its hosts in turn.
    channels: Vec<Channel>,
    /// The number of calls so far, which go to the hosts in turn.
    calls: Arc<AtomicUsize>,
    tenant: Option<Tenant>,
}

impl Target {
    /// Opens `connections` connections to it, but at least one to each host.
    pub(crate) async fn connect(address: &Address, connections: usize) -> Result<Self> {
        let hosts = address.hosts.clone();
        Ok(Self {
            name: address.name.clone(),
            peer: false,
            channels: channels(&hosts, connections).await?,
            hosts,
            store: Vec::new(),
            calls: Arc::default(),
            tenant: None,
        })
    }

    /// Opens all connections anew: the hosts were started again.
    pub(crate) async fn connect_again(&mut self) -> Result<()> {
        self.channels = channels(&self.hosts, self.channels.len()).await?;
        Ok(())
    }

    /// Measures those of these processes that are of its store.
    pub(crate) fn with_store(mut self, processes: &[StoreProcess]) -> Self {
        let of_target = processes.iter().filter(|of| of.target == self.name);
        self.store = of_target.map(|of| of.pid).collect();
        self
    }

    /// Marks it as measured for comparison only.
    pub(crate) fn compared_only(self) -> Self {
        Self { peer: true, ..self }
    }

    /// Returns the same connections, for calls of this tenant.
    pub(crate) fn of_tenant(self, tenant: Tenant) -> Self {
        Self {
            tenant: Some(tenant),
            ..self
        }
    }

    /// Returns the tenant of its calls, if there is one.
    pub(crate) fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// Returns its connections.
    pub(crate) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Returns the CPU seconds that its hosts have used so far.
    pub(crate) fn cpu_seconds(&self) -> Result<Option<f64>> {
        sum(self.hosts.iter().map(|host| host.pid), cpu_seconds)
    }

    /// Returns the CPU seconds that the processes of its store have used so far.
    pub(crate) fn store_cpu_seconds(&self) -> Result<Option<f64>> {
        sum(self.store.iter().copied().map(Some), cpu_seconds)
    }

    /// Waits until its hosts are idle, but no longer than `longest`: they may still be merging.
    pub(crate) async fn settle(&self, longest: Duration) -> Result<()> {
        let end = Instant::now() + longest;
        let mut calm = 0;
        while let Some(before) = self.cpu_seconds()? {
            if calm == CALM || Instant::now() >= end {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            let used = self.cpu_seconds()?.unwrap_or(before) - before;
            calm = if used <= HARDLY { calm + 1 } else { 0 };
        }
        Ok(())
    }

    /// Returns the resident memory of its hosts, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<Option<u64>> {
        sum(self.hosts.iter().map(|host| host.pid), |pid| {
            memory(pid, "VmRSS:")
        })
    }

    /// Returns the sum of the peak resident memories of its hosts, in bytes.
    pub(crate) fn peak_bytes(&self) -> Result<Option<u64>> {
        sum(self.hosts.iter().map(|host| host.pid), |pid| {
            memory(pid, "VmHWM:")
        })
    }

    /// Calls a method of the next host in turn, and returns all messages of the answer: one of a unary call, or a stream.
    pub(crate) async fn call(&self, method: &'static str, request: Bytes) -> Result<Vec<Bytes>> {
        // The first connections go to one host each.
        let turn = self.calls.fetch_add(1, Ordering::Relaxed) % self.hosts.len().max(1);
        let Some(channel) = self.channels.get(turn) else {
            bail!("no connection")
        };
        call(channel, self.tenant(), method, request).await
    }
}

/// Opens so many connections, to one host after the other, and at least one to each.
async fn channels(hosts: &[Host], connections: usize) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for host in hosts.iter().cycle().take(connections.max(hosts.len())) {
        let endpoint = Endpoint::from_shared(format!("http://{}", host.endpoint))?;
        let channel = endpoint
            .connect()
            .await
            .with_context(|| format!("cannot reach {}", host.endpoint))?;
        channels.push(channel);
    }
    Ok(channels)
}

/// Adds up a figure of processes. Returns nothing if there are none, or if not all of them are known.
fn sum<T: std::iter::Sum>(
    processes: impl Iterator<Item = Option<u32>>,
    figure: impl Fn(u32) -> Result<T>,
) -> Result<Option<T>> {
    match processes.collect::<Option<Vec<u32>>>() {
        Some(known) if !known.is_empty() => {
            known.into_iter().map(figure).sum::<Result<T>>().map(Some)
        }
        _ => Ok(None),
    }
}

fn cpu_seconds(pid: u32) -> Result<f64> {
    cpu_seconds_of(&pid.to_string())
}

/// Reads a line of a process's status that is in kB, in bytes.
fn memory(pid: u32, name: &'static str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context(name)?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Returns the CPU seconds that a process has used so far; `process` is its id or `self`.
pub(crate) fn cpu_seconds_of(process: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after = stat
        .rsplit_once(')')
        .context("/proc/PID/stat has a name in brackets")?
        .1;
    let ticks: Vec<u64> = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse().ok())
        .collect();
    let ticks = u32::try_from(ticks.iter().sum::<u64>())?;
    // The kernel's USER_HZ is 100 on every supported Linux.
    Ok(f64::from(ticks) / 100.0)
}

/// Calls a method over one channel, as a tenant if there is one, and returns all messages of the answer.
pub(crate) async fn call(
    channel: &Channel,
    tenant: Option<&Tenant>,
    method: &'static str,
    request: Bytes,
) -> Result<Vec<Bytes>> {
    let mut client = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
    client.ready().await?;
    let mut request = Request::new(request);
    request.set_timeout(Duration::from_mins(2));
    if let Some(tenant) = tenant {
        tenant.name_in(request.metadata_mut());
    }
    let answer = client
        .server_streaming(request, PathAndQuery::from_static(method), Raw)
        .await?;
    let mut stream = answer.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_host_or_several() -> Result<()> {
        let hosts = |text: &str| -> Result<Vec<(String, Option<u32>)>> {
            let address: Address = text.parse()?;
            let hosts = address.hosts.into_iter();
            Ok(hosts.map(|host| (host.endpoint, host.pid)).collect())
        };
        assert_eq!(hosts("kv=h:1")?, [("h:1".to_owned(), None)]);
        assert_eq!(
            hosts("two=h:1@10,h:2@11")?,
            [("h:1".to_owned(), Some(10)), ("h:2".to_owned(), Some(11))]
        );
        assert!(hosts("h:1").is_err());
        assert!(hosts("kv=h:1@pid").is_err());
        Ok(())
    }

    #[test]
    fn a_figure_of_hosts_is_known_if_all_processes_are() -> Result<()> {
        let figure = |pid: u32| Ok(u64::from(pid));
        assert_eq!(sum([Some(1), Some(2)].into_iter(), figure)?, Some(3));
        assert_eq!(sum([Some(1), None].into_iter(), figure)?, None);
        assert_eq!(sum([].into_iter(), figure)?, None);
        Ok(())
    }
}
