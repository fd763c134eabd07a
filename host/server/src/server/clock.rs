//! The time that retention believes, kept beside the data, so that a start notices a jump of the system's clock.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use larder_core::clock::TrustedClock;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::kv_dir;
use crate::config::{Config, KvDriver};

/// Interval at which the time is written.
const WRITE_INTERVAL: Duration = Duration::from_mins(1);
const FILE: &str = "CLOCK";

/// The clock, and the folder in which its time is kept.
pub(super) struct Kept {
    /// None if the data does not outlive the process.
    dir: Option<PathBuf>,
    clock: Arc<TrustedClock>,
}

/// The clock of retention. Call it before the store is opened, which changes its files.
pub(super) fn open(config: &Config) -> Arc<TrustedClock> {
    let newest = dir(config).and_then(|dir| newest_write(&dir));
    TrustedClock::system(newest)
}

/// The folder of the kept time: beside the data, or in the data directory if other machines keep the data.
fn dir(config: &Config) -> Option<PathBuf> {
    match config.kv.driver {
        KvDriver::Embedded => Some(kv_dir(config)),
        KvDriver::Cassandra => Some(config.data_dir.clone()),
        KvDriver::Memory => None,
    }
}

// === impl Kept ===

impl Kept {
    /// For an open store.
    pub(super) fn new(config: &Config, clock: Arc<TrustedClock>) -> Self {
        Self {
            dir: dir(config),
            clock,
        }
    }

    /// Looks at the clock, and writes the believed time, once a minute and at the end.
    pub(super) async fn keep(self, stop: CancellationToken) {
        loop {
            let stopped = stop.is_cancelled();
            let believed = self.clock.believed();
            if let Some(dir) = self.dir.clone() {
                let shown = dir.clone();
                let written = spawn_blocking(move || write(&dir, believed)).await;
                if let Err(error) = written.unwrap_or_else(|ended| Err(io::Error::other(ended))) {
                    tracing::warn!(%error, dir = %shown.display(), "the time of the newest write cannot be kept");
                }
            }
            if stopped {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(WRITE_INTERVAL) => {}
            }
        }
    }
}

/// The time of the newest write, in Unix nanoseconds: what the last server kept, or the time of the newest file of a store that an older
/// version wrote.
fn newest_write(dir: &Path) -> Option<u64> {
    let read = fs::read_to_string(dir.join(FILE));
    let kept = read.ok().and_then(|text| parse(&text));
    kept.or_else(|| {
        let folders = ["journal", "objects", "tree", "tree/tables"];
        let files = folders.map(|folder| fs::read_dir(dir.join(folder)));
        let files = files.into_iter().flatten().flatten().flatten();
        let times = files.filter_map(|file| {
            let metadata = file.metadata().ok()?;
            let modified = metadata.is_file().then(|| metadata.modified().ok())??;
            let since = modified.duration_since(UNIX_EPOCH).ok()?;
            u64::try_from(since.as_nanos()).ok()
        });
        times.max()
    })
}

/// The number is there twice, so that a damaged file is not believed.
fn parse(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let (first, second) = (lines.next()?, lines.next()?);
    (first == second).then(|| first.parse().ok())?
}

/// Replaces the file. It is not synced: one that a crash has damaged is not believed.
fn write(dir: &Path, nanos: u64) -> io::Result<()> {
    let new = dir.join("CLOCK.new");
    fs::write(&new, format!("{nanos}\n{nanos}\n"))?;
    fs::rename(new, dir.join(FILE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_damaged_time_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest_write(dir.path()), None);
        write(dir.path(), 1234).unwrap();
        assert_eq!(newest_write(dir.path()), Some(1234));
        fs::write(dir.path().join(FILE), "1234\n9234\n").unwrap();
        assert_eq!(newest_write(dir.path()), None);
        fs::write(dir.path().join(FILE), "1234\n").unwrap();
        assert_eq!(newest_write(dir.path()), None);
        fs::write(dir.path().join(FILE), [0xff; 20]).unwrap();
        assert_eq!(newest_write(dir.path()), None);
    }

    #[test]
    fn the_newest_file_tells_the_time_of_a_store_of_an_older_version() {
        let dir = tempfile::tempdir().unwrap();
        for (path, seconds) in [
            ("objects/1.obj", 1000),
            ("tree/tables/1", 3000),
            ("tree/v1", 2000),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(path).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            file.set_modified(time).unwrap();
        }
        assert_eq!(newest_write(dir.path()), Some(3_000_000_000_000));
        write(dir.path(), 1234).unwrap();
        assert_eq!(newest_write(dir.path()), Some(1234));
    }
}
