//! Turns the configuration into the options of the driver `cassandra`.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use larder_cassandra::{Options, Tls};
use larder_store as kv;

use super::Error;
use crate::config::{self, Config, HostId, Replication, Size};

/// Time for which what is reclaimed stays readable. No query of any host takes longer: `limits.query_timeout` and
/// `limits.dependencies_timeout` are at most an hour.
const LINGER: Duration = Duration::from_hours(1);

/// How the addresses of commands begin.
const OF_COMMANDS: &str = "`larder ";

/// Who this host is to the others.
pub(crate) struct Identity {
    pub(crate) host: String,
    pub(crate) address: String,
}

/// The options of a server.
///
/// # Errors
/// A file that cannot be read, and a machine whose host name cannot be its id.
pub(crate) fn options(config: &Config) -> Result<Options, Error> {
    let identity = Identity::of_server(config)?;
    options_as(config, identity)
}

/// The options of a host that is given its identity.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn options_as(config: &Config, identity: Identity) -> Result<Options, Error> {
    let settings = &config.kv.cassandra;
    let tls = &settings.tls;
    for (setting, path) in [
        ("kv.cassandra.tls.ca", &tls.ca),
        ("kv.cassandra.tls.cert", &tls.cert),
        ("kv.cassandra.tls.key", &tls.key),
    ] {
        if let Some(path) = path {
            check_readable(setting, path)?;
        }
    }
    let password = match (&settings.password, &settings.password_file) {
        (Some(password), _) => Some(password.reveal().to_owned()),
        (None, Some(path)) => Some(read_password(path)?),
        (None, None) => None,
    };
    Ok(Options {
        password,
        ..without_password(config, identity)
    })
}

/// The CQL that makes the keyspace and its tables. Nothing is connected to.
pub(crate) fn schema(config: &Config) -> String {
    let nobody = Identity {
        host: String::new(),
        address: String::new(),
    };
    larder_cassandra::schema(&without_password(config, nobody))
}

fn without_password(config: &Config, identity: Identity) -> Options {
    let settings = &config.kv.cassandra;
    let Identity { host, address } = identity;
    let nodes = settings.contact_points.0.iter();
    let replication = match &settings.replication {
        None => larder_cassandra::Replication::new(),
        Some(Replication::Copies(copies)) => settings
            .datacenter
            .iter()
            .map(|datacenter| (datacenter.clone(), copies.get()))
            .collect(),
        Some(Replication::ByDatacenter(copies)) => copies
            .iter()
            .map(|(datacenter, copies)| (datacenter.clone(), copies.get()))
            .collect(),
    };
    Options {
        contact_points: nodes.map(config::Endpoint::to_string).collect(),
        keyspace: settings.keyspace.as_str().to_owned(),
        datacenter: settings.datacenter.clone(),
        replication,
        create_schema: settings.create_schema,
        username: settings.username.clone(),
        password: None,
        tls: tls(&settings.tls),
        timeout: settings.timeout,
        speculative_after: settings.speculative_after,
        max_in_flight: settings.max_in_flight,
        host,
        address,
        cache_bytes: settings.cache.bytes(),
        quotas: kv::Quotas::of_all(config.kv.quota.map(Size::bytes)),
        linger: LINGER,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// `None` without `ca`: a configuration with the other files alone does not load.
fn tls(settings: &config::CassandraTls) -> Option<Tls> {
    let config::CassandraTls {
        ca,
        cert,
        key,
        verify_hostname,
    } = settings;
    ca.as_ref()?;
    Some(Tls {
        ca: ca.clone(),
        cert: cert.clone(),
        key: key.clone(),
        verify_hostname: *verify_hostname,
    })
}

fn check_readable(setting: &'static str, path: &Path) -> Result<(), Error> {
    let opened = File::open(path).map(drop);
    opened.map_err(|source| unreadable(setting, path, source))
}

/// The content of the file, without the white space at its end.
fn read_password(path: &Path) -> Result<String, Error> {
    let setting = "kv.cassandra.password_file";
    let read = fs::read_to_string(path).map_err(|source| unreadable(setting, path, source))?;
    let password = read.trim_end();
    if password.is_empty() {
        let empty = io::Error::new(io::ErrorKind::InvalidData, "it is empty");
        return Err(unreadable(setting, path, empty));
    }
    Ok(password.to_owned())
}

fn unreadable(setting: &'static str, path: &Path, source: io::Error) -> Error {
    Error::StoreFile {
        setting,
        path: path.to_owned(),
        source,
    }
}

// === impl Identity ===

impl Identity {
    /// As configured, or by the machine's host name.
    pub(crate) fn of_server(config: &Config) -> Result<Self, Error> {
        Self::on(config, &machine())
    }

    /// For a command, such as `check`, which is a host of its own.
    pub(crate) fn of_command(command: &str) -> Self {
        let machine = machine();
        Self {
            host: format!(
                "{}-{machine}-{}",
                command.replace(' ', "-"),
                std::process::id()
            ),
            address: format!("{OF_COMMANDS}{command}` on {}", address_on(&machine)),
        }
    }

    /// True for the address of a command, as [`Identity::of_command`] makes it.
    pub(crate) fn is_of_command(address: &str) -> bool {
        address.starts_with(OF_COMMANDS)
    }

    /// As [`Identity::of_server`], on a machine of this name.
    fn on(config: &Config, machine: &str) -> Result<Self, Error> {
        let settings = &config.kv.cassandra;
        let host = match &settings.host {
            Some(host) => host.as_str().to_owned(),
            None => of_machine(machine)?,
        };
        let address = settings.address.clone();
        let address = address.unwrap_or_else(|| address_on(machine));
        Ok(Self { host, address })
    }
}

/// The machine's host name as an id. Names that many machines have are refused.
fn of_machine(name: &str) -> Result<String, Error> {
    let is_anybody = name == "localhost" || name.starts_with("localhost.");
    if is_anybody || name.parse::<HostId>().is_err() {
        return Err(Error::HostName {
            name: name.to_owned(),
        });
    }
    Ok(name.to_owned())
}

/// Where this process is, for people.
fn address_on(machine: &str) -> String {
    format!("{machine} (process {})", std::process::id())
}

fn machine() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Sources;

    fn config(settings: &[(&str, &str)]) -> Config {
        let common = [("DRIVER", "cassandra"), ("CASSANDRA_CONTACT_POINTS", "a,b")];
        let environment = common.iter().chain(settings);
        Config::load(&Sources {
            environment: environment
                .map(|(name, text)| (format!("LARDER_KV_{name}").into(), text.into()))
                .collect(),
            ..Sources::default()
        })
        .unwrap()
    }

    fn identity(config: &Config, machine: &str) -> Result<(String, String), String> {
        let identity = Identity::on(config, machine);
        let identity = identity.map_err(|error| error.to_string())?;
        Ok((identity.host, identity.address))
    }

    #[test]
    fn settings_become_options() {
        let config = config(&[
            ("CASSANDRA_KEYSPACE", "traces"),
            ("CASSANDRA_DATACENTER", "dc1"),
            ("CASSANDRA_REPLICATION", "2"),
            ("CASSANDRA_CREATE_SCHEMA", "false"),
            ("CASSANDRA_USERNAME", "larder"),
            ("CASSANDRA_PASSWORD", "hunter2"),
            ("CASSANDRA_TIMEOUT", "5s"),
            ("CASSANDRA_SPECULATIVE_AFTER", "30ms"),
            ("CASSANDRA_MAX_IN_FLIGHT", "9"),
            ("CASSANDRA_HOST", "larder-0"),
            ("CASSANDRA_ADDRESS", "here"),
            ("CASSANDRA_CACHE", "1MiB"),
            ("QUOTA", "2MiB"),
        ]);
        let options = options(&config).unwrap();
        assert_eq!(options.contact_points, ["a:9042", "b:9042"]);
        assert_eq!(options.keyspace, "traces");
        assert_eq!(options.datacenter.as_deref(), Some("dc1"));
        assert_eq!(options.replication, [("dc1".to_owned(), 2)].into());
        assert!(!options.create_schema);
        assert_eq!(options.username.as_deref(), Some("larder"));
        assert_eq!(options.password.as_deref(), Some("hunter2"));
        assert_eq!(options.tls, None);
        assert_eq!(options.timeout, Duration::from_secs(5));
        assert_eq!(options.speculative_after, Some(Duration::from_millis(30)));
        assert_eq!(options.max_in_flight, 9);
        assert_eq!((&*options.host, &*options.address), ("larder-0", "here"));
        assert_eq!(options.cache_bytes, 1 << 20);
        assert_eq!(options.quotas.of("anybody"), Some(2 << 20));
        assert_eq!(options.version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn a_host_is_its_machine_unless_it_is_given_an_id() {
        let unnamed = config(&[]);
        let (host, address) = identity(&unnamed, "larder-1.example").unwrap();
        assert_eq!(host, "larder-1.example");
        assert!(
            address.starts_with("larder-1.example (process "),
            "{address}"
        );
        for common in ["localhost", "localhost.localdomain", "", "a b"] {
            let refused = identity(&unnamed, common).unwrap_err();
            assert!(refused.contains("`kv.cassandra.host`"), "{refused}");
        }
        let named = config(&[("CASSANDRA_HOST", "larder-0")]);
        let (host, address) = identity(&named, "localhost").unwrap();
        assert_eq!(host, "larder-0");
        assert!(address.starts_with("localhost (process "), "{address}");
    }

    #[test]
    fn a_password_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let path = file.to_str().unwrap();
        let config = config(&[
            ("CASSANDRA_HOST", "larder-0"),
            ("CASSANDRA_USERNAME", "larder"),
            ("CASSANDRA_PASSWORD_FILE", path),
        ]);
        let read = || options(&config).map(|options| options.password);
        let refused = || read().map(drop).unwrap_err().to_string();
        let setting = "`kv.cassandra.password_file`";
        assert!(refused().contains(path) && refused().contains(setting));
        fs::write(&file, "\n").unwrap();
        assert!(refused().contains(setting));
        fs::write(&file, "hunter2\n").unwrap();
        assert_eq!(read().unwrap().as_deref(), Some("hunter2"));
    }

    #[test]
    fn files_of_tls_are_tried_first() {
        let config = config(&[
            ("CASSANDRA_HOST", "larder-0"),
            ("CASSANDRA_TLS_CA", "/absent/ca.pem"),
        ]);
        let refused = options(&config).map(drop).unwrap_err().to_string();
        assert!(refused.contains("`kv.cassandra.tls.ca`"), "{refused}");
        assert!(refused.contains("/absent/ca.pem"), "{refused}");
    }

    #[test]
    fn the_schema_needs_no_password() {
        let config = config(&[
            ("CASSANDRA_KEYSPACE", "traces"),
            ("CASSANDRA_USERNAME", "larder"),
            ("CASSANDRA_PASSWORD_FILE", "/absent/password"),
        ]);
        let schema = schema(&config);
        assert!(schema.contains("CREATE KEYSPACE IF NOT EXISTS"), "{schema}");
        assert!(schema.contains("traces"), "{schema}");
    }
}
