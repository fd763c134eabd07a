//! The types of settings and their texts, such as `64MiB`, `168h` and `127.0.0.1:17271`.

use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A number of bytes. Its text is exact: in the unit in which it was written, such as `200GB`, or in a smaller unit of its kind for a
/// fraction, such as `1500MB` for `1.5GB`. A size without a unit has the largest binary unit that divides it: `64MiB`, `4032KiB`, `1000B`.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    bytes: u64,
    /// The unit of its text, and the bytes of that unit, which divide the size. `None` for the largest binary one.
    unit: Option<(&'static str, u64)>,
}

/// The address of a port: `host:port` with a name or an IP address as host. `:17271` means every interface, as in Jaeger's
/// configuration. Names are resolved when the port is bound.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// The driver that stores the data of the `kv` import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum KvDriver {
    /// In the data directory.
    #[default]
    Embedded,
    /// In the memory of the process; lost when it ends.
    Memory,
    /// In a Cassandra cluster, which several hosts may use.
    Cassandra,
}

/// The time at which a write to the `kv` import is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// After it is on disk.
    #[default]
    Sync,
    /// Immediately; it is on disk after at most `kv.sync_interval`.
    Periodic,
}

/// A type that settings can have, with its text. `read(show(x)) == x`.
pub(super) trait Value: Sized + PartialOrd {
    /// The type in words, with an example where that helps; it follows "expected".
    const KIND: &'static str;
    /// True if a file has a list for it. The text has commas between the elements.
    const IS_LIST: bool = false;
    /// True if a file may have a mapping for it. The text has `key:value`, with commas between the pairs.
    const IS_MAP: bool = false;
    /// True if a text that is none of its values may be a secret, which no message shows.
    const MAY_BE_SECRET: bool = false;
    /// Parses a text. `None` if it is not a value of the type.
    fn read(text: &str) -> Option<Self>;
    /// The text of the value.
    fn show(&self) -> String;
}

/// Serializes a value as its text; for `serialize_with`.
pub(super) fn as_text<T: Value, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&value.show())
}

/// Serializes a value as its text, and an unset one as null; for `serialize_with`.
pub(super) fn as_text_if_set<T: Value, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    let text = value.show();
    if text.is_empty() {
        to.serialize_none()
    } else {
        to.serialize_str(&text)
    }
}

// === impl Size ===

impl Size {
    const BINARY: [(&'static str, u64); 7] = [
        ("EiB", 1 << 60),
        ("PiB", 1 << 50),
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
    ];
    const DECIMAL: [(&'static str, u64); 7] = [
        ("EB", 1_000_000_000_000_000_000),
        ("PB", 1_000_000_000_000_000),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
        ("B", 1),
    ];

    /// A size in bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes, unit: None }
    }

    /// A size in KiB.
    pub const fn kib(kib: u32) -> Self {
        Self::from_bytes((kib as u64) << 10)
    }

    /// A size in MiB.
    pub const fn mib(mib: u32) -> Self {
        Self::from_bytes((mib as u64) << 20)
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// The unit to show a size in that was written in this one: the same, or the next smaller one of its kind that divides it.
    fn unit(written: &str, bytes: u64) -> Option<(&'static str, u64)> {
        if written.is_empty() {
            return None;
        }
        // `G` and `Gi` are units too.
        let bare = |unit: &str| unit.trim_end_matches(['b', 'B']).to_lowercase();
        [Self::BINARY, Self::DECIMAL].into_iter().find_map(|units| {
            let units = units.into_iter();
            let mut units = units.skip_while(|(unit, _)| bare(unit) != bare(written));
            units.find(|(_, factor)| bytes.is_multiple_of(*factor))
        })
    }

    /// The size in bytes, at most `usize::MAX`.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }
}

/// Sizes are compared as numbers, whatever their units.
impl PartialEq for Size {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Size {}

impl PartialOrd for Size {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Size {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = || {
            let mut units = Self::BINARY.into_iter();
            units.find(|(_, factor)| self.bytes >= *factor && self.bytes.is_multiple_of(*factor))
        };
        let (unit, factor) = self.unit.or_else(largest).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.bytes / factor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Value for Size {
    const KIND: &'static str = "a size such as 64MiB";

    fn read(text: &str) -> Option<Self> {
        let bytes = text.parse::<bytesize::ByteSize>().ok()?.as_u64();
        let written = text.trim_start_matches(|c: char| !c.is_alphabetic()).trim();
        let unit = Self::unit(written, bytes);
        Some(Self { bytes, unit })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// A port on the loopback interface.
    pub fn loopback(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    /// Host and port, in the form that `tokio::net::TcpListener::bind` takes.
    pub fn to_bind(&self) -> (&str, u16) {
        let host = if self.host.is_empty() {
            "0.0.0.0"
        } else {
            &self.host
        };
        (host, self.port)
    }

    /// True if it names one port of one machine, as an address to connect to does.
    pub(super) fn is_of_a_peer(&self) -> bool {
        !self.host.is_empty() && self.port != 0
    }

    /// The port. 0 lets the system choose one.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text).ok_or_else(|| format!("expected {}, got `{text}`", Self::KIND))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Value for Endpoint {
    const KIND: &'static str = "host:port, such as 127.0.0.1:17271";

    fn read(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let bracketed = bare.is_some();
        let host = bare.unwrap_or(host);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let valid = if bracketed {
            host.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            host.chars().all(plain)
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        (valid && digits).then_some(Self {
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

// === the other types ===

impl Value for Duration {
    const KIND: &'static str = "a time such as 10s or 168h";

    fn read(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok()
    }

    /// Exactly, in the largest unit up to hours that divides it: `168h`, `90m`, `1500ms`.
    fn show(&self) -> String {
        let nanos = self.as_nanos();
        [
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
        ]
        .into_iter()
        .find(|(_, factor)| nanos >= *factor && nanos.is_multiple_of(*factor))
        .map_or_else(
            || format!("{nanos}{}", if nanos == 0 { "s" } else { "ns" }),
            |(unit, factor)| format!("{}{unit}", nanos / factor),
        )
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl Value for $number {
            const KIND: &'static str = "a whole number";

            fn read(text: &str) -> Option<Self> {
                text.replace('_', "").parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_number!(u32, u64, usize);

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const KIND: &'static str = "a text that is not empty";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// Reads, shows and serializes the words of an enum; an alias is read, and shown as the word. A variant without a word does not compile.
macro_rules! words {
    ($type:ident: $first:ident = $first_word:literal $(| $first_alias:literal)*
        $(, $variant:ident = $word:literal $(| $alias:literal)*)*) => {
        impl Value for $type {
            const KIND: &'static str = concat!($first_word $(, " or ", $word)*);

            fn read(text: &str) -> Option<Self> {
                match text {
                    $first_word $(| $first_alias)* => Some(Self::$first),
                    $($word $(| $alias)* => Some(Self::$variant),)*
                    _ => None,
                }
            }

            fn show(&self) -> String {
                let word = match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)*
                };
                word.to_owned()
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                as_text(self, to)
            }
        }
    };
}
words!(KvDriver: Embedded = "embedded" | "fjall", Memory = "memory", Cassandra = "cassandra");
words!(Durability: Sync = "sync", Periodic = "periodic");

impl Value for PathBuf {
    const KIND: &'static str = "a path";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::from(text))
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// The empty text, and `null` in a file, are `None`.
impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const IS_MAP: bool = T::IS_MAP;

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            Some(None)
        } else {
            T::read(text).map(Some)
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, T::show)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[track_caller]
    fn check<T: Value + fmt::Debug>(text: &str, shown: &str) {
        let value = T::read(text).unwrap();
        assert_eq!(value.show(), shown);
        assert_eq!(
            T::read(shown),
            Some(value),
            "{shown} is read as it was shown"
        );
    }

    #[test]
    fn sizes_are_shown_exactly_in_the_unit_in_which_they_were_written() {
        check::<Size>("64MiB", "64MiB");
        check::<Size>("1024 KiB", "1024KiB");
        check::<Size>("1.5GiB", "1536MiB");
        check::<Size>("2Gi", "2GiB");
        check::<Size>("1MB", "1MB");
        check::<Size>("1.5gb", "1500MB");
        check::<Size>("200G", "200GB");
        check::<Size>("5000TB", "5000TB");
        check::<Size>("2PiB", "2PiB");
        check::<Size>("1000000B", "1000000B");
        check::<Size>("0MiB", "0MiB");
    }

    #[test]
    fn sizes_without_a_unit_are_shown_in_the_largest_that_divides_them() {
        check::<Size>("4128768", "4032KiB");
        check::<Size>("1048576", "1MiB");
        check::<Size>("1000", "1000B");
        check::<Size>("0", "0B");
        assert_eq!(Size::from_bytes(3 << 30).show(), "3GiB");
        assert_eq!(Size::kib(1024).show(), "1MiB");
        assert_eq!(Size::mib(64).bytes(), 64 * 1024 * 1024);
        assert_eq!(Size::kib(4).as_usize(), 4096);
    }

    /// The driver was called `fjall` before it was one of several.
    #[test]
    fn the_former_name_of_a_driver_is_read_and_its_name_is_shown() {
        check::<KvDriver>("embedded", "embedded");
        check::<KvDriver>("fjall", "embedded");
        check::<KvDriver>("memory", "memory");
        check::<KvDriver>("cassandra", "cassandra");
    }

    #[test]
    fn text_that_is_not_a_size_is_refused() {
        for text in ["", "lots", "-1", "64 parsecs", "MiB"] {
            assert_eq!(Size::read(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_shown_exactly_in_units_up_to_hours() {
        check::<Duration>("168h", "168h");
        check::<Duration>("7days", "168h");
        check::<Duration>("90s", "90s");
        check::<Duration>("1m 30s", "90s");
        check::<Duration>("1500ms", "1500ms");
        check::<Duration>("0s", "0s");
        assert_eq!(Duration::read("10"), None, "a time needs its unit");
    }

    #[test]
    fn endpoints_are_hosts_with_ports() {
        check::<Endpoint>("127.0.0.1:17271", "127.0.0.1:17271");
        check::<Endpoint>("localhost:0", "localhost:0");
        check::<Endpoint>("larder-0.larder.svc:17271", "larder-0.larder.svc:17271");
        check::<Endpoint>("[::1]:17271", "[::1]:17271");
        check::<Endpoint>(":17271", ":17271");
        for text in [
            "",
            "17271",
            "localhost",
            "localhost:",
            "localhost:65536",
            "localhost:+1",
            "http://localhost:17271",
            "::1:17271",
            "[::1]17271",
            "[x]:1",
            "a b:1",
        ] {
            assert_eq!(Endpoint::read(text), None, "{text}");
        }
    }

    #[test]
    fn an_endpoint_without_a_host_binds_every_interface() {
        let endpoint: Endpoint = ":17271".parse().unwrap();
        assert_eq!(endpoint.to_bind(), ("0.0.0.0", 17271));
        let endpoint: Endpoint = "[::1]:1".parse().unwrap();
        assert_eq!(endpoint.to_bind(), ("::1", 1));
    }
}
