//! A host's part in the graph of data that several hosts write: it marks its writes, answers queries, and works on what all keep together
//! while it holds that.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use larder_core::telemetry::Metrics;
use larder_model::storage::{
    Batch, Common, Error, ErrorKind, Keep, StorageSource, TimeRange, Upkept,
};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::absorb::absorb;
use super::followed::{Followed, Seen};
use super::holding::{self, Holding, Stamped};
use super::marking::Marking;
use super::marks::HostMarks;
use super::mend::{mend_marks, mend_together};
use crate::checkpoint::Pieces;
use crate::config::Config;
use crate::graph::Step;
use crate::jobs::{self, Due};
use crate::shared::Shared;
use crate::state::{Entry, State};
use crate::view::{self, Dropped};

/// A host that has seen nothing to do looks again after so many times [`Config::look`]: a tenant that nobody writes to costs the store little.
const QUIET_LOOKS: u32 = 6;
/// The most time that giving the place up has.
const LONGEST_RELEASE: Duration = Duration::from_secs(1);
/// Pause between two looks at the upkeep of other hosts.
const PAUSE: Duration = Duration::from_millis(10);

/// See the module.
pub(crate) struct Hosts {
    tenant: String,
    config: Config,
    metrics: Arc<Metrics>,
    source: Weak<dyn StorageSource>,
    own: Marking,
    adopted: Mutex<BTreeMap<String, Arc<Marking>>>,
    place: Mutex<Arc<Place>>,
    status: Mutex<Status>,
}

/// Where hosts keep what is theirs, until a purge.
struct Place {
    common: Arc<dyn Common>,
    followed: Followed,
    /// What a query reads records with.
    reading: Arc<Shared>,
}

/// What was seen last.
#[derive(Clone, Copy, Debug, Default)]
struct Status {
    unusable: Option<&'static str>,
    is_holder: bool,
    /// True if there was nothing to do for any host.
    is_quiet: bool,
}

/// Work in the background.
#[derive(Default)]
pub(crate) struct Work {
    holder: Option<Holder>,
    looked: Option<Instant>,
}

/// What hosts keep together, for the one that holds it.
struct Holder {
    place: Arc<Place>,
    /// The number of the time that it was taken hold of.
    number: u64,
    shared: Arc<Shared>,
    holding: Holding,
    job: Option<Pieces<()>>,
}

/// What retention has taken of any host's data since this was seen.
struct DroppedByHosts {
    place: Arc<Place>,
    seen: Seen,
}

// === impl Hosts ===

impl Hosts {
    /// Opens a host's part, with its own place. `None` if hosts do not share that.
    pub(crate) async fn open(
        tenant: &str,
        keep: &Arc<dyn Keep>,
        source: Weak<dyn StorageSource>,
        (config, metrics): (Config, Arc<Metrics>),
    ) -> Option<Self> {
        let place = Place::open(tenant, keep, &source, (&config, &metrics))?;
        let own = Marking::new(tenant, &config, (Arc::clone(keep), false));
        if let Err(error) = own.begin().await {
            tracing::warn!(tenant, %error, "the marks of the service graph are read before the next write");
        }
        Some(Self {
            tenant: tenant.to_owned(),
            own,
            adopted: Mutex::default(),
            place: Mutex::new(Arc::new(place)),
            status: Mutex::default(),
            config,
            metrics,
            source,
        })
    }

    pub(crate) async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        self.own.before_write(now, batches).await
    }

    /// True if this host has looked seldom since it last said so, and has something to do now.
    pub(crate) fn wakes(&self) -> bool {
        std::mem::take(&mut self.status.lock().is_quiet)
    }

    pub(crate) fn after_write(&self) {
        self.own.after_write();
    }

    /// Begins in a new place: nothing is stored any more.
    pub(crate) async fn forget(&self, keep: Arc<dyn Keep>) {
        self.adopted.lock().clear();
        let settings = (&self.config, &self.metrics);
        if let Some(place) = Place::open(&self.tenant, &keep, &self.source, settings) {
            *self.place.lock() = Arc::new(place);
        }
        self.own.forget(keep).await;
    }

    pub(crate) async fn before_upkeep(&self, dead: Option<&str>) -> Result<(), Error> {
        match dead {
            None => self.own.before_upkeep().await,
            Some(dead) => self.of_dead(dead)?.before_upkeep().await,
        }
    }

    pub(crate) async fn after_upkeep(
        &self,
        dead: Option<&str>,
        now: u64,
        upkept: Upkept,
    ) -> Result<(), Error> {
        match dead {
            None => self.own.after_upkeep(now, upkept).await,
            Some(dead) => self.of_dead(dead)?.after_upkeep(now, upkept).await,
        }
    }

    fn of_dead(&self, dead: &str) -> Result<Arc<Marking>, Error> {
        let found = self.adopted.lock().get(dead).cloned();
        found.ok_or_else(|| {
            let text = format!("the marks of the dead host `{dead}` are not adopted here");
            Error::new(ErrorKind::Unavailable, text)
        })
    }

    /// This host sees to the marks of a dead one from now on.
    pub(crate) fn adopt(&self, dead: &str, keep: Arc<dyn Keep>) {
        let marking = Marking::new(&self.tenant, &self.config, (keep, true));
        self.adopted
            .lock()
            .insert(dead.to_owned(), Arc::new(marking));
    }

    /// The tenant is being closed here: another host may do the work.
    pub(crate) async fn close(&self) {
        let place = Arc::clone(&self.place.lock());
        // If the store is not reached another host has it once this one is dead.
        if let Err(error) = timeout(LONGEST_RELEASE, place.common.release())
            .await
            .unwrap_or(Ok(()))
        {
            tracing::debug!(tenant = self.tenant, %error, "what hosts keep together of the service graph was not given up");
        }
    }

    /// Does one bounded piece of the work that is due.
    pub(crate) async fn step(&self, work: &mut Work) -> Step {
        let place = Arc::clone(&self.place.lock());
        work.holder = work
            .holder
            .take()
            .filter(|it| Arc::ptr_eq(&it.place, &place));
        let is_working = work.holder.as_ref().is_some_and(|it| it.job.is_some());
        let is_due = work
            .looked
            .is_none_or(|it| it.elapsed() >= self.config.look);
        if !is_working || is_due {
            work.looked = Some(Instant::now());
            if let Err(error) = self.look(&place, work).await {
                tracing::debug!(tenant = self.tenant, %error, "what hosts have marked of the service graph was not read");
                self.status.lock().unusable = Some("what hosts have marked cannot be read");
                return self.idle();
            }
        }
        let Some(holder) = &mut work.holder else {
            return self.idle();
        };
        let waiting = match holder.shared.due() {
            Due::Now(job, waiting) => {
                if holder.job.is_none() {
                    let run = jobs::run(Arc::clone(&holder.shared), job);
                    holder.job = Some(Pieces::new(run));
                }
                waiting
            }
            Due::At(_) | Due::Nothing => 0,
        };
        let Some(job) = &mut holder.job else {
            return self.idle();
        };
        let since = Instant::now();
        let is_done = job.next().await.is_some();
        if is_done {
            holder.job = None;
        }
        let took = since.elapsed();
        place.reading.inner.lock().worked += took;
        Step::Worked { took, waiting }
    }

    fn idle(&self) -> Step {
        let looks = if self.status.lock().is_quiet {
            QUIET_LOOKS
        } else {
            1
        };
        Step::Idle(Some(self.config.look * looks))
    }

    /// Looks at what all hosts have marked: removes marks of this host, and as the holder takes in those of all.
    async fn look(&self, place: &Arc<Place>, work: &mut Work) -> Result<(), Error> {
        let seen = match place.followed.look().await {
            Err(error) if error.kind() == ErrorKind::DataLoss => {
                work.holder = None;
                self.mend(place, &error).await?;
                place.followed.look().await?
            }
            seen => seen?,
        };
        self.note(place, &seen);
        let adopted: Vec<_> = self.adopted.lock().values().cloned().collect();
        let mut markings: Vec<&Marking> = vec![&self.own];
        markings.extend(adopted.iter().map(|it| &**it));
        for marking in markings {
            if let Err(error) = marking.obey(&seen.together).await {
                tracing::debug!(tenant = self.tenant, %error, "marks of the service graph were not removed");
            }
        }
        let held = place.common.hold().await?;
        self.status.lock().is_holder = held.is_some();
        let Some(number) = held else {
            work.holder = None;
            return Ok(());
        };
        // Another host may have held it in between.
        let mut holder = match work.holder.take().filter(|it| it.number == number) {
            Some(holder) => holder,
            None => self.hold(place, number).await?,
        };
        if holder.job.is_none() {
            // After a failure what is kept is read anew.
            absorb(&holder.shared, &mut holder.holding, &seen).await?;
        }
        holder.take_damaged();
        work.holder = Some(holder);
        Ok(())
    }

    /// Makes anew what is damaged, if it is this host's, or if this host holds it.
    async fn mend(&self, place: &Place, error: &Error) -> Result<(), Error> {
        tracing::warn!(tenant = self.tenant, %error, "the service graph is made anew");
        let adopted: Vec<_> = self.adopted.lock().values().cloned().collect();
        for marking in adopted.iter().map(|it| &**it).chain([&self.own]) {
            mend_marks(marking).await?;
        }
        if place.common.hold().await?.is_some() {
            let keep: Arc<dyn Keep> = Stamped::new(place.common.keep());
            mend_together(&keep, self.config.day_buckets).await?;
        }
        Ok(())
    }

    async fn hold(&self, place: &Arc<Place>, number: u64) -> Result<Holder, Error> {
        let keep = Stamped::new(place.common.keep());
        let settings = (self.config.clone(), Arc::clone(&self.metrics));
        let keep: Arc<dyn Keep> = keep;
        let (_, holding) = holding::load(&*keep, self.config.day_buckets).await?;
        let source = Weak::clone(&self.source);
        let shared = Shared::open(&self.tenant, keep, source, settings).await;
        shared.inner.lock().blocked = Some(crate::inner::Blocked::default());
        Ok(Holder {
            place: Arc::clone(place),
            number,
            shared: Arc::new(shared),
            holding,
            job: None,
        })
    }

    /// Keeps what was seen for figures.
    fn note(&self, place: &Place, seen: &Seen) {
        let (state, unusable) = seen.effective();
        let mut entries = state.buckets.values();
        let is_settled = |it: &Entry| !it.is_open() && it.suspect(&state.drops).is_none();
        {
            let mut status = self.status.lock();
            status.unusable = unusable;
            status.is_quiet = unusable.is_none()
                && state.last_unknown().is_none()
                && state.late.is_empty()
                && entries.all(is_settled);
        }
        place.reading.inner.lock().state = state;
    }

    /// What is kept now for a window. `None` if all traces have to be judged.
    pub(crate) async fn view(&self, window: TimeRange) -> Option<view::Kept> {
        let place = Arc::clone(&self.place.lock());
        let (seen, state) = place.usable().await?;
        let (keep, damaged) = {
            let inner = place.reading.inner.lock();
            if !inner.damaged.is_empty() {
                return None;
            }
            (Arc::clone(&inner.keep), inner.days.damaged.clone())
        };
        let reading = Arc::clone(&place.reading);
        let dropped = DroppedByHosts { place, seen };
        let shown = (keep, state, damaged);
        view::Kept::of((&reading, Box::new(dropped)), shown, window)
    }

    /// What figures are read from, and the reason why nothing is answered from what is kept; `None` if it is.
    pub(crate) fn seen(&self) -> (Arc<Shared>, Option<&'static str>) {
        let reading = Arc::clone(&self.place.lock().reading);
        (reading, self.status.lock().unusable)
    }

    /// True if this host works on what all keep together.
    pub(crate) fn is_holder(&self) -> bool {
        self.status.lock().is_holder
    }
}

// === impl Place ===

impl Place {
    fn open(
        tenant: &str,
        keep: &Arc<dyn Keep>,
        source: &Weak<dyn StorageSource>,
        (config, metrics): (&Config, &Arc<Metrics>),
    ) -> Option<Self> {
        let common = keep.common()?;
        let own = Arc::clone(keep);
        let followed = Followed::new(own, common.keep(), config.day_buckets);
        let settings = (config.clone(), Arc::clone(metrics));
        let reading = Shared::unread(tenant, common.keep(), Weak::clone(source), settings);
        Some(Self {
            common,
            followed,
            reading: Arc::new(reading),
        })
    }
}

impl Place {
    /// What is seen now, and the state with the marks of all hosts. `None` if nothing may be answered from it.
    async fn usable(&self) -> Option<(Seen, State)> {
        let Shared { tenant, config, .. } = &*self.reading;
        let since = Instant::now();
        loop {
            let seen = self.followed.look().await;
            let seen = seen.inspect_err(|error| {
                tracing::warn!(tenant, %error, "what hosts have marked of the service graph was not read: dependencies are answered from all spans");
            });
            let seen = seen.ok()?;
            match seen.effective() {
                (state, None) => return Some((seen, state)),
                _ if seen.is_dropping() && since.elapsed() < config.patience => {
                    sleep(PAUSE).await;
                }
                (_, Some(_)) => return None,
            }
        }
    }
}

// === impl DroppedByHosts ===

#[async_trait::async_trait]
impl Dropped for DroppedByHosts {
    async fn before(&self) -> Option<u64> {
        let (now, _) = self.place.usable().await?;
        self.seen.dropped_until(&now)
    }
}

// === impl Holder ===

impl Holder {
    /// Has what this host's queries could not read made anew.
    fn take_damaged(&self) {
        let (buckets, days) = {
            let mut reading = self.place.reading.inner.lock();
            let buckets = std::mem::take(&mut reading.damaged);
            (buckets, std::mem::take(&mut reading.days.damaged))
        };
        let mut inner = self.shared.inner.lock();
        inner.damaged.extend(buckets);
        inner.days.damaged.extend(days);
    }
}

// === impl Seen ===

impl Seen {
    /// True if the upkeep of a host is under way.
    fn is_dropping(&self) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|(_, marks)| marks.drops.is_under_way)
    }

    /// The time before which what is gone by then, and was there now, may have been written; 0 if nothing is gone. `None` if nobody knows.
    fn dropped_until(&self, then: &Self) -> Option<u64> {
        let series = |marks: &HostMarks| marks.head.map(|it| it.series);
        let known: BTreeMap<&str, _> = self.hosts.iter().map(|(id, it)| (&**id, it)).collect();
        let mut before = 0;
        let mut count = 0;
        for (host, marks) in &then.hosts {
            // Of a host that is new nothing was there.
            let Some(known) = known.get(host.as_str()) else {
                continue;
            };
            count += 1;
            if series(marks) != series(known) {
                return None;
            }
            if marks.drops.number != known.drops.number {
                before = before.max(marks.drops.before);
            }
        }
        (count == known.len()).then_some(before)
    }
}
