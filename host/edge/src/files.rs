//! Values loaded from files and reloaded when the files change: certificates and tokens.
//!
//! Files are checked every two seconds, and at each reload of the configuration. An invalid file changes nothing: the last good value
//! stays in use, and the log has the error.

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

/// Interval at which files are checked.
const INTERVAL: Duration = Duration::from_secs(2);

/// A value loaded from files.
pub struct Reloadable<T, E> {
    /// The setting that names the files, such as `grpc.tls`.
    setting: &'static str,
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T, E> + Send + Sync>,
    current: Live<T>,
    stamps: Mutex<Vec<Option<Stamp>>>,
}

/// Files that can be reloaded.
pub trait WatchedFiles: Send + Sync {
    /// Reloads the value if a file has changed, and applies it if that succeeds. Blocks on the disk.
    fn reload_if_changed(&self);

    /// Reloads the value, changed or not, for the caller to apply or drop. Blocks on the disk.
    ///
    /// # Errors
    /// An invalid file, with the setting, the path and the cause.
    fn prepare(self: Arc<Self>) -> Result<PreparedReload, Box<dyn Error + Send + Sync>>;
}

/// A reloaded value that is not in use yet.
pub struct PreparedReload {
    /// The setting that names its files, such as `grpc.tls`.
    pub setting: &'static str,
    /// Puts it to use.
    pub apply: Box<dyn FnOnce() + Send>,
}

/// Metadata that shows a change of a file without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// A mounted secret changes by a link to another file, which has another inode.
    inode: u64,
}

// === impl Reloadable ===

impl<T, E> Reloadable<T, E> {
    /// Loads the value with `load`, which also reloads it when one of `files` changes.
    ///
    /// # Errors
    /// The error of `load`.
    pub fn open(
        setting: &'static str,
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // Before the files are read, so that a change in between is not missed.
        let stamps = stamps(&files);
        Ok(Self {
            setting,
            files,
            current: Live::new(load()?),
            load: Box::new(load),
            stamps: Mutex::new(stamps),
        })
    }

    /// The last value that was loaded without an error.
    pub fn current(&self) -> Arc<T> {
        self.current.get()
    }
}

impl<T, E> WatchedFiles for Reloadable<T, E>
where
    T: Send + Sync + 'static,
    E: Error + Send + Sync + 'static,
{
    fn reload_if_changed(&self) {
        let mut before = self.stamps.lock();
        let now = stamps(&self.files);
        if *before == now {
            return;
        }
        *before = now;
        match (self.load)() {
            Ok(value) => {
                self.current.set(value);
                tracing::info!(setting = self.setting, "files read again");
            }
            Err(error) => {
                tracing::error!(setting = self.setting, error = %Chain(&error), "changed files cannot be used; the last good ones stay in use");
            }
        }
    }

    fn prepare(self: Arc<Self>) -> Result<PreparedReload, Box<dyn Error + Send + Sync>> {
        // Before the files are read, as in `open`.
        let stamps = stamps(&self.files);
        let value = (self.load)()?;
        let setting = self.setting;
        let apply = move || {
            // The reload logs it, and these files are not read again until they change once more.
            *self.stamps.lock() = stamps;
            self.current.set(value);
        };
        Ok(PreparedReload {
            setting,
            apply: Box::new(apply),
        })
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files
        .iter()
        .map(|file| {
            let metadata = fs::metadata(file).ok()?;
            Some(Stamp {
                modified: metadata.modified().ok(),
                bytes: metadata.len(),
                #[cfg(unix)]
                inode: std::os::unix::fs::MetadataExt::ino(&metadata),
                #[cfg(not(unix))]
                inode: 0,
            })
        })
        .collect()
}

/// Reloads changed files every two seconds until `stop`.
pub async fn watch(all: Vec<Arc<dyn WatchedFiles>>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let all = all.clone();
        let checked = tokio::task::spawn_blocking(move || {
            for one in &all {
                one.reload_if_changed();
            }
        });
        if let Err(error) = checked.await {
            tracing::error!(%error, "reading changed files failed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;

    fn number(path: &Path) -> Reloadable<u32, std::num::ParseIntError> {
        let file = path.to_owned();
        Reloadable::open("a number", vec![path.to_owned()], move || {
            fs::read_to_string(&file).unwrap_or_default().parse()
        })
        .unwrap()
    }

    #[test]
    fn a_changed_file_is_reloaded_and_an_invalid_one_is_not_applied() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("number");
        fs::write(&file, "7").unwrap();
        let number = number(&file);
        fs::write(&file, "no number").unwrap();
        number.reload_if_changed();
        assert_eq!(*number.current(), 7);
        fs::remove_file(&file).unwrap();
        number.reload_if_changed();
        assert_eq!(*number.current(), 7);
        fs::write(&file, "123").unwrap();
        number.reload_if_changed();
        assert_eq!(*number.current(), 123);
    }

    #[test]
    fn an_unchanged_file_is_reloaded_only_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("number");
        fs::write(&file, "7").unwrap();
        let number = Arc::new(number(&file));
        let first = number.current();
        number.reload_if_changed();
        assert!(Arc::ptr_eq(&first, &number.current()));
        let prepared = Arc::clone(&number).prepare().unwrap();
        assert!(
            Arc::ptr_eq(&first, &number.current()),
            "it is not applied yet"
        );
        (prepared.apply)();
        assert!(!Arc::ptr_eq(&first, &number.current()));
    }

    #[test]
    fn a_changed_file_that_was_reloaded_on_request_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("number");
        fs::write(&file, "7").unwrap();
        let number = Arc::new(number(&file));
        fs::write(&file, "123").unwrap();
        let prepared = Arc::clone(&number).prepare().unwrap();
        (prepared.apply)();
        let reloaded = number.current();
        assert_eq!(*reloaded, 123);
        number.reload_if_changed();
        assert!(Arc::ptr_eq(&reloaded, &number.current()));
    }

    #[test]
    fn an_invalid_file_is_an_error_of_prepare_and_is_not_applied() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("number");
        fs::write(&file, "7").unwrap();
        let number = Arc::new(number(&file));
        fs::write(&file, "no number").unwrap();
        assert!(Arc::clone(&number).prepare().is_err());
        assert_eq!(*number.current(), 7);
    }
}
