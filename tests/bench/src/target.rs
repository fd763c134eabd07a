//! A storage under measurement: raw gRPC to it, and its process's usage of CPU and memory.

use std::str::FromStr;
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

/// The address of a target, and its process, if that is to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    name: String,
    endpoint: String,
    pid: Option<u32>,
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, place) = text
            .split_once('=')
            .context("a target is NAME=HOST:PORT[@PID]")?;
        let (endpoint, pid) = match place.split_once('@') {
            Some((endpoint, pid)) => (endpoint, Some(pid.parse().context("the PID is a number")?)),
            None => (place, None),
        };
        Ok(Self {
            name: name.to_owned(),
            endpoint: endpoint.to_owned(),
            pid,
        })
    }
}

/// A connected target.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// True if it is measured for comparison only: wrong answers are reported, but do not fail the run.
    pub(crate) peer: bool,
    pid: Option<u32>,
    channels: Vec<Channel>,
    tenant: Option<Tenant>,
}

impl Target {
    /// Opens `connections` connections to it.
    pub(crate) async fn connect(address: &Address, connections: usize) -> Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..connections.max(1) {
            let endpoint = Endpoint::from_shared(format!("http://{}", address.endpoint))?;
            let channel = endpoint
                .connect()
                .await
                .with_context(|| format!("cannot reach {}", address.endpoint))?;
            channels.push(channel);
        }
        Ok(Self {
            name: address.name.clone(),
            peer: false,
            pid: address.pid,
            channels,
            tenant: None,
        })
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

    /// Returns the CPU seconds that the process has used so far.
    pub(crate) fn cpu_seconds(&self) -> Result<Option<f64>> {
        let Some(pid) = self.pid else { return Ok(None) };
        cpu_seconds_of(&pid.to_string()).map(Some)
    }

    /// Waits until the process is idle, but no longer than `longest`: it may still be merging.
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

    /// Returns the resident memory of the process, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<Option<u64>> {
        self.status("VmRSS:")
    }

    /// Returns the peak resident memory of the process, in bytes.
    pub(crate) fn peak_bytes(&self) -> Result<Option<u64>> {
        self.status("VmHWM:")
    }

    /// Reads a line of the process's status that is in kB, in bytes.
    fn status(&self, name: &'static str) -> Result<Option<u64>> {
        let Some(pid) = self.pid else { return Ok(None) };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .context(name)?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(Some(kib * 1024))
    }

    /// Calls a method and returns all messages of the answer: one of a unary call, or a stream.
    pub(crate) async fn call(&self, method: &'static str, request: Bytes) -> Result<Vec<Bytes>> {
        let Some(channel) = self.channels.first() else {
            bail!("no connection")
        };
        call(channel, self.tenant(), method, request).await
    }
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
