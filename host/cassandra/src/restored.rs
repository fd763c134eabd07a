//! What is due once the tables have been restored from snapshots that were made while hosts wrote.
//!
//! `head` was copied first and all else later, so everything that a head refers to is in the copy. But what was reclaimed in between is
//! marked for deletion there, though the restored heads refer to it still. So all marks of what is not deleted yet are taken back. A writer
//! that is opened looks through its partitions, and reclaims anew what nothing refers to.

use larder_store::Error;

use crate::db::rows;
use crate::namespace::Space;
use crate::places::{Kind, Place};
use crate::statements::Name;
use crate::sweep::SweepRow;

// === impl Space ===

impl Space {
    /// Takes back every reclaim of which nothing is deleted yet, and returns their number. Nobody else may use the store. Cut off, it can be
    /// run again.
    pub(crate) async fn take_reclaims_back(&self) -> Result<u64, Error> {
        let mut taken = 0;
        for (writer, ..) in self.writer_rows().await? {
            let found = self.db.run(Name::SweepList, (self.ns, &writer)).await?;
            for (part, _, since, done) in rows::<SweepRow>(found)? {
                if since.is_none() || done.unwrap_or_default() > 0 {
                    continue;
                }
                let place = self.place(&part, Name::PlaceSerial).await?;
                // A name without a place was reclaimed before anything was written there.
                let place = place.filter(|place| place.is_reclaimed && place.facts.shards > 0);
                if let Some(place) = place {
                    self.take_name_back(&part, &place).await?;
                    for kind in [Kind::Entries, Kind::Objects] {
                        if place.facts.has(kind) {
                            self.list(&writer, &part, kind, place.facts.shards).await?;
                        }
                    }
                    taken += 1;
                }
                // The last, as it is what leads here.
                self.forget_sweep(&writer, &part).await?;
            }
        }
        Ok(taken)
    }

    async fn take_name_back(&self, part: &str, place: &Place) -> Result<(), Error> {
        let values = (
            place.change.saturating_add(1),
            &place.writer,
            place.epoch,
            place.facts.shards,
            place.facts.entries,
            place.facts.objects,
            self.ns,
            part,
            place.change,
        );
        let mut tries = self.db.tries();
        loop {
            match self.db.condition(Name::PlaceReturn, values).await {
                Ok(verdict) if verdict.applied => return Ok(()),
                Ok(_) => {
                    // The answer to an earlier try was lost, if it is not reclaimed any more.
                    let now = self.place(part, Name::PlaceSerial).await?;
                    if now.is_some_and(|now| !now.is_reclaimed) {
                        return Ok(());
                    }
                    tries.lost("a partition that was reclaimed").await?;
                }
                Err(failure) => tries.again(failure).await?,
            }
        }
    }
}
