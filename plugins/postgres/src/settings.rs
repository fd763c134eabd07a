//! The settings, with what they may be.

use std::time::Duration;

use larder_plugin::settings::{Settings, parse_duration};
use larder_plugin::{Environment, Error};

const NAMES: &[&str] = &[
    "application_name",
    "connect_timeout",
    "database",
    "host",
    "partition",
    "port",
    "retention",
    "schema",
    "sslmode",
    "sslrootcert",
    "statement_timeout",
    "user",
];
/// The variable that has the password.
pub(crate) const PASSWORD: &str = "PGPASSWORD";
const SECOND: u64 = 1_000_000_000;
/// One week.
const DEFAULT_RETENTION: u64 = 168 * 3600 * SECOND;
/// A retention is this many partitions, unless they have a width of their own.
const PARTITIONS: u64 = 12;
/// More would make every search slow, which looks into each.
const MAX_PARTITIONS: u64 = 64;
/// Of names, to which the plugin adds numbers; PostgreSQL cuts them at 63.
const MAX_SCHEMA: usize = 40;

/// What the settings say.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    /// Of [`PASSWORD`]; none where the server asks for none.
    pub(crate) password: Option<String>,
    pub(crate) schema: String,
    /// Empty for an instance that is only tried out.
    pub(crate) tenant: String,
    pub(crate) application_name: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    /// Data is kept this long after its write, nanoseconds.
    pub(crate) retention: u64,
    /// The width of a partition, nanoseconds.
    pub(crate) partition: u64,
    pub(crate) security: Security,
}

/// Of `sslmode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// Without TLS.
    Disable,
    /// With TLS, whoever the server is.
    #[cfg(feature = "tls")]
    Require,
    /// With TLS, and with a server whose certificate is of one of these authorities (PEM), for its name.
    #[cfg(feature = "tls")]
    VerifyFull(String),
}

// === impl Security ===

impl Security {
    /// True if nobody but the server that is meant can read what is sent.
    pub(crate) fn is_verified(&self) -> bool {
        match self {
            Self::Disable => false,
            #[cfg(feature = "tls")]
            Self::Require => false,
            #[cfg(feature = "tls")]
            Self::VerifyFull(_) => true,
        }
    }
}

// === impl Config ===

impl Config {
    /// Parses the settings; the password is what [`PASSWORD`] has.
    pub(crate) fn new(environment: &Environment, password: Option<String>) -> Result<Self, Error> {
        let settings = Settings::new(environment, NAMES);
        settings.finish()?;
        let text = |name: &str, default: &str| {
            let text = settings.text(name).unwrap_or(default);
            if text.is_empty() || text.contains('\0') {
                return Err(invalid(name, text, "empty, or has a NUL"));
            }
            Ok(text.to_owned())
        };
        let port = settings.number("port")?.unwrap_or(5432);
        let port = u16::try_from(port).ok().filter(|it| *it > 0);
        let port = port.ok_or_else(|| {
            let told = settings.text("port").unwrap_or_default();
            invalid("port", told, "no port, such as 5432")
        })?;
        let retention = duration(&settings, "retention")?.unwrap_or(DEFAULT_RETENTION);
        if retention < PARTITIONS * SECOND {
            let told = settings.text("retention").unwrap_or_default();
            return Err(invalid("retention", told, "less than 12s"));
        }
        let partition = duration(&settings, "partition")?.unwrap_or(retention / PARTITIONS);
        if partition < SECOND || partition > retention || retention / partition > MAX_PARTITIONS {
            let told = settings.text("partition").unwrap_or_default();
            let why = "not from a four hundredth of `retention` up to all of it, and at least 1s";
            return Err(invalid("partition", told, why));
        }
        let seconds = |name: &str, default: u64| {
            let nanos = duration(&settings, name)?.unwrap_or(default * SECOND);
            Ok::<_, Error>(Duration::from_nanos(nanos))
        };
        let user = text("user", "larder")?;
        Ok(Self {
            host: text("host", "127.0.0.1")?,
            port,
            database: text("database", &user)?,
            user,
            password,
            schema: schema(&settings)?,
            tenant: environment.tenant.clone(),
            application_name: text("application_name", "larder")?,
            connect_timeout: seconds("connect_timeout", 3)?,
            statement_timeout: seconds("statement_timeout", 4)?,
            retention,
            partition,
            security: security(&settings)?,
        })
    }
}

impl std::fmt::Debug for Config {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }
}

fn invalid(name: &str, told: &str, why: &str) -> Error {
    Error::InvalidArgument(format!("invalid setting `{name}`: {told:?} is {why}"))
}

/// A name that needs no quotes.
fn schema(settings: &Settings<'_>) -> Result<String, Error> {
    let text = settings.text("schema").unwrap_or("larder");
    let mut letters = text.bytes();
    let is_first = |it: u8| it.is_ascii_lowercase() || it == b'_';
    let is_name = letters.next().is_some_and(is_first)
        && letters.all(|it| is_first(it) || it.is_ascii_digit())
        && text.len() <= MAX_SCHEMA
        && !text.starts_with("pg_");
    if !is_name {
        let why = "not a name of at most 40 small letters, digits and `_`, which does not begin with a digit or `pg_`";
        return Err(invalid("schema", text, why));
    }
    Ok(text.to_owned())
}

fn security(settings: &Settings<'_>) -> Result<Security, Error> {
    let certificates = settings.text("sslrootcert");
    match (settings.text("sslmode").unwrap_or("disable"), certificates) {
        ("disable", None) => Ok(Security::Disable),
        #[cfg(feature = "tls")]
        ("require", None) => Ok(Security::Require),
        #[cfg(feature = "tls")]
        ("verify-full", Some(text)) => Ok(Security::VerifyFull(text.to_owned())),
        #[cfg(feature = "tls")]
        ("verify-full", None) => Err(Error::InvalidArgument(
            "`sslmode` verify-full needs the setting `sslrootcert`: the text of a PEM file with the certificates of the authorities".to_owned(),
        )),
        ("disable" | "require", Some(_)) => Err(Error::InvalidArgument(
            "the setting `sslrootcert` is for `sslmode` verify-full".to_owned(),
        )),
        #[cfg(not(feature = "tls"))]
        (mode @ ("require" | "verify-full"), _) => Err(Error::InvalidArgument(format!(
            "`sslmode` {mode}: this plugin was built without TLS; build it with `--features tls`, or put a proxy with TLS beside it"
        ))),
        (mode, _) => Err(invalid(
            "sslmode",
            mode,
            "none of disable, require, verify-full",
        )),
    }
}

fn duration(settings: &Settings<'_>, name: &str) -> Result<Option<u64>, Error> {
    let parse = |text: &str| {
        let parsed = parse_duration(text).filter(|it| *it > 0);
        parsed.ok_or_else(|| invalid(name, text, "no time, such as 8s or 168h"))
    };
    settings.text(name).map(parse).transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_plugin::testing::environment;

    use super::*;

    fn config(settings: &[(&str, &str)]) -> Result<Config, Error> {
        Config::new(&environment(settings), None)
    }

    #[test]
    fn without_settings_a_server_on_this_machine_keeps_a_week() {
        let config = config(&[]).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 5432));
        assert_eq!(config.retention, 7 * 24 * 3600 * SECOND);
        assert_eq!(config.partition, 14 * 3600 * SECOND);
        assert_eq!(config.database, "larder");
    }

    #[test]
    fn the_database_is_the_users_unless_it_is_named() {
        let named = config(&[("user", "jaeger"), ("database", "traces")]).unwrap();
        assert_eq!(named.database, "traces");
        assert_eq!(config(&[("user", "jaeger")]).unwrap().database, "jaeger");
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        for (name, value) in [
            ("port", "0"),
            ("port", "70000"),
            ("port", "x"),
            ("retention", "11s"),
            ("retention", "soon"),
            ("partition", "169h"),
            ("partition", "1m"),
            ("connect_timeout", "0s"),
            ("schema", "Larder"),
            ("schema", "1st"),
            ("schema", "a\"; drop table x"),
            ("schema", "pg_larder"),
            ("host", ""),
            ("sslmode", "prefer"),
            ("sslmode", "verify-full"),
            ("sslrootcert", "PEM"),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidArgument(text) if text.contains(&format!("`{name}`"))),
                "{name}={value}: {error:?}"
            );
        }
    }

    #[test]
    fn a_password_is_no_setting() {
        let error = config(&[("password", "secret")]).unwrap_err();
        assert!(
            matches!(&error, Error::InvalidArgument(text) if text.contains("unknown setting `password`")),
            "{error:?}"
        );
    }

    #[test]
    fn the_password_is_not_shown() {
        let config = Config::new(&environment(&[]), Some("secret".to_owned())).unwrap();
        assert_eq!(format!("{config:?}"), "larder@127.0.0.1:5432/larder");
    }
}
