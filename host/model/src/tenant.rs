//! Names of tenants, restricted to characters that are safe in paths, keys, metric labels and log lines.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Serialize, Serializer};

/// The tenant of a server without tenancy, and of requests without a tenant if there is only one. Its namespace is the one that was used
/// before tenancy existed.
pub const DEFAULT_TENANT: &str = "default";

/// Maximum length of a name. It is the maximum length of a DNS label.
const MAX_LENGTH: usize = 63;

/// Name of a tenant. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Arc<str>);

/// Error for a text that is not a tenant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tenant's name is 1 to {MAX_LENGTH} of ASCII letters, digits, `-`, `_` and `.`, and begins with a letter or a digit"
)]
pub struct InvalidTenantName;

// === impl TenantName ===

impl TenantName {
    /// The name [`DEFAULT_TENANT`].
    pub fn default_tenant() -> Self {
        static DEFAULT: LazyLock<TenantName> = LazyLock::new(|| TenantName(DEFAULT_TENANT.into()));
        DEFAULT.clone()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantName {
    type Err = InvalidTenantName;

    fn from_str(text: &str) -> Result<Self, InvalidTenantName> {
        let is_valid =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let first = text.bytes().next().ok_or(InvalidTenantName)?;
        if first.is_ascii_alphanumeric() && text.len() <= MAX_LENGTH && text.bytes().all(is_valid) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTenantName)
        }
    }
}

/// Lets a map of names be searched with the text that a client sent.
impl Borrow<str> for TenantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for TenantName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_of_the_safe_form_are_taken_as_they_are() {
        let longest = "a".repeat(MAX_LENGTH);
        for text in ["a", "7", "acme-eu", "Team_1.blue", "default", &longest] {
            assert_eq!(text.parse::<TenantName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn any_other_text_is_no_name() {
        let long = "a".repeat(MAX_LENGTH + 1);
        for text in [
            "", "-a", "_a", ".a", "..", "a b", "a/b", "a\\b", "a,b", "a\0", "a\n", "é", "a*", &long,
        ] {
            let refused = text.parse::<TenantName>().unwrap_err();
            assert!(refused.to_string().contains("1 to 63"), "{text:?}");
        }
    }

    #[test]
    fn names_that_differ_in_case_are_different() {
        assert_ne!("A".parse::<TenantName>(), "a".parse::<TenantName>());
    }

    #[test]
    fn a_map_by_name_is_asked_with_a_text() {
        let map = std::collections::HashMap::from([(TenantName::default_tenant(), 1)]);
        assert_eq!(map.get("default"), Some(&1));
    }
}
