//! The marks of all hosts, and what they keep together, as they were last read.
//!
//! A state that is read in pages may change between two of them. So the stamp, which changes with each commit, is read before and after.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_model::storage::{Error, ErrorKind, HostState, Keep};
use tokio::sync::Mutex;

use super::holding::{self, Holding};
use super::marks::{HostMarks, STAMP, damaged};
use crate::state::State;

/// Times that a state is read that changes meanwhile.
const TRIES: usize = 8;

/// See the module.
pub(crate) struct Followed(Mutex<Looks>);

struct Looks {
    /// This host's place, which reads those of all.
    own: Arc<dyn Keep>,
    common: Arc<dyn Keep>,
    day_buckets: u32,
    /// By the names of states.
    hosts: BTreeMap<String, (Vec<u8>, Arc<HostMarks>)>,
    together: Option<(Option<Vec<u8>>, Arc<Together>)>,
}

/// What was read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The hosts that have written, each with its marks.
    pub(crate) hosts: Vec<(String, Arc<HostMarks>)>,
    /// What they keep together, read after the marks.
    pub(crate) together: Arc<Together>,
}

/// What hosts keep together.
#[derive(Debug)]
pub(crate) struct Together {
    pub(crate) state: State,
    pub(crate) holding: Holding,
}

// === impl Followed ===

impl Followed {
    pub(crate) fn new(own: Arc<dyn Keep>, common: Arc<dyn Keep>, day_buckets: u32) -> Self {
        Self(Mutex::new(Looks {
            own,
            common,
            day_buckets,
            hosts: BTreeMap::new(),
            together: None,
        }))
    }

    /// Reads what has changed. Whatever was committed, by any host, before the call is seen.
    ///
    /// # Errors
    /// Those of the places, and `Unavailable` for what changes faster than it can be read.
    pub(crate) async fn look(&self) -> Result<Seen, Error> {
        let mut looks = self.0.lock().await;
        let hosts = looks.hosts().await?;
        // After the marks: what has gone from them is in it.
        let together = looks.together().await?;
        Ok(Seen { hosts, together })
    }
}

// === impl Looks ===

impl Looks {
    async fn hosts(&mut self) -> Result<Vec<(String, Arc<HostMarks>)>, Error> {
        let found = self.own.hosts(&[STAMP.to_vec()]).await?;
        let mut known = std::mem::take(&mut self.hosts);
        let mut hosts = Vec::with_capacity(found.len());
        for host in found {
            let HostState {
                host,
                state,
                values,
                ..
            } = host;
            let stamp = values.into_iter().next().flatten();
            let (Some(state), Some(stamp)) = (state, stamp) else {
                // It marks nothing.
                hosts.push((host, Arc::default()));
                continue;
            };
            let known = known.remove(&state).filter(|it| it.0 == stamp);
            let read = match known {
                Some(known) => known,
                None => self.read(&state, stamp).await?,
            };
            hosts.push((host, Arc::clone(&read.1)));
            self.hosts.insert(state, read);
        }
        Ok(hosts)
    }

    /// Reads the marks of a host, whose stamp was this one.
    async fn read(
        &self,
        state: &str,
        mut stamp: Vec<u8>,
    ) -> Result<(Vec<u8>, Arc<HostMarks>), Error> {
        for _ in 0..TRIES {
            let mut marks = HostMarks::default();
            let mut start = Vec::new();
            let mut last = None;
            loop {
                let (page, more) = self.own.scan_host(state, &start).await?;
                for (key, value) in &page {
                    marks.read(key, value).map_err(damaged)?;
                    start.clone_from(key);
                    start.push(0);
                    last = (key == STAMP).then(|| value.clone());
                }
                if !more || page.is_empty() {
                    break;
                }
            }
            // The stamp comes last. If it is the one from before the first page, all pages are of one moment.
            let last = last.ok_or_else(|| changes("has gone"))?;
            if last == stamp {
                return Ok((stamp, Arc::new(marks)));
            }
            stamp = last;
        }
        Err(changes("changes faster than it can be read"))
    }

    async fn together(&mut self) -> Result<Arc<Together>, Error> {
        let mut stamp = holding::stamp(&*self.common).await?;
        if let Some((known, together)) = &self.together
            && *known == stamp
        {
            return Ok(Arc::clone(together));
        }
        for _ in 0..TRIES {
            let (loaded, holding) = holding::load(&*self.common, self.day_buckets).await?;
            let after = holding::stamp(&*self.common).await?;
            if after == stamp {
                let together = Arc::new(Together {
                    state: loaded.state,
                    holding,
                });
                self.together = Some((stamp, Arc::clone(&together)));
                return Ok(together);
            }
            stamp = after;
        }
        Err(changes("changes faster than it can be read"))
    }
}

fn changes(what: &str) -> Error {
    let text = format!("what a host keeps of the service graph {what}; retry");
    Error::new(ErrorKind::Unavailable, text)
}
