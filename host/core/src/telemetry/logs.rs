//! Logs on stderr: for people on a terminal, as JSON otherwise.

use std::io::{IsTerminal as _, stderr};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Which variables hold the filter; the first that is set counts.
const VARIABLES: [&str; 2] = ["LARDER_LOG", "RUST_LOG"];
/// What is logged when none is set.
const DEFAULT_FILTER: &str = "info";

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is no log filter such as `info` or `larder=debug,info`: `{filter}`")]
pub struct BadFilter {
    variable: &'static str,
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging for the whole process. A second call changes nothing.
///
/// Raises an error where `LARDER_LOG` (or, where that is not set, `RUST_LOG`) is no filter.
pub fn start() -> Result<(), BadFilter> {
    let given = VARIABLES.into_iter().find_map(|variable| {
        let filter = std::env::var(variable).ok().filter(|it| !it.is_empty())?;
        Some((variable, filter))
    });
    let filter = filter(given)?;
    let started = if stderr().is_terminal() {
        tracing::subscriber::set_global_default(for_people(filter, stderr))
    } else {
        tracing::subscriber::set_global_default(as_json(filter, stderr))
    };
    // Somebody has set a subscriber before, as a test may: then it is theirs to keep.
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

fn for_people<W>(filter: EnvFilter, to: W) -> impl Subscriber + Send + Sync
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

    /// What was logged.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        fn maker(&self) -> impl for<'a> MakeWriter<'a> + Send + Sync + 'static {
            let paper = self.clone();
            move || paper.clone()
        }
    }

    fn talk() {
        tracing::info!(plugin = "memory", restarts = 2, "plugin restarted");
        tracing::debug!("nobody asked");
    }

    #[test]
    fn a_machine_reads_one_json_object_a_line_with_the_fields_on_top() {
        let paper = Paper::default();
        let subscriber = as_json(filter(None).unwrap(), paper.maker());
        tracing::subscriber::with_default(subscriber, talk);
        let text = paper.text();
        let mut lines = text.lines();
        let line: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "plugin restarted");
        assert_eq!(line["plugin"], "memory");
        assert_eq!(line["restarts"], 2);
        assert_eq!(lines.next(), None, "debug is not logged by default");
    }

    #[test]
    fn people_read_plain_lines() {
        let paper = Paper::default();
        let subscriber = for_people(filter(None).unwrap(), paper.maker());
        tracing::subscriber::with_default(subscriber, talk);
        assert!(paper.text().contains("plugin restarted"));
    }

    #[test]
    fn the_filter_says_what_is_logged() {
        let paper = Paper::default();
        let given = Some(("LARDER_LOG", "debug".to_owned()));
        let subscriber = as_json(filter(given).unwrap(), paper.maker());
        tracing::subscriber::with_default(subscriber, talk);
        assert!(paper.text().contains("nobody asked"));
    }

    #[test]
    fn a_bad_filter_is_refused_with_the_variable_that_holds_it() {
        let error = filter(Some(("RUST_LOG", "a=b=c".to_owned()))).unwrap_err();
        assert!(
            error.to_string().starts_with("RUST_LOG is no log filter"),
            "{error}"
        );
    }
}
