//! Makes the sums of a day of those of its records.

use std::sync::Arc;

use larder_model::storage::{Keep, KeepChange};

use super::tidy::give_back;
use super::{Failure, Outcome};
use crate::bucket::{Bucket, Day};
use crate::checkpoint::pause;
use crate::entries::{day_key, put_day};
use crate::record::Totals;
use crate::shared::Shared;
use crate::state::{DaySums, Stored};

/// Records that are read in one piece of work.
const RECORDS_A_PIECE: usize = 8;

/// Sums that are being made.
struct Begun {
    day: Day,
    keep: Arc<dyn Keep>,
    epoch: u64,
    records: Vec<(Bucket, Stored)>,
}

/// Makes the sums of a day.
pub(super) async fn make(shared: &Shared, day: Day) -> Outcome {
    let begun = {
        let inner = shared.inner.lock();
        let records = inner.day_records(&shared.config, day);
        Begun {
            day,
            keep: Arc::clone(&inner.keep),
            epoch: inner.epoch,
            records: records.ok_or(Failure::Overtaken)?,
        }
    };
    let mut totals = Totals::default();
    for (number, (bucket, stored)) in begun.records.iter().enumerate() {
        let head = shared.peek(&*begun.keep, stored).await;
        let head = head.map_err(|damage| Failure::Damaged(*bucket, damage))?;
        totals.add(&head, stored.rows);
        if number % RECORDS_A_PIECE == RECORDS_A_PIECE - 1 {
            pause().await;
        }
    }
    let last = totals.last();
    let stored = shared
        .keep_day(&*begun.keep, day, totals.encode())
        .await
        .inspect_err(|_| shared.inner.lock().has_orphans = true)?;
    let group = stored.group.clone();
    let outcome = commit(shared, begun, DaySums { stored, last }).await;
    match &outcome {
        Ok(()) => {}
        Err(Failure::Overtaken) => give_back(shared, &group).await,
        // After a failed commit nobody knows whether the sums are referred to.
        Err(_) => shared.inner.lock().has_orphans = true,
    }
    outcome
}

async fn commit(shared: &Shared, begun: Begun, sums: DaySums) -> Outcome {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let Begun {
        day,
        epoch,
        records,
        ..
    } = begun;
    let change = {
        let inner = shared.inner.lock();
        let is_same = inner.day_records(&shared.config, day) == Some(records);
        if inner.epoch != epoch || !is_same {
            return Err(Failure::Overtaken);
        }
        let buckets = day.buckets(shared.config.day_buckets);
        put_day(&inner.state, (day, buckets), &sums)
    };
    shared.commit_once(&gate, vec![change]).await?;
    shared.inner.lock().state.days_mut().insert(day, sums);
    Ok(())
}

/// Deletes the sums of a day that cannot be read.
pub(super) async fn forget(shared: &Shared, day: Day) -> Outcome {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let series = shared.inner.lock().state.series;
    let change = KeepChange::Delete(day_key(series, day));
    shared.commit_once(&gate, vec![change]).await?;
    shared.inner.lock().forget_day(day);
    Ok(())
}
