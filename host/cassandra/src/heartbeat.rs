//! The signs of life of this host, and what it finds out while it gives them: who else lives, and whether the store can be reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_store::Error;
use tracing::warn;

use crate::db::{Db, random, row, rows};
use crate::process;
use crate::statements::Name;
use crate::watch::{Beat, INTERVAL, Life};

/// Time between two looks at a host of which it is not known whether it is alive.
const LOOK: Duration = Duration::from_secs(1);

type BeatRow = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<bool>,
);

/// Gives signs of life for ever.
pub(crate) async fn run(db: Arc<Db>) {
    let mut failed = false;
    // A row is there before the driver is used: see `driver.rs`.
    let mut beat = 1;
    loop {
        tokio::time::sleep(INTERVAL).await;
        beat += 1;
        let done = async {
            db.beat(beat, false).await?;
            db.look().await?;
            db.look_at_holders();
            db.probe().await
        };
        match done.await {
            Ok(()) => failed = false,
            Err(error) => {
                if !failed {
                    warn!(%error, "no sign of life can be given to the other hosts");
                }
                failed = true;
            }
        }
    }
}

// === impl Db ===

impl Db {
    /// Gives one sign of life, or says good-bye.
    pub(crate) async fn beat(&self, beat: i64, gone: bool) -> Result<(), Error> {
        let options = &self.options;
        let values = (
            &options.host,
            &self.instance,
            &options.address,
            &options.version,
            process::this(),
            beat,
            gone,
        );
        self.run(Name::BeatPut, values).await?;
        Ok(())
    }

    /// Says good-bye in the place of a host that is dead. Should it come back, it gives signs of life again, and finds its claims fenced where
    /// others have adopted them.
    ///
    /// # Errors
    /// [`Error::Held`] if it is alive.
    pub(crate) async fn dismiss(&self, host: &str) -> Result<(), Error> {
        if let Some(address) = self
            .living(host, |instance| instance != self.instance)
            .await?
        {
            return Err(Error::Held(format!(
                "the host `{host}` at {address} is alive: stop it first"
            )));
        }
        let of_host = self.beats().await?.into_iter();
        for it in of_host.filter(|it| it.host == host && it.instance != self.instance) {
            let values = (
                &it.host,
                &it.instance,
                &it.address,
                &it.version,
                &it.process,
                it.number,
                true,
            );
            self.run(Name::BeatPut, values).await?;
        }
        Ok(())
    }

    /// The address of a host if one of its processes is alive, without this one. Waits until it is known whether it is.
    pub(crate) async fn living(
        &self,
        host: &str,
        counts: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, Error> {
        loop {
            self.look().await?;
            let life = {
                let watch = self.watch.lock();
                watch.life(host, &counts, process::has_ended)
            };
            match life {
                Life::Dead => return Ok(None),
                Life::Alive(address) => return Ok(Some(address)),
                Life::Unsure => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Looks at the signs of life of all hosts.
    pub(crate) async fn look(&self) -> Result<(), Error> {
        let beats = self.beats().await?;
        self.watch.lock().observe(Instant::now(), beats);
        Ok(())
    }

    async fn beats(&self) -> Result<Vec<Beat>, Error> {
        let found: Vec<BeatRow> = rows(self.run(Name::BeatList, ()).await?)?;
        let beats = found
            .into_iter()
            .map(
                |(host, instance, address, version, process, number, gone)| Beat {
                    host,
                    instance,
                    address: address.unwrap_or_default(),
                    version: version.unwrap_or_default(),
                    process: process.unwrap_or_default(),
                    number: number.unwrap_or_default(),
                    gone: gone.unwrap_or_default(),
                },
            )
            .collect();
        Ok(beats)
    }

    /// Tries a read and a write with a condition. What comes of them is kept with the results of all statements.
    async fn probe(&self) -> Result<(), Error> {
        row::<(Option<i32>,)>(self.run(Name::MetaGet, ()).await?)?;
        let beat = random();
        let probed = self.condition(Name::Probe, (beat, &self.options.host, beat));
        probed.await?;
        Ok(())
    }
}
