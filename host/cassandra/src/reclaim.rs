//! Reclaims: a partition is taken from the lists at once, and its data is deleted later (`sweep.rs`).

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::{Claim, Error};

use crate::db::rows;
use crate::namespace::{Space, epoch};
use crate::places::Place;
use crate::statements::Name;
use crate::timestamps::now_millis;

const AT_ONCE: usize = 16;

// === impl Space ===

impl Space {
    pub(crate) async fn reclaim_partition(&self, by: &Claim, part: &str) -> Result<(), Error> {
        self.check(by)?;
        self.check_claim(by).await?;
        let place = self.place(part, Name::PlaceSerial).await?;
        let (shards, has_entries) = match &place {
            Some(place) => (place.checked_shards()?, place.facts.entries),
            None => (0, false),
        };
        // First what sees to it that the data is deleted, whatever becomes of this host. It is not deleted before the name is reclaimed.
        let values = (self.ns, &by.writer, part, shards, now_millis());
        self.db.run(Name::SweepPut, values).await?;
        self.reclaim_name(by, part, place).await?;
        self.note_reclaimed(part);
        self.usage.lock().remove(part);
        if has_entries {
            self.db.end_seats(self.ns, part, &by.writer).await?;
        }
        self.unlist(part).await?;
        self.registered.lock().retain(|(_, it), _| it != part);
        self.seats.lock().retain(|(_, it), _| it != part);
        if self.db.options.linger.is_zero() {
            self.sweep(&by.writer).await?;
        }
        Ok(())
    }

    /// Reclaims a name, so that nobody enters it any more.
    async fn reclaim_name(
        &self,
        by: &Claim,
        part: &str,
        mut place: Option<Place>,
    ) -> Result<(), Error> {
        let mut tries = self.db.tries();
        loop {
            let now = now_millis();
            let verdict = match &place {
                Some(place) if place.is_reclaimed => return Ok(()),
                Some(place) => {
                    // Another claim of the writer, which is later, has begun to use it.
                    let is_later = place.epoch.is_some_and(|it| it > epoch(by));
                    if place.writer.as_ref() == Some(&by.writer) && is_later {
                        return Err(self.fenced(by));
                    }
                    let values = (
                        place.change.saturating_add(1),
                        &place.writer,
                        place.epoch,
                        place.facts.shards,
                        place.facts.entries,
                        place.facts.objects,
                        now,
                        self.ns,
                        part,
                        place.change,
                    );
                    self.db.condition(Name::PlaceReclaim, values).await
                }
                None => {
                    let values = (now, self.ns, part);
                    self.db.condition(Name::PlaceReclaimNew, values).await
                }
            };
            match verdict {
                Ok(verdict) if verdict.applied => return Ok(()),
                Ok(_) => tries.lost("a partition").await?,
                Err(failure) => tries.again(failure).await?,
            }
            place = self.place(part, Name::PlaceSerial).await?;
        }
    }

    /// Takes a reclaimed partition out of the lists of all writers.
    pub(crate) async fn unlist(&self, part: &str) -> Result<(), Error> {
        let writers = self.writer_rows().await?.into_iter();
        let writers: Vec<String> = writers.map(|(writer, ..)| writer).collect();
        if writers.is_empty() {
            return Ok(());
        }
        let found = self.db.run(Name::PartWriters, (self.ns, &writers, part));
        let listed = rows::<(String,)>(found.await?)?;
        let unlisted = stream::iter(listed).map(|(writer,)| async move {
            let values = (self.ns, &writer, part);
            self.db.run(Name::PartDelete, values).await.map(drop)
        });
        unlisted.buffer_unordered(AT_ONCE).try_collect().await
    }
}
