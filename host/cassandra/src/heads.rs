//! Raising the seats of a writer, so that nothing of its earlier claims is applied any more.

use larder_store::Error;

use crate::db::{Db, random, rows};
use crate::statements::Name;
use crate::timestamps::after_conditions;

/// The epoch of a seat that nobody can take any more: of a purged namespace or a reclaimed partition.
pub(crate) const ENDED: i64 = i64::MAX;

// === impl Db ===

impl Db {
    /// Raises a writer's seat in a partition to this epoch, or makes one. What was under way for an earlier epoch is over when this returns.
    ///
    /// # Errors
    /// [`Error::Fenced`] if the seat has a greater epoch.
    pub(crate) async fn raise(
        &self,
        ns: i64,
        part: &str,
        writer: &[u8],
        epoch: i64,
    ) -> Result<(), Error> {
        let mut tries = self.tries();
        loop {
            let last = random();
            let values = (epoch, last, ns, part, writer, epoch);
            let verdict = match self.condition(Name::SeatRaise, values).await {
                Ok(verdict) => verdict,
                Err(failure) => {
                    tries.again(failure).await?;
                    continue;
                }
            };
            match verdict.number("epoch") {
                _ if verdict.applied => return Ok(()),
                Some(now) if now == epoch => return Ok(()),
                Some(now) if now > epoch => return Err(Error::Fenced),
                Some(_) => tries.lost("a seat").await?,
                None => {
                    let values = (ns, part, writer, epoch, last);
                    match self.condition(Name::SeatNew, values).await {
                        Ok(verdict) if verdict.applied => return Ok(()),
                        Ok(_) => {}
                        Err(failure) => tries.again(failure).await?,
                    }
                }
            }
        }
    }

    /// Ends the seats of all writers that have ever sat in a partition, and of this one.
    pub(crate) async fn end_seats(&self, ns: i64, part: &str, writer: &str) -> Result<(), Error> {
        let found = self.run(Name::SeatList, (ns, part)).await?;
        let mut seats: Vec<Vec<u8>> = rows::<(Vec<u8>,)>(found)?
            .into_iter()
            .map(|(writer,)| writer)
            .collect();
        if !seats.iter().any(|seat| seat == writer.as_bytes()) {
            seats.push(writer.as_bytes().to_vec());
        }
        for seat in seats {
            self.raise(ns, part, &seat, ENDED).await?;
        }
        Ok(())
    }

    /// Removes everything that was committed in a partition whose seats have ended.
    pub(crate) async fn drop_head(&self, ns: i64, part: &str) -> Result<(), Error> {
        let values = (after_conditions(), ns, part);
        self.run(Name::HeadDrop, values).await?;
        Ok(())
    }
}
