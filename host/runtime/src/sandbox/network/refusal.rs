//! What a guest is refused, in words and by a reason for metrics.

use std::fmt;
use std::net::IpAddr;

use super::BEGUN_A_SECOND;

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No grant has this host and port.
    Authority { kind: &'static str, wanted: String },
    /// No grant has this name.
    Name(String),
    /// The name resolves to nothing but addresses like this one.
    Unfit {
        name: String,
        address: IpAddr,
        is: &'static str,
    },
    /// It would wait for connections, bind an address, or send datagrams.
    Kind(&'static str),
    /// As many are open as may be.
    TooMany(usize),
    /// As many were begun in this second as may be.
    TooFast(usize),
    /// The call has sent and received as much as it may.
    Bytes(u64),
}

// === impl Refusal ===

impl Refusal {
    /// The `reason` label of metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Authority { .. } => "authority",
            Self::Name(_) => "name",
            Self::Unfit { .. } => "address",
            Self::Kind(_) => "kind",
            Self::TooMany(_) => "connections",
            Self::TooFast(_) => "rate",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority { kind, wanted } => {
                write!(
                    f,
                    "`{wanted}` is not in `plugin.grants.{kind}`, or not what a name there was resolved to"
                )
            }
            Self::Name(name) => write!(
                f,
                "the name `{name}` is neither in `plugin.grants.tcp` nor in `plugin.grants.http`"
            ),
            Self::Unfit { name, address, is } => write!(
                f,
                "`{name}` was resolved to {address}, which is {is}; if that is meant, grant the address in place of the name"
            ),
            Self::Kind(kind) => write!(f, "{kind} is never granted"),
            Self::TooMany(most) => write!(
                f,
                "{most} connections of one instance are open; `plugin.grants.max_connections` raises the limit"
            ),
            Self::TooFast(most) => write!(
                f,
                "{most} connections were begun, or names looked up, within a second; the limit is {BEGUN_A_SECOND} times `plugin.grants.max_connections`"
            ),
            Self::Bytes(most) => write!(
                f,
                "the call has sent and received {most} bytes; `plugin.grants.max_call_bytes` raises the limit"
            ),
        }
    }
}
