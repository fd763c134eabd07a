//! The marks of all hosts, and what they keep together, as they were last read.
//!
//! A state that is read in pages may change between two of them. So the stamp, which changes with each commit, is read before and after.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use larder_model::storage::{Error, ErrorKind, HostState, Keep};
use tokio::sync::Mutex;

use super::effective::Effective;
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
    /// The marks of hosts that mark nothing.
    unmarked: Arc<HostMarks>,
    last: Option<Seen>,
}

/// What was read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The hosts that have written, each with its marks.
    pub(crate) hosts: Vec<(String, Arc<HostMarks>)>,
    /// What they keep together, read after the marks.
    pub(crate) together: Arc<Together>,
    /// Both combined, once it was asked for.
    pub(super) effective: Arc<OnceLock<Effective>>,
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
            unmarked: Arc::default(),
            last: None,
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
        if let Some(last) = &looks.last
            && last.is_of(&hosts, &together)
        {
            return Ok(last.clone());
        }
        let seen = Seen {
            hosts,
            together,
            effective: Arc::default(),
        };
        looks.last = Some(seen.clone());
        Ok(seen)
    }
}

// === impl Seen ===

impl Seen {
    /// True if it is of these marks, read at the same moment.
    fn is_of(&self, hosts: &[(String, Arc<HostMarks>)], together: &Arc<Together>) -> bool {
        let mut both = self.hosts.iter().zip(hosts);
        Arc::ptr_eq(&self.together, together)
            && self.hosts.len() == hosts.len()
            && both.all(|(known, now)| known.0 == now.0 && Arc::ptr_eq(&known.1, &now.1))
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
                hosts.push((host, Arc::clone(&self.unmarked)));
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

#[cfg(test)]
mod tests {
    use larder_core::testing::MemoryHosts;
    use larder_model::storage::KeepChange;

    use super::super::marks::{Head, Open, Stamp, put_head, put_open, put_stamp};
    use super::*;
    use crate::bucket::Bucket;

    async fn mark(keep: &Arc<dyn Keep>, number: u64, change: KeepChange) -> Result<(), Error> {
        let stamp = Stamp {
            process: 1,
            next: number,
            latest: 0,
        };
        keep.commit(vec![change, put_stamp(stamp)]).await
    }

    #[tokio::test]
    async fn what_is_combined_stays_until_a_mark_changes() -> Result<(), Error> {
        let hosts = MemoryHosts::default();
        let own: Arc<dyn Keep> = hosts.open("a");
        hosts.wrote("a");
        let head = Head {
            series: 1,
            is_whole: true,
        };
        mark(&own, 1, put_head(head)).await?;
        mark(&own, 2, put_open(Bucket(1), Open { number: 2, at: 5 })).await?;
        let common = own
            .common()
            .ok_or_else(|| changes("is not kept together"))?;
        let followed = Followed::new(Arc::clone(&own), common.keep(), 96);
        let (first, again) = (followed.look().await?, followed.look().await?);
        let (one, other) = (first.effective().0, again.effective().0);
        assert!(Arc::ptr_eq(&one.buckets, &other.buckets));
        mark(&own, 3, put_open(Bucket(2), Open { number: 3, at: 6 })).await?;
        let after = followed.look().await?.effective().0;
        let buckets: Vec<Bucket> = after.buckets.keys().copied().collect();
        assert_eq!(buckets, [Bucket(1), Bucket(2)]);
        Ok(())
    }
}
