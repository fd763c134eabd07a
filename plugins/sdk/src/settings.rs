//! Parses the settings of `--plugin-setting KEY=VALUE`.
//!
//! ```
//! use larder_plugin::{settings, Environment, Error};
//!
//! fn open(environment: &Environment) -> Result<u64, Error> {
//!     let mut settings = settings::Settings::new(environment, &["max_bytes"]);
//!     let max_bytes = settings.bytes("max_bytes")?.unwrap_or(64 << 20);
//!     settings.finish()?;
//!     Ok(max_bytes)
//! }
//! ```

use crate::{Environment, Error, Setting};

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// The settings of an environment, checked against the names that the plugin knows.
#[derive(Debug)]
pub struct Settings<'a> {
    given: &'a [Setting],
    known: &'static [&'static str],
}

/// Refuses every setting, for a plugin that has none.
pub fn none(environment: &Environment) -> Result<(), Error> {
    Settings::new(environment, &[]).finish()
}

// === impl Settings ===

impl<'a> Settings<'a> {
    /// Takes the settings of `environment`, for a plugin that knows those in `known`.
    pub fn new(environment: &'a Environment, known: &'static [&'static str]) -> Self {
        Self {
            given: &environment.settings,
            known,
        }
    }

    /// Returns the text of a setting; if it was given twice, the last.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.given
            .iter()
            .rev()
            .find(|setting| setting.name == name)
            .map(|setting| setting.value.as_str())
    }

    /// Parses a whole number. Raises `invalid-argument` for anything else.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        self.text(name)
            .map(|text| {
                text.trim().parse().map_err(|_| {
                    Error::InvalidArgument(format!(
                        "invalid setting `{name}`: {text:?} is not a whole number, such as 100000"
                    ))
                })
            })
            .transpose()
    }

    /// Parses a size in bytes: `67108864`, `64MiB`, `1.5 GiB`, `64MB`. Raises `invalid-argument` for anything else.
    pub fn bytes(&self, name: &str) -> Result<Option<u64>, Error> {
        self.text(name)
            .map(|text| {
                parse_bytes(text).ok_or_else(|| {
                    Error::InvalidArgument(format!(
                        "invalid setting `{name}`: {text:?} is not a size, such as 64MiB"
                    ))
                })
            })
            .transpose()
    }

    /// Raises `invalid-argument` for an unknown setting; the text lists the known ones.
    pub fn finish(&self) -> Result<(), Error> {
        let unknown = self
            .given
            .iter()
            .find(|setting| !self.known.contains(&setting.name.as_str()));
        let Some(unknown) = unknown else {
            return Ok(());
        };
        let known = match self.known {
            [] => "this plugin has none".to_owned(),
            known => format!("valid settings are {}", known.join(", ")),
        };
        Err(Error::InvalidArgument(format!(
            "unknown setting `{}`: {known}",
            unknown.name
        )))
    }
}

/// Parses a time: `90s`, `15m`, `168h`, `7d`, or several of them: `1h30m`. Nanoseconds; `None` for anything else.
pub fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let mut letters = after.chars();
        let unit = match letters.next()? {
            's' => SECOND,
            'm' => 60 * SECOND,
            'h' => 3600 * SECOND,
            'd' => 86_400 * SECOND,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(unit)?;
        sum = sum.checked_add(part)?;
        rest = letters.as_str().trim_start();
    }
    Some(sum)
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let fraction: f64 = number.parse().ok()?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size with a fraction is rounded, cannot be negative, and saturates"
    )]
    Some((fraction * factor as f64) as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::environment;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("67108864", 64 << 20),
            ("64MiB", 64 << 20),
            (" 64 mib ", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2k", 2 << 10),
            ("64MB", 64_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn invalid_sizes_are_refused_by_name() {
        for text in [
            "",
            "MiB",
            "64 parsecs",
            "-1",
            "1.2.3MiB",
            "99999999999999GiB",
        ] {
            let environment = environment(&[("max_bytes", text)]);
            let error = Settings::new(&environment, &["max_bytes"])
                .bytes("max_bytes")
                .unwrap_err();
            assert!(
                matches!(&error, Error::InvalidArgument(told) if told.contains("`max_bytes`") && told.contains("64MiB")),
                "{text}: {error:?}"
            );
        }
    }

    #[test]
    fn an_unknown_setting_is_refused_and_the_valid_ones_named() {
        let environment = environment(&[("max_traces", "1"), ("max_trace", "2")]);
        let error = Settings::new(&environment, &["max_traces", "max_bytes"])
            .finish()
            .unwrap_err();
        assert_eq!(
            error,
            Error::InvalidArgument(
                "unknown setting `max_trace`: valid settings are max_traces, max_bytes".to_owned()
            )
        );
    }

    #[test]
    fn the_last_of_two_equal_settings_counts() {
        let environment = environment(&[("n", "1"), ("n", "2")]);
        let settings = Settings::new(&environment, &["n"]);
        assert_eq!(settings.number("n").unwrap(), Some(2));
    }
}
