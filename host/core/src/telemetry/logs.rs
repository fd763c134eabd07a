//! Logs on stderr: plain text on a terminal, JSON otherwise.

use std::io::{IsTerminal as _, stderr};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Environment variables of the filter. The first that is set wins.
const VARIABLES: [&str; 2] = ["LARDER_LOG", "RUST_LOG"];
/// The filter if none is set.
const DEFAULT_FILTER: &str = "info";

/// An invalid log filter.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is no log filter such as `info` or `larder=debug,info`: `{filter}`")]
pub struct BadFilter {
    variable: &'static str,
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
/// `LARDER_LOG`, or `RUST_LOG` if the former is not set, is not a valid filter.
pub fn start() -> Result<(), BadFilter> {
    let given = VARIABLES.into_iter().find_map(|variable| {
        let filter = std::env::var(variable).ok().filter(|it| !it.is_empty())?;
        Some((variable, filter))
    });
    let filter = filter(given)?;
    let started = if stderr().is_terminal() {
        tracing::subscriber::set_global_default(plain_text(filter, stderr))
    } else {
        tracing::subscriber::set_global_default(as_json(filter, stderr))
    };
    // A subscriber that was set before, as by a test, stays.
    drop(started);
    Ok(())
}

fn filter(given: Option<(&'static str, String)>) -> Result<EnvFilter, BadFilter> {
    let Some((variable, filter)) = given else {
        return Ok(EnvFilter::new(DEFAULT_FILTER));
    };
    EnvFilter::try_new(&filter).map_err(|source| BadFilter {
        variable,
        filter,
        source,
    })
}

fn plain_text<W>(filter: EnvFilter, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(to)
        .finish()
}

fn as_json<W>(filter: EnvFilter, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(to)
        .finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Captures the log.
    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl LogBuffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        fn maker(&self) -> impl for<'a> MakeWriter<'a> + Send + Sync + 'static {
            let buffer = self.clone();
            move || buffer.clone()
        }
    }

    fn log_two_lines() {
        tracing::info!(plugin = "memory", restarts = 2, "plugin restarted");
        tracing::debug!("a debug line");
    }

    #[test]
    fn json_is_one_object_per_line_with_the_fields_at_the_top_level() {
        let log = LogBuffer::default();
        let subscriber = as_json(filter(None).unwrap(), log.maker());
        tracing::subscriber::with_default(subscriber, log_two_lines);
        let text = log.text();
        let mut lines = text.lines();
        let line: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "plugin restarted");
        assert_eq!(line["plugin"], "memory");
        assert_eq!(line["restarts"], 2);
        assert_eq!(lines.next(), None, "debug is not logged by default");
    }

    #[test]
    fn plain_text_is_logged_line_by_line() {
        let log = LogBuffer::default();
        let subscriber = plain_text(filter(None).unwrap(), log.maker());
        tracing::subscriber::with_default(subscriber, log_two_lines);
        assert!(log.text().contains("plugin restarted"));
    }

    #[test]
    fn the_filter_selects_the_level() {
        let log = LogBuffer::default();
        let given = Some(("LARDER_LOG", "debug".to_owned()));
        let subscriber = as_json(filter(given).unwrap(), log.maker());
        tracing::subscriber::with_default(subscriber, log_two_lines);
        assert!(log.text().contains("a debug line"));
    }

    #[test]
    fn an_invalid_filter_is_refused_with_its_variable() {
        let error = filter(Some(("RUST_LOG", "a=b=c".to_owned()))).unwrap_err();
        assert!(
            error.to_string().starts_with("RUST_LOG is no log filter"),
            "{error}"
        );
    }
}
