//! Claims of writer ids: by the host whose own they are, and by others once that host is dead.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::{Claim, Error, HOST_PREFIX};
use tracing::info;
use xxhash_rust::xxh3::xxh3_64;

use crate::db::{Tries, row};
use crate::heads::ENDED;
use crate::namespace::{Known, Space, epoch};
use crate::statements::Name;

/// Partitions in which seats are raised at the same time.
const AT_ONCE: usize = 16;
/// Numbers of writers of one namespace: 1 to this.
const NUMBERS: u64 = 65_535;

/// A row of the table `writer`.
#[derive(Clone, Debug, Default)]
struct Writer {
    number: u16,
    epoch: i64,
    /// The process that has claimed it last.
    holder: String,
    /// The host that has claimed it last other than by adoption.
    host: String,
    /// The last claim was that of another host, for upkeep.
    adopted: bool,
    committed: bool,
}

type WriterRow = (
    Option<i32>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<bool>,
    Option<bool>,
);

/// The host whose own an id is: the id itself, or its last part if it is one of the further ids of a host.
fn owner(writer: &str) -> &str {
    let further = writer.strip_prefix(HOST_PREFIX);
    further.map_or(writer, |it| it.rsplit('/').next().unwrap_or(it))
}

/// The numbers that a writer may get, in the order in which it tries them. All hosts try them in the same order, so two that enter one id
/// at the same time get the same number.
fn numbers(writer: &str) -> impl Iterator<Item = u16> {
    let first = xxh3_64(writer.as_bytes()) % NUMBERS;
    let number = move |n| u16::try_from((first + n) % NUMBERS + 1).unwrap_or(1);
    (0..NUMBERS).map(number)
}

// === impl Space ===

impl Space {
    /// Claims an id as this host's own. If a number is given, the id is entered with that one, or has it already.
    pub(crate) async fn claim_own(
        &self,
        writer: &str,
        number: Option<u16>,
    ) -> Result<Claim, Error> {
        let lock = self.claiming(writer);
        let _one = lock.lock().await;
        let mut now = self.writer(writer).await?;
        if self.check_owner(writer, now.as_ref()).await? {
            now = self.writer(writer).await?;
        }
        self.db.held.forget(self.ns);
        let mut tries = self.db.tries();
        loop {
            let Some(now) = now.take().or(self.writer(writer).await?) else {
                match self.enter_writer(writer, number, &mut tries).await? {
                    Some(claim) => return self.take_over(claim, None).await,
                    None => continue,
                }
            };
            if now.epoch == ENDED {
                self.purge();
                return Err(Error::Fenced);
            }
            if let Some(wanted) = number.filter(|wanted| *wanted != now.number) {
                return Err(Error::Other(format!(
                    "the writer id `{writer}` has the number {} in the tenant `{}`, and cannot have {wanted}: purge the tenant first",
                    now.number, self.tenant
                )));
            }
            if let Some(claim) = self.advance(writer, &now, false, &mut tries).await? {
                return self.take_over(claim, Some(&now)).await;
            }
        }
    }

    /// The number of an id that is entered.
    pub(crate) async fn writer_number(&self, writer: &str) -> Result<u16, Error> {
        let entered = self.writer(writer).await?;
        let entered = entered.ok_or_else(|| {
            Error::Other(format!(
                "the tenant `{}` has no writer `{writer}`",
                self.tenant
            ))
        })?;
        Ok(entered.number)
    }

    /// Claims the id of a host that is dead.
    pub(crate) async fn claim_dead(&self, writer: &str) -> Result<Option<Claim>, Error> {
        let lock = self.claiming(writer);
        let _one = lock.lock().await;
        let Some(now) = self.writer(writer).await? else {
            return Ok(None);
        };
        if !now.committed || now.epoch == ENDED || now.host == self.db.options.host {
            return Ok(None);
        }
        // A judgement has to be about now.
        self.db.look().await?;
        {
            let watch = self.db.watch.lock();
            let is_mine = now.holder == self.db.instance;
            let is_held = now.adopted && !is_mine && !watch.is_dead_instance(&now.holder);
            if is_held || !watch.is_dead(&now.host) || !watch.is_dead(owner(writer)) {
                return Ok(None);
            }
        }
        let mut tries = self.db.tries();
        // Of several hosts that try it, the condition lets one in. The others look again when they are asked again.
        let Some(mut claim) = self.advance(writer, &now, true, &mut tries).await? else {
            return Ok(None);
        };
        info!(writer, host = now.host, "the id of a dead host was adopted");
        claim.is_upkeep = true;
        self.take_over(claim, Some(&now)).await.map(Some)
    }

    pub(crate) async fn retire_writer(&self, by: &Claim) -> Result<(), Error> {
        self.check(by)?;
        let mut tries = self.db.tries();
        let next = epoch(by).saturating_add(1);
        loop {
            let values = (next, self.ns, &by.writer, epoch(by));
            match self.db.condition(Name::WriterRetire, values).await {
                Ok(verdict) if verdict.applied => break,
                Ok(_) => {
                    // The answer to an earlier try may have been lost.
                    let now = self.writer(&by.writer).await?;
                    if now.is_some_and(|it| {
                        it.epoch == next && !it.committed && it.holder == self.db.instance
                    }) {
                        break;
                    }
                    return Err(self.fenced(by));
                }
                Err(failure) => tries.again(failure).await?,
            }
        }
        self.lose(&by.writer, by.epoch);
        self.raise_seats(&by.writer, next).await
    }

    /// Refuses a claim that does not stand any more.
    pub(crate) async fn check_claim(&self, by: &Claim) -> Result<(), Error> {
        let found = self.db.run(Name::WriterEpoch, (self.ns, &by.writer));
        let now: Option<(Option<i64>,)> = row(found.await?)?;
        if now.and_then(|(now,)| now) != Some(epoch(by)) {
            return Err(self.fenced(by));
        }
        Ok(())
    }

    /// The lock of an id that is being claimed.
    pub(crate) fn claiming(&self, writer: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut claiming = self.claiming.lock();
        Arc::clone(claiming.entry(writer.to_owned()).or_default())
    }

    async fn writer(&self, writer: &str) -> Result<Option<Writer>, Error> {
        let found = self.db.run(Name::WriterGet, (self.ns, writer)).await?;
        let found: Option<WriterRow> = row(found)?;
        let Some((number, Some(epoch), holder, host, adopted, committed)) = found else {
            return Ok(None);
        };
        Ok(Some(Writer {
            number: number
                .and_then(|it| u16::try_from(it).ok())
                .unwrap_or_default(),
            epoch,
            holder: holder.unwrap_or_default(),
            host: host.unwrap_or_default(),
            adopted: adopted.unwrap_or_default(),
            committed: committed.unwrap_or_default(),
        }))
    }

    /// Enters an id for the first time. `None` if another host was faster, or if the outcome is unknown: look again.
    async fn enter_writer(
        &self,
        writer: &str,
        number: Option<u16>,
        tries: &mut Tries,
    ) -> Result<Option<Claim>, Error> {
        let number = self.take_number(writer, number).await?;
        let options = &self.db.options;
        let values = (
            self.ns,
            writer,
            i32::from(number),
            &self.db.instance,
            &options.address,
            &options.host,
        );
        match self.db.condition(Name::WriterNew, values).await {
            Ok(verdict) if verdict.applied => Ok(Some(Claim {
                writer: writer.to_owned(),
                epoch: 1,
                number,
                is_upkeep: false,
            })),
            Ok(_) => Ok(None),
            // Claimed again, if it was entered.
            Err(failure) => tries.again(failure).await.map(|()| None),
        }
    }

    /// Takes a number for an id that is entered: this one, or the first that is free. No other id ever gets it.
    async fn take_number(&self, writer: &str, wanted: Option<u16>) -> Result<u16, Error> {
        let mut tries = self.db.tries();
        let any = numbers(writer).filter(|number| wanted.is_none_or(|wanted| wanted == *number));
        for number in any {
            loop {
                let values = (self.ns, i32::from(number), writer);
                match self.db.condition(Name::NumberTake, values).await {
                    Ok(verdict) if verdict.applied => return Ok(number),
                    Ok(verdict) if verdict.text("writer") == Some(writer) => return Ok(number),
                    Ok(_) => break,
                    Err(failure) => tries.again(failure).await?,
                }
            }
        }
        if let Some(wanted) = wanted {
            return Err(Error::Other(format!(
                "the number {wanted} of the writer id `{writer}` is that of another id in the tenant `{}`, and no other can be given to what is stored: purge the tenant first",
                self.tenant
            )));
        }
        Err(Error::Other(format!(
            "the tenant `{}` has had {NUMBERS} writers: purge it, and let hosts keep their ids",
            self.tenant
        )))
    }

    /// Refuses an id that is another process's own, if that is alive. Waits until it is known whether it is, and returns true if it has
    /// looked.
    async fn check_owner(&self, writer: &str, now: Option<&Writer>) -> Result<bool, Error> {
        let (owner, options) = (owner(writer), &self.db.options);
        let holder = now.map_or("", |now| now.holder.as_str());
        if holder == self.db.instance && now.is_some_and(|now| !now.adopted) {
            return Ok(false);
        }
        // Of this host's own ids, the process that was there first keeps those that it has. Of another host's, no process gets any.
        let is_own = *owner == *options.host;
        if is_own && (holder.is_empty() || now.is_some_and(|now| now.adopted)) {
            return Ok(false);
        }
        let counts = |instance: &str| !is_own || instance == holder;
        match self.db.living(owner, counts).await? {
            None => Ok(true),
            Some(address) => {
                let words = format!(
                    "the writer id `{writer}` is that of a host at {address}, which is alive, and the host `{}` at {} wants it too: two hosts must not have one id. Give one of them another id (`kv.cassandra.host`), or stop one",
                    options.host, options.address
                );
                if is_own {
                    self.db.held.note(self.ns, holder, &words);
                }
                Err(Error::Held(words))
            }
        }
    }

    /// Raises the epoch of an id by one. `None` if it has changed meanwhile, or if the outcome is unknown: look again.
    async fn advance(
        &self,
        writer: &str,
        now: &Writer,
        adopted: bool,
        tries: &mut Tries,
    ) -> Result<Option<Claim>, Error> {
        let options = &self.db.options;
        let next = now.epoch.saturating_add(1);
        let host = if adopted { &now.host } else { &options.host };
        let values = (
            next,
            &self.db.instance,
            &options.address,
            host,
            adopted,
            self.ns,
            writer,
            now.epoch,
        );
        match self.db.condition(Name::WriterClaim, values).await {
            Ok(verdict) if verdict.applied => Ok(Some(Claim {
                writer: writer.to_owned(),
                epoch: next.unsigned_abs(),
                number: now.number,
                is_upkeep: false,
            })),
            Ok(_) => tries.lost("a writer id").await.map(|()| None),
            Err(failure) => tries.again(failure).await.map(|()| None),
        }
    }

    /// Ends everything that earlier claims have under way, and takes over their count of bytes. `before` is `None` for a new id.
    async fn take_over(&self, claim: Claim, before: Option<&Writer>) -> Result<Claim, Error> {
        // A purge first replaces the namespace and then ends its writers. So either it ends this claim, or it is seen here.
        if self.db.namespace_of(&self.tenant).await? != Some(self.ns) {
            self.purge();
            return Err(Error::Fenced);
        }
        if before.is_some() {
            self.raise_seats(&claim.writer, epoch(&claim)).await?;
        }
        let known = Known {
            epoch: claim.epoch,
            lost: false,
        };
        let old = self.claims.lock().insert(claim.writer.clone(), known);
        let went_on = old.is_some_and(|old| !old.lost)
            && before.is_some_and(|before| before.holder == self.db.instance);
        if !went_on {
            let parts = self.part_rows(&claim.writer).await?.into_iter();
            let bytes = |bytes: Option<i64>| {
                let bytes = bytes.unwrap_or_default();
                u64::try_from(bytes).unwrap_or_default()
            };
            let parts = parts.map(|(part, .., stored)| (part, bytes(stored)));
            let reclaimed: Vec<String> = self.reclaimed.lock().keys().cloned().collect();
            let live = parts.filter(|(part, _)| !reclaimed.contains(part));
            self.usage.lock().own(&claim.writer, live);
        }
        Ok(claim)
    }

    /// Raises the seats of an id in all partitions to which it has committed.
    async fn raise_seats(&self, writer: &str, epoch: i64) -> Result<(), Error> {
        let parts = self.part_rows(writer).await?.into_iter();
        let heads =
            parts.filter_map(|(part, _, entries, ..)| entries.unwrap_or_default().then_some(part));
        let raised = stream::iter(heads).map(|part| async move {
            let seat = writer.as_bytes();
            match self.db.raise(self.ns, &part, seat, epoch).await {
                // A reclaim has ended all seats of the partition.
                Err(Error::Fenced) if self.is_reclaimed(&part).await? => Ok(()),
                raised => raised,
            }
        });
        raised.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn is_reclaimed(&self, part: &str) -> Result<bool, Error> {
        let place = self.place(part, Name::PlaceSerial).await?;
        Ok(place.is_some_and(|place| place.is_reclaimed))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_writer_may_get_every_number_but_0() {
        let all: HashSet<u16> = numbers("w").collect();
        assert_eq!(all.len(), 65_535);
        assert!(!all.contains(&0));
    }

    #[test]
    fn the_further_ids_of_a_host_are_its_own_too() {
        assert_eq!(owner("h1"), "h1");
        assert_eq!(owner("_host/graph/h1"), "h1");
        assert_eq!(owner("_host/h1"), "h1");
        assert_eq!(owner("a/b"), "a/b");
    }

    #[test]
    fn all_hosts_try_the_numbers_in_the_same_order() {
        assert!(numbers("w").take(100).eq(numbers("w").take(100)));
        assert!(numbers("w").next() != numbers("v").next());
    }
}
