//! Logs on stderr: plain text on a terminal and for commands, JSON otherwise.
//!
//! A stream is never mixed: where logs are JSON, the lines of a start, the last error and panics are JSON too.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal as _, Write as _, stderr};
use std::panic::PanicHookInfo;

use serde::Serialize;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

/// Environment variables of the filter. The first that is set wins.
const VARIABLES: [&str; 2] = ["LARDER_LOG", "RUST_LOG"];
/// The filter if none is set.
const DEFAULT_FILTER: &str = "info";
/// The levels of a filter, from the quietest on.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Words of other programs for the levels.
const SYNONYMS: [(&str, &str); 9] = [
    ("warning", "warn"),
    ("verbose", "debug"),
    ("all", "trace"),
    ("information", "info"),
    ("notice", "info"),
    ("critical", "error"),
    ("fatal", "error"),
    ("none", "off"),
    ("quiet", "off"),
];
/// Added to a filter that does not name the crate: a warning of it is about what a peer sent, which can repeat it at will.
const QUIET: &str = "h2=error";

/// An invalid log filter.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is no log filter such as `info` or `larder=debug,info`: {reason}")]
pub struct BadFilter {
    variable: &'static str,
    reason: String,
}

/// The form of all that is written to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Plain,
    /// One JSON object per line, with the keys `timestamp`, `level`, `message`, `target` and those of the event.
    Json,
}

/// A line that no filter hides, with the keys of an event.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    backtrace: Option<String>,
    target: &'static str,
}

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
/// `LARDER_LOG`, or `RUST_LOG` if the former is not set, is not a valid filter.
pub fn start(format: Format) -> Result<(), BadFilter> {
    if format == Format::Json {
        std::panic::set_hook(Box::new(panicked));
    }
    let given = VARIABLES.into_iter().find_map(|variable| {
        let filter = std::env::var(variable).ok().filter(|it| !it.is_empty())?;
        Some((variable, filter))
    });
    let filter = filter(given)?;
    let started = match format {
        Format::Plain => tracing::subscriber::set_global_default(plain_text(filter, stderr)),
        Format::Json => tracing::subscriber::set_global_default(as_json(filter, stderr)),
    };
    // A subscriber that was set before, as by a test, stays.
    drop(started);
    Ok(())
}

// === impl Format ===

impl Format {
    /// The form of a server's stderr: plain on a terminal.
    pub fn of_server() -> Self {
        if stderr().is_terminal() {
            Self::Plain
        } else {
            Self::Json
        }
    }

    /// Prints a line, whatever the filter.
    pub fn announce(self, text: &str) {
        self.print("INFO", "", text);
    }

    /// Prints the error that ends the process, whatever the filter.
    pub fn fail(self, text: &str) {
        self.print("ERROR", "error: ", text);
    }

    /// Errors are ignored, as there is nowhere to report them.
    fn print(self, level: &'static str, mark: &str, text: &str) {
        let printed = match self {
            Self::Plain => writeln!(stderr().lock(), "{mark}{text}"),
            Self::Json => writeln!(stderr().lock(), "{}", json_line(level, text, None)),
        };
        drop(printed);
    }
}

fn json_line(level: &'static str, message: &str, backtrace: Option<String>) -> String {
    let mut timestamp = String::new();
    let told = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    // Writing to a string cannot fail.
    told.unwrap_or_default();
    let line = Line {
        timestamp,
        level,
        message,
        backtrace,
        target: "larder",
    };
    // Nor can strings be no JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

/// Logs a panic as the JSON of an error.
fn panicked(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let line = json_line("ERROR", &panic.to_string(), backtrace);
    drop(writeln!(stderr().lock(), "{line}"));
}

// === the filter ===

fn filter(given: Option<(&'static str, String)>) -> Result<EnvFilter, BadFilter> {
    let Some((variable, filter)) = given else {
        return Ok(EnvFilter::new(quiet(DEFAULT_FILTER)));
    };
    let bad = |reason| BadFilter { variable, reason };
    let filter = quiet(&of_ours(&filter).map_err(bad)?);
    EnvFilter::try_new(&filter).map_err(|error| bad(format!("`{filter}`: {error}")))
}

/// The filter in which `debug` and `trace` alone mean Larder's own events. Other crates log far more than Larder at these levels; a
/// directive such as `h2=debug` selects them. The error is the reason why a directive cannot be meant.
fn of_ours(filter: &str) -> Result<String, String> {
    let directives = directives(filter).into_iter().map(str::trim);
    let directives = directives.filter(|directive| !directive.is_empty());
    let ours = directives.map(|directive| {
        // A span, such as `larder[rpc{method=x}]`, can have anything in its brackets.
        let after_span = directive.rsplit(']').next().unwrap_or(directive);
        if let Some((_, level)) = after_span.rsplit_once('=') {
            return check_level(level).map(|_| directive.to_owned());
        }
        if directive.ends_with(']') {
            return Ok(directive.to_owned());
        }
        let level = check_level(directive).map_err(|reason| {
            format!("{reason}; if it is the name of a crate, write `{directive}=debug`")
        })?;
        Ok(match level.as_str() {
            "debug" | "trace" => format!("info,larder={level}"),
            _ => level,
        })
    });
    Ok(ours.collect::<Result<Vec<_>, _>>()?.join(","))
}

/// Splits at the commas that are not inside brackets.
fn directives(filter: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let at_comma = |c: char| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    filter.split(at_comma).collect()
}

/// The level in lower case. A level is also written as a number, 0 to 5.
fn check_level(word: &str) -> Result<String, String> {
    let level = word.trim().to_lowercase();
    if LEVELS.contains(&level.as_str()) {
        return Ok(level);
    }
    if let Some(named) = level.parse().ok().and_then(|at: usize| LEVELS.get(at)) {
        return Ok((*named).to_owned());
    }
    let synonym = SYNONYMS.iter().find(|(word, _)| *word == level);
    let similar = || {
        let distances = LEVELS.map(|it| (strsim::damerau_levenshtein(it, &level), it));
        let closest = distances.into_iter().min_by_key(|(distance, _)| *distance);
        closest.filter(|(distance, _)| *distance <= 2)
    };
    let nearest = synonym.map(|(_, level)| *level);
    let nearest = nearest.or_else(|| similar().map(|(_, level)| level));
    let levels = LEVELS.join(", ");
    Err(match nearest {
        Some(nearest) => format!("`{word}` is no level ({levels}), did you mean `{nearest}`?"),
        None => format!("`{word}` is no level ({levels})"),
    })
}

fn quiet(filter: &str) -> String {
    if filter.contains("h2") {
        return filter.to_owned();
    }
    format!("{filter},{QUIET}")
}

fn plain_text<W>(filter: EnvFilter, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_ansi(stderr().is_terminal())
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

    #[track_caller]
    fn filter_of(text: &str) -> String {
        of_ours(text).unwrap()
    }

    #[test]
    fn debug_alone_means_our_own_events() {
        assert_eq!(filter_of("debug"), "info,larder=debug");
        assert_eq!(filter_of("TRACE"), "info,larder=trace");
        assert_eq!(filter_of("4"), "info,larder=debug");
        assert_eq!(filter_of("h2=debug, warn"), "h2=debug,warn");
        assert_eq!(filter_of("larder=debug,info"), "larder=debug,info");
        let spans = "larder[rpc{method=x,code=5}]=trace,[rpc]";
        assert_eq!(filter_of(spans), spans);
        let text = logged("debug", || {
            tracing::debug!(target: "hyper::proto", "of others");
            tracing::info!(target: "hyper::proto", "told by others");
            tracing::debug!(target: "larder_grpc::rpc", "of ours");
        });
        assert!(!text.contains("of others"), "{text}");
        assert!(
            text.contains("told by others") && text.contains("of ours"),
            "{text}"
        );
    }

    /// What is logged with this filter in `LARDER_LOG`.
    fn logged(given: &str, events: impl FnOnce()) -> String {
        let log = LogBuffer::default();
        let given = Some(("LARDER_LOG", given.to_owned()));
        let subscriber = as_json(filter(given).unwrap(), log.maker());
        tracing::subscriber::with_default(subscriber, events);
        log.text()
    }

    /// A peer can repeat what it is warned about at will.
    #[test]
    fn warnings_about_frames_are_logged_only_where_they_are_asked_for() {
        let events = || {
            tracing::warn!(target: "h2::codec", "about a frame");
            tracing::error!(target: "h2::codec", "an error");
        };
        for (given, warned) in [
            ("info", false),
            ("debug", false),
            ("larder=trace,warn", false),
            ("h2=warn", true),
            ("info,h2=debug", true),
        ] {
            let text = logged(given, events);
            assert_eq!(text.contains("about a frame"), warned, "{given}: {text}");
            assert!(text.contains("an error"), "{given}: {text}");
        }
    }

    #[test]
    fn what_is_no_level_is_refused_with_the_nearest() {
        for (filter, told) in [
            (
                "verbose",
                "`verbose` is no level (off, error, warn, info, debug, trace), did you mean `debug`?",
            ),
            ("warning", "did you mean `warn`?"),
            ("Inof", "did you mean `info`?"),
            (
                "larder=warning,info",
                "`warning` is no level (off, error, warn, info, debug, trace), did you mean `warn`?",
            ),
            (
                "h2",
                "`h2` is no level (off, error, warn, info, debug, trace); if it is the name of a crate, write `h2=debug`",
            ),
            ("6", "`6` is no level"),
        ] {
            let reason = of_ours(filter).unwrap_err();
            assert!(reason.contains(told), "{filter}: {reason}");
        }
    }

    #[test]
    fn a_line_that_no_filter_hides_has_the_keys_of_an_event() {
        let line = json_line("ERROR", "cannot \"start\"\nat all", None);
        assert_eq!(line.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "cannot \"start\"\nat all");
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["target"], "larder");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}
