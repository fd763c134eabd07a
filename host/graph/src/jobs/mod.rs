//! Work in the background: what is due, and the settling of buckets.

mod backfill;
mod day;
mod evict;
mod late;
mod settle;
mod tidy;

use std::sync::Arc;

use larder_model::storage::Error;

use crate::bucket::{Bucket, Day};
use crate::config::nanos;
use crate::inner::{Inner, Turn};
use crate::record::Damage;
use crate::shared::Shared;
use crate::state::{Entry, Phase};

/// Suspect records that count as waiting. A loss may touch the records of a whole store, and they are in no hurry.
const MOST_SUSPECTS: usize = 2;

/// One kind of work. It is done in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Job {
    /// Makes the head durable.
    SaveHead,
    /// Removes what nothing refers to.
    Tidy,
    /// Opens a bucket again whose record cannot be read.
    Reopen(Bucket),
    /// Deletes the sums of a day that cannot be read.
    ForgetDay(Day),
    /// Forgets some of too many buckets.
    Evict,
    /// Begins anew, as nobody knows what retention has taken.
    BeginAnew,
    /// Settles a bucket, for the first time or again.
    Settle(Bucket),
    /// Takes late traces into the records.
    Late,
    /// Looks for older traces, and settles their buckets.
    Backfill,
    /// Makes the sums of a day.
    Day(Day),
}

/// When a job that has failed is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    failures: u32,
    not_before: u64,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// This job. So many more wait.
    Now(Job, usize),
    /// Nothing before this time.
    At(u64),
    /// Nothing, until something changes.
    Nothing,
}

/// The end of a job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The tenant has been closed.
    #[error("the tenant is closed")]
    Closed,
    /// The state has been replaced, or the bucket has been opened again.
    #[error("the state has changed")]
    Overtaken,
    /// Other hosts may be writing to the bucket at this moment.
    #[error("the bucket is written to")]
    Blocked,
    /// A bucket has too many traces to be settled.
    #[error(
        "the traces of a bucket take more than {0} bytes: it is not settled, and they are judged in each query of its time"
    )]
    TooLarge(usize),
    /// The record of a bucket cannot be read.
    #[error("the record of a bucket cannot be read: {1}")]
    Damaged(Bucket, Damage),
    /// The storage, or where the record is to be kept.
    #[error(transparent)]
    Storage(#[from] Error),
}

/// The order of jobs that are due. Within a rank the one goes first that has been due for the longest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Upkeep,
    Late,
    /// Buckets that are written to: each query reads them, and more of them come.
    Open,
    Suspect,
    Backfill,
    /// They are in no hurry.
    Days,
    /// Late traces, if the job before took some in: a flow of them must not hold up the rest.
    LateAgain,
}

/// The result of a job.
pub(crate) type Outcome = Result<(), Failure>;

/// Does a job.
pub(crate) async fn run(shared: Arc<Shared>, job: Job) {
    shared.inner.lock().begins(job);
    let outcome = match job {
        Job::SaveHead => tidy::save_head(&shared).await,
        Job::Tidy => tidy::tidy(&shared).await,
        Job::Reopen(bucket) => tidy::reopen(&shared, bucket).await,
        Job::Evict => evict::evict(&shared).await,
        Job::BeginAnew => tidy::begin_anew(&shared).await,
        Job::Settle(bucket) => settle::settle(&shared, bucket).await,
        Job::Late => late::apply(&shared).await,
        Job::Backfill => backfill::backfill(&shared).await,
        Job::Day(day) => day::make(&shared, day).await,
        Job::ForgetDay(day) => day::forget(&shared, day).await,
    };
    shared.ended(job, outcome);
}

impl Shared {
    /// What there is to do now.
    pub(crate) fn due(&self) -> Due {
        let now = self.now();
        let mut inner = self.inner.lock();
        inner.look_at_clock(now);
        let mut next = Next::default();
        if !inner.is_current() {
            // It reads the state again.
            next.add(&inner, now, (Rank::Upkeep, Job::SaveHead), 0);
            return next.into_due();
        }
        self.upkeep(&inner, now, &mut next);
        self.late(&inner, now, &mut next);
        self.buckets(&inner, now, &mut next);
        if inner.has_statistics()
            && !inner.is_backfill_blocked()
            && inner.backfills_from(&self.config).is_some()
        {
            next.add(&inner, now, (Rank::Backfill, Job::Backfill), 0);
        }
        // To find them takes a look at all buckets, so they are looked for only where they would be first.
        let is_next = next.job.is_none_or(|it| it.0 > Rank::Days);
        if is_next && inner.has_statistics() && !inner.state.drops.is_unknown {
            for (day, at) in inner.days_to_make(&self.config) {
                next.add(&inner, now, (Rank::Days, Job::Day(day)), at);
            }
        }
        next.into_due()
    }

    fn upkeep(&self, inner: &Inner, now: u64, next: &mut Next) {
        if inner.state.drops.is_unknown {
            let at = inner.dropped.saturating_add(nanos(self.config.quiet));
            next.add(inner, now, (Rank::Upkeep, Job::BeginAnew), at);
        }
        for bucket in &inner.damaged {
            next.add(inner, now, (Rank::Upkeep, Job::Reopen(*bucket)), 0);
        }
        for day in &inner.days.damaged {
            next.add(inner, now, (Rank::Upkeep, Job::ForgetDay(*day)), 0);
        }
        if !inner.is_head_saved {
            next.add(inner, now, (Rank::Upkeep, Job::SaveHead), 0);
        }
        if inner.has_too_many(&self.config) {
            next.add(inner, now, (Rank::Upkeep, Job::Evict), 0);
        }
        if inner.has_orphans || !inner.remains.is_empty() || !inner.days.unused.is_empty() {
            next.add(inner, now, (Rank::Upkeep, Job::Tidy), 0);
        }
    }

    fn late(&self, inner: &Inner, now: u64, next: &mut Next) {
        let free = inner.late_marks.iter();
        let free = free.filter(|(id, _)| !inner.is_late_blocked(**id));
        let oldest = free.map(|(_, (_, since))| *since).min();
        if let Some(oldest) = oldest {
            let at = if inner.late_marks.len() >= self.config.late_traces {
                0
            } else {
                oldest.saturating_add(nanos(self.config.late_wait))
            };
            let rank = if inner.turn == Turn::Late {
                Rank::LateAgain
            } else {
                Rank::Late
            };
            next.add(inner, now, (rank, Job::Late), at);
        }
    }

    fn buckets(&self, inner: &Inner, now: u64, next: &mut Next) {
        let Inner { state, written, .. } = inner;
        // While nobody knows what is gone, a record would not be trusted.
        if state.drops.is_unknown {
            return;
        }
        let quiet = nanos(self.config.quiet);
        let is_open = |entry: &Entry| matches!(entry.phase, Phase::Open);
        let entries = || {
            let entries = state.buckets.iter();
            entries.filter(|it| !inner.is_blocked(*it.0))
        };
        for (bucket, entry) in entries().filter(|it| is_open(it.1)) {
            let written = written.get(bucket).copied().unwrap_or_default();
            let quiet = written.max(bucket.range().end).saturating_add(quiet);
            let longest = entry.opened.saturating_add(nanos(self.config.longest_open));
            let at = quiet.min(longest);
            next.add(inner, now, (Rank::Open, Job::Settle(*bucket)), at);
        }
        let most = next.waiting.saturating_add(MOST_SUSPECTS);
        let longest = nanos(self.config.longest_suspect);
        let longest = inner.first_dropped.saturating_add(longest);
        let at = inner.dropped.saturating_add(quiet).min(longest);
        for (bucket, entry) in entries() {
            if entry.suspect(&state.drops).is_some() {
                next.add(inner, now, (Rank::Suspect, Job::Settle(*bucket)), at);
            }
        }
        next.waiting = next.waiting.min(most);
    }

    fn ended(&self, job: Job, outcome: Outcome) {
        let now = self.now();
        let mut inner = self.inner.lock();
        match outcome {
            Ok(()) => {
                inner.retries.remove(&job);
                if let Job::Settle(bucket) = job {
                    inner.too_large.remove(&bucket);
                }
            }
            Err(failure @ Failure::TooLarge(_)) => {
                inner.failed(self, (job, now), &failure.to_string());
            }
            Err(Failure::Closed | Failure::Overtaken) => {}
            Err(Failure::Blocked) => {
                let retry = Retry {
                    failures: 0,
                    not_before: now.saturating_add(nanos(self.config.retry)),
                };
                inner.retries.insert(job, retry);
            }
            Err(Failure::Damaged(bucket, damage)) => {
                let tenant = &self.tenant;
                if damage.is_lasting() {
                    tracing::warn!(tenant, %damage, "a record of the service graph cannot be read, and is made anew");
                    inner.damaged.insert(bucket);
                    return;
                }
                inner.failed(self, (job, now), &damage.to_string());
            }
            Err(Failure::Storage(error)) => inner.failed(self, (job, now), error.message()),
        }
    }
}

/// The first job that is due, or the time of the next one.
#[derive(Default)]
struct Next {
    job: Option<(Rank, u64, Job)>,
    waiting: usize,
    at: Option<u64>,
}

impl Next {
    fn add(&mut self, inner: &Inner, now: u64, (rank, job): (Rank, Job), at: u64) {
        let retry = inner.retries.get(&job).map_or(0, |it| it.not_before);
        let at = at.max(retry);
        if at > now {
            self.at = Some(self.at.map_or(at, |before| before.min(at)));
            return;
        }
        self.waiting += usize::from(self.job.is_some());
        let is_first = |it: (Rank, u64, Job)| (rank, at) < (it.0, it.1);
        if self.job.is_none_or(is_first) {
            self.job = Some((rank, at, job));
        }
    }

    fn into_due(self) -> Due {
        match (self.job, self.at) {
            (Some((.., job)), _) => Due::Now(job, self.waiting),
            (None, Some(at)) => Due::At(at),
            (None, None) => Due::Nothing,
        }
    }
}

impl Inner {
    /// Notes whether late traces are taken in now.
    fn begins(&mut self, job: Job) {
        match job {
            Job::Late => self.turn = Turn::Late,
            Job::Settle(_) | Job::Backfill | Job::Day(_) => self.turn = Turn::Other,
            Job::SaveHead
            | Job::Tidy
            | Job::Reopen(_)
            | Job::ForgetDay(_)
            | Job::Evict
            | Job::BeginAnew => {}
        }
    }

    /// Puts off a job that has failed. The first of its failures is logged.
    fn failed(&mut self, shared: &Shared, (job, now): (Job, u64), error: &str) {
        let failures = self.retries.get(&job).map_or(0, |it| it.failures);
        if failures == 0 {
            let tenant = &shared.tenant;
            tracing::warn!(
                tenant,
                ?job,
                error,
                "the service graph falls behind, as a piece of work in the background has failed; it is tried again"
            );
        }
        let (first, most) = (shared.config.retry, shared.config.longest_retry);
        let wait = first.saturating_mul(1 << failures.min(16)).min(most);
        let retry = Retry {
            failures: failures + 1,
            not_before: now.saturating_add(nanos(wait)),
        };
        self.retries.insert(job, retry);
    }
}
