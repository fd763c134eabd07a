//! Values made of files, made anew when the files change: certificates and tokens.
//!
//! A file is looked at every few seconds, and whenever the configuration is read again. One that cannot be used changes nothing: the
//! last good value stays, and the log says why.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use larder_core::Live;
use larder_core::telemetry::Chain;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// A value made of files.
pub struct FromFiles<T, E> {
    /// What it is, for the log: `grpc.tls`.
    what: &'static str,
    files: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T, E> + Send + Sync>,
    current: Live<T>,
    seen: Mutex<Vec<Option<Stamp>>>,
}

/// What can be looked at again.
pub trait Reload: Send + Sync {
    /// Makes the value anew if a file has changed, and takes it if that succeeds. Blocks on the disk.
    fn look(&self);

    /// Makes the value anew, changed or not, for the caller to take or to drop. Blocks on the disk.
    ///
    /// # Errors
    /// A file that cannot be used: with setting, file, and what is wrong.
    fn prepare(self: Arc<Self>) -> Result<Fresh, Box<dyn Error + Send + Sync>>;
}

/// A value that was made anew, and is not in use yet.
pub struct Fresh {
    /// The setting that names its files: `grpc.tls`.
    pub setting: &'static str,
    /// Puts it to use.
    pub take: Box<dyn FnOnce() + Send>,
}

/// What tells one state of a file from another, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Of the file itself: a mounted secret changes by a link to another file.
    inode: u64,
}

// === impl FromFiles ===

impl<T, E> FromFiles<T, E> {
    /// Makes the value for the first time, and has it made again by `make` when one of `files` changes.
    pub fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // Before they are read, so that a change meanwhile is not missed.
        let seen = stamps(&files);
        Ok(Self {
            what,
            files,
            current: Live::new(make()?),
            make: Box::new(make),
            seen: Mutex::new(seen),
        })
    }

    /// The last value that could be made.
    pub fn current(&self) -> Arc<T> {
        self.current.get()
    }

    fn take(&self, value: T) {
        self.current.set(value);
        tracing::info!(setting = self.what, "files read again");
    }
}

impl<T, E> Reload for FromFiles<T, E>
where
    T: Send + Sync + 'static,
    E: Error + Send + Sync + 'static,
{
    fn look(&self) {
        let mut seen = self.seen.lock();
        let now = stamps(&self.files);
        if *seen == now {
            return;
        }
        *seen = now;
        match (self.make)() {
            Ok(value) => self.take(value),
            Err(error) => {
                tracing::error!(setting = self.what, error = %Chain(&error), "changed files cannot be used; the last good ones stay in use");
            }
        }
    }

    fn prepare(self: Arc<Self>) -> Result<Fresh, Box<dyn Error + Send + Sync>> {
        let value = (self.make)()?;
        Ok(Fresh {
            setting: self.what,
            take: Box::new(move || self.take(value)),
        })
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files
        .iter()
        .map(|file| {
            let told = fs::metadata(file).ok()?;
            Some(Stamp {
                modified: told.modified().ok(),
                bytes: told.len(),
                #[cfg(unix)]
                inode: std::os::unix::fs::MetadataExt::ino(&told),
                #[cfg(not(unix))]
                inode: 0,
            })
        })
        .collect()
}

/// Looks at all of them every few seconds, until `stop`.
pub async fn watch(all: Vec<Arc<dyn Reload>>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let all = all.clone();
        let looked = tokio::task::spawn_blocking(move || {
            for one in &all {
                one.look();
            }
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "reading changed files failed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;

    fn number(path: &Path) -> FromFiles<u32, std::num::ParseIntError> {
        let file = path.to_owned();
        FromFiles::open("a number", vec![path.to_owned()], move || {
            fs::read_to_string(&file).unwrap_or_default().parse()
        })
        .unwrap()
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("number");
        fs::write(&file, "7").unwrap();
        let number = number(&file);
        fs::write(&file, "no number").unwrap();
        number.look();
        assert_eq!(*number.current(), 7);
        fs::remove_file(&file).unwrap();
        number.look();
        assert_eq!(*number.current(), 7);
        fs::write(&file, "123").unwrap();
        number.look();
        assert_eq!(*number.current(), 123);
    }

    #[test]
    fn an_unchanged_file_is_read_again_only_when_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("number");
        fs::write(&file, "7").unwrap();
        let number = Arc::new(number(&file));
        let first = number.current();
        number.look();
        assert!(Arc::ptr_eq(&first, &number.current()));
        let fresh = Arc::clone(&number).prepare().unwrap();
        assert!(
            Arc::ptr_eq(&first, &number.current()),
            "it is not taken yet"
        );
        (fresh.take)();
        assert!(!Arc::ptr_eq(&first, &number.current()));
    }

    #[test]
    fn a_broken_file_is_told_to_whoever_asks_and_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("number");
        fs::write(&file, "7").unwrap();
        let number = Arc::new(number(&file));
        fs::write(&file, "no number").unwrap();
        assert!(Arc::clone(&number).prepare().is_err());
        assert_eq!(*number.current(), 7);
    }
}
