//! What an operator grants a plugin besides its sandbox. Nothing is granted unless it is named.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// The longest name of a host, in bytes (RFC 1035).
const MAX_NAME_BYTES: usize = 253;
/// The largest file that a variable is read from, in bytes.
const MAX_VARIABLE_BYTES: u64 = 64 << 10;

/// The grants of one tenant's plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grants {
    /// Where `wasi:http/outgoing-handler` may send requests.
    pub http: Vec<Authority>,
    /// Where `wasi:sockets/tcp` may connect to.
    pub tcp: Vec<Authority>,
    /// The variables of `wasi:cli/environment`.
    pub variables: Vec<Variable>,
    /// The time of day by `wasi:clocks/wall-clock`. Without it that clock stands still.
    pub clock: bool,
    /// The most connections that one instance may have at a time. It may begin four times as many a second.
    pub max_connections: usize,
    /// The most bytes that one call may send and receive.
    pub max_call_bytes: u64,
}

/// A host and a port that a plugin may reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    host: Host,
    port: u16,
}

/// The host of an [`Authority`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Host {
    /// In lower case, without a dot at its end.
    Name(String),
    /// In its shortest form: no IPv4 address inside of an IPv6 one.
    Address(IpAddr),
}

/// An environment variable that a plugin may read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable {
    name: String,
    /// Where its value is read from; the server's own environment if unset.
    file: Option<PathBuf>,
}

// === impl Grants ===

impl Default for Grants {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            tcp: Vec::new(),
            variables: Vec::new(),
            clock: false,
            max_connections: 16,
            max_call_bytes: 256 << 20,
        }
    }
}

impl Grants {
    /// True if the plugin may keep data elsewhere than in the host.
    pub fn reaches_out(&self) -> bool {
        !(self.http.is_empty() && self.tcp.is_empty())
    }

    /// True if all that `other` grants is granted here too.
    pub(crate) fn has_all_of(&self, other: &Self) -> bool {
        fn all<T: PartialEq>(these: &[T], of: &[T]) -> bool {
            these.iter().all(|it| of.contains(it))
        }
        all(&other.http, &self.http)
            && all(&other.tcp, &self.tcp)
            && all(&other.variables, &self.variables)
            && (self.clock || !other.clock)
    }

    /// What is granted of each kind, in words, and the imports that it is of. Secrets are named, and not shown.
    pub(crate) fn shown(&self) -> [(&'static str, &'static str, Vec<String>); 4] {
        fn texts<T: ToString>(granted: &[T]) -> Vec<String> {
            granted.iter().map(ToString::to_string).collect()
        }
        let clock = self.clock.then(|| "the time of day".to_owned());
        [
            ("http", "wasi:http/outgoing-handler@", texts(&self.http)),
            ("tcp", "wasi:sockets/tcp@", texts(&self.tcp)),
            ("env", "wasi:cli/environment@", texts(&self.variables)),
            (
                "clock",
                "wasi:clocks/wall-clock@",
                clock.into_iter().collect(),
            ),
        ]
    }

    /// Names and values of the variables, read now, so that an instance that is started later has what changed meanwhile.
    ///
    /// # Errors
    /// A variable that is not set, or a file that cannot be read, in words.
    pub(crate) fn values(&self) -> Result<Vec<(String, String)>, String> {
        let values = self.variables.iter();
        let values = values.map(|it| Ok((it.name.clone(), it.value()?)));
        values.collect()
    }
}

// === impl Authority ===

impl Authority {
    /// An authority that is named by its parts, as a request has them.
    pub(crate) fn of(host: &str, port: u16) -> Option<Self> {
        Some(Self {
            host: Host::parse(host)?,
            port,
        })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Authority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected host:port, such as `postgres:5432` or `[::1]:5432`, got `{text}`: no scheme, no path, no wildcard"
            )
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(expected)?;
        // Without brackets an IPv6 address cannot be told from its port.
        let is_ambiguous = host.contains(':') && !host.starts_with('[');
        let host = Some(host).filter(|_| !is_ambiguous).and_then(Host::parse);
        let host = host.ok_or_else(expected)?;
        if let Host::Address(address) = host
            && (address.is_unspecified() || address.is_multicast() || is_broadcast(address))
        {
            return Err(format!("`{text}` is the address of no single host"));
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

fn is_broadcast(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

// === impl Host ===

impl Host {
    /// None for what is no name and no address. Names are ASCII; others are written in their ASCII form (RFC 3490).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !label.is_empty() && label.len() <= 63 && label.chars().all(known)
        };
        // What ends in a number is an address in a form that resolvers read and people do not: `127.1`, `0x7f000001`.
        let is_number = |label: &str| {
            let hexadecimal = label.strip_prefix("0x").or(label.strip_prefix("0X"));
            let is_hexadecimal = |it: &str| it.chars().all(|c| c.is_ascii_hexdigit());
            label.chars().all(|c| c.is_ascii_digit()) || hexadecimal.is_some_and(is_hexadecimal)
        };
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_name =
            name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label) && !is_number(last);
        is_name.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

// === impl Variable ===

impl Variable {
    fn value(&self) -> Result<String, String> {
        let name = &self.name;
        let Some(file) = &self.file else {
            return std::env::var(name).map_err(|error| {
                format!(
                    "`plugin.grants.env` has `{name}`, which the server cannot hand over: {error}"
                )
            });
        };
        let failed = |error: String| {
            let file = file.display();
            format!("`plugin.grants.env` has `{name}` from the file {file}: {error}")
        };
        let size = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?;
        if size.len() > MAX_VARIABLE_BYTES {
            return Err(failed(format!(
                "it has more than {MAX_VARIABLE_BYTES} bytes"
            )));
        }
        let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
    }
}

/// `NAME`, or `NAME=file:PATH`.
impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected the name of a variable, or `NAME=file:/path` for the content of a file, got `{text}`: a value has no place here"
            )
        };
        let (name, file) = match text.split_once('=') {
            None => (text, None),
            Some((name, from)) => {
                let path = from.strip_prefix("file:").filter(|path| !path.is_empty());
                (name, Some(PathBuf::from(path.ok_or_else(expected)?)))
            }
        };
        let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_name = name.chars().all(known) && !name.starts_with(|c: char| c.is_ascii_digit());
        if name.is_empty() || !is_name {
            return Err(expected());
        }
        Ok(Self {
            name: name.to_owned(),
            file,
        })
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.file {
            Some(file) => write!(f, "=file:{}", file.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_authority_is_read_and_written_in_one_form() {
        for (text, shown) in [
            ("postgres:5432", "postgres:5432"),
            ("Db.Example.:5432", "db.example:5432"),
            ("10.0.0.5:80", "10.0.0.5:80"),
            ("[::1]:5432", "[::1]:5432"),
            ("[::ffff:10.0.0.5]:80", "10.0.0.5:80"),
            ("a_b-c:1", "a_b-c:1"),
            ("3scale:80", "3scale:80"),
        ] {
            let authority: Authority = text.parse().unwrap();
            assert_eq!(authority.to_string(), shown);
            assert_eq!(shown.parse::<Authority>().unwrap(), authority);
        }
    }

    #[test]
    fn what_is_no_single_host_and_port_is_refused() {
        for text in [
            "",
            "postgres",
            "postgres:",
            ":5432",
            "postgres:0",
            "postgres:65536",
            "http://postgres:80",
            "postgres:80/path",
            "user@postgres:80",
            "*:80",
            "*.example:80",
            "::1:5432",
            "[::1:5432",
            "a..b:80",
            "127.1:80",
            "2130706433:80",
            "0x7f.1:80",
            "a.0x7f000001:80",
            "0.0.0.0:80",
            "[::]:80",
            "255.255.255.255:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "ünïcode:80",
        ] {
            let refused = text.parse::<Authority>();
            assert!(refused.is_err(), "{text}: {refused:?}");
        }
    }

    #[test]
    fn a_variable_has_a_name_and_never_a_value() {
        for text in ["PGPASSWORD", "_A1", "TOKEN=file:/run/secrets/token"] {
            assert_eq!(text.parse::<Variable>().unwrap().to_string(), text);
        }
        for text in ["", "1A", "A B", "A=secret", "A=file:", "=file:/x", "A-B"] {
            assert!(text.parse::<Variable>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_variable_is_read_from_its_file_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let variable = format!("SECRET=file:{}", file.display());
        let grants = Grants {
            variables: vec![variable.parse().unwrap()],
            ..Grants::default()
        };
        let missing = grants.values().unwrap_err();
        assert!(
            missing.contains("SECRET") && missing.contains("secret:"),
            "{missing}"
        );
        for (content, value) in [("one\n", "one"), ("two\r\n", "two"), ("a b\n\n", "a b\n")] {
            std::fs::write(&file, content).unwrap();
            let expected = vec![("SECRET".to_owned(), value.to_owned())];
            assert_eq!(grants.values(), Ok(expected));
        }
    }

    #[test]
    fn a_variable_that_the_server_does_not_have_is_named() {
        let grants = Grants {
            variables: vec!["LARDER_TEST_NO_SUCH_VARIABLE".parse().unwrap()],
            ..Grants::default()
        };
        let missing = grants.values().unwrap_err();
        assert!(
            missing.contains("LARDER_TEST_NO_SUCH_VARIABLE"),
            "{missing}"
        );
    }
}
