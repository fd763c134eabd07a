//! What came of a test: for people, as JSON, and as the XML of `JUnit`.

use std::fmt::Write as _;
use std::time::Duration;

use larder_core::telemetry::Chain;
use larder_core::text::printable;
use larder_runtime::plugin::{Error, Instancing, Source, Status};
use serde::Serialize;

use crate::seconds;
use crate::story::Story;

/// What came of a test.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The name that the plugin gives itself; where it was loaded from, if it does not fit.
    pub plugin: String,
    /// The version that it gives itself. It has none here, as the two that follow, if it does not fit.
    pub version: Option<String>,
    /// Where it was loaded from.
    pub source: String,
    /// The version of the contract that it was built for.
    pub contract: Option<&'static str>,
    /// Where its data lives.
    pub instancing: Option<Instancing>,
    /// Time that it took to compile, or to load what was compiled before.
    #[serde(serialize_with = "as_seconds")]
    pub loaded: Duration,
    /// Time that all of it took.
    #[serde(serialize_with = "as_seconds")]
    pub duration: Duration,
    /// All cases, in the order in which they ran.
    pub cases: Vec<Case>,
    /// What is no mistake, and costs those who use the plugin.
    pub notes: Vec<String>,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// What was tried.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Time that it took.
    #[serde(serialize_with = "as_seconds", rename = "seconds")]
    pub duration: Duration,
}

/// What came of a case.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// The plugin does what it has to.
    Passed,
    /// It cannot be tried, for this reason.
    Skipped(String),
    /// A rule is broken.
    Failed {
        /// Its name: [`crate::rule`] has its text.
        rule: String,
        /// The call, what came of it, and what had to.
        text: String,
        /// The calls that show it.
        #[serde(skip_serializing_if = "Option::is_none")]
        story: Option<Story>,
    },
}

fn as_seconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

// === impl Report ===

impl Report {
    pub(crate) fn new(status: &Status, loaded: Duration) -> Self {
        Self {
            plugin: status.name.clone(),
            version: Some(status.version.clone()),
            source: status.source.clone(),
            contract: Some(status.contract.as_str()),
            instancing: Some(status.instancing),
            loaded,
            duration: Duration::ZERO,
            cases: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The report of a plugin that cannot be loaded as it does not fit the contract, for machines. `None` for an error that says nothing of
    /// the plugin.
    pub fn unfit(source: &Source, error: &Error) -> Option<Self> {
        let is_of_plugin = matches!(
            error,
            Error::Load { .. } | Error::Compile { .. } | Error::World { .. } | Error::Start { .. }
        );
        let case = Case {
            name: "it fits the contract".to_owned(),
            outcome: Outcome::Failed {
                rule: "load.fits".to_owned(),
                text: Chain(error).to_string(),
                story: None,
            },
            duration: Duration::ZERO,
        };
        is_of_plugin.then(|| Self {
            plugin: source.to_string(),
            version: None,
            source: source.to_string(),
            contract: None,
            instancing: None,
            loaded: Duration::ZERO,
            duration: Duration::ZERO,
            cases: vec![case],
            notes: Vec::new(),
        })
    }

    /// True if no case has failed.
    pub fn has_passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The story of the first failure that has one.
    pub fn story(&self) -> Option<&Story> {
        self.cases.iter().find_map(|case| match &case.outcome {
            Outcome::Failed { story, .. } => story.as_ref(),
            _ => None,
        })
    }

    fn failures(&self) -> impl Iterator<Item = &Case> {
        let cases = self.cases.iter();
        cases.filter(|it| matches!(it.outcome, Outcome::Failed { .. }))
    }

    /// The first line of a report for people.
    pub fn head(&self) -> String {
        let instancing = self.instancing.map(|it| it.to_string());
        let instancing = instancing.as_deref().unwrap_or("not loaded");
        format!(
            "{} {}, {instancing}, for larder:storage@{}: loaded in {}\n",
            self.plugin,
            self.version.as_deref().unwrap_or("-"),
            self.contract.unwrap_or("-"),
            seconds(self.loaded)
        )
    }

    /// The last lines of a report for people: the notes, and how much has failed.
    pub fn foot(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "  note  {note}");
        }
        let failed = self.failures().count();
        let all = self.cases.len();
        let took = seconds(self.duration);
        let _ = if failed == 0 {
            writeln!(text, "passed: {all} cases in {took}")
        } else {
            writeln!(text, "FAILED: {failed} of {all} cases in {took}")
        };
        text
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// None that can happen: it has no keys but texts.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The report as the XML of `JUnit`.
    pub fn to_junit(&self) -> String {
        let skipped = self.cases.iter();
        let skipped = skipped.filter(|it| matches!(it.outcome, Outcome::Skipped(_)));
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            text,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
            escaped(&self.plugin),
            self.cases.len(),
            self.failures().count(),
            skipped.count(),
            self.duration.as_secs_f64()
        );
        for case in &self.cases {
            let _ = write!(
                text,
                "  <testcase classname=\"larder.plugin\" name=\"{}\" time=\"{:.3}\"",
                escaped(&case.name),
                case.duration.as_secs_f64()
            );
            let _ = match &case.outcome {
                Outcome::Passed => writeln!(text, "/>"),
                Outcome::Skipped(why) => {
                    writeln!(text, "><skipped message=\"{}\"/></testcase>", escaped(why))
                }
                Outcome::Failed {
                    rule,
                    text: what,
                    story,
                } => {
                    let told = story.as_ref().map(told).unwrap_or_default();
                    writeln!(
                        text,
                        "><failure type=\"{}\" message=\"{}\">{}</failure></testcase>",
                        escaped(rule),
                        escaped(what),
                        escaped(&told)
                    )
                }
            };
        }
        text.push_str("</testsuite>\n");
        text
    }
}

// === impl Case ===

impl Case {
    /// The lines of a report for people.
    ///
    /// Control characters of the plugin's texts are shown as such.
    pub fn to_human(&self) -> String {
        let Self { name, outcome, .. } = self;
        match outcome {
            Outcome::Passed => format!("  ok    {name} ({})\n", seconds(self.duration)),
            Outcome::Skipped(why) => format!("  skip  {name}: {}\n", printable(why)),
            Outcome::Failed { rule, text, story } => {
                let told = story.as_ref().map(told).unwrap_or_default();
                format!(
                    "  FAIL  {name}\n{told}      > {rule}: {}\n        `larder plugin rules {rule}` says what has to be\n",
                    printable(text)
                )
            }
        }
    }
}

/// A story, a line for each call.
fn told(story: &Story) -> String {
    let mut text = String::new();
    for step in &story.steps {
        let _ = writeln!(text, "        {step}");
    }
    text
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
